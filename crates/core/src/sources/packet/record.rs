//! A packet as it stands in the buffer of a table file, and the postings that are made of such records.
//!
//! Postings are made of records always, when packets come and when a dead process's are finished: so they are the same.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::flow::{Account, Address, Key, NARROW_WORDS, Posting, Side, Sides, Sums, WIDE_WORDS};
use crate::packet::Headers;
use crate::posting::Poster;
use crate::table::flight::{Boarding, Entry, FLIGHT, Flight, HostPosting};
use crate::table::{NARROW_STRIDE, Table, WIDE_STRIDE};

/// Source (2 words), destination (2), ports + protocol + family, bytes + interface.
pub(super) const WORDS: usize = 6;
pub(super) const BYTES: usize = WORDS * size_of::<u64>();
/// A packet as six words.
pub type Record = [u64; WORDS];

const PROTOCOL_SHIFT: u32 = 32;
const FAMILY_SHIFT: u32 = 40;
/// The low half of a v4-mapped address, above the address.
const V4_MAPPED: u64 = 0xffff << 32;

const IPV4_HEADER_BYTES: usize = 20;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The number of an interface is that of its name; see [`super::interfaces`].
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the two halves of an address")]
pub(super) fn record(headers: &Headers, interface: u32) -> Record {
    let (Address(source), Address(destination)) = (headers.source, headers.destination);
    let meta = u64::from(headers.source_port)
        | u64::from(headers.destination_port) << 16
        | u64::from(headers.protocol) << PROTOCOL_SHIFT
        | u64::from(headers.is_ipv4) << FAMILY_SHIFT;
    // A packet is not longer than a frame, whose length has 32 bits.
    let place = (headers.bytes & u64::from(u32::MAX)) | u64::from(interface) << 32;
    [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64, meta, place]
}

/// The same of the packets that almost all are: IPv4 without options, whole, not longer than the `there` bytes that there
/// were, and where ports are asked for, of a protocol that has them. None for all others, whatever is wrong with them.
#[allow(clippy::inline_always, reason = "once, in the loop over frames")]
#[inline(always)]
pub(super) fn quick(ip: &[u8], there: u32, with_ports: bool, interface: u32) -> Option<Record> {
    let fixed: &[u8; IPV4_HEADER_BYTES] = ip.first_chunk()?;
    let total = u32::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if fixed[0] != 0x45 || total < 20 || total > there {
        return None;
    }
    let protocol = fixed[9];
    let mut ports = 0;
    if with_ports {
        let start: &[u8; IPV4_HEADER_BYTES + 4] = ip.first_chunk()?;
        let is_whole = u16::from_be_bytes([fixed[6], fixed[7]]) << 2 == 0;
        if !is_whole || total < 24 || !matches!(protocol, TCP | UDP) {
            return None;
        }
        ports = u64::from(u16::from_be_bytes([start[20], start[21]]))
            | u64::from(u16::from_be_bytes([start[22], start[23]])) << 16;
    }
    let source = u32::from_be_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]);
    let destination = u32::from_be_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]);
    let meta = ports | u64::from(protocol) << PROTOCOL_SHIFT | 1 << FAMILY_SHIFT;
    let place = u64::from(total) | u64::from(interface) << 32;
    Some([0, V4_MAPPED | u64::from(source), 0, V4_MAPPED | u64::from(destination), meta, place])
}

/// The bytes that a packet is booked with.
#[inline]
pub(super) fn bytes(record: &Record) -> u64 {
    record[5] & u64::from(u32::MAX)
}

/// What the record was made of, as far as postings depend on it.
#[allow(clippy::inline_always, reason = "once, in the loop over records")]
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "fields are cut out of words on purpose")]
fn read(record: &Record) -> (Headers, u32) {
    let [source_high, source_low, destination_high, destination_low, meta, place] = *record;
    let headers = Headers {
        source: Address(u128::from(source_high) << 64 | u128::from(source_low)),
        destination: Address(u128::from(destination_high) << 64 | u128::from(destination_low)),
        bytes: place & u64::from(u32::MAX),
        protocol: (meta >> PROTOCOL_SHIFT) as u8,
        source_port: meta as u16,
        destination_port: (meta >> 16) as u16,
        is_ipv4: meta >> FAMILY_SHIFT & 1 != 0,
        length_known: true,
        ports_known: true,
    };
    (headers, (place >> 32) as u32)
}

/// A record as it lies in the buffer of a table file.
pub(super) type Place = [AtomicU64; WORDS];

/// The places for records in the words of a buffer.
#[inline]
pub(super) fn places(words: &[AtomicU64]) -> &[Place] {
    words.as_chunks().0
}

#[allow(clippy::inline_always, reason = "once, in the loop over frames")]
#[inline(always)]
pub(super) fn store(place: &Place, record: &Record) {
    for (word, value) in place.iter().zip(record) {
        word.store(*value, Relaxed);
    }
}

