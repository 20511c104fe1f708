//! A table file that is written at once, of rows that are unlike each other already. Nothing looks them up: no index.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use crate::error::{Error, Kind, reason};
use crate::flow::{Account, Key, NARROW_WORDS, Sides, Sums, WIDE_WORDS};
use crate::posting::KeySpec;

use super::CONTROL_ROWS;
use super::closed::Closed;
use super::file::TableFile;
use super::header::{Content, GroupSpec, GroupState};

/// The words of a row's counters.
const COUNTERS: usize = 4;

/// A file that has its name when it is whole, and not before.
#[derive(Debug)]
pub(crate) struct BulkFile {
    file: TableFile,
    path: PathBuf,
    sums: Sums,
}

impl BulkFile {
    /// Begins anew, beside `path`: whatever a process that died has left there is removed.
    ///
    /// # Errors
    /// The file cannot be made, or there is no space.
    pub(crate) fn create(path: &Path, spec: &KeySpec, rows_max: usize, rows_expected: usize) -> Result<Self, Error> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let _not_there = fs::remove_file(&beside);
        let group = GroupSpec { number: 0, sides: Sides::Both, strict_family: 0, copy_range_bytes: 0 };
        let rows = (rows_max, rows_expected);
        let file = TableFile::create_for(Content::Messages, &beside, spec, &[group], rows)?;
        Ok(Self { file, path: path.to_owned(), sums: Sums::default() })
    }

    /// Books what is in no row of its own.
    pub(crate) fn add_special(&mut self, account: Account, sums: &Sums) {
        if *sums != Sums::default() {
            self.file.table.set_sums(&Key::special(account, 0), sums);
            self.sums.merge(sums);
        }
    }

    /// Appends rows: `key_words` words of each key, and four counters.
    ///
    /// # Errors
    /// There is no space; there are more rows than were announced.
    pub(crate) fn append(&mut self, key_words: usize, keys: &[u64], values: &[u64]) -> Result<(), Error> {
        let (keys, values) = (keys.chunks_exact(key_words), values.as_chunks::<COUNTERS>().0);
        let table = &mut self.file.table;
        let sums = if table.shape.key_words == WIDE_WORDS {
            table.append_all::<WIDE_WORDS>(keys, values)
        } else {
            table.append_all::<NARROW_WORDS>(keys, values)
        };
        let sums = sums.ok_or_else(|| self.fail("write", "there is no room for its rows"))?;
        self.sums.merge(&sums);
        Ok(())
    }

    /// The sums of all rows.
    pub(crate) fn sums(&self) -> Sums {
        self.sums
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn finish(mut self, state: &GroupState) -> Result<Closed, Error> {
        self.file.close_batch(0, state);
        let renamed = fs::rename(self.file.path(), &self.path);
        renamed.map_err(|error| self.fail("rename", &reason(&error)))?;
        self.file.set_path(&self.path);
        Ok(Closed::new(self.file, false))
    }

    /// Takes it away.
    pub(crate) fn abandon(self) {
        // What made it useless matters more than that it is in the way, until the next attempt removes it.
        let _left = self.file.remove();
    }

    fn fail(&self, operation: &'static str, cause: &str) -> Error {
        Error::new(Kind::Table, format!("table {}", self.path.display()), operation, cause)
    }
}

impl super::Table {
    fn set_sums(&mut self, key: &Key, sums: &Sums) {
        let tag = self.tag(key);
        let row = self.find_or_append(key, tag);
        let at = self.shape.key_words;
        let values = [sums.sent_packets, sums.sent_bytes, sums.received_packets, sums.received_bytes];
        for (word, value) in self.words(row).iter().skip(at).zip(values) {
            word.store(value, Relaxed);
        }
    }

    /// None if there is no room for all of them. Keys that are shorter than ours end with zeros.
    fn append_all<'a, const KEY: usize>(
        &mut self,
        keys: impl ExactSizeIterator<Item = &'a [u64]>,
        values: &[[u64; COUNTERS]],
    ) -> Option<Sums> {
        let wanted = self.count.checked_add(keys.len()).filter(|&count| count <= self.capacity)?;
        while self.room < wanted {
            if !self.has_room_for(wanted) {
                return None;
            }
        }
        let mut sums = Sums::default();
        let words = self.rows.words().get(self.count * self.shape.stride..)?;
        for (row, (key, value)) in words.chunks_exact(self.shape.stride).zip(keys.zip(values)) {
            let (own_key, own_values) = row.split_at_checked(KEY)?;
            for (at, word) in own_key.iter().enumerate() {
                word.store(key.get(at).copied().unwrap_or_default(), Relaxed);
            }
            for (word, value) in own_values.iter().zip(value) {
                word.store(*value, Relaxed);
            }
            let [sent_packets, sent_bytes, received_packets, received_bytes] = *value;
            sums.merge(&Sums { sent_packets, sent_bytes, received_packets, received_bytes });
        }
        self.count = wanted;
        self.set_control(CONTROL_ROWS, wanted as u64);
        Some(sums)
    }
}
