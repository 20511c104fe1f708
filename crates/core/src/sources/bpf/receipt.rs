//! What a slot counted beside its rows, wherever its members lie.

use libbpf_rs::btf::types::{MemberAttr, Struct};
use libbpf_rs::btf::{Btf, HasSize};

use crate::flow::Sums;
use crate::packet::Unreadable;
use crate::table::header::{GroupState, RingState};

/// The members that are read, by their names in `bpf/accounting.h`.
pub(super) const MEMBERS: [&str; 11] = [
    "total",
    "external",
    "other",
    "unreadable",
    "super",
    "super_wire",
    "length_lies",
    "length_unknown",
    "fragments_unknown",
    "ignored",
    "rows",
];

/// Size of a receipt, and where its members lie in it; None: it has no such member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReceiptForm {
    pub(super) bytes: usize,
    pub(super) offsets: [Option<usize>; MEMBERS.len()],
}

impl ReceiptForm {
    /// As the object was compiled; None if it does not say.
    pub(super) fn of_object(object: &[u8]) -> Option<Self> {
        let btf = Btf::from_raw("accounting", object).ok()??;
        let receipt: Struct<'_> = btf.type_by_name("receipt")?;
        let mut form = Self { bytes: receipt.size(), ..Self::default() };
        for (name, offset) in MEMBERS.iter().zip(&mut form.offsets) {
            let member = receipt.iter().find(|member| member.name.is_some_and(|found| found == *name));
            *offset = member.and_then(|member| match member.attr {
                MemberAttr::Normal { offset } => Some(offset as usize / 8),
                MemberAttr::BitField { .. } => None,
            });
        }
        Some(form)
    }

    /// The receipts of all CPUs lie one behind the other.
    pub(super) fn bytes_of(&self, cpus: usize) -> usize {
        self.bytes.next_multiple_of(size_of::<u64>()) * cpus
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// The sum over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) total: Count,
    pub(super) external: Sums,
    pub(super) other: Sums,
    pub(super) unreadable: [Count; Unreadable::COUNT],
    /// Super-packets: as they were booked, and as they are on the wire.
    super_: Count,
    super_wire: Count,
    length_lies: u64,
    length_unknown: u64,
    fragments_unknown: u64,
    ignored: u64,
    /// That were made.
    pub(super) rows: u64,
}

impl Receipt {
    pub(super) fn sum(form: &ReceiptForm, bytes: &[u8]) -> Self {
        let mut sum = vec![0_u64; form.bytes_of(1) / size_of::<u64>()];
        for one in bytes.chunks_exact(form.bytes_of(1).max(1)) {
            let (words, _) = one.as_chunks::<8>();
            for (total, word) in sum.iter_mut().zip(words) {
                *total = total.saturating_add(u64::from_ne_bytes(*word));
            }
        }
        // Each member is words; of one that is not there all are 0.
        let word = |member: usize, at: usize| {
            let offset = form.offsets.get(member).copied().flatten();
            offset.and_then(|offset| sum.get(offset / size_of::<u64>() + at)).copied().unwrap_or_default()
        };
        let count = |member, at: usize| Count { packets: word(member, at * 2), bytes: word(member, at * 2 + 1) };
        let sums = |member| Sums {
            sent_packets: word(member, 0),
            sent_bytes: word(member, 1),
            received_packets: word(member, 2),
            received_bytes: word(member, 3),
        };
        Self {
            total: count(0, 0),
            external: sums(1),
            other: sums(2),
            unreadable: std::array::from_fn(|reason| count(3, reason)),
            super_: count(4, 0),
            super_wire: count(5, 0),
            length_lies: word(6, 0),
            length_unknown: word(7, 0),
            fragments_unknown: word(8, 0),
            ignored: word(9, 0),
            rows: word(10, 0),
        }
    }

