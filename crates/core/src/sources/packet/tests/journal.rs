//! A kill between any two stores of a piece: what is recovered is what would have been there.

use std::collections::HashMap;

use super::super::record::{BYTES, record, replay};
use super::*;
use crate::flow::{Address, Posting};
use crate::packet::{Depth, parse};
use crate::posting::Poster;
use crate::recovery::finish;

/// Some sources are local, and no destination is: postings of one packet, and of several.
fn local_spec() -> KeySpec {
    let local = vec![(Address::from_v4([10, 0, 0, 0]), 30, true)];
    KeySpec { local, ..spec(&["host", "peer", "host_port", "interface"]) }
}

/// A file into which one whole piece of ten packets has gone, and the state then.
fn begun(path: &std::path::Path, rows_max: usize) -> (TableFile, GroupState) {
    let mut file = file(path, &local_spec(), rows_max);
    let mut state = GroupState::default();
    let postings = arrive(&mut file, 0..10, &mut state);
    file.open_written(0, 10 * BYTES, &state);
    file.table.apply_counted(&postings);
    file.close_batch(0, &state);
    (file, state)
}

/// Puts packets into the buffer, as a receiver does. Returns their postings.
fn arrive(file: &mut TableFile, numbers: std::ops::Range<u8>, state: &mut GroupState) -> Vec<(Posting, u64)> {
    let mut records = Vec::new();
    for number in numbers {
        let headers = parse(&Built::new(number, 60 + u16::from(number)).network, Depth::Ports).unwrap();
        state.received_packets += 1;
        state.received_bytes += headers.bytes;
        state.ring.dropped_packets += 3;
        state.posted.add_packets(Sides::Both, 1, headers.bytes);
        records.push(record(&headers, 9));
    }
    for (word, value) in file.buffer.words().iter().zip(records.as_flattened()) {
        word.store(*value, Relaxed);
    }
    let bytes: Vec<u8> = records.as_flattened().iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut made = Vec::new();
    replay(&bytes, &Poster::new(&file.spec, false), Sides::Both, &mut |posting, packets| made.push((posting, packets)));
    made
}

fn rows_of(file: &TableFile) -> HashMap<Key, Sums> {
    file.table.rows().filter(|(_, sums)| *sums != Sums::default()).collect()
}

/// What is in a table that was never interrupted.
fn expected(rows_max: usize) -> (HashMap<Key, Sums>, GroupState) {
    let path = scratch();
    let (mut file, mut state) = begun(&path, rows_max);
    let postings = arrive(&mut file, 10..18, &mut state);
    file.open_written(0, 8 * BYTES, &state);
    file.table.apply_counted(&postings);
    file.close_batch(0, &state);
    file.remove().unwrap();
    (rows_of(&file), state)
}

/// `applied` postings are done, `torn` says which additions of the next one are.
fn killed_at(applied: usize, torn: Option<(bool, bool)>, rows_max: usize) {
    let path = scratch();
    let (mut file, mut state) = begun(&path, rows_max);
    let postings = arrive(&mut file, 10..18, &mut state);
    file.open_written(0, 8 * BYTES, &state);
    file.table.apply_counted(&postings[..applied]);
    if let (Some((has_packets, has_bytes)), Some((next, packets))) = (torn, postings.get(applied)) {
        let (packets, bytes) = (u64::from(has_packets) * packets, u64::from(has_bytes) * next.bytes);
        file.table.tear(next, packets, bytes);
    }
    drop(file);

    let closed = finish(&path).unwrap();
    let (rows, state) = expected(rows_max);
    let what = format!("applied {applied}, torn {torn:?}, rows_max {rows_max}");
    assert_eq!(rows_of(&closed.file), rows, "{what}");
    assert_eq!(closed.totals, state, "{what}");
    assert_eq!(closed.file.table.sums(), state.posted, "{what}");
    drop(closed);
    let again = finish(&path).unwrap();
    assert_eq!(again.file.table.sums(), state.posted, "a second recovery changes nothing: {what}");
    again.file.remove().unwrap();
}

#[test]
fn a_kill_at_any_store_loses_nothing_of_a_piece_and_adds_nothing() {
    let path = scratch();
    let (mut file, mut state) = begun(&path, 1000);
    let postings = arrive(&mut file, 10..18, &mut state);
    file.remove().unwrap();
    assert!(postings.iter().any(|(_, packets)| *packets > 1), "one is for several packets");
    assert!(postings.len() > 6, "and most are for one");
    for rows_max in [1000, 3] {
        for applied in 0..=postings.len() {
            for torn in [None, Some((false, false)), Some((true, false)), Some((false, true)), Some((true, true))] {
                killed_at(applied, torn, rows_max);
            }
        }
    }
}

#[test]
fn a_piece_that_was_not_yet_opened_has_not_been_received() {
    let path = scratch();
    let (mut file, mut state) = begun(&path, 1000);
    let before = state;
    arrive(&mut file, 10..18, &mut state);
    drop(file);
    let closed = finish(&path).unwrap();
    assert_eq!((closed.totals, closed.file.table.sums()), (before, before.posted));
    closed.file.remove().unwrap();
}

#[test]
fn names_and_the_kind_of_the_table_survive() {
    let path = scratch();
    let (file, _) = begun(&path, 1000);
    assert_eq!(file.header().note_interface(9, "a-name-of-15-by"), 9);
    drop(file);
    let closed = finish(&path).unwrap();
    assert_eq!(closed.file.header().content(), Some(Content::Packets));
    assert_eq!(closed.file.header().interfaces().get(&9).map(String::as_str), Some("a-name-of-15-by"));
    closed.file.remove().unwrap();
}

#[test]
fn interfaces_beyond_what_a_table_has_room_for_are_one() {
    use crate::table::interfaces::{MORE, MORE_NAME};
    let path = scratch();
    let (file, _) = begun(&path, 1000);
    for number in 1..=4096 {
        assert_eq!(file.header().note_interface(number, "eth"), number);
    }
    assert_eq!(file.header().note_interface(4097, "eth"), MORE);
    assert_eq!(file.header().note_interface(4096, "eth"), 4096);
    assert_eq!(file.header().interfaces().get(&MORE).map(String::as_str), Some(MORE_NAME));
    file.remove().unwrap();
}

#[test]
fn a_generation_in_several_files_is_one_and_goes_as_one() {
    use crate::recovery::recover;
    use crate::table::header::Word;
    use crate::table::several::path_of;
    let path = scratch();
    let (one, state) = begun(&path, 1000);
    one.header().set(Word::Files, 2);
    let (other, _) = begun(&path_of(&path, 1), 1000);
    let rows = rows_of(&one).len();
    drop((one, other));
    let both = recover(&path).unwrap();
    assert_eq!((both.files(), both.used()), (2, rows), "the same keys are the same rows");
    assert_eq!(both.totals.received_packets, 2 * state.received_packets);
    assert!(both.recovered);
    drop(both);
    // Killed while it was released: the first file goes last.
    std::fs::remove_file(path_of(&path, 1)).unwrap();
    let left = recover(&path).unwrap();
    assert_eq!(left.totals.received_packets, state.received_packets);
    left.remove().unwrap();
    assert!(!path.exists());
}
