//! A cut: what moved goes into a table of rows, and becomes what has been booked.
//!
//! First the facts of the cut are written down and the phase becomes *folding*: from then on no entry changes, so that a
//! half table of a crash is thrown away and made again. When the table is complete the phase becomes *advancing*: every
//! entry takes over what was booked, which may be done twice. Then the table is open for what comes next.
//!
//! A flow that has ended stays until nobody can be told of its end any more: as long as any listener that asked for it
//! had no room, the kernel keeps the flow on a list and tells its end again, to all. So it leaves with a cut if from the
//! dump of the cut before on it has neither ended nor been on that list.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Kind, reason};
use crate::flow::{Posting, Sides};
use crate::packet::Headers;
use crate::posting::{KeySpec, Place, Poster};
use crate::table::Table;
use crate::table::closed::Closed;
use crate::table::file::TableFile;
use crate::table::header::{GroupSpec, GroupState};

use super::entry::{Entry, State};
use super::file::Mapped;
use super::header::{Facts, Named, Phase};
use super::{FlowTable, tag};

/// Postings that are made before they are added.
const POSTINGS: usize = 256;
/// The one source of a table of flows. Nothing listens to a group here.
pub(super) const SOURCE: GroupSpec = GroupSpec { number: 0, sides: Sides::Both, strict_family: 0, copy_range_bytes: 0 };

/// How a table is made.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    pub path: &'a Path,
    pub spec: &'a KeySpec,
    pub rows_max: usize,
}

/// A cut that is done.
#[derive(Debug)]
pub struct Cut {
    pub closed: Closed,
    pub seq: u64,
    pub facts: Facts,
    /// The kernel's named counters around the dump; None: it was compared with nothing.
    pub named: Option<Vec<Named>>,
}

impl FlowTable {
    /// Books what every flow has moved since the last cut into a new table.
    ///
    /// # Errors
    /// The table cannot be made; then nothing has been cut.
    pub fn cut(&mut self, target: &Target<'_>, seq: u64, named: Option<&[Named]>) -> Result<Cut, Error> {
        if self.phase() != Phase::Open {
            return Err(self.fail("cut", "the cut before is not complete"));
        }
        let header = self.file.mapped.header();
        if seq <= header.seq() {
            return Err(self.fail("cut", format!("number {seq} does not follow {}", header.seq())));
        }
        // A list of those that are dying with an end missing tells of nobody that he is not on it.
        let leave_before = if self.dying_is_whole { header.cut_sweep() } else { 0 };
        let vanished = self.file.mapped.used().filter(|(_, entry)| has_vanished(entry, leave_before)).count() as u64;
        let facts =
            Facts { vanished: self.now.vanished + vanished, flows: self.live.saturating_sub(vanished), ..self.now };
        // Of a cut that was not begun: nothing is in it.
        self.remove_table(target.path)?;
        // Before anything is promised: a table that cannot be made leaves everything as it is.
        let table = self.new_table(target)?;
        self.file.mapped.header().begin_cut(seq, leave_before, &facts, named);
        Ok(self.fold(table, false))
    }

    /// Does the cut again that a crash or an error has interrupted while it was folding.
    ///
    /// # Errors
    /// As [`Self::cut`]; there is no such cut.
    pub fn fold_again(&mut self, target: &Target<'_>) -> Result<Cut, Error> {
        if self.phase() != Phase::Folding {
            return Err(self.fail("fold again", "no cut was being folded"));
        }
        self.remove_table(target.path)?;
        let table = self.new_table(target)?;
        Ok(self.fold(table, true))
    }

    fn new_table(&self, target: &Target<'_>) -> Result<TableFile, Error> {
        // An earlier process may have had other columns; what is added up already has no others.
        let spec = self.spec_of_spill();
        TableFile::create(target.path, spec.as_ref().unwrap_or(target.spec), &[SOURCE], target.rows_max, 0)
    }

