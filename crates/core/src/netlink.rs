//! Netlink bytes ↔ messages, as far as NFLOG needs them. No sockets here.
//!
//! Reading is total: it answers for every input, never panics and allocates nothing. Attributes that are not known are
//! passed over, in any order and alignment. Layouts: `linux/netlink.h`, `linux/netfilter/nfnetlink.h` and
//! `linux/netfilter/nfnetlink_log.h`. Numbers of netlink itself are in the machine's byte order, NFLOG's are big-endian.

mod layout;

use crate::packet::Unreadable;

use layout::Layouts;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NFNL_SUBSYS_ULOG: u16 = 4;
const NFULNL_MSG_PACKET: u16 = NFNL_SUBSYS_ULOG << 8;
const NFULNL_MSG_CONFIG: u16 = NFNL_SUBSYS_ULOG << 8 | 1;

const MESSAGE_HEADER_BYTES: u16 = 16;
const NFGEN_HEADER_BYTES: u16 = 4;
const ATTRIBUTE_HEADER_BYTES: u16 = 4;
const NUMBER_ATTRIBUTE_BYTES: u16 = ATTRIBUTE_HEADER_BYTES + 4;
/// The upper two bits of an attribute's type are flags (nested, byte order).
const NLA_TYPE_MASK: u16 = 0x3fff;

const NFULA_PACKET_HDR: u16 = 1;
const NFULA_IFINDEX_INDEV: u16 = 4;
const NFULA_IFINDEX_OUTDEV: u16 = 5;
const NFULA_IFINDEX_PHYSINDEV: u16 = 6;
const NFULA_IFINDEX_PHYSOUTDEV: u16 = 7;
const NFULA_PAYLOAD: u16 = 9;
const NFULA_PREFIX: u16 = 10;
const NFULA_SEQ: u16 = 12;

const NFPROTO_ARP: u8 = 3;
const NFPROTO_NETDEV: u8 = 5;
const NFPROTO_BRIDGE: u8 = 7;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88a8;
/// More VLAN tags inside each other than any network has; Linux itself looks for 8 (`include/linux/if_vlan.h`).
const VLAN_TAGS_MAX: usize = 8;

/// One message of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Packet(NflogPacket<'a>),
    /// The answer to the request of this sequence number.
    Error {
        sequence: u32,
        /// Positive; 0 is the acknowledgement.
        errno: i32,
    },
    /// Ends a batch. NFLOG puts it behind the packets of every datagram that has more than one.
    Done,
    Other {
        kind: u16,
    },
}

/// A logged packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NflogPacket<'a> {
    pub group: u16,
    /// Of the rule's table: 2 IPv4, 10 IPv6 (`inet` tables: one of these two), 7 bridge, 5 netdev, 3 ARP.
    pub family: u8,
    /// Ethernet type; 0 if not told.
    pub hw_protocol: u16,
    /// Only when asked for by [`ConfigAttribute::SequenceNumbers`]. Wraps.
    pub sequence: Option<u32>,
    /// Interface index; 0 if there is none. In the bridge family that of the bridge's port, if it has one.
    pub in_interface: u32,
    pub out_interface: u32,
    /// The rule's `prefix`, without the closing NUL.
    pub prefix: &'a [u8],
    /// From the network header on, up to the copy range. None: only metadata was copied.
    pub payload: Option<&'a [u8]>,
}

impl<'a> NflogPacket<'a> {
    /// The IP packet: the payload, behind the VLAN tags that a bridge or netdev rule sees.
    ///
    /// # Errors
    ///
    /// [`Unreadable::NotIp`] (ARP and the like), [`Unreadable::Empty`] or, cut off within a tag, [`Unreadable::Short`].
    #[inline]
    pub fn ip(&self) -> Result<&'a [u8], Unreadable> {
        let payload = self.payload.ok_or(Unreadable::Empty)?;
        match self.family {
            NFPROTO_BRIDGE | NFPROTO_NETDEV => behind_tags(self.hw_protocol, payload),
            NFPROTO_ARP => Err(Unreadable::NotIp),
            _ => Ok(payload),
        }
    }
}

