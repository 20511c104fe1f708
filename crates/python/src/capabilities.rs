//! What the process may do.

use netledger_core::{rights, sys};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// What is documented in the stub: the capabilities that are left, and whether the bounding set holds no others.
#[pyfunction]
pub(crate) fn keep_capabilities(kept: u64) -> PyResult<(u64, bool)> {
    Ok(sys::capabilities::keep_only(kept)?)
}

/// What is documented in the stub: what to do for who was refused and needs these.
#[pyfunction]
#[pyo3(signature = (*names))]
#[allow(clippy::needless_pass_by_value, reason = "what Python hands over")]
pub(crate) fn capability_hint(names: Vec<String>) -> PyResult<String> {
    let known = |name: &String| {
        let found = rights::ALL.into_iter().find(|one| one.name == name);
        found.ok_or_else(|| PyValueError::new_err(format!("{name} is no capability that is asked for")))
    };
    Ok(rights::hint(&names.iter().map(known).collect::<PyResult<Vec<_>>>()?))
}
