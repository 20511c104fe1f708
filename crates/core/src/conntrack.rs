//! Flows of connection tracking, as `ctnetlink` tells them: reading them. No sockets.
//!
//! Layout: `linux/netfilter/nfnetlink_conntrack.h`, written by `nf_conntrack_netlink.c`. Reading is total and allocates
//! nothing: attributes may come in any order, those that are not known are passed over, and what the kernel did not send
//! is `None`. Dumps, answers and events are laid out alike; which attributes there are differs (an event of a new or
//! changed flow has no counters, a mark of 0 is left out of events).

pub mod expectation;
pub mod filter;
pub mod requests;
pub mod socket_filter;
pub mod state;
pub mod statistics;

use crate::conntrack::state::{ProtocolInfo, State};
use crate::flow::Address;
use crate::nfnetlink::{Attribute, Attributes, Content, Malformed, NLM_F_CREATE, Reply};

pub(crate) const NFNL_SUBSYS_CTNETLINK: u16 = 1;
pub(crate) const IPCTNL_MSG_CT_NEW: u16 = NFNL_SUBSYS_CTNETLINK << 8;
pub(crate) const IPCTNL_MSG_CT_DELETE: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 2;

pub(crate) const CTA_TUPLE_ORIG: u16 = 1;
pub(crate) const CTA_TUPLE_REPLY: u16 = 2;
pub(crate) const CTA_STATUS: u16 = 3;
const CTA_PROTOINFO: u16 = 4;
const CTA_HELP: u16 = 5;
const CTA_TIMEOUT: u16 = 7;
pub(crate) const CTA_MARK: u16 = 8;
const CTA_COUNTERS_ORIG: u16 = 9;
const CTA_COUNTERS_REPLY: u16 = 10;
const CTA_USE: u16 = 11;
pub(crate) const CTA_ID: u16 = 12;
const CTA_TUPLE_MASTER: u16 = 14;
pub(crate) const CTA_ZONE: u16 = 18;
const CTA_SECCTX: u16 = 19;
const CTA_TIMESTAMP: u16 = 20;
const CTA_LABELS: u16 = 22;
/// Of kernels from 6.14 on.
const CTA_TIMESTAMP_EVENT: u16 = 27;

pub(crate) const CTA_TUPLE_IP: u16 = 1;
pub(crate) const CTA_TUPLE_PROTO: u16 = 2;
pub(crate) const CTA_TUPLE_ZONE: u16 = 3;
pub(crate) const CTA_IP_V4_SRC: u16 = 1;
pub(crate) const CTA_IP_V4_DST: u16 = 2;
pub(crate) const CTA_IP_V6_SRC: u16 = 3;
pub(crate) const CTA_IP_V6_DST: u16 = 4;
pub(crate) const CTA_PROTO_NUM: u16 = 1;
pub(crate) const CTA_PROTO_SRC_PORT: u16 = 2;
pub(crate) const CTA_PROTO_DST_PORT: u16 = 3;
pub(crate) const CTA_PROTO_ICMP_ID: u16 = 4;
pub(crate) const CTA_PROTO_ICMP_TYPE: u16 = 5;
pub(crate) const CTA_PROTO_ICMP_CODE: u16 = 6;
pub(crate) const CTA_PROTO_ICMPV6_ID: u16 = 7;
pub(crate) const CTA_PROTO_ICMPV6_TYPE: u16 = 8;
pub(crate) const CTA_PROTO_ICMPV6_CODE: u16 = 9;

const CTA_COUNTERS_PACKETS: u16 = 1;
const CTA_COUNTERS_BYTES: u16 = 2;
/// Of old kernels.
const CTA_COUNTERS32_PACKETS: u16 = 3;
const CTA_COUNTERS32_BYTES: u16 = 4;
const CTA_TIMESTAMP_START: u16 = 1;
const CTA_TIMESTAMP_STOP: u16 = 2;
const CTA_HELP_NAME: u16 = 1;
const CTA_SECCTX_NAME: u16 = 1;

/// Protocol families, as `AF_INET` and `AF_INET6` number them.
pub const IPV4: u8 = 2;
pub const IPV6: u8 = 10;

pub const IPPROTO_ICMP: u8 = 1;
pub const IPPROTO_TCP: u8 = 6;
pub const IPPROTO_UDP: u8 = 17;
pub const IPPROTO_ICMPV6: u8 = 58;

/// Multicast groups of events.
pub const NFNLGRP_CONNTRACK_NEW: u32 = 1;
pub const NFNLGRP_CONNTRACK_UPDATE: u32 = 2;
pub const NFNLGRP_CONNTRACK_DESTROY: u32 = 3;

/// What a direction has above its addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A protocol that conntrack tells by its addresses alone.
    #[default]
    Bare,
    /// TCP, UDP, SCTP, DCCP and UDP-Lite; for GRE the keys of the two ways.
    Ports {
        source: u16,
        destination: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
        identifier: u16,
    },
}

