//! A packet as it stands in the buffer of a table file, from which its postings can be made again.

use crate::flow::{Address, Sides};
use crate::packet::Headers;
use crate::posting::{Place, Poster};

/// Source (2 words), destination (2), ports + protocol + family, bytes + interface.
pub(super) const WORDS: usize = 6;
pub(super) const BYTES: usize = WORDS * size_of::<u64>();
pub(super) type Record = [u64; WORDS];

const PROTOCOL_SHIFT: u32 = 32;
const FAMILY_SHIFT: u32 = 40;

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

/// What the record was made of, as far as postings depend on it.
#[allow(clippy::cast_possible_truncation, reason = "fields are cut out of words on purpose")]
pub(super) fn read(record: &Record) -> (Headers, u32) {
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

/// The postings of a packet seen at an interface.
#[inline]
pub(super) fn place(interface: u32) -> Place {
    Place { in_interface: interface, out_interface: interface, tag: 0, zone: 0 }
}

/// The postings of the records in `bytes`, in order.
pub(super) fn replay(bytes: &[u8], poster: &Poster, sides: Sides, take: &mut dyn FnMut(crate::flow::Posting)) {
    let (words, _) = bytes.as_chunks::<{ size_of::<u64>() }>();
    let (records, _) = words.as_chunks::<WORDS>();
    for record in records {
        let (headers, interface) = read(&record.map(u64::from_ne_bytes));
        poster.post(&headers, sides, &place(interface), &mut *take);
    }
}
