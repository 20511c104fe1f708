//! The meter that counts in the kernel.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use netledger_core::sources::bpf::{self, AttachPoint, Config, Hook, LinkState};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::raise;
use crate::generation::{Generation, Totals};
use crate::key::{KeySpec, network};
use crate::live::{Glance, LiveRows, order};

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct BpfLink(LinkState);

#[pymethods]
impl BpfLink {
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[getter]
    fn interface_index(&self) -> Option<u32> {
        self.0.interface_index
    }

    #[getter]
    fn is_pinned(&self) -> bool {
        self.0.is_pinned
    }

    #[getter]
    fn is_attached(&self) -> bool {
        self.0.is_attached
    }
}

fn attach_point(name: &str) -> PyResult<AttachPoint> {
    match name {
        "netfilter" => Ok(AttachPoint::Netfilter),
        "tcx" => Ok(AttachPoint::Tcx),
        _ => Err(PyValueError::new_err("attach is netfilter or tcx")),
    }
}

fn hook(name: &str) -> PyResult<Hook> {
    match name {
        "input" => Ok(Hook::Input),
        "forward" => Ok(Hook::Forward),
        "output" => Ok(Hook::Output),
        _ => Err(PyValueError::new_err("hooks are input, forward and output")),
    }
}

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct BpfMeter(bpf::BpfMeter);

#[pymethods]
impl BpfMeter {
    #[new]
    #[pyo3(signature = (*, directory, key, rows_max, attach,
                        hooks=vec!["input".to_owned(), "forward".to_owned(), "output".to_owned()], priority=90,
                        loopback=false, interfaces=vec![], interfaces_excluded=vec![], networks=vec![],
                        networks_excluded=vec![], side=1, object_path=None),
           text_signature = "(*, directory, key, rows_max, attach, hooks=('input', 'forward', 'output'), priority=90, \
                             loopback=False, interfaces=(), interfaces_excluded=(), networks=(), networks_excluded=(), \
                             side=1, object_path=None)")]
    #[allow(clippy::too_many_arguments, reason = "each has a name on the other side")]
    fn new(
        directory: PathBuf,
        key: &KeySpec,
        rows_max: u32,
        attach: &str,
        hooks: Vec<String>,
        priority: i32,
        loopback: bool,
        interfaces: Vec<String>,
        interfaces_excluded: Vec<String>,
        networks: Vec<String>,
        networks_excluded: Vec<String>,
        side: u8,
        object_path: Option<PathBuf>,
    ) -> PyResult<Self> {
        if key.0.has_connection() || key.0.has_label() {
            return Err(PyValueError::new_err("a packet tells neither label nor zone nor mark of its connection"));
        }
        let networks_of = |texts: Vec<String>| texts.iter().map(|text| network(text)).collect::<PyResult<Vec<_>>>();
        let config = Config {
            directory,
            spec: key.0.clone(),
            rows_max,
            side,
            attach: attach_point(attach)?,
            hooks: hooks.iter().map(|name| hook(name)).collect::<PyResult<_>>()?,
            priority,
            loopback,
            interfaces,
            interfaces_excluded,
            networks: networks_of(networks)?,
            networks_excluded: networks_of(networks_excluded)?,
            object_path,
        };
        bpf::BpfMeter::new(config).map(Self).map_err(|error| PyValueError::new_err(error.cause))
    }

    #[getter]
    fn fingerprint(&self) -> PyResult<String> {
        self.0.fingerprint().map_err(raise)
    }

    #[pyo3(signature = (control=None), text_signature = "($self, control=None)")]
    fn load(&self, py: Python<'_>, control: Option<PathBuf>) -> PyResult<()> {
        py.detach(|| self.0.load(control.as_deref())).map_err(raise)
    }

    fn open(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.open()).map_err(raise)
    }

    fn pinned_fingerprint(&self) -> PyResult<Option<String>> {
        self.0.pinned_fingerprint().map_err(raise)
    }

    fn pinned_layout(&self) -> PyResult<Option<u32>> {
        self.0.pinned_layout().map_err(raise)
    }

    fn is_draining(&self) -> PyResult<bool> {
        self.0.is_draining().map_err(raise)
    }

    fn generation(&self) -> PyResult<u64> {
        self.0.generation().map_err(raise)
    }

    fn generations(&self) -> PyResult<Vec<u64>> {
        self.0.generations().map_err(raise)
    }

    fn attach(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.attach()).map_err(raise)
    }

    fn attach_interface(&self, py: Python<'_>, index: u32, name: &str) -> PyResult<()> {
        py.detach(|| self.0.attach_interface(index, name)).map_err(raise)
    }

    fn detach_interface(&self, py: Python<'_>, index: u32) -> PyResult<()> {
        py.detach(|| self.0.detach_interface(index)).map_err(raise)
    }

    fn links(&self, py: Python<'_>) -> PyResult<Vec<BpfLink>> {
        let links = py.detach(|| self.0.links_state()).map_err(raise)?;
        Ok(links.into_iter().map(BpfLink).collect())
    }

    fn mend(&self, py: Python<'_>) -> PyResult<Vec<(String, bool)>> {
        py.detach(|| self.0.mend()).map_err(raise)
    }

    fn unpinned(&self, py: Python<'_>) -> PyResult<Option<(String, Option<String>)>> {
        let found = py.detach(|| self.0.unpinned()).map_err(raise)?;
        Ok(found.map(|error| (error.to_string(), error.hint)))
    }

    fn prepare(&self, py: Python<'_>, generation: u64) -> PyResult<()> {
        py.detach(|| self.0.prepare(generation)).map_err(raise)
    }

    fn switch(&self, generation: u64) -> PyResult<()> {
        self.0.switch(generation).map_err(raise)
    }

    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.settle()).map_err(raise)
    }

    fn read(&self, py: Python<'_>, generation: u64, path: &str) -> PyResult<Generation> {
        py.detach(|| self.0.read(generation, Path::new(path))).map(Generation::new).map_err(raise)
    }

    fn discard(&self, py: Python<'_>, generation: u64) -> PyResult<()> {
        py.detach(|| self.0.discard(generation)).map_err(raise)
    }

    fn receipt(&self, py: Python<'_>, generation: u64) -> PyResult<Totals> {
        let (state, other) = py.detach(|| self.0.receipt(generation)).map_err(raise)?;
        Ok(Totals::new(state, other))
    }

    fn glance(&self, py: Python<'_>) -> PyResult<Glance> {
        let (glance, since_start) = py.detach(|| self.0.glance()).map_err(raise)?;
        Glance::new(py, &glance, since_start)
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
        let snapshot = py.detach(|| self.0.snapshot(&interface_names, top)).map_err(raise)?;
        LiveRows::new(py, snapshot)
    }

    fn detach(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.detach()).map_err(raise)
    }

    fn remove(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.remove()).map_err(raise)
    }

    fn close(&self) {
        self.0.close();
    }
}

/// Loads the program as a meter would, and throws it away.
#[pyfunction]
pub(crate) fn bpf_check(py: Python<'_>, attach: &str) -> PyResult<()> {
    let attach = attach_point(attach)?;
    py.detach(|| bpf::check(attach)).map_err(raise)
}

/// What libbpf and the verifier said in the last load of this thread.
#[pyfunction]
pub(crate) fn bpf_log() -> String {
    bpf::log()
}
