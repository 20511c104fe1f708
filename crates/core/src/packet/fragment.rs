//! What a packet says of itself as a fragment.

use super::extension;
use super::protocol::FRAGMENT;

/// Which packet a fragment is of, together with its addresses and, in IPv4, its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub identification: u32,
    /// It starts the packet: the upper layer's header is in it.
    pub is_first: bool,
}

/// None for a whole packet, an IPv6 packet "of one fragment" (RFC 6946) included, and for what is cut off.
#[must_use]
#[inline]
pub fn fragment(ip: &[u8]) -> Option<Fragment> {
    let start: &[u8; 8] = ip.first_chunk()?;
    if start[0] >> 4 == 4 {
        let field = u16::from_be_bytes([start[6], start[7]]);
        // More fragments, or an offset.
        return (field & 0x3fff != 0).then(|| Fragment {
            identification: u32::from(u16::from_be_bytes([start[4], start[5]])),
            is_first: field << 3 == 0,
        });
    }
    if extension::is_walked(start[6]) { behind_extensions(start[6], ip.get(40..)?) } else { None }
}

#[cold]
fn behind_extensions(mut next_header: u8, mut rest: &[u8]) -> Option<Fragment> {
    for _ in 0..extension::HEADERS_MAX {
        if next_header == FRAGMENT {
            let &[_, _, high, low, i0, i1, i2, i3] = rest.first_chunk()?;
            let field = u16::from_be_bytes([high, low]);
            let identification = u32::from_be_bytes([i0, i1, i2, i3]);
            // The two bits between are reserved.
            return (field & !6 != 0).then_some(Fragment { identification, is_first: field >> 3 == 0 });
        }
        (next_header, rest) = extension::step(next_header, rest)?;
    }
    None
}
