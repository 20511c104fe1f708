//! What the program and its loader have in common: `bpf/accounting.h` in Rust. Of receipts see [`super::receipt`].

use std::mem::offset_of;

/// That of the built-in object. Programs of other layouts are drained, by what they say of themselves.
pub(super) const LAYOUT: u32 = 1;
pub(super) const SLOTS: u32 = 2;
/// The highest byte of the generation number says whose it is.
pub(super) const SIDE_SHIFT: u32 = 56;
/// Packets and bytes, sent and received.
pub(super) const ROW_WORDS: usize = 4;
pub(super) const ROW_BYTES: usize = ROW_WORDS * size_of::<u64>();
pub(super) const PATTERNS_MAX: usize = 32;
pub(super) const NETWORKS_MAX: usize = 16384;

pub(super) const NETWORK_LOCAL: u8 = 1;
pub(super) const NETWORK_WANTED: u8 = 2;
pub(super) const NETWORK_EXCLUDED: u8 = 4;

/// The name of an interface, or the beginning of names, as two words in the order of memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) word: [u64; 2],
    pub(super) mask: [u64; 2],
}

/// All that is asked for.
#[repr(C)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) host_mask: [[u64; 2]; 2],
    pub(super) peer_mask: [[u64; 2]; 2],
    pub(super) meta_mask: u64,
    pub(super) place_mask: u64,
    pub(super) side: u32,
    pub(super) key_bytes: u32,
    pub(super) ports: u8,
    pub(super) loopback: u8,
    pub(super) others: u8,
    pub(super) networks: u8,
    pub(super) interfaces_limited: u8,
    pub(super) interfaces_count: u8,
    pub(super) interfaces_excluded_count: u8,
    pub(super) unused: u8,
    pub(super) ipv4_half: u32,
    pub(super) ipv6_half: u32,
    pub(super) interfaces: [Pattern; PATTERNS_MAX],
    pub(super) interfaces_excluded: [Pattern; PATTERNS_MAX],
}

pub(super) const SETTINGS_BYTES: usize = size_of::<Settings>();

impl Settings {
    /// As they lie in memory.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; SETTINGS_BYTES];
        let mut put = |at: usize, value: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + value.len()) {
                place.copy_from_slice(value);
            }
        };
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>();
        put(offset_of!(Self, host_mask), &words(self.host_mask.as_flattened()));
        put(offset_of!(Self, peer_mask), &words(self.peer_mask.as_flattened()));
        put(offset_of!(Self, meta_mask), &self.meta_mask.to_ne_bytes());
        put(offset_of!(Self, place_mask), &self.place_mask.to_ne_bytes());
        put(offset_of!(Self, side), &self.side.to_ne_bytes());
        put(offset_of!(Self, key_bytes), &self.key_bytes.to_ne_bytes());
        put(offset_of!(Self, ports), &[self.ports]);
        put(offset_of!(Self, loopback), &[self.loopback]);
        put(offset_of!(Self, others), &[self.others]);
        put(offset_of!(Self, networks), &[self.networks]);
        put(offset_of!(Self, interfaces_limited), &[self.interfaces_limited]);
        put(offset_of!(Self, interfaces_count), &[self.interfaces_count]);
        put(offset_of!(Self, interfaces_excluded_count), &[self.interfaces_excluded_count]);
        put(offset_of!(Self, unused), &[self.unused]);
        put(offset_of!(Self, ipv4_half), &self.ipv4_half.to_ne_bytes());
        put(offset_of!(Self, ipv6_half), &self.ipv6_half.to_ne_bytes());
        let patterns =
            |all: &[Pattern]| all.iter().flat_map(|one| words(&[one.word, one.mask].concat())).collect::<Vec<_>>();
        put(offset_of!(Self, interfaces), &patterns(&self.interfaces));
        put(offset_of!(Self, interfaces_excluded), &patterns(&self.interfaces_excluded));
        bytes
    }
}

/// The form of `struct networks`, whose tables lie one behind the other.
#[repr(C)]
pub(super) struct Networks {
    pub(super) ipv4_start: [u32; NETWORKS_MAX],
    pub(super) ipv6_start_high: [u64; NETWORKS_MAX],
    pub(super) ipv6_start_low: [u64; NETWORKS_MAX],
    pub(super) ipv4_answer: [u8; NETWORKS_MAX],
    pub(super) ipv6_answer: [u8; NETWORKS_MAX],
}

#[cfg(test)]
mod tests;
