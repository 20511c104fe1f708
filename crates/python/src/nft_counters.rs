//! Named counters of nftables.

use netledger_core::error::Error;
use netledger_core::nft_counters::{Counter, Table};
use netledger_core::sources::nft_counters::NftCounters;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::raise;

/// Family, table, name, handle, references, packets, bytes.
type Told<'py> = (u8, Bound<'py, PyBytes>, Bound<'py, PyBytes>, u64, u32, u64, u64);
/// Family, name, handle.
type ToldTable<'py> = (u8, Bound<'py, PyBytes>, u64);

fn told(py: Python<'_>, counter: Counter) -> Told<'_> {
    let Counter { family, table, name, handle, references, packets, bytes } = counter;
    (family, PyBytes::new(py, &table), PyBytes::new(py, &name), handle, references, packets, bytes)
}

fn ask<T: Send>(py: Python<'_>, ask: impl FnOnce(&mut NftCounters) -> Result<T, Error> + Send) -> PyResult<T> {
    py.detach(|| NftCounters::open().and_then(|mut counters| ask(&mut counters))).map_err(raise)
}

#[pyfunction]
pub(crate) fn nft_counters_of_table<'py>(py: Python<'py>, family: u8, table: &[u8]) -> PyResult<Vec<Told<'py>>> {
    let counters = ask(py, |nft| nft.of_table(family, table))?;
    Ok(counters.into_iter().map(|counter| told(py, counter)).collect())
}

#[pyfunction]
pub(crate) fn nft_counters_all(py: Python<'_>) -> PyResult<(Vec<ToldTable<'_>>, Vec<Told<'_>>)> {
    let snapshot = ask(py, NftCounters::all)?;
    let tables = snapshot.tables.into_iter().map(|Table { family, name, handle }| {
        let name = PyBytes::new(py, &name);
        (family, name, handle)
    });
    Ok((tables.collect(), snapshot.counters.into_iter().map(|counter| told(py, counter)).collect()))
}
