//! Blocks as the kernel writes them: what is booked of them, and what is left of it after a kill at any store.

mod journal;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::frame::Frames;
use super::interfaces::{Interfaces, Selection};
use super::receiver::{Read, Receiver};
use super::{FAMILIES, Reader, Wanted};
use crate::flow::{Key, Sides, Sums};
use crate::packet::Unreadable;
use crate::posting::KeySpec;
use crate::sys::packet_socket::PacketSocket;
use crate::table::file::TableFile;
use crate::table::header::{Content, GroupSpec, GroupState};

const LINK_BYTES: usize = 14;
const NEVER: u64 = u64::MAX;
/// Of no interface that a machine has: it is called by its number.
const INTERFACE: u32 = 2_000_000_007;

/// A frame as it is to be in a block.
#[derive(Clone, Debug)]
pub(super) struct Built {
    pub(super) protocol: u16,
    pub(super) interface: u32,
    pub(super) kind: u8,
    pub(super) hardware: u16,
    pub(super) time_ns: u64,
    pub(super) network: Vec<u8>,
    /// What there was behind the link layer's header, captured or not.
    pub(super) there: usize,
    /// Of the virtio header: flags, kind, size, start.
    pub(super) segments: (u8, u8, u16, u16),
    /// The Ethernet type in the frame itself, before `network`.
    pub(super) before: u16,
}

impl Built {
    /// An IPv4 packet of UDP.
    pub(super) fn new(number: u8, bytes: u16) -> Self {
        let [high, low] = bytes.to_be_bytes();
        let mut network = vec![0x45, 0, high, low, 0, number, 0, 0, 64, 17, 0, 0];
        network.extend([10, 0, 0, number % 5, 10, 0, 1, number % 3, 0x11, 0x22, 0x33, 0x44]);
        Self {
            protocol: 0x0800,
            interface: INTERFACE,
            kind: 0,
            hardware: 1,
            time_ns: u64::from(number),
            network,
            there: usize::from(bytes),
            segments: (0, 0, 0, 0),
            before: 0x0800,
        }
    }
}

/// A block with these frames.
pub(super) fn block(frames: &[Built]) -> Vec<u8> {
    let mut block = vec![0; 48];
    block[12..16].copy_from_slice(&u32::try_from(frames.len()).unwrap().to_ne_bytes());
    block[16..20].copy_from_slice(&48_u32.to_ne_bytes());
    for built in frames {
        let link_at = 68 + 12 + 10;
        let captured = LINK_BYTES + built.network.len();
        let mut frame = vec![0; link_at];
        let next = (link_at + captured).next_multiple_of(8);
        let words = [(0, next), (4, 0), (8, usize::try_from(built.time_ns).unwrap()), (12, captured)];
        for (at, value) in words.into_iter().chain([(16, LINK_BYTES + built.there)]) {
            frame[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_ne_bytes());
        }
        for (at, value) in [(24, link_at), (26, link_at + LINK_BYTES)] {
            frame[at..at + 2].copy_from_slice(&u16::try_from(value).unwrap().to_ne_bytes());
        }
        frame[50..52].copy_from_slice(&built.protocol.to_be_bytes());
        frame[52..56].copy_from_slice(&built.interface.to_ne_bytes());
        frame[56..58].copy_from_slice(&built.hardware.to_ne_bytes());
        frame[58] = built.kind;
        let (flags, kind, size, start) = built.segments;
        frame[link_at - 10] = flags;
        frame[link_at - 9] = kind;
        frame[link_at - 6..link_at - 4].copy_from_slice(&size.to_ne_bytes());
        frame[link_at - 4..link_at - 2].copy_from_slice(&start.to_ne_bytes());
        frame.extend([0; LINK_BYTES - 2]);
        frame.extend(built.before.to_be_bytes());
        frame.extend(&built.network);
        frame.resize(next, 0);
        block.extend(frame);
    }
    block
}

