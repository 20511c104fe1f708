//! The Python face of `netledger_core`: converts, releases the GIL, maps errors.

use pyo3::prelude::*;

#[pymodule]
mod _core {}
