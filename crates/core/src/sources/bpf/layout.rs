//! What the program and its loader have in common: `bpf/accounting.h` in Rust.

use std::mem::offset_of;

use crate::flow::Sums;
use crate::packet::Unreadable;
use crate::table::header::{GroupState, RingState};

/// Pins of another layout are not touched.
pub(super) const LAYOUT: u32 = 1;
pub(super) const SLOTS: u32 = 2;
/// The highest byte of the generation number says whose it is.
pub(super) const SIDE_SHIFT: u32 = 56;
pub(super) const ROW_WORDS: usize = 4;
pub(super) const PATTERNS_MAX: usize = 32;
pub(super) const NETWORKS_MAX: usize = 16384;

pub(super) const NETWORK_LOCAL: u8 = 1;
pub(super) const NETWORK_WANTED: u8 = 2;
pub(super) const NETWORK_EXCLUDED: u8 = 4;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// Both sides of the books.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) sent_packets: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_packets: u64,
    pub(super) received_bytes: u64,
}

/// What a slot counted beside its rows, on one CPU or on all of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) total: Count,
    pub(super) external: Row,
    pub(super) other: Row,
    pub(super) unreadable: [Count; Unreadable::COUNT],
    pub(super) super_: Count,
    pub(super) super_wire: Count,
    pub(super) length_lies: u64,
    pub(super) length_unknown: u64,
    pub(super) fragments_unknown: u64,
    pub(super) ignored: u64,
    pub(super) rows: u64,
}

pub(super) const RECEIPT_BYTES: usize = size_of::<Receipt>();

impl Row {
    fn take(words: &mut impl Iterator<Item = u64>) -> Self {
        let mut next = || words.next().unwrap_or_default();
        Self { sent_packets: next(), sent_bytes: next(), received_packets: next(), received_bytes: next() }
    }

    pub(super) fn sums(&self) -> Sums {
        Sums {
            sent_packets: self.sent_packets,
            sent_bytes: self.sent_bytes,
            received_packets: self.received_packets,
            received_bytes: self.received_bytes,
        }
    }
}

impl Count {
    fn take(words: &mut impl Iterator<Item = u64>) -> Self {
        Self { packets: words.next().unwrap_or_default(), bytes: words.next().unwrap_or_default() }
    }
}

impl Receipt {
    /// The sum over all CPUs: their receipts lie one behind the other.
    pub(super) fn sum(bytes: &[u8]) -> Self {
        let mut sum = [0_u64; RECEIPT_BYTES / size_of::<u64>()];
        for one in bytes.chunks_exact(RECEIPT_BYTES) {
            let (words, _) = one.as_chunks::<8>();
            for (total, word) in sum.iter_mut().zip(words) {
                *total = total.saturating_add(u64::from_ne_bytes(*word));
            }
        }
        Self::of(&sum)
    }

    /// All members are words, in this order.
    fn of(words: &[u64]) -> Self {
        let words = &mut words.iter().copied();
        let (total, external, other) = (Count::take(words), Row::take(words), Row::take(words));
        let unreadable = std::array::from_fn(|_| Count::take(words));
        let (super_, super_wire) = (Count::take(words), Count::take(words));
        let mut next = || words.next().unwrap_or_default();
        Self {
            total,
            external,
            other,
            unreadable,
            super_,
            super_wire,
            length_lies: next(),
            length_unknown: next(),
            fragments_unknown: next(),
            ignored: next(),
            rows: next(),
        }
    }

    /// The packets that could not be read, and their bytes.
    pub(super) fn unreadable(&self) -> Count {
        self.unreadable.iter().fold(Count::default(), |sum, one| Count {
            packets: sum.packets.saturating_add(one.packets),
            bytes: sum.bytes.saturating_add(one.bytes),
        })
    }

    /// What is in no row: `posted` is that and what is in rows.
    pub(super) fn state(&self, posted: Sums) -> GroupState {
        let on_wire = |total: u64, super_: u64, wire: u64| total.saturating_sub(super_).saturating_add(wire);
        GroupState {
            received_packets: self.total.packets,
            received_bytes: self.total.bytes,
            posted,
            length_unknown_packets: self.length_unknown,
            unreadable: self.unreadable.map(|count| count.packets),
            ring: RingState {
                super_packets: self.super_.packets,
                wire_packets: on_wire(self.total.packets, self.super_.packets, self.super_wire.packets),
                wire_bytes: on_wire(self.total.bytes, self.super_.bytes, self.super_wire.bytes),
                fragments_unknown: self.fragments_unknown,
                length_lies: self.length_lies,
                ignored_packets: self.ignored,
                ..RingState::default()
            },
            ..GroupState::default()
        }
    }

    /// What must have been posted, as far as packets could be read.
    pub(super) fn readable(&self) -> Sums {
        let unreadable = self.unreadable();
        let packets = self.total.packets.saturating_sub(unreadable.packets);
        let bytes = self.total.bytes.saturating_sub(unreadable.bytes);
        Sums { sent_packets: packets, sent_bytes: bytes, received_packets: packets, received_bytes: bytes }
    }
}

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
