//! Errors of the core as the classes of `netledger.errors`.

use netledger_core::error::{Error, Kind};
use pyo3::PyErr;

mod classes {
    pyo3::import_exception!(netledger.errors, CaptureError);
    pyo3::import_exception!(netledger.errors, GroupBusyError);
    pyo3::import_exception!(netledger.errors, NotSupportedError);
    pyo3::import_exception!(netledger.errors, ObjectBusyError);
    pyo3::import_exception!(netledger.errors, ObjectExistsError);
    pyo3::import_exception!(netledger.errors, ObjectNotFoundError);
    pyo3::import_exception!(netledger.errors, PermissionDeniedError);
    pyo3::import_exception!(netledger.errors, SourceError);
    pyo3::import_exception!(netledger.errors, TableError);
    pyo3::import_exception!(netledger.errors, UnsteadyError);
}

pub(crate) fn raise(error: Error) -> PyErr {
    let arguments = (error.subject, error.operation, error.cause, error.hint);
    match error.kind {
        Kind::Source => classes::SourceError::new_err(arguments),
        Kind::GroupBusy => classes::GroupBusyError::new_err(arguments),
        Kind::PermissionDenied => classes::PermissionDeniedError::new_err(arguments),
        Kind::Table => classes::TableError::new_err(arguments),
        Kind::Capture => classes::CaptureError::new_err(arguments),
        Kind::NotFound => classes::ObjectNotFoundError::new_err(arguments),
        Kind::Exists => classes::ObjectExistsError::new_err(arguments),
        Kind::ObjectBusy => classes::ObjectBusyError::new_err(arguments),
        Kind::NotSupported => classes::NotSupportedError::new_err(arguments),
        Kind::Unsteady => classes::UnsteadyError::new_err(arguments),
    }
}
