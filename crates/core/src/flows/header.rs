//! The first pages of a flow file: what it is, how far its cut is, what happened since the last one.
//!
//! What is known of a cut lies in one of two places; the word that says how far a cut is also says which. So a cut that is
//! being prepared leaves the last one as it is, and one store begins it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::atomic::compiler_fence;

use crate::sys::mapping::PAGE_BYTES;

use super::entry::Counters;

/// "NLFLOWS" and the layout's version: another layout gets another number.
pub(crate) const MAGIC: u64 = u64::from_be_bytes(*b"NLFLOWS\x01");

pub(crate) const SEEDS: usize = 8;
/// Named counters of the kernel whose values a cut keeps.
pub const NAMED_MAX: usize = 16;
/// A longer name is cut: who asks for its value asks by its place.
const NAME_BYTES: usize = 64;
const NAME_WORDS: usize = NAME_BYTES / size_of::<u64>();
const NAMED_WORDS: usize = 1 + NAME_WORDS + 4;

const SEEDS_AT: usize = 16;
const NOW_AT: usize = 32;
const RESET_AT: usize = 64;
const CUTS_AT: usize = 96;
const CUT_SEQ: usize = 0;
const CUT_NAMED: usize = 1;
const CUT_LEAVE: usize = 2;
const CUT_FACTS: usize = 3;
const CUT_COUNTERS: usize = CUT_FACTS + FACTS;
const CUT_WORDS: usize = CUT_COUNTERS + NAMED_MAX * NAMED_WORDS;

pub(crate) const HEADER_BYTES: usize = 2 * PAGE_BYTES;
const _: () = assert!((CUTS_AT + 2 * CUT_WORDS) * size_of::<u64>() <= HEADER_BYTES, "two cuts fit in");

/// The places of single words.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum Word {
    Magic = 0,
    Capacity = 1,
    /// Entries that have ever been used; those behind them have not.
    Entries = 2,
    /// How far a cut is, where it is described, which spill there is, and in the upper half the number of the last cut's
    /// dump: they change together.
    Phase = 3,
    /// The number of the dump that is running or was the last.
    Sweep = 5,
    Boot = 7,
    BootLow = 8,
    Namespace = 9,
    /// Packets and bytes that are in entries and not booked.
    MovedPackets = 11,
    MovedBytes = 12,
    Flows = 13,
    /// The number of the dump that the last spill looked at.
    SpillSweep = 4,
    /// Flows of a spill that have ended leave if they were told of by no dump from this one on.
    SpillLeave = 6,
    /// Packets and bytes that this process has booked or will book: these never go back.
    SeenPackets = 14,
    SeenBytes = 15,
}

/// How far a cut is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No cut is under way.
    Open = 0,
    /// What moved is being written to the table; no entry changes.
    Folding = 1,
    /// The table is complete; entries take over what was booked.
    Advancing = 2,
    /// A spill is complete; flows that have ended leave.
    Spilling = 3,
}

impl Phase {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Folding => "folding",
            Self::Advancing => "advancing",
            Self::Spilling => "spilling",
        }
    }
}

/// What happened between two cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// DESTROY events.
    pub events: u64,
    /// How often the queue of events was full.
    pub overruns: u64,
    /// Flows that were gone without an event: what they moved since they were seen last is not known.
    pub vanished: u64,
    /// Flows whose counters somebody zeroed.
    pub resets: u64,
    /// Flows without counters: made while `nf_conntrack_acct` was off.
    pub uncounted: u64,
    /// Flows that were not known before.
    pub new_flows: u64,
    /// Flows that are left.
    pub flows: u64,
    /// Ends that were told again.
    pub duplicates: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Flows that found no room.
    pub refused: u64,
}

pub(crate) const FACTS: usize = 10;

impl Facts {
    pub(crate) fn to_words(self) -> [u64; FACTS] {
        [
            self.events,
            self.overruns,
            self.vanished,
            self.resets,
            self.uncounted,
            self.new_flows,
            self.flows,
            self.duplicates,
            self.malformed,
            self.refused,
        ]
    }

    fn from_words(words: [u64; FACTS]) -> Self {
        let [events, overruns, vanished, resets, uncounted, new_flows, flows, duplicates, malformed, refused] = words;
        Self { events, overruns, vanished, resets, uncounted, new_flows, flows, duplicates, malformed, refused }
    }
}