pub(super) fn scratch() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("netledger-packets-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    std::env::temp_dir().join(name)
}

pub(super) fn spec(columns: &[&str]) -> KeySpec {
    KeySpec { columns: KeySpec::columns_of(columns.iter().copied()).unwrap(), ..KeySpec::default() }
}

pub(super) fn file(path: &std::path::Path, spec: &KeySpec, rows_max: usize) -> TableFile {
    let group = GroupSpec { number: 0, sides: Sides::Both, strict_family: 0, copy_range_bytes: 256 };
    TableFile::create_for(Content::Packets, path, spec, &[group], (rows_max, 0)).unwrap()
}

pub(super) fn wanted(families: [bool; 2]) -> Wanted {
    Wanted { ring_bytes: 0, retire_milliseconds: 20, families, snap_bytes: 256, given: Vec::new() }
}

/// What a receiver books of a block. Opening a packet socket needs
/// root, so these ask another one for the name, which knows no more.
pub(super) struct Booked {
    pub(super) state: GroupState,
    pub(super) rows: Vec<(Key, Sums)>,
    pub(super) names: std::collections::HashMap<u32, String>,
}

pub(super) fn book(frames: &[Built], spec: &KeySpec, selection: Selection) -> Booked {
    let path = scratch();
    let interfaces = Arc::new(Interfaces::new(selection));
    let reader = Reader::new(spec, wanted(FAMILIES.map(|_| true)), true);
    let socket = Arc::new(PacketSocket::for_names().unwrap());
    let mut receiver = Receiver::new(file(&path, spec, 1000), reader, interfaces, socket);
    assert_eq!(receiver.read(&mut Frames::new(&block(frames)), NEVER), Read::All);
    let file = receiver.end();
    let rows = file.table.rows().filter(|(_, sums)| *sums != Sums::default()).collect();
    let booked = Booked { state: file.totals(), rows, names: file.header().interfaces() };
    assert_eq!(file.table.sums(), booked.state.posted, "the rows are what was posted");
    file.remove().unwrap();
    booked
}

fn state_of(frames: &[Built]) -> GroupState {
    book(frames, &spec(&["host", "host_port"]), Selection::default()).state
}

#[test]
fn each_packet_is_posted_twice_with_the_length_of_its_header() {
    let frames: Vec<_> = (0..200).map(|number| Built::new(number, 100 + u16::from(number))).collect();
    let booked = book(&frames, &spec(&["host", "interface"]), Selection::default());
    let bytes: u64 = (0..200).map(|number| 100 + number).sum();
    assert_eq!((booked.state.received_packets, booked.state.received_bytes), (200, bytes));
    assert_eq!(booked.state.posted.sent_bytes, bytes);
    assert_eq!(booked.state.posted.received_packets, 200);
    assert_eq!(booked.rows.len(), 5 + 3);
    let places: Vec<u32> = booked.rows.iter().map(|(key, _)| key.fields().place).collect();
    assert!(places.iter().all(|place| booked.names.get(place).is_some_and(|name| name == "if2000000007")));
}

#[test]
fn padding_is_not_counted_and_a_lie_is_booked_with_what_was_there() {
    let padded = Built { there: 46, ..Built::new(1, 28) };
    let lying = Built { there: 46, ..Built::new(2, 1500) };
    let state = state_of(&[padded, lying]);
    assert_eq!((state.received_bytes, state.ring.length_lies), (28 + 46, 1));
}

#[test]
fn a_packet_without_a_length_has_that_of_its_frame() {
    let state = state_of(&[Built { there: 70_000, ..Built::new(1, 0) }]);
    assert_eq!((state.received_bytes, state.length_unknown_packets), (70_000, 1));
}

