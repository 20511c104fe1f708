//! Flows that have ended take room until their cut. When they are many, what they moved is added up early: into a *spill*,
//! a table of rows that the cut takes over.
//!
//! A spill is made anew each time, of the one before and of the flows that have ended since; then one store of the phase
//! puts it in the other's place, and only then those flows leave. So a crash finds either the one or the other, and may
//! let them leave twice.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::flow::{Posting, Side, Sums};
use crate::posting::KeySpec;
use crate::table::Table;
use crate::table::file::TableFile;
use crate::table::header::GroupState;
use crate::table::live::LiveTable;

use super::entry::State;
use super::fold::SOURCE;
use super::header::{Phase, Word};
use super::{FlowFile, FlowTable};

/// Rows that are read before they are added.
const POSTINGS: usize = 256;

/// The spill of a flow table, if there is one, for whoever looks.
pub(crate) type Shared = Arc<Mutex<Option<(KeySpec, LiveTable)>>>;

impl FlowTable {
    fn spill_path(&self, number: u64) -> PathBuf {
        let mut path = OsString::from(self.path());
        path.push(format!(".{number}"));
        path.into()
    }

    /// Opens the spill that the header names, and removes what another has left.
    pub(super) fn take_over_spill(&mut self) -> Result<(), Error> {
        let number = self.file.mapped.header().spill();
        for other in [1, 2].into_iter().filter(|&other| other != number) {
            self.remove_table(&self.spill_path(other))?;
        }
        if number != 0 {
            let spill = TableFile::open(&self.spill_path(number))?;
            let totals = spill.totals();
            self.moved.0 = self.moved.0.wrapping_add(totals.received_packets);
            self.moved.1 = self.moved.1.wrapping_add(totals.received_bytes);
            *self.shared() = Some((spill.spec.clone(), spill.live()));
            self.spill = Some(spill);
        }
        Ok(())
    }

    /// Adds up the flows that have ended, by the columns of `spec` or of the spill that there is. Those whose end cannot be
    /// told again leave.
    ///
    /// # Errors
    /// The spill cannot be made; then everything is as before.
    pub fn spill(&mut self, spec: &KeySpec, rows_max: usize) -> Result<(), Error> {
        if self.phase() != Phase::Open {
            return Ok(());
        }
        let before = self.file.mapped.header().spill();
        let number = if before == 1 { 2 } else { 1 };
        let path = self.spill_path(number);
        self.remove_table(&path)?;
        let spec = self.spill.as_ref().map_or(spec, |spill| &spill.spec);
        let mut table = TableFile::create(&path, spec, &[SOURCE], rows_max, 0)?;
        let mut state = self.take_spill(&mut table.table);
        state.merge(&self.file.mapped.fold(spec, &mut table.table, |state| state == State::Dead));
        table.close_batch(0, &state);
        let old = {
            let shared = Arc::clone(&self.shared);
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let header = self.file.mapped.header();
            let known = header.cut_sweep().max(u32::try_from(header.get(Word::SpillSweep)).unwrap_or(0));
            header.set(Word::SpillLeave, if self.dying_is_whole { known.into() } else { 0 });
            header.set_spill(Phase::Spilling, number);
            self.leave_ended();
            self.file.mapped.header().set(Word::SpillSweep, self.sweep.into());
            *shared = Some((table.spec.clone(), table.live()));
            self.spill.replace(table)
        };
        // Nobody will look for it. Should it stay, the next spill or start removes it.
        let _unimportant = old.map(|old| old.remove());
        Ok(())
    }

    /// Those that have ended are booked, and leave; doing it again changes nothing.
    pub(super) fn leave_ended(&mut self) {
        let before = u32::try_from(self.file.mapped.header().get(Word::SpillLeave)).unwrap_or(0);
        self.leave(|entry| entry.state() == State::Dead && entry.sweep() < before);
        for (_, entry) in self.file.mapped.used() {
            if entry.state() == State::Dead {
                entry.advance();
            }
        }
        self.ended = 0;
        let header = self.file.mapped.header();
        header.set_spill(Phase::Open, header.spill());
        self.publish();
    }

    /// Adds the rows of the spill to a table; returns its sums.
    pub(super) fn take_spill(&self, table: &mut Table) -> GroupState {
        self.spill.as_ref().map_or_else(GroupState::default, |spill| {
            add_rows(spill.table.rows(), table);
            spill.totals()
        })
    }

    /// The cut has it all.
    pub(super) fn forget_spill(&mut self) {
        *self.shared() = None;
        // As above.
        let _unimportant = self.spill.take().map(|spill| spill.remove());
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Option<(KeySpec, LiveTable)>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For another thread to look at.
    pub(crate) fn shared_spill(&self) -> Shared {
        Arc::clone(&self.shared)
    }

    /// The columns that a cut must have: those of the spill, if there is one.
    pub(super) fn spec_of_spill(&self) -> Option<KeySpec> {
        self.spill.as_ref().map(|spill| spill.spec.clone())
    }
}

/// Adds rows to those of a table.
pub(crate) fn add_rows(rows: impl Iterator<Item = (crate::flow::Key, Sums)>, table: &mut Table) {
    let mut postings: Vec<(Posting, u64)> = Vec::with_capacity(POSTINGS + 2);
    for (key, sums) in rows {
        for (side, packets, bytes) in [
            (Side::Sent, sums.sent_packets, sums.sent_bytes),
            (Side::Received, sums.received_packets, sums.received_bytes),
        ] {
            if packets | bytes != 0 {
                postings.push((Posting { key, bytes, side }, packets));
            }
        }
        if postings.len() >= POSTINGS {
            table.apply_counted(&postings);
            postings.clear();
        }
    }
    table.apply_counted(&postings);
}

impl FlowFile {
    pub(super) fn remove_spills(&self) {
        for number in [1, 2] {
            let mut path = OsString::from(self.path());
            path.push(format!(".{number}"));
            // They go with the flow table; what cannot be removed is found by nobody.
            let _unimportant = std::fs::remove_file(path);
        }
    }
}
