//! NFLOG: sockets of groups, and from their datagrams to postings.

pub mod generation;
pub mod port;

use crate::flow::{Posting, Sides};
use crate::netlink::{Message, Messages, NflogPacket};
use crate::packet::{Depth, Headers, Unreadable, parse};
use crate::posting::{KeySpec, Place, Poster};
use crate::table::header::{GroupSpec, GroupState, Header};
use crate::trace::{Event, Level, Trace};

/// The kernel's answer to a request: its sequence number and its errno, 0 for "done".
pub(crate) type Answer = (u32, i32);

/// A gap beyond this is no gap: the number went backwards.
const GAP_MAX: u32 = 1 << 31;

/// Reads NFLOG messages for one key.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    poster: Poster,
    depth: Depth,
    has_label: bool,
    wants_place: bool,
}

impl Reader {
    pub(crate) fn new(spec: &KeySpec) -> Self {
        Self {
            poster: Poster::new(spec, false),
            depth: spec.depth(),
            has_label: spec.has_label(),
            wants_place: spec.has_label() || spec.has_interface(),
        }
    }

    /// Reads all messages of `bytes`; see [`crate::table::journal`] for `tail`. Returns the last answer among them.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is one thing that a batch is read with; a struct would only hide it"
    )]
    pub(crate) fn absorb(
        &self,
        bytes: &[u8],
        tail: bool,
        group: &GroupSpec,
        header: Header<'_>,
        state: &mut GroupState,
        trace: Option<&Trace>,
        mut take: impl FnMut(Posting),
    ) -> Option<Answer> {
        let mut answer = None;
        let before = state.received_packets;
        let readable_before = state.readable();
        let mut messages = Messages::new(bytes);
        loop {
            while let Some(packet) = if tail { None } else { messages.next_alike(self.wants_place) } {
                self.packet(&packet, group, header, state, trace, &mut take);
            }
            let Some(message) = messages.next() else { break };
            match message {
                Ok(Message::Packet(packet)) => {
                    if tail && !is_fresh(&packet, group, state, state.received_packets > before) {
                        break;
                    }
                    self.unlike(&packet, group, header, state, trace, &mut take);
                }
                Ok(Message::Error { sequence, errno }) => answer = Some((sequence, errno)),
                Ok(Message::Done) if tail => break,
                Ok(Message::Done | Message::Other { .. }) => {}
                // Behind the known end lies what an earlier batch left: that it makes no message is no error.
                Err(_) => state.malformed_messages += u64::from(!tail),
            }
        }
        // Each packet that could be read was posted, on each side that is asked for.
        let (packets, bytes) = state.readable();
        state.posted.add_packets(
            group.sides,
            packets.saturating_sub(readable_before.0),
            bytes.saturating_sub(readable_before.1),
        );
        let packets = state.received_packets - before;
        if let Some(trace) = trace.filter(|trace| packets > 0 && trace.wants(Level::Batches)) {
            trace.note(group.number, Event::Batch { packets });
        }
        answer
    }

    /// A packet laid out like none before it.
    #[cold]
    fn unlike(
        &self,
        packet: &NflogPacket<'_>,
        group: &GroupSpec,
        header: Header<'_>,
        state: &mut GroupState,
        trace: Option<&Trace>,
        take: &mut dyn FnMut(Posting),
    ) {
        self.packet(packet, group, header, state, trace, take);
    }

    #[allow(clippy::inline_always, reason = "once, in the loop over alike packets")]
    #[inline(always)]
    fn packet(
        &self,
        packet: &NflogPacket<'_>,
        group: &GroupSpec,
        header: Header<'_>,
        state: &mut GroupState,
        trace: Option<&Trace>,
        take: &mut (impl FnMut(Posting) + ?Sized),
    ) {
        state.received_packets += 1;
        if let Some(sequence) = packet.sequence {
            if sequence != state.expected_sequence {
                gap(sequence, group, state, trace);
            }
            state.expected_sequence = sequence.wrapping_add(1);
        }
        let ip = match packet.ip() {
            Ok(ip) => ip,
            Err(why) => return unreadable(packet, why, false, group, state, trace),
        };
        // By reference: a copy of 128-bit numbers that were just written in halves makes the processor wait.
        match &parse(ip, self.depth) {
            Ok(headers) if group.strict_family == 0 || (group.strict_family == 4) == headers.is_ipv4 => {
                state.length_unknown_packets += u64::from(!headers.length_known);
                state.received_bytes = state.received_bytes.saturating_add(headers.bytes);
                let place = Place {
                    in_interface: packet.in_interface,
                    out_interface: packet.out_interface,
                    tag: if self.has_label { header.intern(packet.prefix) } else { 0 },
                    zone: 0,
                };
                if let Some(trace) = trace.filter(|trace| trace.wants(Level::Packets)) {
                    self.note_packet(headers, group, trace);
                }
                self.poster.post(headers, group.sides, &place, take);
            }
            Ok(headers) => unreadable(packet, Unreadable::Version, headers.is_ipv4, group, state, trace),
            Err(why) => {
                // Cut too short for its own header, it is still of the other version: that is what is wrong with it here.
                let version = ip.first().map_or(0, |first| first >> 4);
                let is_other = group.strict_family != 0 && version != group.strict_family && matches!(version, 4 | 6);
                let why = if is_other { Unreadable::Version } else { *why };
                unreadable(packet, why, version == 4, group, state, trace);
            }
        }
    }

    #[cold]
    fn note_packet(&self, headers: &Headers, group: &GroupSpec, trace: &Trace) {
        let is_source = group.sides == Sides::Sent;
        let address = self.poster.masked(if is_source { headers.source } else { headers.destination });
        let event = Event::Packet { address, is_source, bytes: headers.bytes, is_ipv4: headers.is_ipv4 };
        trace.note(group.number, event);
    }
}

