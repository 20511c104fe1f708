//! Conntrack's flows: what the kernel has counted for each, and how much of that is booked.
//!
//! Between two cuts nothing is posted: a dump and the events at a flow's end only say what its counters are now, and saying
//! it twice changes nothing. A cut posts the differences to what was booked before ([`fold`]). Everything lies in a file
//! mapping ([`mod@file`]), so that after a crash the next dump is all that is needed to go on.

mod entry;
mod file;
pub mod fold;
mod header;
mod identity;
mod opening;
pub mod spill;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::error::{Error, Kind};
use crate::sys::mapping::prefetch;
use crate::table::file::TableFile;
use crate::table::index::{Index, NONE, Tag};

pub use entry::Counters;
pub use file::Found;
pub use header::{Facts, NAMED_MAX, Named, Phase};
pub use identity::{Identity, Sighting};

use entry::{Entry, State};
use file::FlowFile;
pub(crate) use file::Mapped;
use header::{SEEDS, Word};

/// Flows whose look-ups are in flight together.
const FLIGHT: usize = 32;

/// What a sighting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A dump: the flow is there.
    Dump,
    /// A DESTROY event: the flow has ended with these counters.
    End,
    /// The kernel could not deliver its DESTROY event yet: it has ended, and its event will come.
    Dying,
}

/// Flows by their identity. One thread writes.
#[derive(Debug)]
pub struct FlowTable {
    file: FlowFile,
    index: Index,
    /// Entries that were flows and are nobody's now.
    free: Vec<u32>,
    count: usize,
    sweep: u32,
    /// Until the first dump is done, what there is is older than us.
    opening: bool,
    /// The last list of those that are dying was complete.
    dying_is_whole: bool,
    /// Flows of the running dump that found no room: the next one says it again.
    refused_in_sweep: u64,
    spill: Option<TableFile>,
    shared: spill::Shared,
    now: Facts,
    moved: (u64, u64),
    /// What this process has booked.
    booked: (u64, u64),
    live: u64,
    ended: u64,
    baseline: Baseline,
}

/// What was there before us, and is not booked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    pub flows: u64,
    pub packets: u64,
    pub bytes: u64,
}

#[allow(clippy::cast_possible_truncation, reason = "the upper half of a hash")]
fn tag(hash: u64) -> Tag {
    (hash >> 32) as Tag
}

