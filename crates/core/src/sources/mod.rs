//! One mechanism each; they never import each other.

pub mod nflog;
pub mod pcap;
