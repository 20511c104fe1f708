//! Closed generations and counters.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use netledger_core::error::{Error, Kind};
use netledger_core::flow::Sums;
use netledger_core::packet::Unreadable;
use netledger_core::recovery;
use netledger_core::table::header::GroupState;
use netledger_core::table::several::Several;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch::Batch;
use crate::errors::raise;

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct Totals {
    state: GroupState,
    other: Sums,
}

impl Totals {
    pub(crate) fn new(state: GroupState, other: Sums) -> Self {
        Self { state, other }
    }
}

macro_rules! counters {
    ($($name:ident = $self:ident -> $value:expr;)*) => {
        #[pymethods]
        impl Totals {
            $(#[getter] fn $name(&$self) -> u64 { $value })*

            #[getter]
            fn unreadable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let counts = PyDict::new(py);
                for (reason, count) in Unreadable::ALL.into_iter().zip(self.state.unreadable) {
                    counts.set_item(reason.name(), count)?;
                }
                Ok(counts)
            }
        }
    };
}

counters! {
    received_packets = self -> self.state.received_packets;
    received_bytes = self -> self.state.received_bytes;
    posted_sent_packets = self -> self.state.posted.sent_packets;
    posted_sent_bytes = self -> self.state.posted.sent_bytes;
    posted_received_packets = self -> self.state.posted.received_packets;
    posted_received_bytes = self -> self.state.posted.received_bytes;
    other_packets = self -> self.other.sent_packets.max(self.other.received_packets);
    other_bytes = self -> self.other.sent_bytes.max(self.other.received_bytes);
    sequence_gap_packets = self -> self.state.sequence_gap_packets;
    overruns = self -> self.state.overruns;
    truncated_datagrams = self -> self.state.truncated_datagrams;
    malformed_messages = self -> self.state.malformed_messages;
    length_unknown_packets = self -> self.state.length_unknown_packets;
    dropped_packets = self -> self.state.ring.dropped_packets;
    super_packets = self -> self.state.ring.super_packets;
    wire_packets = self -> self.state.ring.wire_packets;
    wire_bytes = self -> self.state.ring.wire_bytes;
    fragments_unknown = self -> self.state.ring.fragments_unknown;
    length_lies = self -> self.state.ring.length_lies;
    ignored_packets = self -> self.state.ring.ignored_packets;
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct Generation {
    path: String,
    totals: GroupState,
    other: Sums,
    recovered: bool,
    last_received_ns: u64,
    /// None once it is released.
    closed: Mutex<Option<Several>>,
}

impl Generation {
    pub(crate) fn new(closed: impl Into<Several>) -> Self {
        let closed = closed.into();
        Self {
            path: closed.path().display().to_string(),
            totals: closed.totals,
            other: closed.other,
            recovered: closed.recovered,
            last_received_ns: closed.last_received_ns,
            closed: Mutex::new(Some(closed)),
        }
    }

    fn with<T>(&self, operation: &'static str, ask: impl FnOnce(&Several) -> Result<T, Error>) -> PyResult<T> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = closed.as_ref().ok_or_else(|| self.released(operation))?;
        ask(closed).map_err(raise)
    }

    fn released(&self, operation: &'static str) -> PyErr {
        raise(Error::new(Kind::Table, format!("table {}", self.path), operation, "it has been released"))
    }
}

#[pymethods]
impl Generation {
    #[getter]
    fn path(&self) -> &str {
        &self.path
    }

    #[getter]
    fn rows(&self) -> PyResult<usize> {
        self.with("count rows", |closed| Ok(closed.used()))
    }

    #[getter]
    fn totals(&self) -> Totals {
        Totals::new(self.totals, self.other)
    }

    #[getter]
    fn recovered(&self) -> bool {
        self.recovered
    }

    #[getter]
    fn last_received_ns(&self) -> Option<u64> {
        Some(self.last_received_ns).filter(|&time| time != 0)
    }

    fn batch(&self, py: Python<'_>, interface_names: HashMap<u32, String>) -> PyResult<Batch> {
        py.detach(|| self.with("read", |closed| closed.batch(&interface_names).map(Batch)))
    }

    fn release(&self) -> PyResult<()> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        // Kept until its file is gone: who commits it again after a failure reads its rows again.
        closed.as_ref().ok_or_else(|| self.released("release"))?.remove().map_err(raise)?;
        *closed = None;
        Ok(())
    }
}

/// Opens the table file of a process that died.
#[pyfunction]
pub(crate) fn recover(py: Python<'_>, path: &str) -> PyResult<Generation> {
    py.detach(|| recovery::recover(Path::new(path))).map(Generation::new).map_err(raise)
}
