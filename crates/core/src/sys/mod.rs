//! System calls. The only room with `unsafe`; each use says why it is sound.

pub mod barrier;
#[cfg(feature = "bpf")]
pub mod bpf;
#[cfg(feature = "bpf")]
pub mod bpf_file_system;
#[cfg(feature = "bpf")]
pub mod bpf_links;
pub mod capabilities;
pub mod clock;
pub mod datagrams;
pub mod mapping;
pub mod netlink_socket;
pub mod packet_ring;
pub mod packet_socket;
pub mod poll;
