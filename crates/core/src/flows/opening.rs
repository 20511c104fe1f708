//! A flow table is made, or taken over from a process that ended.

use std::path::Path;

use crate::error::{Error, Kind};
use crate::table::index::Index;

use super::entry::State;
use super::file::FlowFile;
use super::header::{Phase, Word};
use super::{Baseline, FlowTable, spill, tag};

impl FlowTable {
    /// Makes a new table at `path`; the flows of its first dump are its baseline.
    ///
    /// # Errors
    /// The path exists or cannot be made; there is no space or memory.
    pub fn create(path: &Path, flows_max: usize) -> Result<Self, Error> {
        let mut table = Self::with(FlowFile::create(path, flows_max)?)?;
        table.opening = true;
        Ok(table)
    }

    /// Opens the table of a process that ended. What it had begun to write is completed; a cut that it had begun to fold
    /// is left to [`Self::fold_again`].
    ///
    /// None if that process had not come to the end of its first dump: nobody knows then what is older than the table, and
    /// nothing was booked. The file is removed.
    ///
    /// # Errors
    /// No flow table, damaged, or in use.
    pub fn open(path: &Path) -> Result<Option<Self>, Error> {
        let Some(file) = FlowFile::open(path)? else { return Ok(None) };
        if let Some((number, base, current)) = file.mapped.header().noted_reset()
            && let Some(entry) = file.mapped.entry(number)
        {
            entry.set_counters(base, current);
        }
        file.mapped.header().forget_reset();
        let mut table = Self::with(file)?;
        table.take_over_spill()?;
        match table.phase() {
            Phase::Advancing => table.advance(),
            Phase::Spilling => table.leave_ended(),
            Phase::Open | Phase::Folding => {}
        }
        table.publish();
        Ok(Some(table))
    }

    fn with(file: FlowFile) -> Result<Self, Error> {
        let header = file.mapped.header();
        let count = usize::try_from(header.get(Word::Entries)).unwrap_or(0);
        let mut table = Self {
            index: Index::new(count)?,
            free: Vec::new(),
            count,
            sweep: u32::try_from(header.get(Word::Sweep)).unwrap_or(0),
            opening: false,
            dying_is_whole: false,
            refused_in_sweep: 0,
            spill: None,
            shared: spill::Shared::default(),
            now: header.now(),
            moved: (0, 0),
            booked: (0, 0),
            live: 0,
            ended: 0,
            baseline: Baseline::default(),
            file,
        };
        for (number, entry) in table.file.mapped.used() {
            if entry.state() == State::Free {
                table.free.push(number);
                continue;
            }
            if !table.index.make_room() {
                return Err(Error::new(Kind::Table, "flow table", "open", "no memory for its index"));
            }
            table.index.insert(tag(entry.hash()), number);
            table.live += u64::from(entry.state() == State::Live);
            let [packets, bytes, reply_packets, reply_bytes] = entry.moved();
            table.ended += u64::from(entry.state() == State::Dead && entry.moved() != [0; 4]);
            table.moved.0 = table.moved.0.wrapping_add(packets).wrapping_add(reply_packets);
            table.moved.1 = table.moved.1.wrapping_add(bytes).wrapping_add(reply_bytes);
        }
        // The lowest numbers are used first.
        table.free.reverse();
        table.publish();
        Ok(table)
    }
}
