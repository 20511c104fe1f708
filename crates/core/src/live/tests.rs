//! What a look at a table gives while another thread writes it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;

use super::*;
use crate::flow::{Account, Address, Fields, Posting, Side, Sides};
use crate::table::closed::Closed;
use crate::table::file::TableFile;
use crate::table::header::GroupSpec;

/// Crosses the border of 32 bits with each packet but one in 4 billion: half a number would show.
const BYTES: u64 = (1 << 32) - 1;
const GROUP: GroupSpec = GroupSpec { number: 7, sides: Sides::Both, strict_family: 0, copy_range_bytes: 48 };

fn key(host: u64, tag: u32) -> Key {
    Key::new(&Fields {
        account: Account::Host,
        host: Address(u128::from(host)),
        peer: Address::default(),
        protocol: 0,
        host_port: 0,
        peer_port: 0,
        zone: 0,
        place: 0,
        tag,
    })
}

fn posting(number: u64, hosts: u64) -> Posting {
    // Each packet is one posting as sent, and one as received by the next host.
    let side = if number.is_multiple_of(2) { Side::Sent } else { Side::Received };
    Posting { key: key(number / 2 % hosts, 0), bytes: BYTES, side }
}

fn made(name: &str, spec: &KeySpec, rows_max: usize) -> TableFile {
    let path: PathBuf = std::env::temp_dir().join(format!("netledger-live-{}-{name}", std::process::id()));
    TableFile::create(&path, spec, &[GROUP], rows_max, 0).unwrap()
}

fn look(tables: &[Arc<LiveTable>], top: Option<(usize, Order)>) -> Snapshot {
    snapshot(&KeySpec::default(), tables, &HashMap::new(), top).unwrap()
}

fn column<'a>(batch: &'a StructArray, name: &str) -> &'a [u64] {
    batch.column_by_name(name).unwrap().as_primitive::<UInt64Type>().values()
}

/// Packets and bytes of both sides by host.
fn counters(batch: &StructArray) -> HashMap<Vec<u8>, [u64; 4]> {
    let hosts = batch.column_by_name("host").unwrap().as_fixed_size_binary();
    let columns = ["sent_packets", "sent_bytes", "received_packets", "received_bytes"].map(|name| column(batch, name));
    (0..batch.len()).map(|row| (hosts.value(row).to_vec(), columns.map(|values| values[row]))).collect()
}

/// Against an earlier look, and what had been written at most.
fn check(now: &HashMap<Vec<u8>, [u64; 4]>, before: &HashMap<Vec<u8>, [u64; 4]>, at_most: u64) {
    for (host, later) in now {
        let [sent, sent_bytes, received, received_bytes] = later;
        for (packets, bytes) in [(sent, sent_bytes), (received, received_bytes)] {
            assert_eq!(bytes % BYTES, 0, "torn");
            // A packet is counted before its bytes, and may be read long before them.
            assert!(bytes / BYTES + 1 >= *packets && bytes / BYTES <= at_most);
        }
        if let Some(earlier) = before.get(host) {
            assert!(earlier.iter().zip(later).all(|(earlier, later)| earlier <= later), "went back");
        }
    }
    assert!(before.keys().all(|host| now.contains_key(host)), "a row went away");
}

#[test]
fn no_counter_is_torn_goes_back_or_is_ahead_of_what_was_written() {
    const POSTINGS: u64 = 400_000;
    const HOSTS: u64 = 5_000;
    const LOOKS: u64 = 20;
    let mut file = made("writer", &KeySpec::default(), 1 << 16);
    let table = [Arc::new(file.live())];
    let (begun, done, looks, ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let last = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            // As long as it takes until it was looked at some times.
            while number < POSTINGS || looks.load(Acquire) < LOOKS {
                let flight: Vec<_> = (number..number + 64).map(|each| posting(each, HOSTS)).collect();
                begun.store(number + 64, Release);
                file.table.apply(&flight);
                number += 64;
                done.store(number, Release);
            }
            ended.store(true, Release);
        });
        let mut before: HashMap<Vec<u8>, [u64; 4]> = HashMap::new();
        loop {
            let (has_ended, at_least) = (ended.load(Acquire), done.load(Acquire));
            let seen = look(&table, None);
            let at_most = begun.load(Acquire);
            let packets = seen.sums.sent_packets + seen.sums.received_packets;
            assert!(at_least <= packets && packets <= at_most, "{at_least} <= {packets} <= {at_most}");
            let now = counters(&seen.batch);
            assert_eq!(now.len(), seen.rows);
            check(&now, &before, at_most);
            if has_ended {
                return seen;
            }
            looks.fetch_add(1, Release);
            before = now;
        }
    });
    let closed: HashMap<Key, Sums> = file.table.rows().filter(|(_, sums)| *sums != Sums::default()).collect();
    let mut sums = Sums::default();
    for each in closed.values() {
        sums.merge(each);
    }
    assert_eq!((last.rows, last.sums, last.other), (closed.len(), sums, Sums::default()));
    let frozen = batch(
        file.table.rows(),
        file.table.len(),
        &KeySpec::default(),
        &Names { interfaces: &HashMap::new(), labels: &[] },
        None,
    );
    assert_eq!(last.batch, frozen.unwrap());
    file.remove().unwrap();
}

