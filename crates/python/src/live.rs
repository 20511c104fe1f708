//! A look at what is being counted.

use netledger_core::flow::Sums;
use netledger_core::live;
use netledger_core::table::header::GroupState;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::batch::Batch;
use crate::generation::Totals;

/// What rows are ranked by.
pub(crate) fn order(name: &str) -> PyResult<live::Order> {
    live::Order::ALL.into_iter().find(|order| order.name() == name).ok_or_else(|| {
        let names = live::Order::ALL.map(live::Order::name).join(", ");
        PyValueError::new_err(format!("sort is any of {names}"))
    })
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct Glance {
    #[pyo3(get)]
    rows: usize,
    #[pyo3(get)]
    totals: Py<Totals>,
    #[pyo3(get)]
    since_start: Py<Totals>,
}

impl Glance {
    pub(crate) fn new(py: Python<'_>, glance: &live::Glance, since_start: GroupState) -> PyResult<Self> {
        Ok(Self {
            rows: glance.rows,
            totals: Py::new(py, Totals::new(glance.totals, glance.other))?,
            since_start: Py::new(py, Totals::new(since_start, Sums::default()))?,
        })
    }
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct LiveRows {
    #[pyo3(get)]
    rows: usize,
    #[pyo3(get)]
    totals: Py<Totals>,
    #[pyo3(get)]
    batch: Py<Batch>,
    sums: Sums,
}

impl LiveRows {
    pub(crate) fn new(py: Python<'_>, snapshot: live::Snapshot) -> PyResult<Self> {
        Ok(Self {
            rows: snapshot.rows,
            totals: Py::new(py, Totals::new(snapshot.totals, snapshot.other))?,
            batch: Py::new(py, Batch(snapshot.batch))?,
            sums: snapshot.sums,
        })
    }
}

#[pymethods]
impl LiveRows {
    #[getter]
    fn sent_packets(&self) -> u64 {
        self.sums.sent_packets
    }

    #[getter]
    fn sent_bytes(&self) -> u64 {
        self.sums.sent_bytes
    }

    #[getter]
    fn received_packets(&self) -> u64 {
        self.sums.received_packets
    }

    #[getter]
    fn received_bytes(&self) -> u64 {
        self.sums.received_bytes
    }
}
