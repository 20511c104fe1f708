//! What a group of packets has got: the counters that stand in the header of a table file.

use crate::flow::Sums;
use crate::packet::Unreadable;

pub(super) const STATE_WORDS: usize = 12 + Unreadable::COUNT + RING_WORDS;
/// What only those count that see frames; older files have zeros there.
const RING_WORDS: usize = 7;

/// What a group has got so far in this generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GroupState {
    /// The sequence number that the next packet should have.
    pub expected_sequence: u32,
    pub received_packets: u64,
    pub received_bytes: u64,
    pub posted: Sums,
    pub sequence_gap_packets: u64,
    pub overruns: u64,
    pub truncated_datagrams: u64,
    pub malformed_messages: u64,
    pub length_unknown_packets: u64,
    pub unreadable: [u64; Unreadable::COUNT],
    pub ring: RingState,
}

/// What only packet sockets count, and a program in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RingState {
    /// Found no room in the ring.
    pub dropped_packets: u64,
    pub super_packets: u64,
    /// The packets received, with what super-packets were or became on the wire in place of them.
    pub wire_packets: u64,
    /// Later fragments whose first one was not seen.
    pub fragments_unknown: u64,
    /// Claimed more bytes than there were.
    pub length_lies: u64,
    /// Tagged or `PPPoE`, and not IP inside.
    pub ignored_packets: u64,
    /// The bytes of `wire_packets`, an IP header in each. Only a program in the kernel knows them.
    pub wire_bytes: u64,
}

impl RingState {
    fn to_words(self) -> [u64; RING_WORDS] {
        [
            self.dropped_packets,
            self.super_packets,
            self.wire_packets,
            self.fragments_unknown,
            self.length_lies,
            self.ignored_packets,
            self.wire_bytes,
        ]
    }

    fn from_words(words: [u64; RING_WORDS]) -> Self {
        let [dropped_packets, super_packets, wire_packets, fragments_unknown, length_lies, ignored_packets, wire_bytes] =
            words;
        Self {
            dropped_packets,
            super_packets,
            wire_packets,
            fragments_unknown,
            length_lies,
            ignored_packets,
            wire_bytes,
        }
    }

    fn merge(&mut self, other: &Self) {
        let mut words = self.to_words();
        for (sum, more) in words.iter_mut().zip(other.to_words()) {
            *sum = sum.saturating_add(more);
        }
        *self = Self::from_words(words);
    }
}

impl GroupState {
    pub(super) fn to_words(self) -> [u64; STATE_WORDS] {
        let mut words = [0; STATE_WORDS];
        let plain = [
            u64::from(self.expected_sequence),
            self.received_packets,
            self.received_bytes,
            self.posted.sent_packets,
            self.posted.sent_bytes,
            self.posted.received_packets,
            self.posted.received_bytes,
            self.sequence_gap_packets,
            self.overruns,
            self.truncated_datagrams,
            self.malformed_messages,
            self.length_unknown_packets,
        ];
        for (word, value) in words.iter_mut().zip(plain.iter().chain(&self.unreadable).chain(&self.ring.to_words())) {
            *word = *value;
        }
        words
    }

    #[allow(clippy::cast_possible_truncation, reason = "the sequence number was written from 32 bits")]
    pub(super) fn from_words(words: &[u64; STATE_WORDS]) -> Self {
        let [
            sequence,
            packets,
            bytes,
            sent_p,
            sent_b,
            received_p,
            received_b,
            gap,
            overruns,
            cut,
            malformed,
            unknown,
            unreadable @ ..,
            r0,
            r1,
            r2,
            r3,
            r4,
            r5,
            r6,
        ] = *words;
        Self {
            expected_sequence: sequence as u32,
            received_packets: packets,
            received_bytes: bytes,
            posted: Sums {
                sent_packets: sent_p,
                sent_bytes: sent_b,
                received_packets: received_p,
                received_bytes: received_b,
            },
            sequence_gap_packets: gap,
            overruns,
            truncated_datagrams: cut,
            malformed_messages: malformed,
            length_unknown_packets: unknown,
            unreadable,
            ring: RingState::from_words([r0, r1, r2, r3, r4, r5, r6]),
        }
    }

    /// Packets that could be read, and their bytes.
    pub(crate) fn readable(&self) -> (u64, u64) {
        let unreadable = self.unreadable.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        (self.received_packets.saturating_sub(unreadable), self.received_bytes)
    }

    /// Adds what another group or generation has got.
    pub fn merge(&mut self, other: &Self) {
        let sum = |a: &mut u64, b: u64| *a = a.saturating_add(b);
        sum(&mut self.received_packets, other.received_packets);
        sum(&mut self.received_bytes, other.received_bytes);
        self.posted.merge(&other.posted);
        sum(&mut self.sequence_gap_packets, other.sequence_gap_packets);
        sum(&mut self.overruns, other.overruns);
        sum(&mut self.truncated_datagrams, other.truncated_datagrams);
        sum(&mut self.malformed_messages, other.malformed_messages);
        sum(&mut self.length_unknown_packets, other.length_unknown_packets);
        for (a, b) in self.unreadable.iter_mut().zip(other.unreadable) {
            sum(a, b);
        }
        self.ring.merge(&other.ring);
    }
}
