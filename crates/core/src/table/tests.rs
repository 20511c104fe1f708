//! The table against a plain map, and the journal at each point where a process can be killed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use proptest::collection::vec;
use proptest::prelude::*;

use super::file::TableFile;
use super::header::{GroupSpec, GroupState, Header};
use super::*;
use crate::flow::{Address, Fields, Posting, Sides};
use crate::recovery::finish;
use crate::sources::nflog::Reader;

fn key(host: u32) -> Key {
    let [a, b, c, d] = host.to_be_bytes();
    Key::new(&Fields {
        account: Account::Host,
        host: Address::from_v4([a, b, c, d]),
        peer: Address::default(),
        protocol: 0,
        host_port: 0,
        peer_port: 0,
        zone: 0,
        place: 0,
        tag: 0,
    })
}

fn scratch() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("netledger-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    std::env::temp_dir().join(name)
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend((4 + u16::try_from(value.len()).unwrap()).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A datagram as NFLOG writes it: packets between few addresses, numbered from `first` on, and the closing message.
pub(crate) fn datagram(group: u16, first: u32, packets: u32) -> Vec<u8> {
    let mut all = Vec::new();
    for number in first..first + packets {
        let [high, low] = group.to_be_bytes();
        let mut body = vec![2, 0, high, low];
        attribute(&mut body, 1, &[8, 0, 3, 0]);
        attribute(&mut body, 12, &number.to_be_bytes());
        let low_byte = u8::try_from(number % 5).unwrap();
        let mut ip = [0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 0, 10, 0, 1, 0];
        ip[3] = 40 + low_byte;
        ip[15] = low_byte;
        ip[19] = u8::try_from(number % 3).unwrap();
        attribute(&mut body, 9, &ip);
        all.extend((16 + u32::try_from(body.len()).unwrap()).to_ne_bytes());
        all.extend(0x0400_u16.to_ne_bytes());
        all.extend([0; 10]);
        all.extend(body);
    }
    all.extend([20, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    all
}

const GROUP: GroupSpec = GroupSpec { number: 7, sides: Sides::Both, strict_family: 0, copy_range_bytes: 48 };

/// A file into which one whole batch of ten packets has gone.
fn begun(path: &std::path::Path, rows_max: usize) -> TableFile {
    let mut file = TableFile::create(path, &KeySpec::default(), &[GROUP], rows_max, 0).unwrap();
    let mut state = file.state(0);
    file.open_batch(0);
    let postings = arrive(&mut file, &datagram(7, 0, 10), true, &mut state);
    file.table.apply(&postings);
    file.close_batch(0, &state);
    file
}

/// Puts a datagram into the buffer, as a receive does, and reads it.
fn arrive(file: &mut TableFile, bytes: &[u8], is_noted: bool, state: &mut GroupState) -> Vec<Posting> {
    file.buffer.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    if is_noted {
        file.extend_batch(bytes.len());
    }
    let mut postings = Vec::new();
    let header = Header(file.control.words());
    Reader::new(&file.spec).absorb(bytes, false, &GROUP, header, state, None, |posting| postings.push(posting));
    postings
}

fn rows_of(table: &Table) -> HashMap<Key, Sums> {
    table.rows().filter(|(_, sums)| *sums != Sums::default()).collect()
}

/// What is in a table that was never interrupted.
fn expected(rows_max: usize) -> (HashMap<Key, Sums>, Sums) {
    let path = scratch();
    let mut file = begun(&path, rows_max);
    let mut state = file.state(0);
    file.open_batch(0);
    let postings = arrive(&mut file, &datagram(7, 10, 8), true, &mut state);
    file.table.apply(&postings);
    file.close_batch(0, &state);
    let result = (rows_of(&file.table), file.totals().posted);
    file.remove().unwrap();
    result
}

/// Kills between any two stores of a batch: `applied` postings are done, `torn` says which additions of the next one are.
fn killed_at(applied: usize, torn: Option<(u64, bool)>, is_noted: bool, rows_max: usize) {
    let path = scratch();
    let mut file = begun(&path, rows_max);
    let mut state = file.state(0);
    file.open_batch(0);
    let postings = arrive(&mut file, &datagram(7, 10, 8), is_noted, &mut state);
    file.table.apply(&postings[..applied]);
    if let (Some((packets, has_bytes)), Some(next)) = (torn, postings.get(applied)) {
        file.table.tear(next, packets, if has_bytes { next.bytes } else { 0 });
    }
    drop(file);

    let closed = finish(&path).unwrap();
    let (rows, posted) = expected(rows_max);
    let what = format!("applied {applied}, torn {torn:?}, noted {is_noted}, rows_max {rows_max}");
    assert_eq!(rows_of(&closed.file.table), rows, "{what}");
    assert_eq!(closed.totals.posted, posted, "{what}");
    assert_eq!(closed.totals.received_packets, 18, "{what}");
    assert_eq!(closed.file.table.sums(), posted, "{what}");
    drop(closed);
    let again = finish(&path).unwrap();
    assert_eq!(again.file.table.sums(), posted, "a second recovery changes nothing: {what}");
    again.file.remove().unwrap();
}

#[test]
fn a_kill_at_any_store_loses_nothing_and_adds_nothing() {
    for rows_max in [1000, 3] {
        for applied in 0..=16 {
            for torn in [None, Some((0, false)), Some((1, false)), Some((0, true)), Some((1, true))] {
                killed_at(applied, torn, true, rows_max);
            }
        }
    }
}

#[test]
fn a_datagram_whose_length_was_not_yet_noted_is_found_and_what_lies_behind_it_is_not() {
    killed_at(0, None, false, 1000);
}

#[test]
fn a_kill_before_anything_arrived_adds_nothing() {
    let path = scratch();
    let mut file = begun(&path, 1000);
    let posted = file.totals().posted;
    file.open_batch(0);
    drop(file);
    let closed = finish(&path).unwrap();
    assert_eq!(closed.file.table.sums(), posted);
    closed.file.remove().unwrap();
}

#[test]
fn rows_that_do_not_add_up_are_refused() {
    let path = scratch();
    let file = begun(&path, 1000);
    file.table.add(1, Side::Sent, 0, 1);
    drop(file);
    let error = finish(&path).unwrap_err();
    assert!(error.cause.starts_with("its rows do not add up"), "{error}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_file_that_somebody_else_has_removed_is_gone_as_well() {
    let path = scratch();
    let file = begun(&path, 1000);
    std::fs::remove_file(&path).unwrap();
    file.remove().unwrap();
}

#[test]
fn a_file_in_use_is_refused() {
    let path = scratch();
    let file = begun(&path, 1000);
    assert_eq!(finish(&path).unwrap_err().cause, "in use by a running process");
    file.remove().unwrap();
}

#[test]
fn a_file_that_is_no_table_is_refused() {
    let path = scratch();
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    assert_eq!(finish(&path).unwrap_err().cause, "not a table file of this version");
    std::fs::write(&path, b"short").unwrap();
    assert_eq!(finish(&path).unwrap_err().cause, "too short to be a table file");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_finds_no_room_is_booked_on_other_and_nothing_is_lost() {
    let mut table = Table::anonymous(&KeySpec::default(), 10, 0).unwrap();
    for host in 0..100_u32 {
        table.apply(&[Posting { key: key(host), bytes: 100, side: Side::Sent }]);
    }
    assert_eq!(table.sums().sent_packets, 100);
    assert_eq!(table.other().sent_packets, 91, "ten rows, one of them `other` itself");
    assert_eq!(table.other().sent_bytes, 9100);
}

#[test]
fn a_wide_key_tells_peers_apart_and_a_narrow_one_does_not_look() {
    let spec = KeySpec { columns: KeySpec::columns_of(["host", "peer"]).unwrap(), ..KeySpec::default() };
    let mut table = Table::anonymous(&spec, 100, 0).unwrap();
    for peer in 0..3 {
        let mut wide = key(1);
        wide.words[5] = peer;
        table.apply(&[Posting { key: wide, bytes: 1, side: Side::Received }]);
    }
    assert_eq!(rows_of(&table).len(), 3);
}

proptest! {
    /// Any postings: the table holds what a map holds, however often it grew.
    #[test]
    fn the_table_is_a_map(hosts in vec((0_u32..3000, 0_u64..1 << 32, any::<bool>()), 0..6000)) {
        let mut table = Table::anonymous(&KeySpec::default(), 1 << 16, 0).unwrap();
        let mut map: HashMap<Key, Sums> = HashMap::new();
        let postings: Vec<_> = hosts
            .iter()
            .map(|&(host, bytes, is_sent)| {
                Posting { key: key(host), bytes, side: if is_sent { Side::Sent } else { Side::Received } }
            })
            .collect();
        for posting in &postings {
            map.entry(posting.key).or_default().add(posting, 1);
        }
        table.apply(&postings);
        prop_assert_eq!(rows_of(&table), map);
    }
}
