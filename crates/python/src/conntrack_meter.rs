//! The meter of flows: a handle of the core's thread.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netledger_core::flow::Sums;
use netledger_core::flow_meter::{self, Config, Counters, Opened};
use netledger_core::flows::fold::Cut;
use netledger_core::flows::{Facts, Found, Named};
use netledger_core::live::Glance as Looked;
use netledger_core::sources::conntrack;
use pyo3::prelude::*;

use crate::errors::raise;
use crate::generation::{Generation, Totals};
use crate::key::KeySpec;
use crate::live::{Glance, LiveRows, order};

/// Packets and bytes of named counters.
type Values = HashMap<String, (u64, u64)>;

fn values(named: Option<&Vec<Named>>, value: impl Fn(&Named) -> (u64, u64)) -> Option<Values> {
    named.map(|named| named.iter().map(|one| (one.name.clone(), value(one))).collect())
}

fn asked(counters: Option<(String, Vec<String>)>) -> Option<Counters> {
    counters.map(|(table, names)| Counters { table, names })
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct ConntrackMeter(flow_meter::FlowMeter);

#[pymethods]
impl ConntrackMeter {
    #[new]
    #[pyo3(signature = (*, path, key, rows_max, buffer_bytes, families=vec![2, 10], zones=vec![], gather_milliseconds=5,
                        flows_max=16_777_216, ended_max=1_048_576))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword for who calls")]
    fn new(
        path: PathBuf,
        key: &KeySpec,
        rows_max: usize,
        buffer_bytes: i32,
        families: Vec<u8>,
        zones: Vec<u16>,
        gather_milliseconds: u64,
        flows_max: usize,
        ended_max: u64,
    ) -> Self {
        let source = conntrack::Config { families, zones, buffer_bytes };
        let gather = Duration::from_millis(gather_milliseconds);
        let spec = key.0.clone();
        Self(flow_meter::FlowMeter::new(Config { path, spec, rows_max, flows_max, ended_max, source, gather }))
    }

    fn found(&self, py: Python<'_>) -> PyResult<Option<FlowsFound>> {
        Ok(py.detach(|| self.0.found()).map_err(raise)?.map(FlowsFound))
    }

    #[pyo3(signature = (table_path, *, seq))]
    fn refold(&self, py: Python<'_>, table_path: &str, seq: u64) -> PyResult<Option<FlowsCut>> {
        let cut = py.detach(|| self.0.refold(Path::new(table_path), seq)).map_err(raise)?;
        cut.map(|cut| FlowsCut::new(py, cut)).transpose()
    }

    #[pyo3(signature = (*, counters=None))]
    fn open(&self, py: Python<'_>, counters: Option<(String, Vec<String>)>) -> PyResult<FlowsOpened> {
        let counters = asked(counters);
        py.detach(|| self.0.open(counters.as_ref()))
            .map(|opened| FlowsOpened { found: opened.found, opened })
            .map_err(raise)
    }

    #[pyo3(signature = (table_path, *, seq, counters=None))]
    fn cut(
        &self,
        py: Python<'_>,
        table_path: &str,
        seq: u64,
        counters: Option<(String, Vec<String>)>,
    ) -> PyResult<FlowsCut> {
        let counters = asked(counters);
        let cut = py.detach(|| self.0.cut(Path::new(table_path), seq, counters)).map_err(raise)?;
        FlowsCut::new(py, cut)
    }

    fn refresh(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.refresh()).map_err(raise)
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Totals> {
        py.detach(|| self.0.stats()).map(|state| Totals::new(state, Sums::default())).map_err(raise)
    }

    fn glance(&self, py: Python<'_>) -> PyResult<Glance> {
        let (flows, totals, since_start) = self.0.glance().map_err(raise)?;
        let rows = usize::try_from(flows).unwrap_or(usize::MAX);
        Glance::new(py, &Looked { rows, totals, other: Sums::default() }, since_start)
    }

    #[pyo3(signature = (*, top=None, sort="bytes"))]
    fn live(&self, py: Python<'_>, top: Option<usize>, sort: &str) -> PyResult<LiveRows> {
        let order = order(sort)?;
        let snapshot = py.detach(|| self.0.snapshot(top.map(|limit| (limit, order)))).map_err(raise)?;
        LiveRows::new(py, snapshot)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct FlowsFound(Found);

#[pymethods]
impl FlowsFound {
    #[getter]
    fn phase(&self) -> &'static str {
        self.0.phase.name()
    }

    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq
    }

    #[getter]
    fn flows(&self) -> u64 {
        self.0.flows
    }

    #[getter]
    fn same_boot(&self) -> bool {
        self.0.same_boot
    }
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct FlowsOpened {
    /// A table of an earlier process was taken over.
    #[pyo3(get)]
    found: bool,
    opened: Opened,
}

macro_rules! numbers {
    ($class:ident { $($name:ident = $self:ident -> $value:expr;)* }) => {
        #[pymethods]
        impl $class {
            $(#[getter] fn $name(&$self) -> u64 { $value })*

            #[getter]
            fn before(&self) -> Option<Values> {
                values(self.named(), |one| one.before)
            }

            #[getter]
            fn after(&self) -> Option<Values> {
                values(self.named(), |one| one.after)
            }
        }
    };
}

numbers! { FlowsOpened {
    seq = self -> self.opened.seq;
    flows = self -> self.opened.flows;
    baseline_flows = self -> self.opened.baseline.flows;
    baseline_packets = self -> self.opened.baseline.packets;
    baseline_bytes = self -> self.opened.baseline.bytes;
    vanished = self -> self.opened.vanished;
    uncounted = self -> self.opened.uncounted;
} }

impl FlowsOpened {
    fn named(&self) -> Option<&Vec<Named>> {
        self.opened.named.as_ref()
    }
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct FlowsCut {
    #[pyo3(get)]
    generation: Py<Generation>,
    seq: u64,
    facts: Facts,
    named: Option<Vec<Named>>,
}

impl FlowsCut {
    fn new(py: Python<'_>, cut: Cut) -> PyResult<Self> {
        let generation = Py::new(py, Generation::new(cut.closed))?;
        Ok(Self { generation, seq: cut.seq, facts: cut.facts, named: cut.named })
    }

    fn named(&self) -> Option<&Vec<Named>> {
        self.named.as_ref()
    }
}

numbers! { FlowsCut {
    seq = self -> self.seq;
    events = self -> self.facts.events;
    overruns = self -> self.facts.overruns;
    vanished = self -> self.facts.vanished;
    resets = self -> self.facts.resets;
    uncounted = self -> self.facts.uncounted;
    new_flows = self -> self.facts.new_flows;
    flows = self -> self.facts.flows;
    duplicates = self -> self.facts.duplicates;
    malformed = self -> self.facts.malformed;
    refused = self -> self.facts.refused;
} }
