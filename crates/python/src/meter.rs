//! The meter: a handle of the core's thread.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use netledger_core::flow::{Address, Sums};
use netledger_core::meter;
use netledger_core::sources::nflog::port::Gathering;
use netledger_core::table::header::GroupSpec;
use netledger_core::trace::{Event, Level, Noted};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::raise;
use crate::generation::{Generation, Totals};
use crate::key::{KeySpec, NflogGroup};
use crate::live::{Glance, LiveRows, order};

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct Meter {
    meter: meter::Meter,
    /// The groups of the newest generation: `roll` goes on with them.
    groups: std::sync::Mutex<Vec<GroupSpec>>,
}

#[pymethods]
impl Meter {
    #[new]
    #[pyo3(signature = (*, key, rows_max, receive_buffer_bytes, timeout_centiseconds, gather_milliseconds=0, trace=0,
                        trace_max=65536))]
    fn new(
        key: &KeySpec,
        rows_max: usize,
        receive_buffer_bytes: i32,
        timeout_centiseconds: u32,
        gather_milliseconds: u64,
        trace: u8,
        trace_max: usize,
    ) -> PyResult<Self> {
        if key.0.has_connection() {
            return Err(PyValueError::new_err("a logged packet tells neither zone nor mark of its connection"));
        }
        let config = meter::Config {
            spec: key.0.clone(),
            rows_max,
            gathering: Gathering { receive_buffer_bytes, timeout_centiseconds },
            gather: Duration::from_millis(gather_milliseconds),
            trace_level: match trace {
                0 => Level::Notable,
                1 => Level::Batches,
                _ => Level::Packets,
            },
            trace_max,
        };
        let meter = meter::Meter::start(config).map_err(raise)?;
        Ok(Self { meter, groups: std::sync::Mutex::default() })
    }

    fn begin(&self, py: Python<'_>, path: &str, groups: Vec<NflogGroup>) -> PyResult<()> {
        let specs: Vec<_> = groups.iter().map(|group| group.0).collect();
        py.detach(|| self.meter.begin(Path::new(path), &specs)).map_err(raise)?;
        *self.groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = specs;
        Ok(())
    }

    fn roll(&self, py: Python<'_>, path: &str) -> PyResult<Generation> {
        let groups = self.groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        py.detach(|| self.meter.roll(Path::new(path), &groups)).map(Generation::new).map_err(raise)
    }

    fn end(&self, py: Python<'_>) -> PyResult<Generation> {
        py.detach(|| self.meter.end()).map(Generation::new).map_err(raise)
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Totals> {
        py.detach(|| self.meter.stats()).map(|state| Totals::new(state, Sums::default())).map_err(raise)
    }

    fn glance(&self, py: Python<'_>) -> PyResult<Glance> {
        let (glance, sum) = py.detach(|| self.meter.glance());
        Glance::new(py, &glance, sum)
    }

    #[pyo3(signature = (interface_names, *, top=None, sort="bytes"))]
    fn live(
        &self,
        py: Python<'_>,
        interface_names: HashMap<u32, String>,
        top: Option<usize>,
        sort: &str,
    ) -> PyResult<LiveRows> {
        let order = order(sort)?;
        let top = top.map(|limit| (limit, order));
        let snapshot = py.detach(|| self.meter.snapshot(&interface_names, top)).map_err(raise)?;
        LiveRows::new(py, snapshot)
    }

    fn trace(&self) -> Vec<TraceEvent> {
        self.meter.take_trace().into_iter().map(TraceEvent).collect()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.meter.close());
    }
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct TraceEvent(Noted);

#[pymethods]
impl TraceEvent {
    #[getter]
    fn kind(&self) -> &'static str {
        match self.0.1 {
            Event::Batch { .. } => "batch",
            Event::Packet { .. } => "packet",
            Event::Short { .. } => "short",
            Event::Version { .. } => "version",
            Event::Missing { .. } => "missing",
            Event::Overrun => "overrun",
        }
    }

    #[getter]
    fn group(&self) -> u16 {
        self.0.0
    }

    #[getter]
    fn address(&self) -> Option<[u8; 16]> {
        match self.0.1 {
            Event::Packet { address: Address(address), .. } => Some(address.to_be_bytes()),
            _ => None,
        }
    }

    #[getter]
    fn is_source(&self) -> bool {
        matches!(self.0.1, Event::Packet { is_source: true, .. })
    }

    #[getter]
    fn numbers(&self) -> (u64, u64, u64) {
        match self.0.1 {
            Event::Batch { packets } => (packets, 0, 0),
            Event::Packet { bytes, is_ipv4, .. } => (bytes, if is_ipv4 { 4 } else { 6 }, 0),
            Event::Short { have, need, version } => (have as u64, need as u64, u64::from(version)),
            Event::Version { found } => (u64::from(found), 0, 0),
            Event::Missing { count, received, expected } => (count.into(), received.into(), expected.into()),
            Event::Overrun => (0, 0, 0),
        }
    }
}