#[test]
fn a_super_packet_is_one_packet_and_says_how_many_it_was_on_the_wire() {
    // TCP behind 20 bytes of IP: 14 + 20 is where it starts, and its header has 32 bytes.
    let mut tcp = Built { there: 20 + 32 + 10 * 1448 + 1, ..Built::new(1, 20 + 32 + 10 * 1448 + 1) };
    tcp.network.resize(52, 0);
    tcp.network[32] = 8 << 4;
    tcp.segments = (1, 1, 1448, 34);
    let udp = Built { there: 20 + 8 + 3 * 1200, segments: (1, 5, 1200, 34), ..Built::new(2, 20 + 8 + 3 * 1200) };
    let plain = Built::new(3, 60);
    let state = state_of(&[tcp, udp, plain]);
    assert_eq!((state.received_packets, state.ring.super_packets), (3, 2));
    assert_eq!(state.ring.wire_packets, 11 + 3 + 1);
}

#[test]
fn what_is_for_others_counts_only_where_it_is_overheard() {
    let overheard = Built { kind: 3, ..Built::new(1, 60) };
    assert_eq!(state_of(std::slice::from_ref(&overheard)).received_packets, 0);
    let selection = Selection::new(&[], &[], false, &["if*".to_owned()]);
    assert_eq!(book(&[overheard], &spec(&["host"]), selection).state.received_packets, 1);
}

#[test]
fn loopback_counts_if_asked_and_then_once() {
    let sent = Built { kind: 4, hardware: 772, interface: 1, ..Built::new(1, 60) };
    let received = Built { kind: 0, ..sent.clone() };
    assert_eq!(state_of(&[sent.clone(), received.clone()]).received_packets, 0);
    let selection = Selection::new(&[], &[], true, &[]);
    assert_eq!(book(&[sent, received], &spec(&["host"]), selection).state.received_packets, 1);
}

#[test]
fn excluded_interfaces_and_those_that_are_not_named_do_not_count() {
    let frames = [Built::new(1, 60)];
    let count = |wanted: &[&str], excluded: &[&str]| {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let selection = Selection::new(&texts(wanted), &texts(excluded), false, &[]);
        book(&frames, &spec(&["host"]), selection).state.received_packets
    };
    assert_eq!(count(&["if2000000007"], &[]), 1);
    assert_eq!(count(&["if*"], &[]), 1);
    assert_eq!(count(&["eth0", "if20000000070"], &[]), 0);
    assert_eq!(count(&[], &["if2000000007"]), 0);
    assert_eq!(count(&["if*"], &["if2000000007"]), 0);
    assert_eq!(count(&["if[*]"], &[]), 0, "a name that ends with an asterisk");
}

#[test]
fn tags_and_pppoe_are_walked_and_what_is_no_ip_behind_them_is_ignored() {
    let plain = Built::new(1, 60);
    let behind = |protocol: u16, front: &[u8]| {
        let mut network = front.to_vec();
        network.extend(&plain.network);
        Built { protocol, before: protocol, there: network.len() + 60 - plain.network.len(), network, ..plain.clone() }
    };
    let tagged = behind(0x8100, &[0, 5, 8, 0]);
    let twice = behind(0x88a8, &[0, 5, 0x81, 0, 0, 6, 8, 0]);
    let pppoe = behind(0x8864, &[0x11, 0, 0, 1, 0, 62, 0, 0x21]);
    let state = state_of(&[tagged, twice, pppoe]);
    assert_eq!((state.received_packets, state.received_bytes, state.ring.length_lies), (3, 180, 0));
    let arp = behind(0x8100, &[0, 5, 8, 6]);
    let link_control = behind(0x8864, &[0x11, 0, 0, 1, 0, 62, 0xc0, 0x21]);
    let cut_off = Built { protocol: 0x8100, before: 0x8100, network: vec![0, 5], ..plain.clone() };
    let state = state_of(&[arp, link_control, cut_off]);
    assert_eq!((state.received_packets, state.ring.ignored_packets), (0, 3));
}