/// Hands the postings of a packet to `take` where nothing but the host tells rows apart; what is not local is added up in
/// `external`.
#[allow(clippy::inline_always, reason = "once, in the loop over records")]
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the low half of a v4-mapped address")]
fn post_hosts(record: &Record, poster: &Poster, sides: Sides, external: &mut Sums, take: impl FnMut(HostPosting)) {
    let [source_high, source_low, destination_high, destination_low, meta, _] = *record;
    let bytes = bytes(record);
    // The families have their own ways to the end: that half of an IPv4 address is zero is used all along.
    if meta >> FAMILY_SHIFT & 1 != 0 {
        let hosts = [poster.ipv4_host(source_low as u32), poster.ipv4_host(destination_low as u32)];
        return post_pair(hosts, bytes, sides, external, take);
    }
    let address = |high: u64, low: u64| Address(u128::from(high) << 64 | u128::from(low));
    let source = poster.ipv6_host(address(source_high, source_low));
    let destination = poster.ipv6_host(address(destination_high, destination_low));
    post_pair([source, destination], bytes, sides, external, take);
}

/// Of the two hosts of a packet; None for one that is not local.
#[allow(clippy::inline_always, reason = "as for `post_hosts`")]
#[inline(always)]
fn post_pair(
    [source, destination]: [Option<Address>; 2],
    bytes: u64,
    sides: Sides,
    external: &mut Sums,
    mut take: impl FnMut(HostPosting),
) {
    if sides.sent() {
        if let Some(host) = source {
            take(HostPosting::new(host, bytes, Side::Sent));
        } else {
            external.sent_packets += 1;
            external.sent_bytes += bytes;
        }
    }
    if sides.received() {
        if let Some(host) = destination {
            take(HostPosting::new(host, bytes, Side::Received));
        } else {
            external.received_packets += 1;
            external.received_bytes += bytes;
        }
    }
}

/// The same where more does.
#[allow(clippy::inline_always, reason = "once, in the loop over records")]
#[inline(always)]
fn post_keys(record: &Record, poster: &Poster, sides: Sides, external: &mut Sums, take: impl FnMut(Posting)) {
    let (headers, interface) = read(record);
    poster.post_local(&headers, sides, interface, external, take);
}

/// The postings of what is not local: one for each side, and the packets that it is for.
fn external_postings(external: &Sums) -> impl Iterator<Item = (Posting, u64)> {
    let key = Key::special(Account::External, 0);
    let sent = (Posting { key, bytes: external.sent_bytes, side: Side::Sent }, external.sent_packets);
    let received = (Posting { key, bytes: external.received_bytes, side: Side::Received }, external.received_packets);
    [sent, received].into_iter().filter(|&(_, packets)| packets > 0)
}

/// Adds the packets to their rows: by the postings that [`replay`] gives, in their order.
pub(super) fn apply(records: &[Place], poster: &Poster, sides: Sides, table: &mut Table) {
    let mut external = Sums::default();
    if poster.is_host_only() {
        fly::<_, NARROW_WORDS, NARROW_STRIDE>(records, table, |record, flight| {
            post_hosts(record, poster, sides, &mut external, |posting| flight.take(posting));
        });
    } else if table.is_wide() {
        fly::<_, WIDE_WORDS, WIDE_STRIDE>(records, table, |record, flight| {
            post_keys(record, poster, sides, &mut external, |posting| flight.take::<WIDE_WORDS>(posting));
        });
    } else {
        fly::<_, NARROW_WORDS, NARROW_STRIDE>(records, table, |record, flight| {
            post_keys(record, poster, sides, &mut external, |posting| flight.take::<NARROW_WORDS>(posting));
        });
    }
    for (posting, packets) in external_postings(&external) {
        table.apply_one(&posting, packets);
    }
}

