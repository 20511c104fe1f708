//! The first bytes of a table file: what it is, how far its rows are, what each NFLOG group has got, labels, networks.
//!
//! Everything is a 64-bit word of this machine's byte order; the file never leaves the machine.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use crate::flow::{Address, Sides};
use crate::posting::{KeySpec, Network};
use crate::sys::mapping::PAGE_BYTES;

use super::interfaces;
use super::state::STATE_WORDS;
pub use super::state::{GroupState, RingState};

/// "NLTABLE" and the layout's version: another layout gets another number.
const MAGIC: u64 = u64::from_be_bytes(*b"NLTABLE\x01");
/// The same with columns that version 1 did not know; a program of that time must not take them for something else.
const MAGIC_WITH_CONNECTIONS: u64 = u64::from_be_bytes(*b"NLTABLE\x02");
/// Of packet sockets: the buffer holds packets that were read, not messages, and the names of interfaces are there.
const MAGIC_OF_PACKETS: u64 = u64::from_be_bytes(*b"NLTABLE\x03");

pub(crate) const GROUPS_MAX: usize = 64;
/// Labels (NFLOG prefixes) that are told apart; what comes after them has the last one's number.
pub(crate) const LABELS_MAX: usize = 256;
/// `NF_LOG_PREFIXLEN` of the kernel, the closing NUL included.
const LABEL_BYTES: usize = 128;
const LABEL_WORDS: usize = 1 + LABEL_BYTES / size_of::<u64>();

const GROUP_WORDS: usize = 64;
const GROUP_EPOCH: usize = 1;
const GROUP_STATES: [usize; 2] = [8, 36];
const _: () = assert!(STATE_WORDS <= 28, "two states fit into a group's words");

const GROUPS_AT: usize = 32;
const LABELS_AT: usize = GROUPS_AT + GROUPS_MAX * GROUP_WORDS;
const NETWORKS_AT: usize = LABELS_AT + LABELS_MAX * LABEL_WORDS;
const NETWORK_WORDS: usize = 3;

/// What a table's buffer holds, and so what reads it after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// NFLOG's messages, or nothing.
    Messages,
    /// Packets that a packet socket has read.
    Packets,
}

/// The places of single words. 8 and 9 are the table's own (`CONTROL_ROWS`, `CONTROL_APPLIED`).
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum Word {
    Magic = 0,
    HeaderBytes = 1,
    BufferBytes = 2,
    RowsMax = 3,
    Spec = 4,
    Networks = 5,
    Groups = 6,
    PendingBytes = 10,
    PendingGroup = 11,
    PendingEpoch = 12,
    Labels = 13,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    LastReceived = 14,
    /// How many names of interfaces there are; tables of packet sockets only, as what follows.
    Interfaces = 15,
    /// How many files a generation is spread over.
    Files = 16,
}

/// One NFLOG group as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    pub number: u16,
    pub sides: Sides,
    /// 4 or 6: packets of the other version are unreadable; 0: both are taken.
    pub strict_family: u8,
    pub copy_range_bytes: u32,
}

/// The words of a header, wherever they are mapped.
#[derive(Clone, Copy)]
pub(crate) struct Header<'a>(pub(crate) &'a [AtomicU64]);