/// One direction of a flow: what its packets look like where they come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub source: Address,
    pub destination: Address,
    pub protocol: u8,
    pub transport: Transport,
    /// The zone of a flow that has one in this direction only.
    pub zone: Option<u16>,
}

/// Packets and their IP total lengths, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub packets: u64,
    pub bytes: u64,
}

/// One flow. Texts and labels lie in the message that it was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow<'a> {
    /// [`IPV4`] or [`IPV6`].
    pub family: u8,
    pub original: Tuple,
    pub reply: Tuple,
    /// Only while `nf_conntrack_acct` was on when the flow began.
    pub original_counters: Option<Counters>,
    pub reply_counters: Option<Counters>,
    /// `IPS_...` of `linux/netfilter/nf_conntrack_common.h`.
    pub status: Option<u32>,
    pub timeout_seconds: Option<u32>,
    pub mark: Option<u32>,
    /// The zone of both directions; see [`Flow::zone_number`].
    pub zone: Option<u16>,
    pub id: Option<u32>,
    pub uses: Option<u32>,
    /// Nanoseconds since 1970; only while `nf_conntrack_timestamp` was on when the flow began.
    pub start_ns: Option<u64>,
    pub stop_ns: Option<u64>,
    /// When the event happened.
    pub event_ns: Option<u64>,
    pub state: Option<State>,
    /// Of SCTP, those of both directions.
    pub verification_tags: Option<[u32; 2]>,
    /// 128 bits, in the byte order of the machine.
    pub labels: Option<&'a [u8]>,
    pub helper: Option<&'a [u8]>,
    pub security_context: Option<&'a [u8]>,
    /// The original direction of the flow that this one was expected by.
    pub master: Option<Tuple>,
}

impl<'a> Flow<'a> {
    /// `family` is that of the message.
    ///
    /// # Errors
    /// A value is too short, an attribute leads out of the message, or a direction or its addresses are missing.
    pub fn read(family: u8, attributes: Attributes<'a>) -> Result<Self, Malformed> {
        let mut flow = Self { family, ..Self::default() };
        let (mut original, mut reply) = (None, None);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                CTA_TUPLE_ORIG => original = Some(Tuple::read(family, attribute.nested())?),
                CTA_TUPLE_REPLY => reply = Some(Tuple::read(family, attribute.nested())?),
                CTA_COUNTERS_ORIG => flow.original_counters = Some(Counters::read(attribute.nested())?),
                CTA_COUNTERS_REPLY => flow.reply_counters = Some(Counters::read(attribute.nested())?),
                _ => flow.read_rest(&attribute)?,
            }
        }
        flow.original = original.ok_or(Malformed)?;
        flow.reply = reply.ok_or(Malformed)?;
        Ok(flow)
    }

    fn read_rest(&mut self, attribute: &Attribute<'a>) -> Result<(), Malformed> {
        match attribute.kind {
            CTA_STATUS => self.status = Some(attribute.number_u32()?),
            CTA_TIMEOUT => self.timeout_seconds = Some(attribute.number_u32()?),
            CTA_MARK => self.mark = Some(attribute.number_u32()?),
            CTA_ZONE => self.zone = Some(attribute.number_u16()?),
            CTA_ID => self.id = Some(attribute.number_u32()?),
            CTA_USE => self.uses = Some(attribute.number_u32()?),
            CTA_TIMESTAMP => self.read_times(attribute.nested())?,
            CTA_TIMESTAMP_EVENT => self.event_ns = Some(attribute.number_u64()?),
            CTA_PROTOINFO => {
                let info = ProtocolInfo::read(attribute.nested())?;
                (self.state, self.verification_tags) = (info.state, info.verification_tags);
            }
            CTA_LABELS => self.labels = Some(attribute.value),
            CTA_HELP => self.helper = text_of(attribute.nested(), CTA_HELP_NAME)?,
            CTA_SECCTX => self.security_context = text_of(attribute.nested(), CTA_SECCTX_NAME)?,
            CTA_TUPLE_MASTER => self.master = Some(Tuple::read(self.family, attribute.nested())?),
            _ => {}
        }
        Ok(())
    }

    fn read_times(&mut self, attributes: Attributes<'a>) -> Result<(), Malformed> {
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                CTA_TIMESTAMP_START => self.start_ns = Some(attribute.number_u64()?),
                CTA_TIMESTAMP_STOP => self.stop_ns = Some(attribute.number_u64()?),
                _ => {}
            }
        }
        Ok(())
    }

    /// The zone of the flow, in one direction or both; 0 where the kernel names none.
    #[must_use]
    #[inline]
    pub fn zone_number(&self) -> u16 {
        self.zone.or(self.original.zone).or(self.reply.zone).unwrap_or(0)
    }
}

