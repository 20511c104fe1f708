//! Zone and mark of a connection: from a posting through the table file into the batch.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use arrow_array::{Array, StructArray, UInt16Array, UInt32Array};
use netledger_core::batch::{Names, batch};
use netledger_core::flow::{Account, Address, Fields, Key, Sides};
use netledger_core::packet::{Depth, Headers, parse};
use netledger_core::posting::{COLUMNS, KeySpec, Place, Poster};
use netledger_core::table::file::TableFile;
use proptest::prelude::*;

const TCP: [u8; 24] = [0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 192, 0, 2, 9, 0x9c, 0x40, 0, 80];

fn spec(columns: &[&str]) -> KeySpec {
    let columns = KeySpec::columns_of(columns.iter().copied()).unwrap();
    KeySpec { columns, local: vec![(Address::from_v4([10, 0, 0, 0]), 8, true)], ..KeySpec::default() }
}

/// Zone and mark of a row, as its batch has them.
type Told = (Option<u16>, Option<u32>);

fn headers() -> Headers {
    parse(&TCP, Depth::Ports).unwrap()
}

/// A file with three flows of one host: two zones, two marks.
fn filled(path: &Path, spec: &KeySpec) -> TableFile {
    let mut file = TableFile::create(path, spec, &[], 100, 0).unwrap();
    let poster = Poster::new(spec, false);
    let mut postings = Vec::new();
    for (zone, mark) in [(0, 0), (u16::MAX, 7), (u16::MAX, u32::MAX)] {
        poster.post(&headers(), Sides::Both, &Place::of_flow(zone, mark), |posting| postings.push(posting));
    }
    file.table.apply(&postings);
    file
}

fn batch_of(file: &TableFile) -> StructArray {
    let names = Names { interfaces: &HashMap::new(), labels: &[] };
    batch(file.table.rows(), file.table.len(), &file.spec, &names, None).unwrap()
}

/// Zone and mark of the rows that have a host.
fn told(rows: &StructArray) -> BTreeSet<Told> {
    let zones = rows.column_by_name("zone").unwrap().as_any().downcast_ref::<UInt16Array>().unwrap().clone();
    let marks = rows.column_by_name("mark").unwrap().as_any().downcast_ref::<UInt32Array>().unwrap().clone();
    let hosts = rows.column_by_name("host").unwrap().clone();
    assert!((0..rows.len()).all(|row| hosts.is_valid(row) || (zones.is_null(row) && marks.is_null(row))));
    (0..rows.len())
        .filter(|&row| hosts.is_valid(row))
        .map(|row| (zones.is_valid(row).then(|| zones.value(row)), marks.is_valid(row).then(|| marks.value(row))))
        .collect()
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("netledger-connections-{}-{name}", std::process::id()))
}

/// The file's first eight bytes, as the word that they are.
fn magic(path: &Path) -> [u8; 8] {
    let bytes = std::fs::read(path).unwrap();
    u64::from_ne_bytes(*bytes.first_chunk().unwrap()).to_be_bytes()
}

#[test]
fn flows_are_told_apart_by_the_columns_asked_for() {
    let cases: [(&[&str], &[Told]); 4] = [
        (&["host"], &[(None, None)]),
        (&["host", "zone"], &[(Some(0), None), (Some(u16::MAX), None)]),
        (&["host", "mark"], &[(None, Some(0)), (None, Some(7)), (None, Some(u32::MAX))]),
        (
            &["host", "peer", "zone", "mark"],
            &[(Some(0), Some(0)), (Some(u16::MAX), Some(7)), (Some(u16::MAX), Some(u32::MAX))],
        ),
    ];
    for (columns, expected) in cases {
        let path = scratch(&columns.join("-"));
        let file = filled(&path, &spec(columns));
        assert_eq!(told(&batch_of(&file)), expected.iter().copied().collect(), "{columns:?}");
        assert_eq!(file.table.sums().sent_packets, 3, "{columns:?}");
        file.remove().unwrap();
    }
}

#[test]
fn a_file_with_zones_and_marks_says_so_to_older_programs_and_opens_again() {
    for (columns, version) in [(["host", "label"], 1), (["host", "zone"], 2), (["zone", "mark"], 2)] {
        let path = scratch(&format!("again-{}", columns.join("-")));
        let file = filled(&path, &spec(&columns));
        let rows = batch_of(&file);
        drop(file);
        assert_eq!(magic(&path), [b'N', b'L', b'T', b'A', b'B', b'L', b'E', version], "{columns:?}");
        let again = TableFile::open(&path).unwrap();
        assert_eq!(again.spec, spec(&columns));
        assert_eq!(batch_of(&again), rows);
        again.remove().unwrap();
    }
}

#[test]
fn interface_and_mark_do_not_fit_into_one_key() {
    assert!(!spec(&["interface", "mark"]).fits());
    let all: Vec<_> = COLUMNS.into_iter().filter(|&name| name != "interface").collect();
    assert!(spec(&all).fits());
}

proptest! {
    #[test]
    fn a_key_gives_its_fields_back(
        (host, peer, place, tag) in any::<(u128, u128, u32, u32)>(),
        (protocol, host_port, peer_port, zone) in any::<(u8, u16, u16, u16)>(),
        number in 0..3_usize,
    ) {
        let account = *Account::ALL.get(number).unwrap();
        // Who has no address has no zone either.
        let zone = if account == Account::Host { zone } else { 0 };
        let fields = Fields {
            account, host: Address(host), peer: Address(peer), protocol, host_port, peer_port, zone, place, tag,
        };
        let key = Key::new(&fields);
        prop_assert_eq!(key.fields(), fields);
        prop_assert_eq!(key.is_other(), account == Account::Other);
        prop_assert_eq!(key.with_tag(9).fields(), Fields { tag: 9, ..fields });
    }
}
