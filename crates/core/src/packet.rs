//! The bytes of an IP packet → its headers.
//!
//! [`parse`] is total: it answers for every input, never panics, allocates nothing and does a bounded amount of work.
//! Packets usually arrive cut short (a log rule or a capture copies only their beginning), so a header that is missing is
//! normal here and costs detail, not the packet: only the fixed IP header must be whole.

mod extension;
mod fragment;

use crate::flow::Address;

pub use fragment::{Fragment, fragment};

/// How far to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The fixed header only, and the jumbo option when an IPv6 packet needs it for its length. `protocol` of an IPv6
    /// packet is then its first next header, which may be an extension header.
    Addresses,
    /// Through options and extension headers up to the ports.
    Ports,
}

/// What one packet says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    pub source: Address,
    pub destination: Address,
    /// IP total length, headers included, IPv4 and IPv6 alike. 0 when `length_known` is false.
    pub bytes: u64,
    /// The upper layer. If the chain of IPv6 extension headers cannot be read to its end: the first header that is missing.
    pub protocol: u8,
    /// ICMP and `ICMPv6`: the type.
    pub source_port: u16,
    /// ICMP and `ICMPv6`: the code.
    pub destination_port: u16,
    pub is_ipv4: bool,
    /// False: the length field is 0 and the true length is not in the packet. Who has it from elsewhere sets `bytes`.
    pub length_known: bool,
    /// False: no ports were read (none in this protocol, a later fragment, cut off, or not asked for); both are 0.
    pub ports_known: bool,
}

/// Why a packet could not be read; such packets are counted by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// No byte at all.
    Empty,
    /// The version is neither 4 nor 6.
    Version,
    /// Less than the fixed header.
    Short,
    /// IPv4: the header length field is below 20 bytes.
    HeaderLength,
    /// IPv4: the total length field is not 0 and below the header length.
    TotalLength,
    /// What carried it says that it is not IP. Never from [`parse`], which gets IP only.
    NotIp,
}

impl Unreadable {
    pub const ALL: [Self; 6] =
        [Self::Empty, Self::Version, Self::Short, Self::HeaderLength, Self::TotalLength, Self::NotIp];
    pub const COUNT: usize = Self::ALL.len();

    /// A number below [`Self::COUNT`], for an array of counters.
    #[must_use]
    #[inline]
    pub fn index(self) -> usize {
        self as usize
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Version => "version",
            Self::Short => "short",
            Self::HeaderLength => "header_length",
            Self::TotalLength => "total_length",
            Self::NotIp => "not_ip",
        }
    }
}

// https://www.iana.org/assignments/protocol-numbers
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ICMP: u8 = 1;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const DCCP: u8 = 33;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const ICMP_V6: u8 = 58;
    pub(super) const NO_NEXT_HEADER: u8 = 59;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const SCTP: u8 = 132;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const UDP_LITE: u8 = 136;
}

const V4_HEADER_BYTES: usize = 20;
const V6_HEADER_BYTES: usize = 40;

/// Reads the headers of one packet; `ip` starts with the IP header and may be cut anywhere or have padding behind.
///
/// # Errors
///
/// Why it is not an IP packet that could be counted.
#[allow(clippy::inline_always, reason = "headers stay in registers: measured, a fifth of the time of a packet")]
#[inline(always)]
pub fn parse(ip: &[u8], depth: Depth) -> Result<Headers, Unreadable> {
    match ip.first().map(|first| first >> 4) {
        Some(4) => parse_v4(ip, depth),
        Some(6) => parse_v6(ip, depth),
        Some(_) => Err(Unreadable::Version),
        None => Err(Unreadable::Empty),
    }
}

#[allow(clippy::inline_always, reason = "as for `parse`")]
#[inline(always)]
fn parse_v4(ip: &[u8], depth: Depth) -> Result<Headers, Unreadable> {
    let Some(fixed) = ip.first_chunk::<V4_HEADER_BYTES>() else { return Err(Unreadable::Short) };
    let header_bytes = usize::from(fixed[0] & 0x0f) * 4;
    if header_bytes < V4_HEADER_BYTES {
        return Err(Unreadable::HeaderLength);
    }
    // 0 is no error: Linux writes it into packets above 64 KiB that segmentation has merged or not yet split
    // (include/linux/ip.h: iph_set_totlen, iph_totlen); their length is known to the kernel only.
    let total = u16::from_be_bytes([fixed[2], fixed[3]]);
    let length_known = total != 0;
    if length_known && usize::from(total) < header_bytes {
        return Err(Unreadable::TotalLength);
    }
    let mut headers = Headers {
        source: Address::from_v4([fixed[12], fixed[13], fixed[14], fixed[15]]),
        destination: Address::from_v4([fixed[16], fixed[17], fixed[18], fixed[19]]),
        bytes: u64::from(total),
        protocol: fixed[9],
        source_port: 0,
        destination_port: 0,
        is_ipv4: true,
        length_known,
        ports_known: false,
    };
    // Only the fragment at offset 0 starts with the upper layer's header.
    let fragment_offset = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff;
    if depth == Depth::Ports && fragment_offset == 0 {
        let packet = if length_known { without_padding(ip, usize::from(total)) } else { ip };
        headers.set_ports(packet.get(header_bytes..), protocol::ICMP);
    }
    Ok(headers)
}

