//! Packet sockets: from the frames in a ring to postings.

pub(crate) mod filter;
pub mod frame;
pub mod interfaces;
pub(crate) mod port;
pub(crate) mod receiver;
mod record;
mod tagged;

use crate::error::Error;
use crate::flow::Posting;
use crate::packet::{Depth, Headers, Unreadable, parse};
use crate::posting::{KeySpec, Poster};
use crate::table::file::TableFile;
use crate::table::header::{GroupSpec, GroupState};
use crate::table::journal;

use frame::{Frame, Segments};
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

/// The packet in a frame, with the bytes that it is booked with; None if it is not to be counted.
#[inline]
fn read(frame: &Frame<'_>, depth: Depth, families: [bool; 2], state: &mut GroupState) -> Option<Headers> {
    let network = frame.network();
    let (mut protocol, mut ip) = (frame.protocol(), network);
    if protocol != IPV4 && protocol != IPV6 {
        let Some(inner) = tagged::open(protocol, network) else {
            state.ring.ignored_packets += 1;
            return None;
        };
        (protocol, ip) = inner;
        if !families[usize::from(protocol == IPV6)] {
            return None;
        }
    }
    state.received_packets += 1;
    state.ring.wire_packets += 1;
    match parse(ip, depth) {
        Ok(headers) if headers.is_ipv4 == (protocol == IPV4) => {
            Some(measured(headers, frame, (network.len() - ip.len()) as u64, state))
        }
        Ok(_) => unreadable(Unreadable::Version, state),
        Err(why) => unreadable(why, state),
    }
}

/// Sees to it that nothing is booked that was not there.
#[inline]
fn measured(mut headers: Headers, frame: &Frame<'_>, tag_bytes: u64, state: &mut GroupState) -> Headers {
    let there = u64::from(frame.whole_bytes().saturating_sub(frame.link_bytes())).saturating_sub(tag_bytes);
    if !headers.length_known {
        state.length_unknown_packets += 1;
        headers.bytes = there;
    } else if headers.bytes > there {
        state.ring.length_lies += 1;
        headers.bytes = there;
    }
    state.received_bytes = state.received_bytes.saturating_add(headers.bytes);
    headers
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
                                 take: &mut dyn FnMut(Posting)| {
        if !tail {
            *state = journal::written_state(header, 0);
            record::replay(bytes, &poster, group.sides, take);
        }
    })?;
    Ok(())
}
