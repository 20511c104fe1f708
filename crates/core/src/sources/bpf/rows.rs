//! Reads the rows of a map, many with one call, into a table file or one after the other.

use std::io;

use crate::flow::{Key, Sums, WIDE_WORDS};
use crate::sys::bpf::{Cursor, Looked, Map, look_up_many};

use super::layout::ROW_WORDS;

/// Rows that are asked for at once: what they need fits into a second-level cache, and a call is nothing beside them.
const ROWS_AT_ONCE: usize = 1 << 14;

/// The rows of a map in parts, in the order in which the kernel has them. A row that is there from the beginning on comes
/// once; of those that are made meanwhile some come.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    map: &'a Map,
    key_words: usize,
    cursor: Cursor,
    keys: Vec<u64>,
    values: Vec<u64>,
    is_done: bool,
}

impl<'a> Parts<'a> {
    pub(super) fn new(map: &'a Map) -> Self {
        Self::with_room(map, ROWS_AT_ONCE.min(map.form.entries_max as usize))
    }

    fn with_room(map: &'a Map, rows: usize) -> Self {
        let key_words = map.form.key_bytes / size_of::<u64>();
        let (keys, values) = (vec![0; rows * key_words], vec![0; rows * ROW_WORDS]);
        Self { map, key_words, cursor: Cursor::default(), keys, values, is_done: false }
    }

    /// Keys and values of the next part, row behind row. None when all have come.
    pub(super) fn next(&mut self) -> io::Result<Option<(&[u64], &[u64])>> {
        while !self.is_done {
            let count = match look_up_many(self.map, &mut self.cursor, &mut self.keys, &mut self.values)? {
                Looked::Some(count) => count,
                Looked::Last(count) => {
                    self.is_done = true;
                    count
                }
                // Rows of one bucket come together: many keys may share one, whatever the size of the map.
                Looked::NoRoom => {
                    self.keys.resize(self.keys.len().max(self.key_words) * 2, 0);
                    self.values.resize(self.values.len().max(ROW_WORDS) * 2, 0);
                    continue;
                }
            };
            if count > 0 {
                let keys = self.keys.get(..count * self.key_words).unwrap_or_default();
                return Ok(Some((keys, self.values.get(..count * ROW_WORDS).unwrap_or_default())));
            }
        }
        Ok(None)
    }

    pub(super) fn key_words(&self) -> usize {
        self.key_words
    }
}

/// The rows one after the other. What goes wrong ends them, and is kept.
pub(super) struct Rows<'a> {
    parts: Parts<'a>,
    part: Vec<(Key, Sums)>,
    pub(super) failure: Option<io::Error>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(map: &'a Map) -> Self {
        Self { parts: Parts::new(map), part: Vec::new(), failure: None }
    }
}

impl Iterator for Rows<'_> {
    type Item = (Key, Sums);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.part.pop() {
            return Some(row);
        }
        let key_words = self.parts.key_words();
        match self.parts.next() {
            Ok(part) => {
                let (keys, values) = part?;
                let rows = keys.chunks_exact(key_words).zip(values.chunks_exact(ROW_WORDS));
                self.part.extend(rows.map(|(key, value)| row(key, value)));
                self.part.pop()
            }
            Err(error) => {
                self.failure = Some(error);
                None
            }
        }
    }
}

fn row(key: &[u64], value: &[u64]) -> (Key, Sums) {
    let mut words = [0; WIDE_WORDS];
    for (to, from) in words.iter_mut().zip(key) {
        *to = *from;
    }
    let at = |at: usize| value.get(at).copied().unwrap_or_default();
    let sums = Sums { sent_packets: at(0), sent_bytes: at(1), received_packets: at(2), received_bytes: at(3) };
    (Key { words }, sums)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sources::bpf::object::rows_form;

    /// A map with rows 0 to `count`: the row's number is in its key, and is what it has sent.
    fn map(count: u64) -> Map {
        let map = Map::hash(rows_form(32, 4096)).unwrap();
        for row in 0..count {
            let words = |words: [u64; 4]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>();
            map.insert(&words([row, 1, 2, 3]), &words([row, 0, 0, 9])).unwrap();
        }
        map
    }

    #[test]
    #[ignore = "makes maps in the kernel"]
    fn room_for_one_row_grows_until_a_bucket_fits() {
        let map = map(4096);
        let (mut parts, mut seen, mut largest) = (Parts::with_room(&map, 1), BTreeSet::new(), 0);
        while let Some((keys, values)) = parts.next().unwrap() {
            assert_eq!(keys.len(), values.len());
            largest = largest.max(keys.len() / 4);
            for (key, value) in keys.chunks(4).zip(values.chunks(4)) {
                assert_eq!((&key[1..], &value[1..], key[0]), (&[1, 2, 3][..], &[0, 0, 9][..], value[0]));
                assert!(seen.insert(key[0]), "{} came twice", key[0]);
            }
        }
        assert_eq!(seen, (0..4096).collect());
        // 4096 keys in 4096 buckets: without growing, the first that shares one would have been the last.
        assert!(largest > 1, "{largest}");
        assert!(parts.next().unwrap().is_none());
    }

    #[test]
    #[ignore = "makes maps in the kernel"]
    fn rows_come_one_after_the_other_and_once() {
        for count in [0, 1, 3000] {
            let map = map(count);
            let mut rows = Rows { parts: Parts::with_room(&map, 100), part: Vec::new(), failure: None };
            let mut sent: Vec<_> = rows.by_ref().map(|(key, sums)| (key.words[0], sums.sent_packets)).collect();
            sent.sort_unstable();
            assert_eq!(sent, (0..count).map(|row| (row, row)).collect::<Vec<_>>());
            assert!(rows.failure.is_none());
        }
    }
}
