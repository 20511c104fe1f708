//! Which flow it is: the kernel's id, the original tuple, the zone and when it began, as 64 bits of hash and the id.
//!
//! The id alone is 32 bits of a hash (`nf_ct_get_id`), which among a million flows are not enough; the ends alone are used
//! again by the next flow. The hash is keyed by numbers that nobody outside knows and that stay with the file, so that a
//! flow is found again after a restart.

use crate::flow::Address;

use super::entry::Counters;
use super::header::SEEDS;

/// What tells flows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The kernel's; 0 where it does not send it.
    pub id: u32,
    /// Original source and destination.
    pub source: Address,
    pub destination: Address,
    /// Both ports, or what a protocol has in their place.
    pub ports: u64,
    pub protocol: u8,
    pub zone: u16,
    /// Nanoseconds by the kernel's clock; `None` while `nf_conntrack_timestamp` was off.
    pub start_ns: Option<u64>,
}

/// What a message says of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub(crate) hash: u64,
    pub(crate) id: u32,
    /// Without one a flow cannot be told from a later one of the same ends that got the same id.
    pub(crate) has_start: bool,
    /// Who began it, and who answers: before source NAT, behind destination NAT.
    pub(crate) ends: [Address; 2],
    /// Source and destination port of the original direction, then of the reply direction; ICMP: type and code.
    pub(crate) ports: [u16; 4],
    pub(crate) protocol: u8,
    pub(crate) zone: u16,
    pub(crate) mark: u32,
    pub(crate) counters: Counters,
}

impl Sighting {
    /// `seeds` are those of the file.
    #[must_use]
    #[inline]
    pub fn new(
        seeds: &[u64; SEEDS],
        identity: &Identity,
        ends: [Address; 2],
        ports: [u16; 4],
        mark: u32,
        counters: Counters,
    ) -> Self {
        Self {
            hash: hash(seeds, identity),
            id: identity.id,
            has_start: identity.start_ns.is_some(),
            ends,
            ports,
            protocol: identity.protocol,
            zone: identity.zone,
            mark,
            counters,
        }
    }
}

/// Folded multiplications, after wyhash's construction.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the halves of an address")]
fn hash(seeds: &[u64; SEEDS], identity: &Identity) -> u64 {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = *seeds;
    let Address(source) = identity.source;
    let Address(destination) = identity.destination;
    let place = u64::from(identity.protocol) | u64::from(identity.zone) << 16 | u64::from(identity.id) << 32;
    let start = identity.start_ns.unwrap_or(0);
    fold((source >> 64) as u64 ^ s0, source as u64 ^ s1)
        ^ fold((destination >> 64) as u64 ^ s2, destination as u64 ^ s3)
        ^ fold(identity.ports ^ s4, place ^ s5)
        ^ fold(start ^ s6, s7)
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}
