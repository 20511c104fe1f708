//! A table file that is written at once, of rows that are unlike each other already. Nothing looks them up: no index. They are
//! written, and not stored through the mapping: there each page costs a fault, which is dearer than copying it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use crate::error::{Error, Kind, reason};
use crate::flow::{Account, Key, NARROW_WORDS, Sides, Sums, WIDE_WORDS};
use crate::posting::KeySpec;

use super::closed::Closed;
use super::file::{TableFile, Use};
use super::header::{Content, GroupSpec, GroupState};
use super::{CONTROL_ROWS, NARROW_STRIDE, WIDE_STRIDE};

/// The words of a row's counters.
const COUNTERS: usize = 4;

/// A file that has its name when it is whole, and not before.
#[derive(Debug)]
pub(crate) struct BulkFile {
    file: TableFile,
    path: PathBuf,
    sums: Sums,
    other: Sums,
    /// Rows as they lie in the file, from one call to the next.
    buffer: Vec<u8>,
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
        let file = TableFile::create_with(Use::Writing, Content::Messages, &beside, spec, &[group], rows)?;
        let (sums, other) = (Sums::default(), Sums::default());
        Ok(Self { file, path: path.to_owned(), sums, other, buffer: Vec::new() })
    }

    /// Books what is in no row of its own.
    pub(crate) fn add_special(&mut self, account: Account, sums: &Sums) {
        if *sums != Sums::default() {
            self.file.table.set_sums(&Key::special(account, 0), sums);
            self.sums.merge(sums);
            if account == Account::Other {
                self.other = *sums;
            }
        }
    }

    /// Appends rows: `key_words` words of each key, and four counters.
    ///
    /// # Errors
    /// There is no space; there are more rows than were announced.
    pub(crate) fn append(&mut self, key_words: usize, keys: &[u64], values: &[u64]) -> Result<(), Error> {
        let (values, _) = values.as_chunks::<COUNTERS>();
        let (table, buffer) = (&mut self.file.table, &mut self.buffer);
        let sums = if table.shape.key_words == WIDE_WORDS {
            table.append_all::<WIDE_WORDS, WIDE_STRIDE>(key_words, keys, values, buffer)
        } else {
            table.append_all::<NARROW_WORDS, NARROW_STRIDE>(key_words, keys, values, buffer)
        };
        let sums = sums.map_err(|error| self.fail("write", &reason(&error)))?;
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
        Ok(Closed::known(self.file, *state, self.other))
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

    /// # Errors
    /// The file system's: ENOSPC as well where there are more rows than were announced.
    fn append_all<const KEY: usize, const STRIDE: usize>(
        &mut self,
        key_words: usize,
        keys: &[u64],
        values: &[[u64; COUNTERS]],
        buffer: &mut Vec<u8>,
    ) -> io::Result<Sums> {
        let no_room = || io::Error::from_raw_os_error(libc::ENOSPC);
        let wanted = self.count.saturating_add(values.len());
        if wanted > self.capacity || (self.room < wanted && !self.has_room_for(wanted)) {
            return Err(no_room());
        }
        let row_bytes = STRIDE * size_of::<u64>();
        // What is between the words that are written here stays zero.
        buffer.resize(values.len() * row_bytes, 0);
        let mut sums = [0_u64; COUNTERS];
        for ((row, key), value) in buffer.chunks_exact_mut(row_bytes).zip(keys.chunks_exact(key_words)).zip(values) {
            let (words, _) = row.as_chunks_mut::<{ size_of::<u64>() }>();
            let Some((own_key, own_value)) = words.split_at_mut_checked(KEY) else { return Err(no_room()) };
            for (to, word) in own_key.iter_mut().zip(key) {
                *to = word.to_ne_bytes();
            }
            for ((to, word), sum) in own_value.iter_mut().zip(value).zip(&mut sums) {
                *to = word.to_ne_bytes();
                *sum = sum.saturating_add(*word);
            }
        }
        let backing = self.backing.as_ref().ok_or_else(no_room)?;
        backing.write(self.count * row_bytes, buffer)?;
        self.count = wanted;
        self.set_control(CONTROL_ROWS, wanted as u64);
        let [sent_packets, sent_bytes, received_packets, received_bytes] = sums;
        Ok(Sums { sent_packets, sent_bytes, received_packets, received_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Address;
    use crate::recovery::recover;

    fn sums(packets: u64) -> Sums {
        Sums { sent_packets: packets, sent_bytes: packets * 100, received_packets: packets + 1, received_bytes: 7 }
    }

    fn words(sums: &Sums) -> [u64; COUNTERS] {
        [sums.sent_packets, sums.sent_bytes, sums.received_packets, sums.received_bytes]
    }

    /// Rows of keys that are `key_words` long, beside 5 and 3 packets in no row.
    fn written(path: &Path, spec: &KeySpec, key_words: usize, rows: u64, rows_max: usize) -> Result<Closed, Error> {
        let mut file = BulkFile::create(path, spec, rows_max, 0)?;
        file.add_special(Account::Other, &sums(5));
        file.add_special(Account::External, &sums(3));
        // In parts of different sizes, the longer one first.
        let all: Vec<u64> = (0..rows).collect();
        for part in all.chunks(700) {
            let keys: Vec<u64> = part.iter().flat_map(|&row| std::iter::repeat_n(row, key_words)).collect();
            let values: Vec<u64> = part.iter().flat_map(|&row| words(&sums(row))).collect();
            file.append(key_words, &keys, &values)?;
        }
        let state = GroupState { posted: file.sums(), received_packets: 9, ..GroupState::default() };
        file.finish(&state)
    }

    fn spec(columns: &[&str]) -> KeySpec {
        let columns = KeySpec::columns_of(columns.iter().copied()).unwrap();
        KeySpec { columns, ..KeySpec::default() }
    }

    #[test]
    fn what_was_written_is_read_again_as_that_of_a_dead_process() {
        for (number, (columns, key_words)) in
            [(&["host"][..], 2), (&["host", "protocol"][..], 4), (&["host", "peer"][..], 6)].into_iter().enumerate()
        {
            let path = std::env::temp_dir().join(format!("netledger-bulk-{}-{number}", std::process::id()));
            let closed = written(&path, &spec(columns), key_words, 1500, 1500).unwrap();
            let expected: Vec<_> = closed.file.table.rows().collect();
            assert_eq!((expected.len(), closed.other, closed.recovered), (1502, sums(5), false));
            let (key, value) = expected[1501];
            let mut wanted = Key::default();
            wanted.words[..key_words].fill(1499);
            assert_eq!((key, value), (wanted, sums(1499)));
            let totals = closed.totals;
            drop(closed);
            let again = recover(&path).unwrap();
            assert_eq!((again.totals, again.other, again.recovered), (totals, sums(5), true));
            assert_eq!(again.used(), 1502);
            again.remove().unwrap();
        }
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_not_before() {
        let path = std::env::temp_dir().join(format!("netledger-bulk-{}-part", std::process::id()));
        let part = PathBuf::from(format!("{}.part", path.display()));
        let file = BulkFile::create(&path, &spec(&["host"]), 10, 10).unwrap();
        assert!(part.exists() && !path.exists());
        file.abandon();
        assert!(!part.exists() && !path.exists());
        let error = written(&path, &spec(&["host"]), 2, 1000, 10).unwrap_err();
        assert_eq!((error.operation, error.cause.as_str()), ("write", "no space left on device"));
        assert!(part.exists() && !path.exists(), "what a process leaves that dies here");
        written(&path, &spec(&["host"]), 2, 10, 10).unwrap().file.remove().unwrap();
        assert!(!part.exists() && !path.exists());
    }

    #[test]
    fn an_address_is_found_where_it_was_put() {
        let path = std::env::temp_dir().join(format!("netledger-bulk-{}-address", std::process::id()));
        let mut file = BulkFile::create(&path, &spec(&["host"]), 1, 1).unwrap();
        let Address(address) = Address::from_v4([192, 0, 2, 1]);
        let key = Key::host_only(Address(address));
        file.append(2, &key.words[..2], &words(&sums(4))).unwrap();
        let closed = file.finish(&GroupState::default()).unwrap();
        assert_eq!(closed.file.table.rows().last(), Some((key, sums(4))));
        closed.file.remove().unwrap();
    }
}
