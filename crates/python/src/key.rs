//! What rows are added up by, and which groups are received.

use std::net::IpAddr;

use netledger_core::flow::{Address, Sides};
use netledger_core::posting;
use netledger_core::table::header::GroupSpec;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[pyclass(frozen, module = "netledger._core")]
pub(crate) struct KeySpec(pub(crate) posting::KeySpec);

#[pymethods]
impl KeySpec {
    #[new]
    #[pyo3(signature = (*, columns, ipv4_prefix_length=32, ipv6_prefix_length=64, local=vec![]))]
    fn new(columns: Vec<String>, ipv4_prefix_length: u8, ipv6_prefix_length: u8, local: Vec<String>) -> PyResult<Self> {
        let bits = posting::KeySpec::columns_of(columns.iter().map(String::as_str))
            .ok_or_else(|| PyValueError::new_err(format!("columns are any of {}", posting::COLUMNS.join(", "))))?;
        if ipv4_prefix_length > 32 || ipv6_prefix_length > 128 {
            return Err(PyValueError::new_err("a prefix length is at most 32 (IPv4) or 128 (IPv6)"));
        }
        let local = local.iter().map(|text| network(text)).collect::<PyResult<_>>()?;
        let spec = posting::KeySpec { columns: bits, ipv4_prefix_length, ipv6_prefix_length, local };
        if spec.fits() {
            Ok(Self(spec))
        } else {
            Err(PyValueError::new_err("a key has room for interface or mark, not for both"))
        }
    }
}

pub(crate) fn network(text: &str) -> PyResult<posting::Network> {
    let refuse = || PyValueError::new_err(format!("{text:?} is no network; write it as 192.0.2.0/24 or 2001:db8::/32"));
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let (address, bits) = match address.parse().map_err(|_| refuse())? {
        IpAddr::V4(v4) => (Address::from_v4(v4.octets()), 32),
        IpAddr::V6(v6) => (Address::from_v6(v6.octets()), 128),
    };
    let length = length.map_or(Ok(bits), str::parse).map_err(|_| refuse())?;
    if length > bits { Err(refuse()) } else { Ok((address, length, bits == 32)) }
}

/// Which postings a packet makes.
pub(crate) fn sides(account: &str) -> PyResult<Sides> {
    match account {
        "both" => Ok(Sides::Both),
        "source" => Ok(Sides::Sent),
        "destination" => Ok(Sides::Received),
        _ => Err(PyValueError::new_err("account is source, destination or both")),
    }
}

#[pyclass(frozen, from_py_object, module = "netledger._core")]
#[derive(Clone)]
pub(crate) struct NflogGroup(pub(crate) GroupSpec);

#[pymethods]
impl NflogGroup {
    #[new]
    #[pyo3(signature = (number, *, account, copy_range_bytes, strict_family=0))]
    fn new(number: u16, account: &str, copy_range_bytes: u32, strict_family: u8) -> PyResult<Self> {
        let sides = sides(account)?;
        if !matches!(strict_family, 0 | 4 | 6) {
            return Err(PyValueError::new_err("strict_family is 0, 4 or 6"));
        }
        Ok(Self(GroupSpec { number, sides, strict_family, copy_range_bytes }))
    }
}