/// A counter of the kernel before and after the dump of a cut: packets, bytes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Named {
    pub name: String,
    pub before: (u64, u64),
    pub after: (u64, u64),
}

/// The words of a header, wherever they are mapped.
#[derive(Clone, Copy)]
pub(crate) struct Header<'a>(pub(crate) &'a [AtomicU64]);

impl Header<'_> {
    pub(crate) fn get_at(self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |word| word.load(Relaxed))
    }

    pub(crate) fn set_at(self, at: usize, value: u64) {
        #[cfg(test)]
        super::tests::crash::step();
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

    /// A store that everything before it must have reached the page for, and nothing behind it may.
    pub(crate) fn commit(self, word: Word, value: u64) {
        #[cfg(test)]
        super::tests::crash::step();
        compiler_fence(SeqCst);
        if let Some(place) = self.0.get(word as usize) {
            place.store(value, Release);
        }
        compiler_fence(SeqCst);
    }

    pub(crate) fn phase(self) -> Phase {
        match self.get(Word::Phase) & 0xff {
            1 => Phase::Folding,
            2 => Phase::Advancing,
            3 => Phase::Spilling,
            _ => Phase::Open,
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the upper half")]
    pub(crate) fn cut_sweep(self) -> u32 {
        (self.get(Word::Phase) >> 32) as u32
    }

    /// Where the last cut that was begun is described: 0 or 1.
    fn slot(self) -> u64 {
        self.get(Word::Phase) >> 8 & 1
    }

    /// The number of the spill, 1 or 2; 0: there is none.
    pub(crate) fn spill(self) -> u64 {
        self.get(Word::Phase) >> 9 & 3
    }

    fn set_progress(self, phase: Phase, slot: u64, spill: u64, cut_sweep: u32) {
        self.commit(Word::Phase, phase as u64 | slot << 8 | spill << 9 | u64::from(cut_sweep) << 32);
    }

    pub(crate) fn set_phase(self, phase: Phase) {
        self.set_progress(phase, self.slot(), self.spill(), self.cut_sweep());
    }

    pub(crate) fn set_spill(self, phase: Phase, spill: u64) {
        self.set_progress(phase, self.slot(), spill, self.cut_sweep());
    }

    /// All is booked that was known by dump `cut_sweep`; there is no spill any more.
    pub(crate) fn end_cut(self, cut_sweep: u32) {
        self.set_progress(Phase::Open, self.slot(), 0, cut_sweep);
    }

    /// Who has not been seen by dump `cut_sweep` leaves with the next cut.
    pub(crate) fn set_cut_sweep(self, cut_sweep: u32) {
        self.set_progress(self.phase(), self.slot(), self.spill(), cut_sweep);
    }

    /// Describes a cut, and begins it. Who has been told of by no dump from `leave_before` on leaves with it.
    pub(crate) fn begin_cut(self, seq: u64, leave_before: u32, facts: &Facts, named: Option<&[Named]>) {
        let slot = 1 - self.slot();
        let at = cut_at(slot);
        self.set_at(at + CUT_SEQ, seq);
        self.set_at(at + CUT_LEAVE, leave_before.into());
        self.set_facts_at(at + CUT_FACTS, facts);
        self.set_named_at(at, named);
        self.set_progress(Phase::Folding, slot, self.spill(), self.cut_sweep());
    }

    /// Of the last cut that was begun; 0: nobody leaves with it.
    pub(crate) fn leave_before(self) -> u32 {
        u32::try_from(self.get_at(cut_at(self.slot()) + CUT_LEAVE)).unwrap_or(0)
    }

    /// Of the last cut that was begun; 0: none.
    pub(crate) fn seq(self) -> u64 {
        self.get_at(cut_at(self.slot()) + CUT_SEQ)
    }

    /// Of the last cut that was begun.
    pub(crate) fn cut(self) -> Facts {
        self.facts_at(cut_at(self.slot()) + CUT_FACTS)
    }

    pub(crate) fn seeds(self) -> [u64; SEEDS] {
        let mut seeds = [0; SEEDS];
        for (offset, seed) in seeds.iter_mut().enumerate() {
            *seed = self.get_at(SEEDS_AT + offset);
        }
        seeds
    }

    pub(crate) fn set_seeds(self, seeds: [u64; SEEDS]) {
        for (offset, seed) in seeds.into_iter().enumerate() {
            self.set_at(SEEDS_AT + offset, seed);
        }
    }

    fn facts_at(self, at: usize) -> Facts {
        let mut words = [0; FACTS];
        for (offset, word) in words.iter_mut().enumerate() {
            *word = self.get_at(at + offset);
        }
        Facts::from_words(words)
    }

    fn set_facts_at(self, at: usize, facts: &Facts) {
        for (offset, word) in facts.to_words().into_iter().enumerate() {
            self.set_at(at + offset, word);
        }
    }

    /// Since the last cut.
    pub(crate) fn now(self) -> Facts {
        self.facts_at(NOW_AT)
    }

    pub(crate) fn set_now(self, facts: &Facts) {
        self.set_facts_at(NOW_AT, facts);
    }

    /// Both halves of an entry's counters change together, or not at all: written here first, then there.
    pub(crate) fn note_reset(self, entry: u32, base: Counters, current: Counters) {
        for (offset, value) in base.into_iter().chain(current).enumerate() {
            self.set_at(RESET_AT + 1 + offset, value);
        }
        compiler_fence(SeqCst);
        self.set_at(RESET_AT, u64::from(entry) + 1);
        compiler_fence(SeqCst);
    }

    pub(crate) fn forget_reset(self) {
        compiler_fence(SeqCst);
        self.set_at(RESET_AT, 0);
        compiler_fence(SeqCst);
    }

    /// The entry whose change may be torn, and what it is to be.
    pub(crate) fn noted_reset(self) -> Option<(u32, Counters, Counters)> {
        let entry = u32::try_from(self.get_at(RESET_AT).checked_sub(1)?).ok()?;
        let four = |at: usize| [0, 1, 2, 3].map(|offset| self.get_at(at + offset));
        Some((entry, four(RESET_AT + 1), four(RESET_AT + 5)))
    }

    /// Of the last cut that was begun; None: it compared with nothing.
    pub(crate) fn named(self) -> Option<Vec<Named>> {
        let at = cut_at(self.slot());
        let count = usize::try_from(self.get_at(at + CUT_NAMED).checked_sub(1)?).ok()?.min(NAMED_MAX);
        Some((0..count).map(|number| self.named_at(at + CUT_COUNTERS + number * NAMED_WORDS)).collect())
    }

    fn named_at(self, at: usize) -> Named {
        let length = usize::try_from(self.get_at(at)).unwrap_or(0).min(NAME_BYTES);
        let name: Vec<u8> =
            (0..NAME_WORDS).flat_map(|word| self.get_at(at + 1 + word).to_ne_bytes()).take(length).collect();
        let value = |offset: usize| self.get_at(at + 1 + NAME_WORDS + offset);
        Named {
            name: String::from_utf8_lossy(&name).into_owned(),
            before: (value(0), value(1)),
            after: (value(2), value(3)),
        }
    }

    fn set_named_at(self, cut: usize, named: Option<&[Named]>) {
        for (number, one) in named.unwrap_or_default().iter().take(NAMED_MAX).enumerate() {
            let at = cut + CUT_COUNTERS + number * NAMED_WORDS;
            let name = one.name.as_bytes();
            let name = name.get(..NAME_BYTES).unwrap_or(name);
            self.set_at(at, name.len() as u64);
            for (offset, bytes) in name.chunks(size_of::<u64>()).enumerate() {
                let mut word = [0; size_of::<u64>()];
                word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                self.set_at(at + 1 + offset, u64::from_ne_bytes(word));
            }
            for (offset, value) in [one.before.0, one.before.1, one.after.0, one.after.1].into_iter().enumerate() {
                self.set_at(at + 1 + NAME_WORDS + offset, value);
            }
        }
        self.set_at(cut + CUT_NAMED, named.map_or(0, |named| named.len().min(NAMED_MAX) as u64 + 1));
    }
}

fn cut_at(slot: u64) -> usize {
    if slot == 0 { CUTS_AT } else { CUTS_AT + CUT_WORDS }
}
