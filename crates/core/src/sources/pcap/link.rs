//! Link layers: from a captured frame to the IP packet in it. Total functions, nothing is copied.
//!
//! Numbers and layouts are those of <https://www.tcpdump.org/linktypes.html>.

/// Which IP version the layer below announced. The packet's own version field must agree: a host would drop it otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Either,
    V4,
    V6,
}

impl Family {
    /// Whether a packet that starts with `first` is of this family; what is neither 4 nor 6 is left to the IP parser.
    #[must_use]
    #[inline]
    pub(super) fn agrees(self, first: u8) -> bool {
        match self {
            Family::Either => true,
            Family::V4 => first >> 4 != 6,
            Family::V6 => first >> 4 != 4,
        }
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner<'a> {
    Ip(Family, &'a [u8]),
    NotIp,
    /// The capture cut the frame before the IP header.
    Short,
}

/// A link type that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Ethernet,
    LinuxCooked,
    LinuxCooked2,
    Raw,
    RawV4,
    RawV6,
    Null,
    Loop,
    Ppp,
    PppHdlc,
    PppEther,
}

/// More tags than this are nobody's network; the walk over them ends here.
const TAGS_MAX: usize = 8;

impl Link {
    #[must_use]
    pub(super) fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Link::Null,
            1 => Link::Ethernet,
            9 => Link::Ppp,
            // 12 and 14 are what BSDs write for raw IP; 101 is the number made for files.
            12 | 14 | 101 => Link::Raw,
            50 => Link::PppHdlc,
            51 => Link::PppEther,
            108 => Link::Loop,
            113 => Link::LinuxCooked,
            228 => Link::RawV4,
            229 => Link::RawV6,
            276 => Link::LinuxCooked2,
            _ => return None,
        })
    }

    /// Finds the IP packet in `frame`.
    #[must_use]
    #[inline]
    pub(super) fn open(self, frame: &[u8]) -> Inner<'_> {
        match self {
            Link::Ethernet => ethernet(frame),
            Link::Raw => Inner::Ip(Family::Either, frame),
            Link::RawV4 => Inner::Ip(Family::V4, frame),
            Link::RawV6 => Inner::Ip(Family::V6, frame),
            Link::LinuxCooked => cooked(frame),
            Link::LinuxCooked2 => cooked2(frame),
            Link::Null => null(frame),
            Link::Loop => loopback(frame),
            Link::Ppp => ppp(frame),
            Link::PppHdlc => ppp_hdlc(frame),
            Link::PppEther => pppoe(frame),
        }
    }
}

#[inline]
fn ethernet(frame: &[u8]) -> Inner<'_> {
    match frame.split_first_chunk::<14>() {
        Some((header, rest)) => by_ethertype(u16::from_be_bytes([header[12], header[13]]), rest),
        None => Inner::Short,
    }
}

#[inline]
fn by_ethertype(ethertype: u16, rest: &[u8]) -> Inner<'_> {
    match ethertype {
        0x0800 => Inner::Ip(Family::V4, rest),
        0x86dd => Inner::Ip(Family::V6, rest),
        _ => by_rare_ethertype(ethertype, rest),
    }
}

#[cold]
fn by_rare_ethertype(mut ethertype: u16, mut rest: &[u8]) -> Inner<'_> {
    for _ in 0..TAGS_MAX {
        match ethertype {
            0x0800 => return Inner::Ip(Family::V4, rest),
            0x86dd => return Inner::Ip(Family::V6, rest),
            0x8864 => return pppoe(rest),
            // 802.1Q, 802.1ad, and the two numbers used for QinQ before 802.1ad.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => match rest.split_first_chunk::<4>() {
                Some((tag, inner)) => (ethertype, rest) = (u16::from_be_bytes([tag[2], tag[3]]), inner),
                None => return Inner::Short,
            },
            // Not a type but a length: 802.3, where IP travels in SNAP with the Ethernet OUI (RFC 1042).
            0..0x0600 => match rest.split_first_chunk::<8>() {
                Some((&[0xaa, 0xaa, 0x03, 0, 0, 0, high, low], inner)) => {
                    (ethertype, rest) = (u16::from_be_bytes([high, low]), inner);
                    if ethertype < 0x0600 {
                        return Inner::NotIp;
                    }
                }
                _ => return Inner::NotIp,
            },
            _ => return Inner::NotIp,
        }
    }
    Inner::NotIp
}

fn cooked(frame: &[u8]) -> Inner<'_> {
    match frame.split_first_chunk::<16>() {
        Some((header, rest)) => cooked_protocol(u16::from_be_bytes([header[14], header[15]]), rest),
        None => Inner::Short,
    }
}

fn cooked2(frame: &[u8]) -> Inner<'_> {
    match frame.split_first_chunk::<20>() {
        Some((header, rest)) => cooked_protocol(u16::from_be_bytes([header[0], header[1]]), rest),
        None => Inner::Short,
    }
}

/// The kernel writes small numbers (802.3, LLC, CAN ...) where there is no Ethernet type; none of them is IP.
fn cooked_protocol(protocol: u16, rest: &[u8]) -> Inner<'_> {
    if protocol < 0x0600 { Inner::NotIp } else { by_ethertype(protocol, rest) }
}

/// The address family in the byte order of the machine that captured, which the file does not tell.
fn null(frame: &[u8]) -> Inner<'_> {
    match frame.split_first_chunk::<4>() {
        Some((family, rest)) => {
            let value = u32::from_le_bytes(*family);
            by_address_family(if value > 0xffff { value.swap_bytes() } else { value }, rest)
        }
        None => Inner::Short,
    }
}

fn loopback(frame: &[u8]) -> Inner<'_> {
    match frame.split_first_chunk::<4>() {
        Some((family, rest)) => by_address_family(u32::from_be_bytes(*family), rest),
        None => Inner::Short,
    }
}

fn by_address_family(family: u32, rest: &[u8]) -> Inner<'_> {
    match family {
        2 => Inner::Ip(Family::V4, rest),
        // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS.
        10 | 24 | 28 | 30 => Inner::Ip(Family::V6, rest),
        _ => Inner::NotIp,
    }
}

fn pppoe(frame: &[u8]) -> Inner<'_> {
    match frame.split_first_chunk::<6>() {
        // Version 1, type 1, code 0: a session packet. Discovery has other codes.
        Some(([0x11, 0, ..], rest)) => ppp(rest),
        Some(_) => Inner::NotIp,
        None => Inner::Short,
    }
}

/// RFC 1661, with address and control bytes (RFC 1662) or without, protocol number long or compressed to one byte.
fn ppp(frame: &[u8]) -> Inner<'_> {
    match frame {
        [0xff, 0x03, rest @ ..] | rest => match rest {
            [0x21, inner @ ..] | [0x00, 0x21, inner @ ..] => Inner::Ip(Family::V4, inner),
            [0x57, inner @ ..] | [0x00, 0x57, inner @ ..] => Inner::Ip(Family::V6, inner),
            [] | [0x00] => Inner::Short,
            _ => Inner::NotIp,
        },
    }
}

/// Routers write Cisco's own framing under the same number: address 0x0f (unicast) or 0x8f, control 0, Ethernet type.
fn ppp_hdlc(frame: &[u8]) -> Inner<'_> {
    match frame {
        [0x0f | 0x8f, 0, high, low, rest @ ..] => by_ethertype(u16::from_be_bytes([*high, *low]), rest),
        _ => ppp(frame),
    }
}