    /// What must have been posted on each side: all that could be read.
    pub(super) fn readable(&self) -> Sums {
        let unreadable = |value: fn(&Count) -> u64| self.unreadable.iter().map(value).fold(0, u64::saturating_add);
        let packets = self.total.packets.saturating_sub(unreadable(|count| count.packets));
        let bytes = self.total.bytes.saturating_sub(unreadable(|count| count.bytes));
        Sums { sent_packets: packets, sent_bytes: bytes, received_packets: packets, received_bytes: bytes }
    }

    /// As other sources count it.
    pub(super) fn state(&self) -> GroupState {
        let on_wire = |total: u64, super_: u64, wire: u64| total.saturating_sub(super_).saturating_add(wire);
        GroupState {
            received_packets: self.total.packets,
            received_bytes: self.total.bytes,
            posted: self.readable(),
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::bpf::object::BUILT_IN;

    #[test]
    fn the_object_has_all_members_and_nothing_beside_them() {
        let form = ReceiptForm::of_object(BUILT_IN).unwrap();
        let words = [2, 4, 4, 2 * Unreadable::COUNT, 2, 2, 1, 1, 1, 1, 1];
        let mut at = 0;
        for (member, words) in words.into_iter().enumerate() {
            assert_eq!(form.offsets[member], Some(at), "{}", MEMBERS[member]);
            at += words * 8;
        }
        assert_eq!(form.bytes, at);
        assert_eq!(ReceiptForm::of_object(b"no object"), None);
    }

    fn receipt(form: &ReceiptForm) -> Receipt {
        let words: Vec<u64> = (0..form.bytes as u64 / 8).collect();
        let one: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Receipt::sum(form, &[one.clone(), one].concat())
    }

    #[test]
    fn cpus_are_added_up_member_by_member() {
        let form = ReceiptForm::of_object(BUILT_IN).unwrap();
        let found = receipt(&form);
        let at = |member: usize| 2 * (form.offsets[member].unwrap() as u64 / 8);
        assert_eq!(found.total, Count { packets: 0, bytes: 2 });
        assert_eq!((found.external.sent_packets, found.external.received_bytes), (at(1), at(1) + 6));
        assert_eq!((found.other.sent_bytes, found.unreadable[5].bytes), (at(2) + 2, at(4) - 2));
        assert_eq!((found.super_.packets, found.super_wire.bytes), (at(4), at(5) + 2));
        let last = [found.length_lies, found.length_unknown, found.fragments_unknown, found.ignored, found.rows];
        assert_eq!(last, [6, 7, 8, 9, 10].map(at));
    }

    #[test]
    fn members_may_lie_elsewhere_or_not_be_there() {
        let built_in = ReceiptForm::of_object(BUILT_IN).unwrap();
        let moved = ReceiptForm {
            bytes: built_in.bytes + 8,
            offsets: built_in.offsets.map(|offset| offset.map(|offset| offset + 8)),
        };
        assert_eq!(receipt(&moved).total, Count { packets: 2, bytes: 4 });
        let mut without = built_in;
        without.offsets[10] = None;
        assert_eq!(receipt(&without), Receipt { rows: 0, ..receipt(&built_in) });
    }

    #[test]
    fn what_cannot_be_read_is_not_to_be_posted() {
        let mut found = Receipt { total: Count { packets: 10, bytes: 1000 }, ..Receipt::default() };
        found.unreadable[2] = Count { packets: 3, bytes: 70 };
        (found.super_, found.super_wire) = (Count { packets: 2, bytes: 600 }, Count { packets: 5, bytes: 720 });
        let state = found.state();
        assert_eq!((state.posted.sent_packets, state.posted.received_bytes), (7, 930));
        assert_eq!((state.received_packets, state.unreadable), (10, [0, 0, 3, 0, 0, 0]));
        assert_eq!((state.ring.super_packets, state.ring.wire_packets, state.ring.wire_bytes), (2, 13, 1120));
    }
}
