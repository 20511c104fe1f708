//! What the process may do.

use netledger_core::sys;
use pyo3::prelude::*;

/// What is documented in the stub: the capabilities that are left, and whether the bounding set holds no others.
#[pyfunction]
pub(crate) fn keep_capabilities(kept: u64) -> PyResult<(u64, bool)> {
    Ok(sys::capabilities::keep_only(kept)?)
}
