//! Arrow columns by the `PyCapsule` interface: the receiver may be pyarrow, polars, duckdb or any other. Nothing is copied.

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::{Array, StructArray};
use netledger_core::error::{Error, Kind};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors::raise;

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct Batch(pub(crate) StructArray);

fn fail(error: &arrow_schema::ArrowError) -> PyErr {
    raise(Error::new(Kind::Table, "batch", "export", error.to_string()))
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.0.data_type()).map_err(|e| fail(&e))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        // The interface allows to ignore the request: the receiver casts.
        drop(requested_schema);
        let array = PyCapsule::new_with_value(py, FFI_ArrowArray::new(&self.0.to_data()), c"arrow_array")?;
        Ok((self.__arrow_c_schema__(py)?, array))
    }
}
