//! From captured packets to postings in a table.

use crate::error::Error;
use crate::flow::{Posting, Sides};
use crate::packet::{Depth, Headers, Unreadable, parse};
use crate::posting::{KeySpec, Place, Poster};
use crate::table::Table;

use super::format::{Packet, Refusal};
use super::intervals::{INTERVALS_MAX, Intervals, Numbers};
use super::link::Inner;

/// Postings gathered before they go to the table: it looks them up together, so that cache misses overlap.
const POSTINGS: usize = 256;
/// Rows without an address that an interval may have: external, other.
const SPECIALS_PER_INTERVAL: usize = 2;

/// What was counted so far. Every packet is in exactly one of: posted, or unreadable by its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames in the capture, IP or not.
    pub packets: u64,
    /// Packets posted, each once as sent and once as received.
    pub posted_packets: u64,
    /// Their IP total lengths.
    pub posted_bytes: u64,
    /// Of those, packets whose length field is 0: their length is that of the frame less the link header.
    pub length_unknown_packets: u64,
    /// Frames whose fraction of a second is a second or more; they have the time of their second.
    pub time_invalid_packets: u64,
    pub unreadable: [u64; Unreadable::COUNT],
    /// Least and greatest time of all frames.
    pub first_ns: Option<i64>,
    pub last_ns: Option<i64>,
}

pub(super) struct Accounts {
    depth: Depth,
    poster: Poster,
    intervals: Intervals,
    postings: Vec<Posting>,
    table: Table,
    counts: Counts,
    /// Least above greatest until a packet with a time comes.
    span_ns: (i64, i64),
}

impl Accounts {
    pub(super) fn new(spec: &KeySpec, rows_max: usize, interval_ns: i64) -> Result<Self, Error> {
        let specials = if interval_ns > 0 { INTERVALS_MAX * SPECIALS_PER_INTERVAL } else { SPECIALS_PER_INTERVAL };
        Ok(Self {
            depth: spec.depth(),
            poster: Poster::new(spec, interval_ns > 0),
            intervals: Intervals::new(interval_ns),
            postings: Vec::with_capacity(POSTINGS + 2),
            table: Table::anonymous(spec, rows_max, specials)?,
            counts: Counts::default(),
            span_ns: (i64::MAX, i64::MIN),
        })
    }

    /// Books one packet.
    #[inline]
    pub(super) fn book(&mut self, packet: &Packet<'_>) -> Result<(), Refusal> {
        let tag = self.intervals.tag(packet)?;
        self.counts.packets += 1;
        self.counts.time_invalid_packets += u64::from(packet.time_invalid);
        if let Some(time_ns) = packet.time_ns {
            self.span_ns = (self.span_ns.0.min(time_ns), self.span_ns.1.max(time_ns));
        }
        match headers(packet, self.depth) {
            Ok(headers) => {
                self.counts.posted_packets += 1;
                self.counts.posted_bytes = self.counts.posted_bytes.saturating_add(headers.bytes);
                self.counts.length_unknown_packets += u64::from(!headers.length_known);
                let postings = &mut self.postings;
                self.poster
                    .post(&headers, Sides::Both, &Place { tag, ..Place::default() }, |posting| postings.push(posting));
                if self.postings.len() >= POSTINGS {
                    self.flush();
                }
            }
            Err(reason) => self.unread(reason),
        }
        Ok(())
    }

    #[cold]
    fn unread(&mut self, reason: Unreadable) {
        if let Some(count) = self.counts.unreadable.get_mut(reason.index()) {
            *count += 1;
        }
    }

    /// Brings what was gathered into the table.
    pub(super) fn flush(&mut self) {
        self.table.apply(&self.postings);
        self.postings.clear();
    }

    pub(super) fn counts(&self) -> Counts {
        let (first_ns, last_ns) = self.span_ns;
        let known = first_ns <= last_ns;
        Counts { first_ns: known.then_some(first_ns), last_ns: known.then_some(last_ns), ..self.counts.clone() }
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn numbers(&self) -> Numbers {
        self.intervals.numbers()
    }

    pub(super) fn starts_ns(&self) -> &[i64] {
        self.intervals.starts_ns()
    }
}

/// The headers of the IP packet in a frame.
#[inline]
fn headers(packet: &Packet<'_>, depth: Depth) -> Result<Headers, Unreadable> {
    let (family, ip) = match packet.link.open(packet.captured) {
        Inner::Ip(family, ip) => (family, ip),
        Inner::NotIp => return Err(Unreadable::NotIp),
        Inner::Short => return Err(Unreadable::Short),
    };
    if ip.first().is_some_and(|&first| !family.agrees(first)) {
        return Err(Unreadable::Version);
    }
    let mut headers = parse(ip, depth)?;
    if !headers.length_known {
        let link_bytes = (packet.captured.len() - ip.len()) as u64;
        headers.bytes = u64::from(packet.original_bytes).saturating_sub(link_bytes);
    }
    Ok(headers)
}