    pub(super) fn remove_table(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(self.fail("remove a half table", reason(&e))),
            _ => Ok(()),
        }
    }

    /// The last cut, with its table that nobody has released yet; None if that is gone.
    ///
    /// # Errors
    /// The table is damaged or in use.
    pub fn last_cut(&self, table_path: &Path) -> Result<Option<Cut>, Error> {
        let header = self.file.mapped.header();
        if header.phase() != Phase::Open || !table_path.exists() {
            return Ok(None);
        }
        let closed = Closed::reopen(table_path)?;
        Ok(Some(Cut { closed, seq: self.seq(), facts: header.cut(), named: header.named() }))
    }

    fn fold(&mut self, mut table: TableFile, recovered: bool) -> Cut {
        let mut state = self.take_spill(&mut table.table);
        state.merge(&self.file.mapped.fold(&table.spec, &mut table.table, |_| true));
        let header = self.file.mapped.header();
        let facts = header.cut();
        let state = GroupState { overruns: facts.overruns, malformed_messages: facts.malformed, ..state };
        table.close_batch(0, &state);
        header.set_phase(Phase::Advancing);
        let cut = Cut { closed: Closed::new(table, recovered), seq: header.seq(), facts, named: header.named() };
        self.advance();
        cut
    }

    /// Everything that moved is booked; who has ended leaves. Doing it again changes nothing.
    pub(super) fn advance(&mut self) {
        let leave_before = self.file.mapped.header().leave_before();
        self.leave(|entry| entry.sweep() < leave_before);
        for (_, entry) in self.file.mapped.used() {
            if entry.state() != State::Free {
                entry.advance();
            }
        }
        self.ended = 0;
        self.now = Facts::default();
        self.booked.0 = self.booked.0.wrapping_add(self.moved.0);
        self.booked.1 = self.booked.1.wrapping_add(self.moved.1);
        self.moved = (0, 0);
        self.publish();
        self.file.mapped.header().end_cut(self.sweep);
        self.forget_spill();
    }

    /// Entries become nobody's.
    pub(super) fn leave(&mut self, who: impl Fn(&Entry<'_>) -> bool) {
        let mapped = self.file.mapped.clone();
        let left: Vec<u32> = mapped.used().filter(|(_, entry)| who(entry)).map(|(number, _)| number).collect();
        // From the highest on, so that the lowest are used first.
        for number in left.into_iter().rev() {
            let Some(entry) = mapped.entry(number) else { continue };
            match entry.state() {
                State::Live => self.live = self.live.saturating_sub(1),
                State::Dead => {}
                State::Free => continue,
            }
            entry.free();
            self.index.remove(tag(entry.hash()), number);
            self.free.push(number);
        }
    }

    fn fail(&self, operation: &'static str, cause: impl Into<String>) -> Error {
        Error::new(Kind::Table, format!("flow table {}", self.path().display()), operation, cause)
    }
}

/// Neither the last cut's dump nor any since has shown it, and its DESTROY has not come.
fn has_vanished(entry: &Entry<'_>, leave_before: u32) -> bool {
    entry.state() == State::Live && entry.sweep() < leave_before
}

impl Mapped {
    /// Adds what is to be booked to a table; returns its sums. Entries may change meanwhile: each number is that of some
    /// moment.
    pub(crate) fn fold(&self, spec: &KeySpec, table: &mut Table, which: impl Fn(State) -> bool) -> GroupState {
        let poster = Poster::new(spec, false);
        let mut postings: Vec<(Posting, u64)> = Vec::with_capacity(POSTINGS + 4);
        let mut state = GroupState::default();
        for (_, entry) in self.used() {
            #[cfg(test)]
            super::tests::crash::step();
            let state_now = entry.state();
            if state_now == State::Free || !which(state_now) {
                continue;
            }
            let [packets, bytes, reply_packets, reply_bytes] = entry.moved();
            for (is_reply, packets, bytes) in [(false, packets, bytes), (true, reply_packets, reply_bytes)] {
                // Counters that are zeroed while another thread looks seem to go back.
                if (packets | bytes) != 0 && packets.cast_signed() >= 0 && bytes.cast_signed() >= 0 {
                    post(&poster, entry, is_reply, bytes, &mut |posting| postings.push((posting, packets)));
                    state.received_packets = state.received_packets.saturating_add(packets);
                    state.received_bytes = state.received_bytes.saturating_add(bytes);
                }
            }
            if postings.len() >= POSTINGS {
                table.apply_counted(&postings);
                postings.clear();
            }
        }
        table.apply_counted(&postings);
        state.posted.add_packets(Sides::Both, state.received_packets, state.received_bytes);
        state
    }
}

/// One direction of a flow is a movement between its true ends.
fn post(poster: &Poster, entry: Entry<'_>, is_reply: bool, bytes: u64, take: &mut impl FnMut(Posting)) {
    let ([first, second], [from, to, reply_from, reply_to]) = (entry.ends(), entry.ports());
    let (source, destination, source_port, destination_port) =
        if is_reply { (second, first, reply_from, reply_to) } else { (first, second, from, to) };
    let headers = Headers {
        source,
        destination,
        bytes,
        protocol: entry.protocol(),
        source_port,
        destination_port,
        is_ipv4: source.is_v4(),
        length_known: true,
        ports_known: true,
    };
    poster.post(&headers, Sides::Both, &Place::of_flow(entry.zone(), entry.mark()), take);
}