/// Adds the postings that `post` makes of each record: two at most.
#[allow(clippy::inline_always, reason = "once for each shape of a table")]
#[inline(always)]
fn fly<E: Entry<KEY>, const KEY: usize, const STRIDE: usize>(
    records: &[Place],
    table: &mut Table,
    mut post: impl FnMut(&Record, &mut Boarding<'_, E>),
) {
    let mut flight = Flight::new();
    for records in records.chunks(FLIGHT / 2) {
        let mut boarding = flight.board(table);
        for place in records {
            post(&place.each_ref().map(|word| word.load(Relaxed)), &mut boarding);
        }
        let taken = boarding.taken();
        table.land::<E, KEY, STRIDE>(&mut flight, taken);
    }
}

/// The postings of the records in `bytes`, in the order in which they are applied.
pub(super) fn replay(bytes: &[u8], poster: &Poster, sides: Sides, take: &mut dyn FnMut(Posting, u64)) {
    let (words, _) = bytes.as_chunks::<{ size_of::<u64>() }>();
    let (records, _) = words.as_chunks::<WORDS>();
    let mut external = Sums::default();
    for record in records {
        let record = record.map(u64::from_ne_bytes);
        if poster.is_host_only() {
            post_hosts(&record, poster, sides, &mut external, |posting| take(posting.posting(), 1));
        } else {
            post_keys(&record, poster, sides, &mut external, |posting| take(posting, 1));
        }
    }
    external_postings(&external).for_each(|(posting, packets)| take(posting, packets));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::{Depth, fragment, parse};
    use crate::posting::{KeySpec, Place};

    /// The postings, those of many packets last, and what each is for.
    fn postings(records: &[Record], poster: &Poster, sides: Sides) -> Vec<(Posting, u64)> {
        let bytes: Vec<u8> = records.as_flattened().iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut made = Vec::new();
        replay(&bytes, poster, sides, &mut |posting, packets| made.push((posting, packets)));
        made
    }

    /// Any address, some of them IPv4 ones that an IPv6 header has in its own way.
    fn address() -> impl Strategy<Value = Address> {
        prop_oneof![
            any::<[u8; 16]>().prop_map(Address::from_v6),
            any::<u64>().prop_map(|low| Address(0x2001_0db8 << 96 | u128::from(low))),
            any::<[u8; 4]>().prop_map(Address::from_v4),
        ]
    }

    proptest! {
        /// Where nothing but the host is asked for, packets have a short way to their postings. It leads to the same sums
        /// as posting them one by one.
        #[test]
        fn short_postings_are_those_of_each_packet(
            packets in proptest::collection::vec((any::<bool>(), address(), address(), 20_u64..1500), 0..50),
            (ipv4_prefix_length, ipv6_prefix_length, has_local, sides) in (
                0_u8..=32, 0_u8..=128, any::<bool>(),
                prop_oneof![Just(Sides::Both), Just(Sides::Sent), Just(Sides::Received)],
            ),
        ) {
            let networks = [
                (Address::from_v4([10, 0, 0, 0]), 1, true), (Address(0x2001_0db8 << 96), 65, false),
            ];
            let local = if has_local { networks.to_vec() } else { Vec::new() };
            let spec = KeySpec { ipv4_prefix_length, ipv6_prefix_length, local, ..KeySpec::default() };
            let poster = Poster::new(&spec, false);
            prop_assert!(poster.is_host_only());
            let mut expected = std::collections::HashMap::<Key, Sums>::new();
            let mut records = Vec::new();
            for (is_ipv4, source, destination, bytes) in packets {
                let of_family = |address: Address| {
                    if is_ipv4 { Address::from_v4(address.low32().to_be_bytes()) } else { address }
                };
                let headers = Headers {
                    source: of_family(source),
                    destination: of_family(destination),
                    bytes,
                    protocol: 17,
                    source_port: 1,
                    destination_port: 2,
                    is_ipv4,
                    length_known: true,
                    ports_known: true,
                };
                records.push(record(&headers, 3));
                poster.post(&headers, sides, &Place::default(), |one| expected.entry(one.key).or_default().add(&one, 1));
            }
            let mut found = std::collections::HashMap::<Key, Sums>::new();
            for (posting, count) in postings(&records, &poster, sides) {
                found.entry(posting.key).or_default().add(&posting, count);
            }
            prop_assert_eq!(&found, &expected);

            let mut table = Table::anonymous(&spec, 1000, 0)?;
            let places: Vec<super::Place> = records.iter().map(|record| record.map(AtomicU64::new)).collect();
            apply(&places, &poster, sides, &mut table);
            let applied: std::collections::HashMap<_, _> =
                table.rows().filter(|(_, sums)| *sums != Sums::default()).collect();
            prop_assert_eq!(applied, expected);
        }

        /// What the quick way takes is what the thorough one makes of it.
        #[test]
        fn the_quick_way_leads_to_the_same(
            mut ip in proptest::collection::vec(any::<u8>(), 0..64),
            (start, total, flags, protocol) in (
                prop_oneof![8 => Just(0x45), 1 => any::<u8>()], 0_u16..80, prop_oneof![8 => Just(0), 1 => any::<u16>()],
                prop_oneof![4 => Just(TCP), 4 => Just(UDP), 1 => any::<u8>()],
            ),
            (there, with_ports) in (0_u32..80, any::<bool>()),
        ) {
            let total = total.to_be_bytes();
            let flags = flags.to_be_bytes();
            for (at, value) in [(0, start), (2, total[0]), (3, total[1]), (6, flags[0]), (7, flags[1]), (9, protocol)] {
                if let Some(byte) = ip.get_mut(at) {
                    *byte = value;
                }
            }
            if let Some(quick) = quick(&ip, there, with_ports, 3) {
                let headers = parse(&ip, if with_ports { Depth::Ports } else { Depth::Addresses }).unwrap();
                prop_assert_eq!(record(&headers, 3), quick);
                prop_assert!(headers.length_known && headers.bytes <= u64::from(there));
                prop_assert!(!with_ports || fragment(&ip).is_none());
                prop_assert_eq!(bytes(&quick), headers.bytes);
            }
        }
    }
}