fn text_of<'a>(attributes: Attributes<'a>, kind: u16) -> Result<Option<&'a [u8]>, Malformed> {
    let mut text = None;
    for attribute in attributes {
        let attribute: Attribute<'a> = attribute?;
        if attribute.kind == kind {
            text = Some(attribute.text());
        }
    }
    Ok(text)
}

impl Tuple {
    /// # Errors
    /// As [`Flow::read`]; or there is no protocol.
    pub fn read(family: u8, attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let mut tuple = Self::default();
        let (mut ends, mut protocol) = (None, None);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                CTA_TUPLE_IP => ends = Some(read_ends(family, attribute.nested())?),
                CTA_TUPLE_PROTO => protocol = Some(read_transport(attribute.nested())?),
                CTA_TUPLE_ZONE => tuple.zone = Some(attribute.number_u16()?),
                _ => {}
            }
        }
        (tuple.source, tuple.destination) = ends.ok_or(Malformed)?;
        (tuple.protocol, tuple.transport) = protocol.ok_or(Malformed)?;
        Ok(tuple)
    }
}

fn read_ends(family: u8, attributes: Attributes<'_>) -> Result<(Address, Address), Malformed> {
    let (mut source, mut destination) = (None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match (family, attribute.kind) {
            (IPV4, CTA_IP_V4_SRC) => source = Some(ipv4(&attribute)?),
            (IPV4, CTA_IP_V4_DST) => destination = Some(ipv4(&attribute)?),
            (IPV6, CTA_IP_V6_SRC) => source = Some(ipv6(&attribute)?),
            (IPV6, CTA_IP_V6_DST) => destination = Some(ipv6(&attribute)?),
            _ => {}
        }
    }
    source.zip(destination).ok_or(Malformed)
}

fn ipv4(attribute: &Attribute<'_>) -> Result<Address, Malformed> {
    attribute.value.first_chunk().map(|octets| Address::from_v4(*octets)).ok_or(Malformed)
}

fn ipv6(attribute: &Attribute<'_>) -> Result<Address, Malformed> {
    attribute.value.first_chunk().map(|octets| Address::from_v6(*octets)).ok_or(Malformed)
}

fn read_transport(attributes: Attributes<'_>) -> Result<(u8, Transport), Malformed> {
    let (mut protocol, mut source, mut destination) = (None, None, None);
    let (mut kind, mut code, mut identifier) = (None, None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            CTA_PROTO_NUM => protocol = Some(attribute.number_u8()?),
            CTA_PROTO_SRC_PORT => source = Some(attribute.number_u16()?),
            CTA_PROTO_DST_PORT => destination = Some(attribute.number_u16()?),
            CTA_PROTO_ICMP_ID | CTA_PROTO_ICMPV6_ID => identifier = Some(attribute.number_u16()?),
            CTA_PROTO_ICMP_TYPE | CTA_PROTO_ICMPV6_TYPE => kind = Some(attribute.number_u8()?),
            CTA_PROTO_ICMP_CODE | CTA_PROTO_ICMPV6_CODE => code = Some(attribute.number_u8()?),
            _ => {}
        }
    }
    let transport = match (source.zip(destination), kind.zip(code).zip(identifier)) {
        (Some((source, destination)), _) => Transport::Ports { source, destination },
        (None, Some(((kind, code), identifier))) => Transport::Icmp { kind, code, identifier },
        (None, None) => Transport::Bare,
    };
    Ok((protocol.ok_or(Malformed)?, transport))
}

impl Counters {
    fn read(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let mut counters = Self::default();
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                CTA_COUNTERS_PACKETS => counters.packets = attribute.number_u64()?,
                CTA_COUNTERS_BYTES => counters.bytes = attribute.number_u64()?,
                CTA_COUNTERS32_PACKETS => counters.packets = attribute.number_u32()?.into(),
                CTA_COUNTERS32_BYTES => counters.bytes = attribute.number_u32()?.into(),
                _ => {}
            }
        }
        Ok(counters)
    }
}

/// Why the kernel speaks of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    New,
    Update,
    Destroy,
}

/// The flow that a message is about, and why; None when it is about something else.
///
/// The flows of an answer, one or a list, come as [`Occasion::Update`].
#[must_use]
pub fn flow_of<'a>(reply: &Reply<'a>) -> Option<(Occasion, Result<Flow<'a>, Malformed>)> {
    let Content::Data { kind, attributes } = &reply.content else {
        return None;
    };
    let occasion = match *kind {
        IPCTNL_MSG_CT_NEW if reply.flags & NLM_F_CREATE != 0 => Occasion::New,
        IPCTNL_MSG_CT_NEW => Occasion::Update,
        IPCTNL_MSG_CT_DELETE => Occasion::Destroy,
        _ => return None,
    };
    Some((occasion, Flow::read(reply.family, attributes.clone())))
}
