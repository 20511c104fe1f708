//! Counts IP traffic: parsers, the table, sources.
//!
//! No Python, no files but the table's own, no wall clock and no printing. See `ARCHITECTURE.md`.

pub mod batch;
pub mod conntrack;
pub mod error;
pub mod flow;
pub mod flow_meter;
pub mod flows;
pub mod live;
pub mod meter;
pub mod netlink;
pub mod networks;
pub mod nfacct;
pub mod nfnetlink;
pub mod nft_counters;
pub mod nft_quotas;
pub mod packet;
pub mod packet_meter;
pub mod posting;
pub mod recovery;
pub mod rights;
pub mod sources;
#[allow(unsafe_code, reason = "system calls and mappings: the one room where memory is not checked by the compiler")]
pub mod sys;
pub mod table;
pub mod trace;