/// Whether a packet behind the known end of a batch has just arrived, and is not what an earlier batch left there. Those of
/// one datagram follow each other without a gap.
fn is_fresh(packet: &NflogPacket<'_>, group: &GroupSpec, state: &GroupState, follows: bool) -> bool {
    let ahead_max = if follows { 1 } else { GAP_MAX };
    packet.group == group.number
        && packet.sequence.is_some_and(|sequence| sequence.wrapping_sub(state.expected_sequence) < ahead_max)
}

#[cold]
fn gap(sequence: u32, group: &GroupSpec, state: &mut GroupState, trace: Option<&Trace>) {
    let count = sequence.wrapping_sub(state.expected_sequence);
    if count >= GAP_MAX {
        return;
    }
    state.sequence_gap_packets += u64::from(count);
    if let Some(trace) = trace.filter(|trace| trace.wants(Level::Notable)) {
        let event = Event::Missing { count, received: sequence, expected: state.expected_sequence };
        trace.note(group.number, event);
    }
}

#[cold]
fn unreadable(
    packet: &NflogPacket<'_>,
    why: Unreadable,
    is_ipv4: bool,
    group: &GroupSpec,
    state: &mut GroupState,
    trace: Option<&Trace>,
) {
    if let Some(count) = state.unreadable.get_mut(why.index()) {
        *count += 1;
    }
    let Some(trace) = trace.filter(|trace| trace.wants(Level::Notable)) else { return };
    let payload = packet.payload.unwrap_or_default();
    let found = payload.first().map_or(0, |first| first >> 4);
    let expected = match (group.strict_family, packet.family) {
        (0, 10) => 6,
        (0, _) => 4,
        (family, _) => family,
    };
    let event = match why {
        Unreadable::Version => Event::Version { found: if is_ipv4 { 4 } else { found } },
        _ => Event::Short { have: payload.len(), need: if expected == 6 { 40 } else { 20 }, version: expected },
    };
    trace.note(group.number, event);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::datagram;

    const GROUP: GroupSpec = GroupSpec { number: 7, sides: Sides::Both, strict_family: 0, copy_range_bytes: 48 };

    fn read(bytes: &[u8], group: &GroupSpec, state: &mut GroupState) -> Vec<Posting> {
        let mut postings = Vec::new();
        let header = Header(&[]);
        Reader::new(&KeySpec::default()).absorb(bytes, false, group, header, state, None, |p| postings.push(p));
        postings
    }

    #[test]
    fn each_packet_is_posted_twice_and_all_is_conserved() {
        let mut state = GroupState::default();
        assert_eq!(read(&datagram(7, 0, 20), &GROUP, &mut state).len(), 40);
        assert_eq!(state.received_packets, 20);
        assert_eq!(state.posted.sent_packets, 20);
        assert_eq!(state.posted.received_packets, 20);
        assert_eq!(state.posted.sent_bytes, state.posted.received_bytes);
        assert_eq!(state.posted.sent_bytes, state.received_bytes);
    }

    #[test]
    fn a_first_packet_that_is_not_number_0_was_not_the_first() {
        let mut state = GroupState::default();
        read(&datagram(7, 5, 1), &GROUP, &mut state);
        assert_eq!(state.sequence_gap_packets, 5);
    }

    #[test]
    fn gaps_are_counted_across_the_wrap_of_the_number() {
        let mut state = GroupState { expected_sequence: u32::MAX - 1, ..GroupState::default() };
        read(&datagram(7, 3, 1), &GROUP, &mut state);
        assert_eq!(state.sequence_gap_packets, 5, "the numbers of 2^32-2, 2^32-1, 0, 1 and 2");
        read(&datagram(7, 4, 2), &GROUP, &mut state);
        assert_eq!(state.sequence_gap_packets, 5);
    }

    #[test]
    fn a_number_that_goes_back_is_no_gap() {
        let mut state = GroupState { expected_sequence: 100, ..GroupState::default() };
        read(&datagram(7, 50, 1), &GROUP, &mut state);
        assert_eq!((state.sequence_gap_packets, state.expected_sequence), (0, 51));
    }

    #[test]
    fn a_packet_of_the_other_family_is_counted_and_not_posted() {
        let mut state = GroupState::default();
        let group = GroupSpec { strict_family: 6, ..GROUP };
        assert!(read(&datagram(7, 0, 3), &group, &mut state).is_empty());
        assert_eq!(state.unreadable.get(Unreadable::Version.index()), Some(&3));
        assert_eq!(state.received_packets, 3);
    }

    #[test]
    fn a_packet_of_the_other_family_that_is_cut_short_is_of_the_other_family() {
        let mut state = GroupState::default();
        let mut bytes = datagram(7, 0, 1);
        let at = bytes.windows(2).position(|two| two == [0x45, 0]).unwrap();
        bytes[at] = 0x65;
        let group = GroupSpec { strict_family: 4, ..GROUP };
        assert!(read(&bytes, &group, &mut state).is_empty());
        assert_eq!(state.unreadable.get(Unreadable::Version.index()), Some(&1));
    }

    #[test]
    fn a_cut_datagram_gives_its_whole_packets() {
        let whole = datagram(7, 0, 3);
        let mut state = GroupState::default();
        let cut = whole.get(..whole.len() - 30).unwrap();
        assert_eq!(read(cut, &GROUP, &mut state).len(), 4);
        assert_eq!((state.received_packets, state.malformed_messages), (2, 1));
    }
}
