//! From a packet's headers to its postings: which columns, which prefixes, what is local.

use crate::flow::{Account, Address, Fields, Key, Posting, Side, Sides, Sums};
use crate::networks::Networks;
use crate::packet::{Depth, Headers};

/// The columns that rows may be added up by, in the order of their bits.
pub const COLUMNS: [&str; 9] =
    ["host", "peer", "protocol", "host_port", "peer_port", "interface", "label", "zone", "mark"];

const HOST: u16 = 1;
const PEER: u16 = 1 << 1;
const PROTOCOL: u16 = 1 << 2;
const HOST_PORT: u16 = 1 << 3;
const PEER_PORT: u16 = 1 << 4;
const INTERFACE: u16 = 1 << 5;
const LABEL: u16 = 1 << 6;
const ZONE: u16 = 1 << 7;
const MARK: u16 = 1 << 8;

/// A network in a list: address, prefix length (IPv4: 0..=32), whether it is IPv4.
pub type Network = (Address, u8, bool);

/// What is asked for, as plain values: it goes into a table file and comes back from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    pub columns: u16,
    pub ipv4_prefix_length: u8,
    pub ipv6_prefix_length: u8,
    pub local: Vec<Network>,
}

impl Default for KeySpec {
    fn default() -> Self {
        Self { columns: HOST, ipv4_prefix_length: 32, ipv6_prefix_length: 128, local: Vec::new() }
    }
}

impl KeySpec {
    /// The bits of column names; `None` if there is one that does not exist.
    #[must_use]
    pub fn columns_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<u16> {
        names.into_iter().try_fold(0, |bits, name| {
            let index = COLUMNS.iter().position(|column| *column == name)?;
            Some(bits | 1 << index)
        })
    }

    #[must_use]
    pub fn has_host(&self) -> bool {
        self.columns & HOST != 0
    }

    #[must_use]
    pub fn has_peer(&self) -> bool {
        self.columns & PEER != 0
    }

    #[must_use]
    pub fn has_protocol(&self) -> bool {
        self.columns & PROTOCOL != 0
    }

    #[must_use]
    pub fn has_host_port(&self) -> bool {
        self.columns & HOST_PORT != 0
    }

    #[must_use]
    pub fn has_peer_port(&self) -> bool {
        self.columns & PEER_PORT != 0
    }

    #[must_use]
    pub fn has_interface(&self) -> bool {
        self.columns & INTERFACE != 0
    }

    #[must_use]
    pub fn has_label(&self) -> bool {
        self.columns & LABEL != 0
    }

    #[must_use]
    pub fn has_zone(&self) -> bool {
        self.columns & ZONE != 0
    }

    #[must_use]
    pub fn has_mark(&self) -> bool {
        self.columns & MARK != 0
    }

    /// Whether rows are told apart by what only connection tracking knows.
    #[must_use]
    pub fn has_connection(&self) -> bool {
        self.columns & (ZONE | MARK) != 0
    }

    /// Whether a key has room for all columns: interface and mark share a place in it.
    #[must_use]
    pub fn fits(&self) -> bool {
        !(self.has_interface() && self.has_mark())
    }

    /// How far headers must be read for this key.
    #[must_use]
    pub fn depth(&self) -> Depth {
        if self.columns & (PROTOCOL | HOST_PORT | PEER_PORT) == 0 { Depth::Addresses } else { Depth::Ports }
    }
}

/// Where a packet was seen, or what connection tracking knows of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    pub in_interface: u32,
    pub out_interface: u32,
    pub tag: u32,
    pub zone: u16,
}

impl Place {
    /// A flow is of no interface; its mark stands in their place.
    #[must_use]
    pub fn of_flow(zone: u16, mark: u32) -> Self {
        Self { in_interface: mark, out_interface: mark, tag: 0, zone }
    }
}

/// Makes postings as a [`KeySpec`] says. Masks are prepared, so that a packet costs no decision about columns.
#[derive(Clone, Debug)]
pub struct Poster {
    host_v4: u128,
    host_v6: u128,
    peer_v4: u128,
    peer_v6: u128,
    meta: u64,
    place: u64,
    special_tag: u32,
    /// Nothing but the host tells rows apart: most of a key need not be made.
    is_host_only: bool,
    local: Networks,
}

impl Poster {
    /// `keep_tag`: the tag tells rows apart whatever the columns are (a capture's interval), and specials too.
    #[must_use]
    pub fn new(spec: &KeySpec, keep_tag: bool) -> Self {
        let v4 = if spec.ipv4_prefix_length == 0 {
            u128::MAX << 32
        } else {
            u128::MAX << (32 - u32::from(spec.ipv4_prefix_length.min(32)))
        };
        let v6 = u128::MAX.checked_shl(128 - u32::from(spec.ipv6_prefix_length.min(128))).unwrap_or(0);
        let when = |wanted: bool, mask: u128| if wanted { mask } else { 0 };
        let full = Key::new(&Fields {
            account: Account::Host,
            host: Address(0),
            peer: Address(0),
            protocol: if spec.has_protocol() { u8::MAX } else { 0 },
            host_port: if spec.has_host_port() { u16::MAX } else { 0 },
            peer_port: if spec.has_peer_port() { u16::MAX } else { 0 },
            zone: if spec.has_zone() { u16::MAX } else { 0 },
            place: if spec.has_interface() || spec.has_mark() { u32::MAX } else { 0 },
            tag: if keep_tag || spec.has_label() { u32::MAX } else { 0 },
        });
        let networks: Vec<_> =
            spec.local.iter().map(|&(address, length, is_v4)| (address, length, is_v4, true)).collect();
        Self {
            host_v4: when(spec.has_host(), v4),
            host_v6: when(spec.has_host(), v6),
            peer_v4: when(spec.has_peer(), v4),
            peer_v6: when(spec.has_peer(), v6),
            meta: full.words[2],
            place: full.words[3],
            special_tag: if keep_tag { u32::MAX } else { 0 },
            is_host_only: !spec.has_peer() && full.words[2] == 0 && full.words[3] == 0,
            local: Networks::new(&networks),
        }
    }

