//! Quota objects of nftables.

use netledger_core::nft_counters::Table;
use netledger_core::nft_quotas::Quota;
use netledger_core::sources::nft_counters::NftCounters;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::raise;

/// Family, table, name, handle, references, limit, used, whether it matches beyond the limit.
type Told<'py> = (u8, Bound<'py, PyBytes>, Bound<'py, PyBytes>, u64, u32, u64, u64, bool);
/// Family, name, handle.
type ToldTable<'py> = (u8, Bound<'py, PyBytes>, u64);

#[pyfunction]
pub(crate) fn nft_quotas(py: Python<'_>) -> PyResult<(Vec<ToldTable<'_>>, Vec<Told<'_>>)> {
    let (tables, quotas) = py.detach(|| NftCounters::open().and_then(|mut nft| nft.quotas())).map_err(raise)?;
    let tables = tables.into_iter().map(|Table { family, name, handle }| (family, PyBytes::new(py, &name), handle));
    let quotas = quotas.into_iter().map(|quota| {
        let Quota { family, table, name, handle, references, limit, used, is_over } = quota;
        (family, PyBytes::new(py, &table), PyBytes::new(py, &name), handle, references, limit, used, is_over)
    });
    Ok((tables.collect(), quotas.collect()))
}
