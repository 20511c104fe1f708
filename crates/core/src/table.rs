//! Key → sent and received packets and bytes.
//!
//! Rows are appended and never move; beside them an [`index`] finds a row by its key. Rows may lie in a file mapping
//! ([`mod@file`]): then what was added is still there when the process is not, and the index is built again.
//!
//! A posting is two additions and then one store that says it is done. After a crash at most one posting is torn, and the
//! sums of all rows tell which of its two additions had happened (`journal`).

#[cfg(feature = "bpf")]
pub(crate) mod bulk;
pub mod closed;
pub mod file;
pub(crate) mod flight;
pub mod header;
pub(crate) mod index;
pub(crate) mod interfaces;
pub mod journal;
pub mod live;
pub mod several;
pub mod state;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, compiler_fence};

use crate::error::Error;
use crate::flow::{Account, Key, NARROW_WORDS, Side, Sums, WIDE_WORDS};
use crate::posting::KeySpec;
use crate::sys::mapping::{Mapping, PAGE_BYTES};

use flight::{add_to, is_at};
use index::{Index, NONE, ROWS_LIMIT, Tag};

/// Rows beside `rows_max`: the special ones (external, other) of each tag.
const SPECIALS: usize = 8;
/// Disk space is taken in steps of this many bytes, ahead of use.
const STEP_BYTES: usize = 1 << 20;
/// The row that always exists: what finds no room at all is booked here.
const ROW_OTHER: u32 = 0;

/// Where the number of rows and of applied postings stand in the control words.
pub(crate) const CONTROL_ROWS: usize = 8;
pub(crate) const CONTROL_APPLIED: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) key_words: usize,
    /// Words from row to row.
    pub(crate) stride: usize,
}

/// A narrow row is one cache line of 64 bytes, a wide one 96 bytes.
pub(crate) const NARROW_STRIDE: usize = 8;
pub(crate) const WIDE_STRIDE: usize = 12;

impl Shape {
    pub(crate) fn of(spec: &KeySpec) -> Self {
        if spec.has_peer() {
            Self { key_words: WIDE_WORDS, stride: WIDE_STRIDE }
        } else {
            Self { key_words: NARROW_WORDS, stride: NARROW_STRIDE }
        }
    }

    pub(crate) fn bytes(self, rows: usize) -> usize {
        (rows * self.stride * size_of::<u64>()).next_multiple_of(PAGE_BYTES)
    }
}

/// A bounded table of rows. One thread writes; see [`journal`] for what survives it.
#[derive(Debug)]
pub struct Table {
    /// Shared with whoever reads the header meanwhile; words are atomic.
    control: Arc<Mapping>,
    /// Shared with whoever looks at them meanwhile.
    rows: Arc<Mapping>,
    shape: Shape,
    index: Index,
    count: usize,
    applied: u64,
    /// Rows that there is room for now; for a file it grows in steps up to `capacity`.
    room: usize,
    capacity: usize,
    rows_max: usize,
    backing: Option<file::Backing>,
}

impl Table {
    /// A table in this process's memory alone.
    ///
    /// # Errors
    /// No address space is left.
    pub fn anonymous(spec: &KeySpec, rows_max: usize, specials_max: usize) -> Result<Self, Error> {
        let shape = Shape::of(spec);
        let capacity = capacity(rows_max, specials_max);
        let map = |bytes| Mapping::anonymous(bytes).map_err(|e| Error::io("table", "map memory", &e));
        let mut table = Self {
            control: Arc::new(map(PAGE_BYTES)?),
            rows: Arc::new(map(shape.bytes(capacity))?),
            shape,
            index: Index::new(0)?,
            count: 0,
            applied: 0,
            room: capacity,
            capacity,
            rows_max: rows_max.min(capacity),
            backing: None,
        };
        table.insert_first();
        Ok(table)
    }

    /// Whether keys have a peer, and so all of their words.
    pub(crate) fn is_wide(&self) -> bool {
        self.shape.key_words == WIDE_WORDS
    }

    fn insert_first(&mut self) {
        if self.count == 0 {
            let key = Key::special(Account::Other, 0);
            let tag = self.tag(&key);
            self.append(&key, tag);
        }
    }