#[test]
fn a_frame_that_is_sent_with_its_tag_inside_has_ip_where_the_kernel_says() {
    let sent = Built { protocol: 0x8100, kind: 4, ..Built::new(1, 60) };
    let unknown = Built { protocol: 0x8100, before: 0x1234, ..Built::new(2, 60) };
    let state = state_of(&[sent, unknown]);
    assert_eq!((state.received_packets, state.received_bytes, state.ring.ignored_packets), (1, 60, 1));
}

#[test]
fn what_cannot_be_read_is_received_and_counted_by_its_reason() {
    let other_version = Built { protocol: 0x86dd, ..Built::new(1, 60) };
    let mut short = Built::new(2, 60);
    short.network.truncate(19);
    let state = state_of(&[other_version, short, Built::new(3, 60)]);
    assert_eq!(state.received_packets, 3);
    assert_eq!(state.posted.sent_packets, 1);
    assert_eq!(state.unreadable[Unreadable::Version.index()], 1);
    assert_eq!(state.unreadable[Unreadable::Short.index()], 1);
}

#[test]
fn a_later_fragment_has_the_ports_of_its_first_one_and_an_orphan_none() {
    let mut first = Built::new(1, 60);
    first.network[6] = 0x20;
    let mut later = Built::new(1, 60);
    later.network[7] = 5;
    let mut orphan = later.clone();
    orphan.network[5] = 99;
    let booked = book(&[first, later, orphan], &spec(&["host_port"]), Selection::default());
    assert_eq!(booked.state.ring.fragments_unknown, 1);
    let of_port = |port: u16| booked.rows.iter().find(|(key, _)| key.fields().host_port == port).unwrap().1;
    assert_eq!((of_port(0x1122).sent_packets, of_port(0).sent_packets), (2, 1));
}

#[test]
fn a_block_is_read_up_to_the_moment_of_a_cut_and_then_on() {
    let path = scratch();
    let spec = spec(&["host"]);
    let interfaces = Arc::new(Interfaces::new(Selection::default()));
    let socket = Arc::new(PacketSocket::for_names().unwrap());
    let reader = Reader::new(&spec, wanted([true, true]), true);
    let mut receiver = Receiver::new(file(&path, &spec, 1000), reader, interfaces, socket);
    let frames: Vec<_> = (0..10).map(|number| Built::new(number, 60)).collect();
    let block = block(&frames);
    let mut left = Frames::new(&block);
    assert_eq!(receiver.read(&mut left, 3), Read::Until);
    let next = scratch();
    let closed = receiver.roll(file(&next, &spec, 1000));
    assert_eq!(closed.totals().received_packets, 4);
    assert_eq!(receiver.read(&mut left, NEVER), Read::All);
    let file = receiver.end();
    assert_eq!(file.totals().received_packets, 6);
    assert_eq!(file.header().interfaces().len(), 2, "the new file has the name, too");
    closed.remove().unwrap();
    file.remove().unwrap();
}

proptest! {
    /// Whatever lies in a block: it is read to an end, inside of it, and the books balance.
    #[test]
    fn any_block_is_read(
        mut bytes in proptest::collection::vec(any::<u8>(), 48..600),
        (packets, first, next) in (0_u32..6, 40_u32..80, 0_u32..200),
    ) {
        bytes[12..16].copy_from_slice(&packets.to_ne_bytes());
        bytes[16..20].copy_from_slice(&first.to_ne_bytes());
        if let Some(place) = bytes.get_mut(first as usize..first as usize + 4) {
            place.copy_from_slice(&next.to_ne_bytes());
        }
        let mut frames = Frames::new(&bytes);
        let mut count = 0;
        while let Ok(Some(frame)) = frames.next_frame() {
            count += 1;
            prop_assert!(frame.network().len() <= bytes.len());
            let _ = (frame.segments(), frame.link().len(), frame.time_ns(), frame.whole_bytes());
        }
        prop_assert!(count <= packets);
    }
}
