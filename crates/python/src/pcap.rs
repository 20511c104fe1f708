//! A capture file, read step by step.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use netledger_core::flow::Sums;
use netledger_core::sources::pcap;
use netledger_core::table::header::GroupState;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::batch::Batch;
use crate::errors::raise;
use crate::generation::Totals;
use crate::key::KeySpec;

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct PcapReader(Mutex<pcap::PcapReader>);

impl PcapReader {
    fn reader(&self) -> MutexGuard<'_, pcap::PcapReader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PcapReader {
    #[new]
    #[pyo3(signature = (path, *, key, rows_max, interval_ns=0))]
    fn new(py: Python<'_>, path: PathBuf, key: &KeySpec, rows_max: usize, interval_ns: i64) -> PyResult<Self> {
        if interval_ns < 0 {
            return Err(PyValueError::new_err("interval_ns is not below 0"));
        }
        let config = pcap::PcapConfig { key: key.0.clone(), rows_max, interval_ns };
        let reader = py.detach(move || pcap::PcapReader::open(&path, &config)).map_err(raise)?;
        Ok(Self(Mutex::new(reader)))
    }

    fn read(&self, py: Python<'_>, bytes_max: u64) -> PyResult<bool> {
        py.detach(|| self.reader().read(bytes_max)).map_err(raise)
    }

    #[getter]
    fn position_bytes(&self) -> u64 {
        self.reader().position_bytes()
    }

    #[getter]
    fn size_bytes(&self) -> Option<u64> {
        self.reader().size_bytes()
    }

    #[getter]
    fn first_ns(&self) -> Option<i64> {
        self.reader().counts().first_ns
    }

    #[getter]
    fn last_ns(&self) -> Option<i64> {
        self.reader().counts().last_ns
    }

    #[getter]
    fn truncated(&self) -> Option<String> {
        self.reader().truncated().map(str::to_owned)
    }

    #[getter]
    fn time_invalid_packets(&self) -> u64 {
        self.reader().counts().time_invalid_packets
    }

    #[getter]
    fn totals(&self) -> Totals {
        let reader = self.reader();
        let counts = reader.counts();
        let posted = Sums {
            sent_packets: counts.posted_packets,
            sent_bytes: counts.posted_bytes,
            received_packets: counts.posted_packets,
            received_bytes: counts.posted_bytes,
        };
        let state = GroupState {
            received_packets: counts.packets,
            received_bytes: counts.posted_bytes,
            posted,
            length_unknown_packets: counts.length_unknown_packets,
            unreadable: counts.unreadable,
            ..GroupState::default()
        };
        Totals::new(state, reader.table().other())
    }

    #[getter]
    fn link_types(&self) -> Vec<&'static str> {
        self.reader().link_types()
    }

    fn batch(&self, py: Python<'_>) -> PyResult<Batch> {
        py.detach(|| self.reader().batch()).map(Batch).map_err(raise)
    }
}