    /// The number of rows, the always-there one included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    pub(crate) fn set_control(&self, at: usize, value: u64) {
        if let Some(word) = self.control.words().get(at) {
            word.store(value, Relaxed);
        }
    }

    /// Starts counting applied postings anew, or from where a journal stands.
    pub(crate) fn set_applied(&mut self, applied: u64) {
        self.applied = applied;
        self.set_control(CONTROL_APPLIED, applied);
    }

    fn words(&self, row: u32) -> &[AtomicU64] {
        let start = row as usize * self.shape.stride;
        self.rows.words().get(start..start + self.shape.stride).unwrap_or_default()
    }

    fn is_at(&self, row: u32, key: &Key) -> bool {
        let words = self.words(row);
        if self.is_wide() {
            words.first_chunk::<WIDE_WORDS>().is_some_and(|words| is_at(words, key))
        } else {
            words.first_chunk::<NARROW_WORDS>().is_some_and(|words| is_at(words, key))
        }
    }

    /// The tag of a key, for those who look up one.
    fn tag(&self, key: &Key) -> Tag {
        if self.is_wide() { self.index.tag::<WIDE_WORDS>(key) } else { self.index.tag::<NARROW_WORDS>(key) }
    }

    /// The row of `key`, if there is one.
    fn find(&self, key: &Key, tag: Tag) -> Option<u32> {
        Some(self.index.find(tag, |row| self.is_at(row, key))).filter(|&row| row != NONE)
    }

    #[cold]
    fn find_or_append(&mut self, key: &Key, tag: Tag) -> u32 {
        if let Some(row) = self.find(key, tag) {
            return row;
        }
        let is_special = key.fields().account != Account::Host;
        let limit = if is_special { self.capacity } else { self.rows_max };
        if self.count < limit && self.has_room() && self.index.make_room() {
            return self.append(key, tag);
        }
        if key.is_other() {
            return ROW_OTHER;
        }
        let other = Key::special(Account::Other, key.tag());
        let other_tag = self.tag(&other);
        self.find_or_append(&other, other_tag)
    }

    fn has_room(&mut self) -> bool {
        self.count < self.room || self.has_room_for(self.count + 1)
    }

    /// Takes one step of disk space, or as many as `rows` need.
    fn has_room_for(&mut self, rows: usize) -> bool {
        let step = STEP_BYTES / (self.shape.stride * size_of::<u64>());
        let wanted = (self.room + step).max(rows).min(self.capacity);
        let reserved = self.backing.as_ref().is_some_and(|backing| backing.reserve(self.shape.bytes(wanted)).is_ok());
        if reserved {
            self.room = wanted;
        }
        reserved && rows <= self.room
    }

    fn append(&mut self, key: &Key, tag: Tag) -> u32 {
        // `count` is below `capacity`, which is below `ROWS_LIMIT`.
        let row = u32::try_from(self.count).unwrap_or(ROW_OTHER);
        for (at, word) in self.words(row).iter().enumerate() {
            let value = if at < self.shape.key_words { key.words.get(at).copied().unwrap_or(0) } else { 0 };
            word.store(value, Relaxed);
        }
        self.index.insert(tag, row);
        self.count += 1;
        // Only now is it a row: a crash before this store leaves a place that the next row takes, and another thread that
        // reads the number sees the key.
        if let Some(rows) = self.control.words().get(CONTROL_ROWS) {
            rows.store(self.count as u64, Release);
        }
        compiler_fence(SeqCst);
        row
    }

    fn add(&self, row: u32, side: Side, packets: u64, bytes: u64) {
        if self.is_wide() {
            add_to::<WIDE_WORDS>(self.words(row), side, packets, bytes);
        } else {
            add_to::<NARROW_WORDS>(self.words(row), side, packets, bytes);
        }
    }

    /// All rows, in the order in which they appeared.
    pub fn rows(&self) -> impl Iterator<Item = (Key, Sums)> + '_ {
        rows_in(&self.rows, self.shape, self.count)
    }

    /// The sums of all rows.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let mut total = Sums::default();
        for (_, sums) in self.rows() {
            total.merge(&sums);
        }
        total
    }

    /// The sums of the rows `other`.
    #[must_use]
    pub fn other(&self) -> Sums {
        let mut total = Sums::default();
        for (_, sums) in self.rows().filter(|(key, _)| key.is_other()) {
            total.merge(&sums);
        }
        total
    }

    /// Gives the index back; the table can be read, not written, from now on.
    pub fn freeze(&mut self) {
        if let Ok(small) = Index::new(0) {
            self.index = small;
        }
        self.rows_max = 0;
        self.capacity = 0;
    }
}

/// The first `count` rows of a mapping.
fn rows_in(rows: &Mapping, shape: Shape, count: usize) -> impl Iterator<Item = (Key, Sums)> + '_ {
    rows.words().chunks_exact(shape.stride).take(count).map(move |words| {
        let value = |at: usize| words.get(at).map_or(0, |word| word.load(Relaxed));
        let mut key = Key::default();
        for (at, word) in key.words.iter_mut().enumerate().take(shape.key_words) {
            *word = value(at);
        }
        let at = shape.key_words;
        let sums = Sums {
            sent_packets: value(at),
            sent_bytes: value(at + 1),
            received_packets: value(at + 2),
            received_bytes: value(at + 3),
        };
        (key, sums)
    })
}

fn capacity(rows_max: usize, specials_max: usize) -> usize {
    rows_max.saturating_add(specials_max).saturating_add(SPECIALS).min(ROWS_LIMIT as usize)
}
