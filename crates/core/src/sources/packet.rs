//! Packet sockets: from the frames in a ring to postings.

mod at_hand;
pub(crate) mod filter;
mod fragments;
pub mod frame;
pub mod interfaces;
mod news;
pub(crate) mod port;
mod program;
pub(crate) mod receiver;
mod record;
mod tagged;
#[cfg(test)]
mod tests;

use libc::sock_filter;

use crate::error::Error;
use crate::flow::Posting;
use crate::packet::{Depth, Headers, Unreadable, fragment, parse};
use crate::posting::{KeySpec, Poster};
use crate::table::file::TableFile;
use crate::table::header::{GroupSpec, GroupState};
use crate::table::journal;

use fragments::Fragments;
use frame::{Frame, Segments};
pub use record::Record;
use record::{bytes, quick, record};
use tagged::{IPV4, IPV6};

/// IP versions, and the Ethernet types that announce them.
pub(crate) const FAMILIES: [(u8, u16); 2] = [(4, IPV4), (6, IPV6)];

/// Link layers, tags and IPv6's headers before the ports. Frames of unusual links may have less of IP captured; ports are
/// then unknown, and addresses never.
const SNAP_BYTES_ADDRESSES: u32 = 128;
const SNAP_BYTES_PORTS: u32 = 256;

/// How much of a frame is captured.
pub(crate) fn snap_bytes(spec: &KeySpec) -> u32 {
    match spec.depth() {
        Depth::Addresses => SNAP_BYTES_ADDRESSES,
        Depth::Ports => SNAP_BYTES_PORTS,
    }
}

/// What a socket receives, and how it is handed over.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub ring_bytes: usize,
    pub retire_milliseconds: u32,
    /// IPv4, IPv6.
    pub families: [bool; 2],
    pub snap_bytes: u32,
    /// By which the kernel drops what is not to be counted; it reads packets from their IP header on.
    pub given: Vec<sock_filter>,
}

/// Reads the packets in frames.
#[derive(Debug)]
pub struct Reader {
    depth: Depth,
    wanted: Wanted,
    tells_segments: bool,
    fragments: Fragments,
}

impl Reader {
    /// `tells_segments`: the kernel was asked to say how super-packets are to be split.
    #[must_use]
    pub fn new(spec: &KeySpec, wanted: Wanted, tells_segments: bool) -> Self {
        Self { depth: spec.depth(), wanted, tells_segments, fragments: Fragments::default() }
    }

    /// The packet in a frame, seen at an interface; None if it is not to be counted.
    pub fn read(&mut self, frame: &Frame<'_>, interface: u32, state: &mut GroupState) -> Option<Record> {
        match self.read_quick(frame, interface) {
            Some(record) => {
                count_quick(1, bytes(&record), state);
                Some(record)
            }
            None => self.read_thoroughly(*frame, interface, state),
        }
    }

    /// The packet in a frame if it is like almost all are; it is for the caller to count it ([`count_quick`]). All others
    /// have to be read thoroughly.
    #[allow(clippy::inline_always, reason = "once, in the loop over frames")]
    #[inline(always)]
    pub(crate) fn read_quick(&self, frame: &Frame<'_>, interface: u32) -> Option<Record> {
        if frame.protocol() != IPV4 || self.tells_segments && frame.is_super() {
            return None;
        }
        quick(frame.network_if_any()?, frame.network_bytes(), self.depth == Depth::Ports, interface)
    }

    /// The packet in any frame, and counts it.
    #[inline(never)]
    pub(crate) fn read_thoroughly(
        &mut self,
        frame: Frame<'_>,
        interface: u32,
        state: &mut GroupState,
    ) -> Option<Record> {
        self.headers(&frame, state).map(|headers| record(&headers, interface))
    }