#[inline]
fn parse_v6(ip: &[u8], depth: Depth) -> Result<Headers, Unreadable> {
    let Some((fixed, behind)) = ip.split_first_chunk::<V6_HEADER_BYTES>() else { return Err(Unreadable::Short) };
    // These cannot fail, 8 + 16 + 16 is 40; the compiler sees it and leaves no check behind.
    let Some((start, addresses)) = fixed.split_first_chunk::<8>() else { return Err(Unreadable::Short) };
    let Some((source, destination)) = addresses.split_first_chunk::<16>() else { return Err(Unreadable::Short) };
    let Some(destination) = destination.first_chunk::<16>() else { return Err(Unreadable::Short) };

    let next_header = start[6];
    let payload = u16::from_be_bytes([start[4], start[5]]);
    let payload_bytes = if payload == 0 { zero_payload(next_header, behind) } else { Some(u32::from(payload)) };
    let mut headers = Headers {
        source: Address::from_v6(*source),
        destination: Address::from_v6(*destination),
        bytes: payload_bytes.map_or(0, |bytes| V6_HEADER_BYTES as u64 + u64::from(bytes)),
        protocol: next_header,
        source_port: 0,
        destination_port: 0,
        is_ipv4: false,
        length_known: payload_bytes.is_some(),
        ports_known: false,
    };
    if depth == Depth::Ports {
        // A length that does not fit into usize is longer than any slice.
        let payload_bytes = payload_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let payload = without_padding(behind, payload_bytes);
        if extension::is_walked(next_header) {
            let (upper_protocol, upper) = extension::walk(next_header, payload);
            headers.protocol = upper_protocol;
            headers.set_ports(upper, protocol::ICMP_V6);
        } else {
            headers.set_ports(Some(payload), protocol::ICMP_V6);
        }
    }
    Ok(headers)
}

/// The length of an IPv6 payload whose length field is 0; None if it is not in the packet.
///
/// Linux's receive path (`net/ipv6/ip6_input.c`: `ip6_rcv_core`) is followed, as its count is what ours is compared with:
/// - A hop-by-hop header: the jumbo option has the length (RFC 2675 section 3; Linux before 7.0 puts it into merged
///   super-packets, `struct hop_jumbo_hdr`). Without one the kernel believes the link layer, which we do not see.
/// - TCP: a merged super-packet (`ipv6_payload_len` in `include/linux/ipv6.h`: a length of 0 stands for the buffer's own
///   when the packet is to be segmented as TCP). UDP is the same around a tunnelled TCP super-packet. Neither can be
///   an empty payload, which has no room for the header. Routing and destination options may stand before that TCP.
/// - Any other next header, No Next Header above all (RFC 8200 section 4.7): 0 means 0. The kernel trims it to 40 bytes.
#[cold]
fn zero_payload(next_header: u8, behind: &[u8]) -> Option<u32> {
    match next_header {
        protocol::HOP_BY_HOP => extension::jumbo_payload(behind),
        protocol::TCP | protocol::UDP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => None,
        _ => Some(0),
    }
}

/// Ethernet pads short frames to 60 bytes: what lies behind the packet's own length is not its content.
#[inline]
fn without_padding(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}

impl Headers {
    #[inline]
    fn set_ports(&mut self, upper: Option<&[u8]>, icmp: u8) {
        let Some(upper) = upper else { return };
        match self.protocol {
            protocol::TCP | protocol::UDP | protocol::SCTP | protocol::UDP_LITE | protocol::DCCP => {
                if let Some(&[source_high, source_low, destination_high, destination_low]) = upper.first_chunk() {
                    self.source_port = u16::from_be_bytes([source_high, source_low]);
                    self.destination_port = u16::from_be_bytes([destination_high, destination_low]);
                    self.ports_known = true;
                }
            }
            other if other == icmp => {
                if let Some(&[kind, code]) = upper.first_chunk() {
                    self.source_port = u16::from(kind);
                    self.destination_port = u16::from(code);
                    self.ports_known = true;
                }
            }
            _ => {}
        }
    }
}