    /// An address as the key's host column shows it.
    #[must_use]
    pub fn masked(&self, address: Address) -> Address {
        Address(address.0 & if address.is_v4() { self.host_v4 } else { self.host_v6 })
    }

    /// Hands the postings of a packet to `take`: the sent one first.
    #[allow(clippy::inline_always, reason = "headers and keys stay in registers")]
    #[inline(always)]
    pub fn post(&self, headers: &Headers, sides: Sides, place: &Place, mut take: impl FnMut(Posting)) {
        if sides.sent() {
            let ports = (headers.source_port, headers.destination_port);
            let key = self.key(
                headers,
                headers.source,
                headers.destination,
                ports,
                (place.in_interface, place.zone, place.tag),
            );
            take(Posting { key, bytes: headers.bytes, side: Side::Sent });
        }
        if sides.received() {
            let key = self.key(
                headers,
                headers.destination,
                headers.source,
                received_ports(headers),
                (place.out_interface, place.zone, place.tag),
            );
            take(Posting { key, bytes: headers.bytes, side: Side::Received });
        }
    }

    /// As [`Self::post`] of a packet seen in one place, but that what is not local is added up in `external`: one posting of
    /// many packets then does for all of them.
    #[allow(clippy::inline_always, reason = "as for `post`")]
    #[inline(always)]
    pub fn post_local(
        &self,
        headers: &Headers,
        sides: Sides,
        place: u32,
        external: &mut Sums,
        mut take: impl FnMut(Posting),
    ) {
        let (source, destination, bytes) = (headers.source, headers.destination, headers.bytes);
        let place = (place, 0, 0);
        if sides.sent() {
            if self.is_external(source) {
                external.add_packets(Sides::Sent, 1, bytes);
            } else {
                let ports = (headers.source_port, headers.destination_port);
                let key = self.host_key(headers, source, destination, ports, place);
                take(Posting { key, bytes, side: Side::Sent });
            }
        }
        if sides.received() {
            if self.is_external(destination) {
                external.add_packets(Sides::Received, 1, bytes);
            } else {
                let key = self.host_key(headers, destination, source, received_ports(headers), place);
                take(Posting { key, bytes, side: Side::Received });
            }
        }
    }

    /// What of an address goes into keys: host and peer, of IPv4 and IPv6.
    #[cfg(feature = "bpf")]
    pub(crate) fn address_masks(&self) -> [[u128; 2]; 2] {
        [[self.host_v4, self.host_v6], [self.peer_v4, self.peer_v6]]
    }

    /// What of the third and the fourth word goes into keys.
    #[cfg(feature = "bpf")]
    pub(crate) fn word_masks(&self) -> [u64; 2] {
        [self.meta, self.place]
    }

    /// Whether nothing but the host tells rows apart.
    #[must_use]
    pub fn is_host_only(&self) -> bool {
        self.is_host_only
    }

    /// The host of an IPv4 address as its key has it; None if it is not local.
    #[must_use]
    #[allow(clippy::inline_always, reason = "as for `post`")]
    #[inline(always)]
    pub fn ipv4_host(&self, address: u32) -> Option<Address> {
        if !self.local.is_empty() && !self.local.lookup_v4(address) {
            return None;
        }
        let Address(host) = Address::from_v4(address.to_be_bytes());
        Some(Address(host & self.host_v4))
    }

    /// The same of an address in an IPv6 header.
    #[must_use]
    #[inline]
    pub fn ipv6_host(&self, address: Address) -> Option<Address> {
        (!self.is_external(address)).then_some(Address(address.0 & self.host_v6))
    }

    #[inline]
    fn is_external(&self, address: Address) -> bool {
        !self.local.is_empty() && !self.local.lookup(address)
    }

    #[allow(clippy::inline_always, reason = "as for `post`")]
    #[inline(always)]
    fn key(&self, headers: &Headers, host: Address, peer: Address, ports: (u16, u16), place: (u32, u16, u32)) -> Key {
        if self.is_external(host) {
            return Key::special(Account::External, place.2 & self.special_tag);
        }
        self.host_key(headers, host, peer, ports, place)
    }

    #[allow(clippy::inline_always, reason = "as for `post`")]
    #[inline(always)]
    fn host_key(
        &self,
        headers: &Headers,
        host: Address,
        peer: Address,
        (host_port, peer_port): (u16, u16),
        (place, zone, tag): (u32, u16, u32),
    ) -> Key {
        let (host_mask, peer_mask) =
            if headers.is_ipv4 { (self.host_v4, self.peer_v4) } else { (self.host_v6, self.peer_v6) };
        if self.is_host_only {
            return Key::host_only(Address(host.0 & host_mask));
        }
        let mut key = Key::new(&Fields {
            account: Account::Host,
            host: Address(host.0 & host_mask),
            peer: Address(peer.0 & peer_mask),
            protocol: headers.protocol,
            host_port,
            peer_port,
            zone,
            place,
            tag,
        });
        key.words[2] &= self.meta;
        key.words[3] &= self.place;
        key
    }
}

/// The ports as the receiver sees them: own, peer's.
#[inline]
fn received_ports(headers: &Headers) -> (u16, u16) {
    match headers.protocol {
        1 | 58 => (headers.source_port, headers.destination_port), // ICMP: type and code on both sides
        _ => (headers.destination_port, headers.source_port),
    }
}