/// A tag that the kernel has not taken off is still at the front: two bytes of VLAN number, then the type of what follows.
#[cold]
fn behind_tags(mut ether_type: u16, mut rest: &[u8]) -> Result<&[u8], Unreadable> {
    for _ in 0..=VLAN_TAGS_MAX {
        match ether_type {
            ETH_P_IP | ETH_P_IPV6 => return Ok(rest),
            ETH_P_8021Q | ETH_P_8021AD => {
                let (&[_, _, high, low], behind) = rest.split_first_chunk().ok_or(Unreadable::Short)?;
                ether_type = u16::from_be_bytes([high, low]);
                rest = behind;
            }
            _ => return Err(Unreadable::NotIp),
        }
    }
    Err(Unreadable::NotIp)
}

/// The bytes are not what the kernel writes: a length that leads out of its datagram or message, a value too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The messages of one datagram, in order. Ends at the first malformed one: what is behind it cannot be found.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    datagram: &'a [u8],
    rest: &'a [u8],
    failed: bool,
    layouts: Layouts,
}

impl<'a> Messages<'a> {
    #[must_use]
    #[inline]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { datagram, rest: datagram, failed: false, layouts: Layouts::default() }
    }

    /// The next message, if it is a packet laid out like one before; else None, and [`Self::next`] tells what it is.
    ///
    /// Without `wants_place` interfaces and prefix are left out. A packet goes from here to its postings in registers; out of an enum within two others it would be copied thrice.
    #[allow(clippy::inline_always, reason = "measured: a third of the time of a packet")]
    #[inline(always)]
    pub fn next_alike(&mut self, wants_place: bool) -> Option<NflogPacket<'a>> {
        let header = self.rest.first_chunk::<{ MESSAGE_HEADER_BYTES as usize }>()?;
        let length = usize::try_from(u32::from_ne_bytes([header[0], header[1], header[2], header[3]])).ok()?;
        if u16::from_ne_bytes([header[4], header[5]]) != NFULNL_MSG_PACKET {
            return None;
        }
        let packet = self.layouts.read(self.rest.get(usize::from(MESSAGE_HEADER_BYTES)..length)?, wants_place)?;
        self.rest = self.rest.get(aligned(length)..).unwrap_or_default();
        Some(packet)
    }

    /// How many bytes the messages given out so far took, [`Malformed`] not included.
    #[must_use]
    #[inline]
    pub fn offset(&self) -> usize {
        self.datagram.len() - self.rest.len()
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.failed {
            return None;
        }
        let Some((message, behind)) = split_message(self.rest, &mut self.layouts) else {
            self.failed = true;
            return Some(Err(Malformed));
        };
        self.rest = behind;
        Some(Ok(message))
    }
}

impl std::iter::FusedIterator for Messages<'_> {}

/// The first message and what is behind it.
#[inline]
fn split_message<'a>(rest: &'a [u8], layouts: &mut Layouts) -> Option<(Message<'a>, &'a [u8])> {
    let header = rest.first_chunk::<{ MESSAGE_HEADER_BYTES as usize }>()?;
    let length = usize::try_from(u32::from_ne_bytes([header[0], header[1], header[2], header[3]])).ok()?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let body = rest.get(..length)?.get(usize::from(MESSAGE_HEADER_BYTES)..)?;
    let message = match kind {
        NFULNL_MSG_PACKET => Message::Packet(match layouts.read(body, true) {
            Some(packet) => packet,
            None => walked(body, layouts)?,
        }),
        NLMSG_ERROR => {
            let error = i32::from_ne_bytes(*body.first_chunk()?);
            let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
            Message::Error { sequence, errno: error.checked_abs()? }
        }
        NLMSG_DONE => Message::Done,
        kind => Message::Other { kind },
    };
    // The last message may lack its padding.
    Some((message, rest.get(aligned(length)..).unwrap_or_default()))
}

