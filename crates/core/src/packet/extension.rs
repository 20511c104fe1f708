//! IPv6 extension headers: the way to the upper layer, and the jumbo option.

use super::protocol::{AUTHENTICATION, DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, MOBILITY, NO_NEXT_HEADER, ROUTING};

/// RFC 8200 section 4.1 names at most seven headers in one packet; more than this is an attempt to cost us time.
pub(super) const HEADERS_MAX: usize = 16;
/// Linux refuses more than 8 options by default (`net/ipv6/sysctl_net_ipv6.c`: `max_hbh_opts_number`), padding apart.
const OPTIONS_MAX: usize = 16;

const PAD1: u8 = 0;
const JUMBO_PAYLOAD: u8 = 0xc2;

/// Whether [`walk`] knows how to pass this header. ESP is not among them: what follows it is encrypted.
#[inline]
pub(super) fn is_walked(next_header: u8) -> bool {
    matches!(next_header, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS | MOBILITY)
}

/// Follows the chain of extension headers that starts `rest`, `next_header` being the kind of the first one.
///
/// Returns the first header that is not such (or that is missing) and its bytes: None when they are cut off, belong to an
/// earlier fragment or are too many headers away.
#[cold]
pub(super) fn walk(mut next_header: u8, mut rest: &[u8]) -> (u8, Option<&[u8]>) {
    for _ in 0..HEADERS_MAX {
        if !is_walked(next_header) {
            return (next_header, Some(rest));
        }
        let Some(&[following, length, fragment_high, fragment_low]) = rest.first_chunk() else {
            return (next_header, None);
        };
        let header_bytes = match next_header {
            // The reserved byte in the place of the length is not one: RFC 8200 section 4.5.
            FRAGMENT => 8,
            // Counted in 4 bytes, less 2: RFC 4302 section 2.2.
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        if next_header == FRAGMENT && u16::from_be_bytes([fragment_high, fragment_low]) >> 3 != 0 {
            return (following, None);
        }
        // Mobility signalling is a message of its own, not a wrapper: nothing follows (RFC 6275 section 6.1.1), and
        // "no next header" would hide what the packet was.
        if next_header == MOBILITY && following == NO_NEXT_HEADER {
            return (MOBILITY, None);
        }
        next_header = following;
        match rest.get(header_bytes..) {
            Some(behind) => rest = behind,
            None => return (next_header, None),
        }
    }
    (next_header, (!is_walked(next_header)).then_some(rest))
}

/// The kind of the header behind the extension header that starts `rest`, and its bytes; None behind what is cut off, what is
/// no extension header, and a fragment's header.
pub(super) fn step(next_header: u8, rest: &[u8]) -> Option<(u8, &[u8])> {
    let &[following, length] = rest.first_chunk()?;
    let header_bytes = match next_header {
        AUTHENTICATION => (usize::from(length) + 2) * 4,
        HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (usize::from(length) + 1) * 8,
        _ => return None,
    };
    Some((following, rest.get(header_bytes..)?))
}

/// The payload length in the jumbo option of the hop-by-hop header that starts `rest` (RFC 2675 section 2).
///
/// Lengths that a 16-bit field could have told are refused, as the RFC and the kernel do
/// (`net/ipv6/exthdrs.c`: `ipv6_hop_jumbo`). The option's alignment is not looked at.
pub(super) fn jumbo_payload(rest: &[u8]) -> Option<u32> {
    let &[_, length] = rest.first_chunk()?;
    let header_bytes = (usize::from(length) + 1) * 8;
    // The header itself may be cut off behind the option.
    let header = rest.get(..header_bytes).unwrap_or(rest);
    let mut options = header.get(2..)?;
    for _ in 0..OPTIONS_MAX {
        let &kind = options.first()?;
        if kind == PAD1 {
            options = options.get(1..)?;
            continue;
        }
        let &option_bytes = options.get(1)?;
        let content = options.get(2..)?;
        if kind == JUMBO_PAYLOAD {
            let payload = u32::from_be_bytes(*content.first_chunk()?);
            return (option_bytes == 4 && payload > u32::from(u16::MAX)).then_some(payload);
        }
        options = content.get(usize::from(option_bytes)..)?;
    }
    None
}
