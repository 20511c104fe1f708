//! Named counters.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use netledger_core::error::Error;
use netledger_core::nfacct::{Filter, Object};
use netledger_core::sources::nfacct::Nfacct;
use netledger_core::sources::nfacct::events::{Event, Events, Waited};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::raise;

/// Signals that come between two looks are handled this much later at most.
const SIGNALS: Duration = Duration::from_millis(250);

/// Name, packets, bytes, references, flags, quota.
type Told<'py> = (Bound<'py, PyBytes>, u64, u64, u32, u32, Option<u64>);

fn told(py: Python<'_>, object: Object) -> Told<'_> {
    let name = PyBytes::new(py, &object.name);
    (name, object.packets, object.bytes, object.references, object.flags, object.quota)
}

fn ask<T: Send>(py: Python<'_>, ask: impl FnOnce(&mut Nfacct) -> Result<T, Error> + Send) -> PyResult<T> {
    py.detach(|| Nfacct::open().and_then(|mut nfacct| ask(&mut nfacct))).map_err(raise)
}

#[pyfunction]
pub(crate) fn nfacct_list(py: Python<'_>, mask: u32, value: u32) -> PyResult<Vec<Told<'_>>> {
    let objects = ask(py, |nfacct| nfacct.list(Filter { mask, value }))?;
    Ok(objects.into_iter().map(|object| told(py, object)).collect())
}

#[pyfunction]
pub(crate) fn nfacct_get<'py>(py: Python<'py>, name: &[u8], zero: bool) -> PyResult<Told<'py>> {
    let object = ask(py, |nfacct| if zero { nfacct.reset(name) } else { nfacct.get(name) })?;
    Ok(told(py, object))
}

#[pyfunction]
pub(crate) fn nfacct_add(
    py: Python<'_>,
    name: &[u8],
    packets: u64,
    octets: u64,
    flags: u32,
    quota: Option<u64>,
) -> PyResult<()> {
    let object = Object { name: name.to_vec(), packets, bytes: octets, references: 0, flags, quota };
    ask(py, |nfacct| nfacct.add(&object))
}

#[pyfunction]
pub(crate) fn nfacct_delete(py: Python<'_>, name: &[u8]) -> PyResult<()> {
    ask(py, |nfacct| nfacct.delete(name))
}

#[pyfunction]
pub(crate) fn nfacct_flush(py: Python<'_>) -> PyResult<()> {
    ask(py, Nfacct::flush)
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct NfacctEvents(Events);

#[pymethods]
impl NfacctEvents {
    #[new]
    fn new(py: Python<'_>, receive_buffer_bytes: i32) -> PyResult<Self> {
        py.detach(|| Events::open(receive_buffer_bytes)).map(Self).map_err(raise)
    }

    /// One of: the object, how many events were lost, whether it is closed; none of them when the time is over.
    fn wait<'py>(
        &self,
        py: Python<'py>,
        timeout_milliseconds: Option<u64>,
    ) -> PyResult<(Option<Told<'py>>, Option<u64>, bool)> {
        let deadline = timeout_milliseconds.and_then(|time| Instant::now().checked_add(Duration::from_millis(time)));
        loop {
            let left = deadline.map_or(SIGNALS, |deadline| deadline.saturating_duration_since(Instant::now()));
            match py.detach(|| self.0.wait(left.min(SIGNALS))).map_err(raise)? {
                Waited::Event(Event::OverQuota(object)) => return Ok((Some(told(py, object)), None, false)),
                Waited::Event(Event::Lost(events)) => return Ok((None, Some(events), false)),
                Waited::Closed => return Ok((None, None, true)),
                // The end of a slice, a signal, or an event that another thread took.
                Waited::Nothing => py.check_signals()?,
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok((None, None, false));
            }
        }
    }

    fn close(&self) {
        self.0.close();
    }

    fn fileno(&self) -> i32 {
        self.0.as_raw_fd()
    }
}