/// Messages and attributes start at multiples of 4. `length` is that of a slice, so this cannot overflow.
#[inline]
fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

#[cold]
fn walked<'a>(body: &'a [u8], layouts: &mut Layouts) -> Option<NflogPacket<'a>> {
    let packet = packet(body)?;
    layouts.learn(body);
    Some(packet)
}

fn packet(body: &[u8]) -> Option<NflogPacket<'_>> {
    let (&[family, _version, group_high, group_low], mut attributes) = body.split_first_chunk()?;
    let mut packet = NflogPacket {
        group: u16::from_be_bytes([group_high, group_low]),
        family,
        hw_protocol: 0,
        sequence: None,
        in_interface: 0,
        out_interface: 0,
        prefix: &[],
        payload: None,
    };
    let mut ports = Ports::default();
    while let Some((&[length_0, length_1, kind_0, kind_1], behind_header)) = attributes.split_first_chunk() {
        let length = u16::from_ne_bytes([length_0, length_1]);
        let kind = u16::from_ne_bytes([kind_0, kind_1]) & NLA_TYPE_MASK;
        if length == NUMBER_ATTRIBUTE_BYTES {
            // Most attributes are one number. Where the next one starts is then a constant, and the processor runs
            // ahead instead of waiting for each length: a fifth less time for the message.
            let (value, behind) = behind_header.split_first_chunk()?;
            if !packet.set_number(kind, *value) {
                packet.set_bytes(kind, value);
            }
            ports.set(kind, value)?;
            attributes = behind;
        } else {
            let value = attributes.get(usize::from(ATTRIBUTE_HEADER_BYTES)..usize::from(length))?;
            packet.set_value(kind, value)?;
            ports.set(kind, value)?;
            // The last attribute may lack its padding.
            attributes = attributes.get(aligned(usize::from(length))..).unwrap_or_default();
        }
    }
    packet.in_interface = port_or(family, ports.in_interface, packet.in_interface);
    packet.out_interface = port_or(family, ports.out_interface, packet.out_interface);
    Some(packet)
}

/// The ports of a bridge that a packet passed by, 0 if none.
#[derive(Default)]
struct Ports {
    in_interface: u32,
    out_interface: u32,
}

impl Ports {
    /// None if it is one and too short.
    fn set(&mut self, kind: u16, value: &[u8]) -> Option<()> {
        let port = match kind {
            NFULA_IFINDEX_PHYSINDEV => &mut self.in_interface,
            NFULA_IFINDEX_PHYSOUTDEV => &mut self.out_interface,
            _ => return Some(()),
        };
        *port = u32::from_be_bytes(*value.first_chunk()?);
        Some(())
    }
}

/// A rule of the bridge family is about ports, and names them; its bridge is the same for all packets. Rules of the other
/// families match the bridge, even where the kernel tells the port too.
#[inline]
fn port_or(family: u8, port: u32, interface: u32) -> u32 {
    if family == NFPROTO_BRIDGE && port != 0 { port } else { interface }
}

impl<'a> NflogPacket<'a> {
    /// False if this type of attribute is not a number. Compared one by one: a jump by type is slower, being guessed wrong.
    #[inline]
    fn set_number(&mut self, kind: u16, value: [u8; 4]) -> bool {
        if kind == NFULA_PACKET_HDR {
            self.hw_protocol = u16::from_be_bytes([value[0], value[1]]);
        } else if kind == NFULA_IFINDEX_INDEV {
            self.in_interface = u32::from_be_bytes(value);
        } else if kind == NFULA_IFINDEX_OUTDEV {
            self.out_interface = u32::from_be_bytes(value);
        } else if kind == NFULA_SEQ {
            self.sequence = Some(u32::from_be_bytes(value));
        } else {
            return false;
        }
        true
    }

    #[inline]
    fn set_bytes(&mut self, kind: u16, value: &'a [u8]) {
        if kind == NFULA_PAYLOAD {
            self.payload = Some(value);
        } else if kind == NFULA_PREFIX {
            self.prefix = value.strip_suffix(&[0]).unwrap_or(value);
        }
    }

