//! A look at a table that another thread is writing. Nothing is locked, and nobody is asked to copy anything.
//!
//! Each number is one aligned 64-bit word, loaded as such: it is never torn, and never goes back. Different numbers may
//! be of slightly different moments: of a packet that is being added, its packet may be there and its bytes not yet, or
//! its sent side and not yet its received one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use crate::flow::{Key, Sums};
use crate::sys::mapping::Mapping;

use super::file::TableFile;
use super::header::{GroupState, Header};
use super::{CONTROL_ROWS, Shape, rows_in};

/// A table that is being written. It may be read for ever, also when its writer has ended and its file is removed.
#[derive(Debug)]
pub struct LiveTable {
    control: Arc<Mapping>,
    rows: Arc<Mapping>,
    shape: Shape,
    groups: usize,
    rows_max: usize,
}

impl TableFile {
    /// For another thread to look at.
    #[must_use]
    pub fn live(&self) -> LiveTable {
        LiveTable {
            control: Arc::clone(&self.control),
            rows: Arc::clone(&self.table.rows),
            shape: self.table.shape,
            groups: self.groups.len(),
            rows_max: self.table.rows_max,
        }
    }
}

impl LiveTable {
    /// The number of rows now, the always-there one included; their keys can be read.
    #[must_use]
    pub fn len(&self) -> usize {
        let rows = self.control.words().get(CONTROL_ROWS).map_or(0, |word| word.load(Acquire));
        usize::try_from(rows).unwrap_or(usize::MAX)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `count` rows, in the order in which they appeared.
    pub fn rows(&self, count: usize) -> impl Iterator<Item = (Key, Sums)> + '_ {
        rows_in(&self.rows, self.shape, count)
    }

    /// The labels by their numbers: of all rows that were counted before.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        self.header().labels()
    }

    /// What all groups have got; what is still being worked off is not in it.
    #[must_use]
    pub fn totals(&self) -> GroupState {
        self.header().totals(self.groups)
    }

    /// The sums of the rows `other`. Reads all rows when there may be such, else only the first.
    #[must_use]
    pub fn other(&self) -> Sums {
        let count = self.len();
        // The first row is the one that takes what finds no room at all.
        let is_full = count >= self.rows_max || self.rows(1).any(|(_, sums)| sums != Sums::default());
        let mut total = Sums::default();
        for (_, sums) in self.rows(if is_full { count } else { 0 }).filter(|(key, _)| key.is_other()) {
            total.merge(&sums);
        }
        total
    }

    fn header(&self) -> Header<'_> {
        Header(self.control.words())
    }
}