impl FlowTable {
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.file.mapped.header().phase()
    }

    #[must_use]
    pub fn found(&self) -> Found {
        self.file.found()
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// What identities are hashed with.
    #[must_use]
    pub fn seeds(&self) -> [u64; SEEDS] {
        self.file.mapped.header().seeds()
    }

    /// Of the last cut that was begun; 0: none.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.file.mapped.header().seq()
    }

    #[must_use]
    pub fn baseline(&self) -> Baseline {
        self.baseline
    }

    /// Flows that have not ended, as far as is known.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.live
    }

    /// Flows that have ended and take room still.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// What happened since the last cut; the caller adds what it alone sees.
    pub fn facts(&mut self) -> &mut Facts {
        &mut self.now
    }

    /// A dump begins: who is not in it has ended.
    pub fn begin_sweep(&mut self) {
        self.sweep = self.sweep.wrapping_add(1);
        self.dying_is_whole = false;
        self.now.refused = self.now.refused.saturating_sub(std::mem::take(&mut self.refused_in_sweep));
        self.file.mapped.header().set(Word::Sweep, u64::from(self.sweep));
    }

    /// All that are dying have been told of since the dump began.
    pub fn dying_are_known(&mut self) {
        self.dying_is_whole = true;
    }

    /// The first dump is done: who is not known from now on is new.
    ///
    /// The baseline is what was told last: flows may have been read several times until they could be compared.
    /// Of a table that was taken over, returns how many flows have ended while nobody listened. They leave with the next
    /// cut.
    ///
    /// # Errors
    /// A flow that is older than a new table found no room in it: later it would be taken for a new one.
    pub fn end_opening(&mut self) -> Result<u64, Error> {
        if self.opening {
            if self.now.refused > 0 {
                let subject = format!("flow table {}", self.path().display());
                return Err(Error::new(Kind::Table, subject, "open", "there is no room for all flows")
                    .with_hint("make room on its disk, or raise flows_max above the kernel's nf_conntrack_max"));
            }
            self.take_baseline();
        }
        self.opening = false;
        self.file.mapped.header().set_cut_sweep(self.sweep);
        let is_gone = |entry: &Entry<'_>| entry.state() == State::Live && entry.sweep() != self.sweep;
        let gone = self.file.mapped.used().filter(|(_, entry)| is_gone(entry)).count();
        Ok(gone as u64)
    }

    /// What flows have counted so far is booked by nobody.
    fn take_baseline(&mut self) {
        self.baseline = Baseline::default();
        for (_, entry) in self.file.mapped.used() {
            if entry.state() != State::Free {
                let [packets, bytes, reply_packets, reply_bytes] = entry.current();
                self.baseline.flows += 1;
                self.baseline.packets = self.baseline.packets.saturating_add(packets).saturating_add(reply_packets);
                self.baseline.bytes = self.baseline.bytes.saturating_add(bytes).saturating_add(reply_bytes);
                entry.advance();
            }
        }
        self.moved = (0, 0);
        self.ended = 0;
        self.now = Facts { uncounted: self.now.uncounted, ..Facts::default() };
        self.publish();
    }

    /// Takes over what messages say. Look-ups of many flows are in flight at once.
    pub fn see(&mut self, sightings: &[Sighting], origin: Origin) {
        let mut candidates = [NONE; FLIGHT];
        for flight in sightings.chunks(FLIGHT) {
            for sighting in flight {
                self.index.prefetch(tag(sighting.hash));
            }
            let entries = self.file.mapped.all();
            for (sighting, candidate) in flight.iter().zip(&mut candidates) {
                *candidate = self.index.first(tag(sighting.hash));
                if let Some(words) = entries.get(*candidate as usize) {
                    prefetch(words, 0);
                    prefetch(words, 8);
                }
            }
            for (sighting, &candidate) in flight.iter().zip(&candidates) {
                self.take(sighting, candidate, origin);
            }
        }
        self.publish();
    }

    #[inline]
    fn take(&mut self, sighting: &Sighting, candidate: u32, origin: Origin) {
        let number = match self.file.mapped.entry(candidate) {
            Some(entry) if entry.is(sighting) => candidate,
            _ => self.find(sighting),
        };
        let Some(entry) = self.file.mapped.entry(number) else {
            self.unknown(sighting, origin);
            return;
        };
        match (entry.state(), origin) {
            (State::Dead, Origin::End) => self.ended_again(number, sighting),
            (State::Dead, _) => self.shown_after_its_end(number, sighting, origin),
            (_, Origin::End) => {
                self.update(number, sighting, State::Dead);
                self.live = self.live.saturating_sub(1);
                self.ended += 1;
                self.told_now(number);
            }
            (_, Origin::Dump | Origin::Dying) => {
                self.update(number, sighting, State::Live);
                self.told_now(number);
            }
        }
    }

    fn told_now(&self, number: u32) {
        if let Some(entry) = self.file.mapped.entry(number) {
            entry.set_sweep(self.sweep);
        }
    }

    fn find(&self, sighting: &Sighting) -> u32 {
        let entries = self.file.mapped.all();
        let is_it = |number: u32| entries.get(number as usize).is_some_and(|words| Entry(words).is(sighting));
        self.index.find(tag(sighting.hash), is_it)
    }

    fn update(&mut self, number: u32, sighting: &Sighting, state: State) {
        let Some(entry) = self.file.mapped.entry(number) else { return };
        let before = entry.current();
        if before.iter().zip(&sighting.counters).any(|(before, now)| now < before) {
            self.zeroed(number, sighting, state);
            return;
        }
        entry.update(sighting, state);
        let [p0, b0, p1, b1] = before;
        let [packets, bytes, reply_packets, reply_bytes] = sighting.counters;
        self.moved.0 = self.moved.0.wrapping_add((packets - p0).wrapping_add(reply_packets - p1));
        self.moved.1 = self.moved.1.wrapping_add((bytes - b0).wrapping_add(reply_bytes - b1));
    }

    /// Somebody has set the counters to zero: what was there before is still to be booked, and what is there now as well.
    #[cold]
    fn zeroed(&mut self, number: u32, sighting: &Sighting, state: State) {
        let mapped = self.file.mapped.clone();
        let Some(entry) = mapped.entry(number) else { return };
        let (mut base, before) = (entry.base(), entry.current());
        for (base, before) in base.iter_mut().zip(before) {
            *base = base.wrapping_sub(before);
        }
        mapped.header().note_reset(number, base, sighting.counters);
        entry.set_counters(base, sighting.counters);
        mapped.header().forget_reset();
        entry.update(sighting, state);
        self.now.resets += 1;
        self.add_moved(sighting.counters);
    }

    fn add_moved(&mut self, [packets, bytes, reply_packets, reply_bytes]: Counters) {
        self.moved.0 = self.moved.0.wrapping_add(packets).wrapping_add(reply_packets);
        self.moved.1 = self.moved.1.wrapping_add(bytes).wrapping_add(reply_bytes);
    }

    /// A second DESTROY of the same flow: the kernel repeats it to all listeners when one of them had no room. Without a
    /// start another flow may have had the same ends and id.
    #[cold]
    fn ended_again(&mut self, number: u32, sighting: &Sighting) {
        let entries = self.file.mapped.all();
        let is_it = |number: u32| {
            entries
                .get(number as usize)
                .map(Entry)
                .is_some_and(|entry| entry.is(sighting) && (sighting.has_start || entry.current() == sighting.counters))
        };
        let same = if sighting.has_start { number } else { self.index.find(tag(sighting.hash), is_it) };
        if same == NONE {
            self.begin(sighting, State::Dead);
            return;
        }
        self.now.duplicates += 1;
        self.shown_after_its_end(same, sighting, Origin::Dying);
    }

    /// The kernel sends DESTROY just before it takes the flow out of its table, so that a dump may still show it. Without
    /// a start it may be another flow, which the next cut's dump will tell.
    #[cold]
    fn shown_after_its_end(&mut self, number: u32, sighting: &Sighting, origin: Origin) {
        let Some(entry) = self.file.mapped.entry(number) else { return };
        let is_more = entry.current().iter().zip(&sighting.counters).all(|(before, now)| now >= before);
        if sighting.has_start && is_more {
            self.update(number, sighting, State::Dead);
        }
        if origin == Origin::Dying {
            self.told_now(number);
        }
    }

    fn unknown(&mut self, sighting: &Sighting, origin: Origin) {
        self.begin(sighting, if origin == Origin::End { State::Dead } else { State::Live });
    }

    /// A flow that is to be booked whole.
    fn begin(&mut self, sighting: &Sighting, state: State) {
        self.now.new_flows += 1;
        if self.append(sighting, state) {
            self.add_moved(sighting.counters);
        }
    }

    fn append(&mut self, sighting: &Sighting, state: State) -> bool {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.file.has_room(self.count) => u32::try_from(self.count).unwrap_or(NONE),
            None => NONE,
        };
        let mapped = &self.file.mapped;
        let Some(entry) = mapped.entry(number).filter(|_| self.index.make_room()) else {
            self.now.refused += 1;
            // One that lives is told of by the next dump again; its end is told once.
            self.refused_in_sweep += u64::from(state == State::Live);
            return false;
        };
        entry.begin(sighting, self.sweep, state);
        if number as usize == self.count {
            self.count += 1;
            mapped.header().commit(Word::Entries, self.count as u64);
        }
        self.index.insert(tag(sighting.hash), number);
        self.live += u64::from(state == State::Live);
        self.ended += u64::from(state == State::Dead);
        true
    }

    /// For those who look at the header meanwhile, and for whoever opens the file next.
    fn publish(&self) {
        let header = self.file.mapped.header();
        header.set_now(&self.now);
        header.set(Word::MovedPackets, self.moved.0);
        header.set(Word::MovedBytes, self.moved.1);
        header.set(Word::Flows, self.live);
        header.set(Word::SeenPackets, self.booked.0.wrapping_add(self.moved.0));
        header.set(Word::SeenBytes, self.booked.1.wrapping_add(self.moved.1));
    }

    /// For another thread to look at.
    #[must_use]
    pub(crate) fn mapped(&self) -> Mapped {
        self.file.mapped.clone()
    }

    /// Removes the file. What is in it goes on until it is dropped, and nobody finds it again.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(&self) -> Result<(), Error> {
        self.file.remove_spills();
        self.file.remove()
    }
}
