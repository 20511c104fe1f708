//! The Python face of netledger-core: converts arguments, releases the GIL, maps errors. No logic of its own.

#![allow(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

mod batch;
mod bpf_meter;
mod capabilities;
mod conntrack;
mod conntrack_meter;
mod errors;
mod generation;
mod key;
mod live;
mod meter;
mod nfacct;
mod nft_counters;
mod nft_quotas;
mod packet_meter;
mod pcap;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::batch::Batch;
    #[pymodule_export]
    use crate::bpf_meter::{BpfLink, BpfMeter, bpf_check, bpf_log};
    #[pymodule_export]
    use crate::capabilities::{capability_hint, keep_capabilities};
    #[pymodule_export]
    use crate::conntrack::{
        ConntrackDump, ConntrackEvents, conntrack_count, conntrack_delete, conntrack_expectations, conntrack_flush,
        conntrack_get, conntrack_statistics,
    };
    #[pymodule_export]
    use crate::conntrack_meter::{ConntrackMeter, FlowsCut, FlowsFound, FlowsOpened};
    #[pymodule_export]
    use crate::generation::{Generation, Totals, recover};
    #[pymodule_export]
    use crate::key::{KeySpec, NflogGroup};
    #[pymodule_export]
    use crate::live::{Glance, LiveRows};
    #[pymodule_export]
    use crate::meter::{Meter, TraceEvent};
    #[pymodule_export]
    use crate::nfacct::{NfacctEvents, nfacct_add, nfacct_delete, nfacct_flush, nfacct_get, nfacct_list};
    #[pymodule_export]
    use crate::nft_counters::{nft_counters_all, nft_counters_of_table};
    #[pymodule_export]
    use crate::nft_quotas::nft_quotas;
    #[pymodule_export]
    use crate::packet_meter::PacketMeter;
    #[pymodule_export]
    use crate::pcap::PcapReader;
}
