//! A generation that does not change any more.

use std::path::Path;

use crate::error::Error;
use crate::flow::Sums;

use super::file::TableFile;
use super::header::{GroupState, Word};
use super::journal;

/// The table of a closed generation, and its sums.
#[derive(Debug)]
pub struct Closed {
    pub file: TableFile,
    pub totals: GroupState,
    /// Found after a crash.
    pub recovered: bool,
    pub other: Sums,
    /// When the last datagram came, by `CLOCK_BOOTTIME` in nanoseconds; 0: none did.
    pub last_received_ns: u64,
}

impl Closed {
    /// Reads all rows: not a thing for the thread that receives.
    #[must_use]
    pub fn new(mut file: TableFile, recovered: bool) -> Self {
        file.table.freeze();
        let last_received_ns = file.header().get(Word::LastReceived);
        Self { totals: file.totals(), other: file.table.other(), file, recovered, last_received_ns }
    }

    /// One whose sums are known: its rows are not read.
    #[cfg(feature = "bpf")]
    pub(crate) fn known(mut file: TableFile, totals: GroupState, other: Sums) -> Self {
        file.table.freeze();
        Self { file, totals, recovered: false, other, last_received_ns: 0 }
    }

    /// Opens the table of a dead process that was complete: nothing was being received into it.
    ///
    /// # Errors
    /// No table file, in use, of another version, or its rows do not add up.
    pub fn reopen(path: &Path) -> Result<Self, Error> {
        let mut file = TableFile::open(path)?;
        journal::recover(&mut file, &mut |_, _, _, _, _, _| {})?;
        Ok(Self::new(file, true))
    }
}
