//! The meter of packet sockets: a handle of the core's threads.

use std::collections::HashMap;
use std::path::Path;

use netledger_core::flow::Sums;
use netledger_core::packet_meter::{Config, FILTER_MAX, PacketMeter as Core, THREADS_MAX, instruction};
use netledger_core::sources::packet::interfaces::Selection;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::raise;
use crate::generation::{Generation, Totals};
use crate::key::{KeySpec, sides};
use crate::live::{Glance, LiveRows, order};

/// All chosen interfaces, none, or those of the patterns.
#[derive(FromPyObject)]
pub(crate) enum Promiscuous {
    Switch(bool),
    Patterns(Vec<String>),
}

impl Promiscuous {
    fn patterns(self) -> Vec<String> {
        match self {
            Self::Switch(false) => Vec::new(),
            Self::Switch(true) => vec!["*".to_owned()],
            Self::Patterns(patterns) => patterns,
        }
    }
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct PacketMeter(Core);

#[pymethods]
impl PacketMeter {
    #[new]
    #[pyo3(signature = (*, key, rows_max, account="both", interfaces=vec![], interfaces_excluded=vec![], loopback=false,
                        ring_bytes=67_108_864, retire_milliseconds=50, threads=1,
                        promiscuous=Promiscuous::Switch(false), families=vec![4, 6], filter=vec![]),
           text_signature = "(*, key, rows_max, account='both', interfaces=(), interfaces_excluded=(), loopback=False, \
                             ring_bytes=67108864, retire_milliseconds=50, threads=1, promiscuous=False, \
                             families=(4, 6), filter=())")]
    #[allow(clippy::too_many_arguments, reason = "each has a name on the other side")]
    fn new(
        key: &KeySpec,
        rows_max: usize,
        account: &str,
        interfaces: Vec<String>,
        interfaces_excluded: Vec<String>,
        loopback: bool,
        ring_bytes: usize,
        retire_milliseconds: u32,
        threads: usize,
        promiscuous: Promiscuous,
        families: Vec<u8>,
        filter: Vec<(u16, u8, u8, u32)>,
    ) -> PyResult<Self> {
        let wrong = |text: String| Err(PyValueError::new_err(text));
        if key.0.has_connection() {
            return wrong("a packet tells neither zone nor mark of its connection".to_owned());
        }
        if !(1..=THREADS_MAX).contains(&threads) {
            return wrong(format!("threads is between 1 and {THREADS_MAX}"));
        }
        if families.is_empty() || families.iter().any(|version| ![4, 6].contains(version)) {
            return wrong("families are 4, 6 or both".to_owned());
        }
        if filter.len() > FILTER_MAX {
            return wrong(format!("a filter has at most {FILTER_MAX} instructions"));
        }
        Ok(Self(Core::new(Config {
            spec: key.0.clone(),
            rows_max,
            sides: sides(account)?,
            selection: Selection::new(&interfaces, &interfaces_excluded, loopback, &promiscuous.patterns()),
            ring_bytes,
            retire_milliseconds,
            threads,
            families,
            filter: filter.into_iter().map(|(code, jt, jf, k)| instruction(code, jt, jf, k)).collect(),
        })))
    }

    fn begin(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        py.detach(|| self.0.begin(Path::new(path))).map_err(raise)
    }

    fn roll(&self, py: Python<'_>, path: &str) -> PyResult<Generation> {
        py.detach(|| self.0.roll(Path::new(path))).map(Generation::new).map_err(raise)
    }

    fn end(&self, py: Python<'_>) -> PyResult<Generation> {
        py.detach(|| self.0.end()).map(Generation::new).map_err(raise)
    }

    #[pyo3(signature = (names=HashMap::new()), text_signature = "($self, names={})")]
    fn interfaces_changed(&self, py: Python<'_>, names: HashMap<u32, String>) {
        py.detach(|| self.0.interfaces_changed(&names));
    }

    fn interface_names(&self, py: Python<'_>) -> HashMap<u32, String> {
        py.detach(|| self.0.interface_names())
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Totals> {
        py.detach(|| self.0.stats()).map(|state| Totals::new(state, Sums::default())).map_err(raise)
    }

    fn glance(&self, py: Python<'_>) -> PyResult<Glance> {
        let (glance, sum) = py.detach(|| self.0.glance());
        Glance::new(py, &glance, sum)
    }

    #[pyo3(signature = (interface_names=HashMap::new(), *, top=None, sort="bytes"),
           text_signature = "($self, interface_names={}, *, top=None, sort='bytes')")]
    fn live(
        &self,
        py: Python<'_>,
        interface_names: HashMap<u32, String>,
        top: Option<usize>,
        sort: &str,
    ) -> PyResult<LiveRows> {
        // The same signature as the other meters; these know the names themselves.
        drop(interface_names);
        let order = order(sort)?;
        let top = top.map(|limit| (limit, order));
        let snapshot = py.detach(|| self.0.snapshot(top)).map_err(raise)?;
        LiveRows::new(py, snapshot)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}