#[test]
fn it_can_be_read_when_the_generation_is_closed_and_its_file_is_gone() {
    let mut file = made("closed", &KeySpec::default(), 100);
    file.table.apply(&[posting(0, 1), posting(1, 1)]);
    let table = [Arc::new(file.live())];
    let closed = Closed::new(file, false);
    closed.file.remove().unwrap();
    drop(closed);
    let seen = look(&table, None);
    assert_eq!((seen.rows, seen.sums.sent_bytes, seen.sums.received_packets), (1, BYTES, 1));
}

#[test]
fn two_open_generations_are_added_up_by_key_and_label() {
    let spec = KeySpec { columns: KeySpec::columns_of(["host", "label"]).unwrap(), ..KeySpec::default() };
    let (mut old, mut new) = (made("old", &spec, 100), made("new", &spec, 100));
    // The same label has another number in each.
    let (left_old, right_old) = (old.header().intern(b"left"), old.header().intern(b"right"));
    let (right_new, fresh) = (new.header().intern(b"right"), new.header().intern(b"fresh"));
    let sent = |host, tag| Posting { key: key(host, tag), bytes: 100, side: Side::Sent };
    old.table.apply(&[sent(1, left_old), sent(1, right_old), sent(2, right_old), sent(3, 0)]);
    new.table.apply(&[sent(1, right_new), sent(4, fresh)]);
    let tables = [Arc::new(old.live()), Arc::new(new.live())];
    let seen = snapshot(&spec, &tables, &HashMap::new(), None).unwrap();
    assert_eq!((seen.rows, seen.sums.sent_packets), (5, 6));
    let labels = seen.batch.column_by_name("label").unwrap().as_dictionary::<arrow_array::types::UInt32Type>();
    let texts = labels.downcast_dict::<arrow_array::StringArray>().unwrap();
    let hosts = seen.batch.column_by_name("host").unwrap().as_fixed_size_binary();
    let found: HashMap<(u8, Option<&str>), u64> = texts
        .into_iter()
        .enumerate()
        .map(|(row, label)| ((hosts.value(row)[15], label), column(&seen.batch, "sent_packets")[row]))
        .collect();
    let wanted = [
        ((1, Some("left")), 1),
        ((1, Some("right")), 2),
        ((2, Some("right")), 1),
        ((3, None), 1),
        ((4, Some("fresh")), 1),
    ];
    assert_eq!(found, HashMap::from(wanted));
    old.remove().unwrap();
    new.remove().unwrap();
}

#[test]
fn the_greatest_rows_come_in_order_and_the_sums_are_of_all() {
    let mut file = made("top", &KeySpec::default(), 100);
    for (host, packets) in [(1, 5), (2, 9), (3, 1), (4, 9), (5, 7)] {
        for _ in 0..packets {
            file.table.apply(&[Posting { key: key(host, 0), bytes: 10 * host, side: Side::Received }]);
        }
    }
    let table = [Arc::new(file.live())];
    let hosts = |limit, order| -> Vec<u8> {
        let seen = look(&table, Some((limit, order)));
        assert_eq!((seen.rows, seen.sums.received_packets), (5, 31));
        let hosts = seen.batch.column_by_name("host").unwrap().as_fixed_size_binary();
        (0..seen.batch.len()).map(|row| hosts.value(row)[15]).collect()
    };
    assert_eq!(hosts(3, Order::Packets), [2, 4, 5]);
    assert_eq!(hosts(3, Order::ReceivedBytes), [4, 5, 2]);
    assert_eq!(hosts(2, Order::SentPackets), [1, 2]);
    assert_eq!(hosts(9, Order::Bytes), [4, 5, 2, 1, 3]);
    assert_eq!(hosts(0, Order::Bytes), []);
    file.remove().unwrap();
}

#[test]
fn a_full_table_tells_what_is_in_other() {
    let mut file = made("full", &KeySpec::default(), 10);
    let table = [Arc::new(file.live())];
    assert_eq!(Glance::of(&table).other, Sums::default());
    for host in 0..30 {
        file.table.apply(&[posting(2 * host, 30)]);
    }
    let seen = Glance::of(&table);
    assert_eq!((seen.rows, seen.other.sent_packets), (9, 21));
    assert_eq!(look(&table, None).other, seen.other);
    file.remove().unwrap();
}