impl Header<'_> {
    /// The size of a header with so many networks.
    pub(crate) fn bytes_for(networks: usize, content: Content) -> usize {
        let words = match content {
            Content::Messages => Self::behind_networks(networks),
            Content::Packets => Self::behind_networks(networks) + interfaces::WORDS,
        };
        (words * size_of::<u64>()).next_multiple_of(PAGE_BYTES)
    }

    pub(super) fn behind_networks(networks: usize) -> usize {
        NETWORKS_AT + networks * NETWORK_WORDS
    }

    pub(crate) fn get_at(self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |word| word.load(Relaxed))
    }

    pub(crate) fn set_at(self, at: usize, value: u64) {
        if let Some(word) = self.0.get(at) {
            word.store(value, Relaxed);
        }
    }

    pub(crate) fn get(self, word: Word) -> u64 {
        self.get_at(word as usize)
    }

    pub(crate) fn set(self, word: Word, value: u64) {
        self.set_at(word as usize, value);
    }

    /// Last of all: a file without its magic was never used.
    pub(crate) fn write_magic(self, spec: &KeySpec, content: Content) {
        let magic = match content {
            Content::Packets => MAGIC_OF_PACKETS,
            Content::Messages if spec.has_connection() => MAGIC_WITH_CONNECTIONS,
            Content::Messages => MAGIC,
        };
        self.set(Word::Magic, magic);
    }

    /// None if this is no table file that we know.
    pub(crate) fn content(self) -> Option<Content> {
        match self.get(Word::Magic) {
            MAGIC | MAGIC_WITH_CONNECTIONS => Some(Content::Messages),
            MAGIC_OF_PACKETS => Some(Content::Packets),
            _ => None,
        }
    }

    pub(crate) fn write_spec(self, spec: &KeySpec) {
        // The columns that came later have their byte behind the lengths.
        let [columns, more_columns] = spec.columns.to_le_bytes();
        let bytes = [columns, spec.ipv4_prefix_length, spec.ipv6_prefix_length, more_columns, 0, 0, 0, 0];
        self.set(Word::Spec, u64::from_le_bytes(bytes));
        self.set(Word::Networks, spec.local.len() as u64);
        for (number, (Address(address), length, is_v4)) in spec.local.iter().enumerate() {
            let at = NETWORKS_AT + number * NETWORK_WORDS;
            let [high, low] = halves(*address);
            self.set_at(at, high);
            self.set_at(at + 1, low);
            self.set_at(at + 2, u64::from(*length) | u64::from(*is_v4) << 8);
        }
    }

    /// None when the words are not what [`Self::write_spec`] writes.
    pub(crate) fn read_spec(self) -> Option<KeySpec> {
        let [columns, ipv4_prefix_length, ipv6_prefix_length, more_columns, ..] = self.get(Word::Spec).to_le_bytes();
        let columns = u16::from_le_bytes([columns, more_columns]);
        let networks = usize::try_from(self.get(Word::Networks)).ok()?;
        if networks > self.0.len() {
            return None;
        }
        let network = |number: usize| -> Network {
            let at = NETWORKS_AT + number * NETWORK_WORDS;
            let [length, is_v4, ..] = self.get_at(at + 2).to_le_bytes();
            let address = u128::from(self.get_at(at)) << 64 | u128::from(self.get_at(at + 1));
            (Address(address), length, is_v4 != 0)
        };
        Some(KeySpec { columns, ipv4_prefix_length, ipv6_prefix_length, local: (0..networks).map(network).collect() })
    }

    pub(crate) fn write_group(self, index: usize, group: &GroupSpec) {
        let sides = match group.sides {
            Sides::Both => 0,
            Sides::Sent => 1,
            Sides::Received => 2,
        };
        let word = u64::from(group.number)
            | sides << 16
            | u64::from(group.strict_family) << 24
            | u64::from(group.copy_range_bytes) << 32;
        self.set_at(GROUPS_AT + index * GROUP_WORDS, word);
    }

    #[allow(clippy::cast_possible_truncation, reason = "fields are cut out of a word on purpose")]
    pub(crate) fn read_group(self, index: usize) -> GroupSpec {
        let word = self.get_at(GROUPS_AT + index * GROUP_WORDS);
        GroupSpec {
            number: word as u16,
            sides: match (word >> 16) as u8 {
                0 => Sides::Both,
                1 => Sides::Sent,
                _ => Sides::Received,
            },
            strict_family: (word >> 24) as u8,
            copy_range_bytes: (word >> 32) as u32,
        }
    }

    pub(crate) fn epoch(self, group: usize) -> u64 {
        self.get_at(GROUPS_AT + group * GROUP_WORDS + GROUP_EPOCH)
    }

    /// Another thread that sees the new epoch sees its state as well.
    pub(crate) fn set_epoch(self, group: usize, epoch: u64) {
        if let Some(word) = self.0.get(GROUPS_AT + group * GROUP_WORDS + GROUP_EPOCH) {
            word.store(epoch, Release);
        }
    }

    fn state_at(group: usize, epoch: u64) -> usize {
        let [even, odd] = GROUP_STATES;
        GROUPS_AT + group * GROUP_WORDS + if epoch.is_multiple_of(2) { even } else { odd }
    }

    pub(crate) fn state(self, group: usize, epoch: u64) -> GroupState {
        let at = Self::state_at(group, epoch);
        let mut words = [0; STATE_WORDS];
        fence(Acquire);
        for (offset, word) in words.iter_mut().enumerate() {
            *word = self.get_at(at + offset);
        }
        // Who asks for the epoch once more, to see whether this was replaced meanwhile, asks behind these reads.
        fence(Acquire);
        GroupState::from_words(&words)
    }

    /// What a group has got. A state that is replaced meanwhile is read again.
    pub(crate) fn current_state(self, group: usize) -> GroupState {
        loop {
            let epoch = self.epoch(group);
            let state = self.state(group, epoch);
            if self.epoch(group) == epoch {
                return state;
            }
        }
    }

    /// The sums of the first `groups` groups.
    pub(crate) fn totals(self, groups: usize) -> GroupState {
        let mut sum = GroupState::default();
        for group in 0..groups {
            sum.merge(&self.current_state(group));
        }
        sum
    }

    pub(crate) fn write_state(self, group: usize, epoch: u64, state: &GroupState) {
        let at = Self::state_at(group, epoch);
        // Who sees a word of this sees the epoch before it, too.
        fence(Release);
        for (offset, word) in state.to_words().into_iter().enumerate() {
            self.set_at(at + offset, word);
        }
    }

    /// The number of `label`, which is noted when it is new. 0 is "none"; the last number is shared by all that find no
    /// room.
    pub(crate) fn intern(self, label: &[u8]) -> u32 {
        if label.is_empty() {
            return 0;
        }
        let known = usize::try_from(self.get(Word::Labels)).unwrap_or(LABELS_MAX).min(LABELS_MAX);
        if let Some(number) = (0..known).find(|&number| self.label_is(number, label)) {
            return u32::try_from(number + 1).unwrap_or(0);
        }
        let number = known.min(LABELS_MAX - 1);
        let text: &[u8] = if number == LABELS_MAX - 1 { b"(more labels)" } else { label };
        let at = LABELS_AT + number * LABEL_WORDS;
        let cut = text.get(..LABEL_BYTES).unwrap_or(text);
        for (offset, bytes) in cut.chunks(size_of::<u64>()).enumerate() {
            self.set_at(at + 1 + offset, word_of(bytes));
        }
        self.set_at(at, cut.len() as u64);
        if let Some(labels) = self.0.get(Word::Labels as usize) {
            labels.store(number as u64 + 1, Release);
        }
        u32::try_from(number + 1).unwrap_or(0)
    }

    fn label_is(self, number: usize, label: &[u8]) -> bool {
        let at = LABELS_AT + number * LABEL_WORDS;
        let cut = label.get(..LABEL_BYTES).unwrap_or(label);
        self.get_at(at) == cut.len() as u64
            && cut
                .chunks(size_of::<u64>())
                .enumerate()
                .all(|(offset, bytes)| self.get_at(at + 1 + offset) == word_of(bytes))
    }

    /// The labels by their numbers; 0 is empty.
    pub(crate) fn labels(self) -> Vec<String> {
        let known = usize::try_from(self.get(Word::Labels)).unwrap_or(0).min(LABELS_MAX);
        let label = |number: usize| {
            let at = LABELS_AT + number * LABEL_WORDS;
            let length = usize::try_from(self.get_at(at)).unwrap_or(0).min(LABEL_BYTES);
            let bytes: Vec<u8> =
                (1..LABEL_WORDS).flat_map(|offset| self.get_at(at + offset).to_ne_bytes()).take(length).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        std::iter::once(String::new()).chain((0..known).map(label)).collect()
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves")]
fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}

pub(super) fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; size_of::<u64>()];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_ne_bytes(word)
}