    fn headers(&mut self, frame: &Frame<'_>, state: &mut GroupState) -> Option<Headers> {
        let network = frame.network();
        let (mut protocol, mut ip) = (frame.protocol(), network);
        if protocol != IPV4 && protocol != IPV6 {
            (protocol, ip) = self.inside(frame, network, state)?;
        }
        state.received_packets += 1;
        state.ring.wire_packets += 1;
        if self.tells_segments
            && let Some(segments) = frame.segments()
        {
            count_segments(frame, segments, state);
        }
        let mut headers = match parse(ip, self.depth) {
            Ok(headers) if headers.is_ipv4 == (protocol == IPV4) => headers,
            Ok(_) => return unreadable(Unreadable::Version, state),
            Err(why) => return unreadable(why, state),
        };
        measure(&mut headers, frame, (network.len() - ip.len()) as u64, state);
        if self.depth == Depth::Ports
            && let Some(part) = fragment(ip)
            && !self.fragments.resolve(&mut headers, part, frame.time_ns())
        {
            state.ring.fragments_unknown += 1;
        }
        Some(headers)
    }

    /// The IP packet behind tags, if it is wanted: the kernel could not tell.
    #[cold]
    fn inside<'a>(&self, frame: &Frame<'_>, network: &'a [u8], state: &mut GroupState) -> Option<(u16, &'a [u8])> {
        // Of a frame that is sent with its tag inside the kernel says so, and all the same where IP is.
        let before = frame.type_before_network().filter(|&before| tagged::is_known(before));
        let Some((protocol, ip)) = tagged::open(before.unwrap_or(frame.protocol()), network) else {
            state.ring.ignored_packets += 1;
            return None;
        };
        let [ipv4, ipv6] = self.wanted.families;
        let is_wanted = if protocol == IPV6 { ipv6 } else { ipv4 };
        let given = &self.wanted.given;
        (is_wanted && (given.is_empty() || program::passes(given, ip, protocol))).then_some((protocol, ip))
    }
}

/// Counts packets that were read quickly.
#[inline]
pub(crate) fn count_quick(packets: u64, bytes: u64, state: &mut GroupState) {
    state.received_packets += packets;
    state.ring.wire_packets += packets;
    state.received_bytes = state.received_bytes.saturating_add(bytes);
}

/// Sees to it that nothing is booked that was not there.
fn measure(headers: &mut Headers, frame: &Frame<'_>, tag_bytes: u64, state: &mut GroupState) {
    let there = u64::from(frame.network_bytes()).saturating_sub(tag_bytes);
    if !headers.length_known {
        state.length_unknown_packets += 1;
        headers.bytes = there;
    } else if headers.bytes > there {
        state.ring.length_lies += 1;
        headers.bytes = there;
    }
    state.received_bytes = state.received_bytes.saturating_add(headers.bytes);
}

#[cold]
fn unreadable(why: Unreadable, state: &mut GroupState) -> Option<Headers> {
    if let Some(count) = state.unreadable.get_mut(why.index()) {
        *count += 1;
    }
    None
}

/// Counts a super-packet as the packets that it was on the wire, or will be.
#[cold]
fn count_segments(frame: &Frame<'_>, segments: Segments, state: &mut GroupState) {
    const TCP_LENGTH_AT: usize = 12;
    const UDP_HEADER_BYTES: u32 = 8;
    state.ring.super_packets += 1;
    let Some(upper_at) = segments.upper_at.filter(|_| segments.bytes > 0) else { return };
    let header_bytes = if segments.is_tcp {
        let length = frame.link().get(usize::from(upper_at) + TCP_LENGTH_AT).map_or(5, |byte| byte >> 4);
        u32::from(length) * 4
    } else {
        UDP_HEADER_BYTES
    };
    let payload = frame.whole_bytes().saturating_sub(u32::from(upper_at)).saturating_sub(header_bytes);
    let packets = payload.div_ceil(u32::from(segments.bytes)).max(1);
    state.ring.wire_packets = state.ring.wire_packets.saturating_add(u64::from(packets - 1));
}

/// Finishes what a dead process had read and not yet added.
///
/// # Errors
/// The rows are not what the journal says: the file is damaged.
pub(crate) fn finish(file: &mut TableFile) -> Result<(), Error> {
    let poster = Poster::new(&file.spec, false);
    journal::recover(file, &mut |bytes: &[u8],
                                 tail,
                                 group: &GroupSpec,
                                 header,
                                 state,
                                 take: &mut dyn FnMut(Posting, u64)| {
        if !tail {
            *state = journal::written_state(header, 0);
            record::replay(bytes, &poster, group.sides, take);
        }
    })?;
    Ok(())
}