    /// Of any length; None if it is a number and too short.
    #[inline]
    fn set_value(&mut self, kind: u16, value: &'a [u8]) -> Option<()> {
        if matches!(kind, NFULA_PACKET_HDR | NFULA_IFINDEX_INDEV | NFULA_IFINDEX_OUTDEV | NFULA_SEQ) {
            // A longer one is from a newer kernel and starts with what is known.
            self.set_number(kind, *value.first_chunk()?);
        } else {
            self.set_bytes(kind, value);
        }
        Some(())
    }
}

/// One setting of an NFLOG group, or of its existence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigAttribute {
    /// Become the listener of the group: one only, the kernel answers EBUSY to a second.
    Bind,
    /// Stop. The kernel sends what it still holds before it acknowledges.
    Unbind,
    /// Copy this much of each packet, from the network header on.
    CopyPacket { range_bytes: u32 },
    /// Gather packets in a buffer of this size, which is sent when it is full.
    BufferBytes(u32),
    /// Send what is gathered after this time at the latest.
    Timeout { centiseconds: u32 },
    /// Send what is gathered after this many packets. The rule's own `queue-threshold`, if lower, goes before.
    Threshold(u32),
    /// Number the packets of the group, lost ones too.
    SequenceNumbers,
}

impl ConfigAttribute {
    /// Type (`enum nfulnl_attr_config`), value padded to 8 bytes, and how many of them count.
    fn encode(self) -> (u16, [u8; 8], u16) {
        const COPY_PACKET: u8 = 2;
        let number = |value: u32| {
            let [a, b, c, d] = value.to_be_bytes();
            [a, b, c, d, 0, 0, 0, 0]
        };
        match self {
            Self::Bind => (1, [1, 0, 0, 0, 0, 0, 0, 0], 1),
            Self::Unbind => (1, [2, 0, 0, 0, 0, 0, 0, 0], 1),
            Self::CopyPacket { range_bytes } => {
                let [a, b, c, d] = range_bytes.to_be_bytes();
                (2, [a, b, c, d, COPY_PACKET, 0, 0, 0], 6)
            }
            Self::BufferBytes(bytes) => (3, number(bytes), 4),
            Self::Timeout { centiseconds } => (4, number(centiseconds), 4),
            Self::Threshold(packets) => (5, number(packets), 4),
            Self::SequenceNumbers => (6, [0, 1, 0, 0, 0, 0, 0, 0], 2),
        }
    }
}

/// Appends one request to `buffer`: set `attribute` of the NFLOG `group`. The kernel answers with a [`Message::Error`].
///
/// `family` is of no consequence for these settings (`nfnetlink_log.c`: `nfulnl_recv_config` reads it for the old
/// per-protocol binds only); 0, unspecified, will do.
pub fn nflog_config(buffer: &mut Vec<u8>, sequence: u32, group: u16, family: u8, attribute: ConfigAttribute) {
    let (kind, value, value_bytes) = attribute.encode();
    let padded_bytes = value_bytes.next_multiple_of(4);
    let length = MESSAGE_HEADER_BYTES + NFGEN_HEADER_BYTES + ATTRIBUTE_HEADER_BYTES + padded_bytes;
    buffer.extend(u32::from(length).to_ne_bytes());
    buffer.extend(NFULNL_MSG_CONFIG.to_ne_bytes());
    buffer.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    buffer.extend(sequence.to_ne_bytes());
    buffer.extend(0_u32.to_ne_bytes()); // to the kernel
    buffer.extend([family, 0]); // NFNETLINK_V0
    buffer.extend(group.to_be_bytes());
    buffer.extend((ATTRIBUTE_HEADER_BYTES + value_bytes).to_ne_bytes());
    buffer.extend(kind.to_ne_bytes());
    buffer.extend(value.iter().take(usize::from(padded_bytes)));
}
