//! One mechanism each; they never import each other.

#[cfg(feature = "bpf")]
pub mod bpf;
pub mod conntrack;
pub mod ctnetlink;
pub mod nfacct;
pub mod nflog;
pub mod nft_counters;
pub mod packet;
pub mod pcap;
