//! Requests about flows, as they are written.

use crate::conntrack::filter::{Ends, Filter, Prefix};
use crate::conntrack::{
    CTA_ID, CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC, CTA_MARK, CTA_PROTO_DST_PORT,
    CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID,
    CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_STATUS, CTA_TUPLE_IP, CTA_TUPLE_ORIG,
    CTA_TUPLE_PROTO, CTA_TUPLE_REPLY, CTA_TUPLE_ZONE, CTA_ZONE, IPCTNL_MSG_CT_DELETE, IPPROTO_ICMPV6, IPPROTO_TCP,
    IPPROTO_UDP, IPV4, NFNL_SUBSYS_CTNETLINK, Transport, Tuple,
};
use crate::flow::Address;
use crate::nfnetlink::{NLM_F_ACK, NLM_F_DUMP, Request};

const IPCTNL_MSG_CT_GET: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 1;
const IPCTNL_MSG_CT_GET_CTRZERO: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 3;
const IPCTNL_MSG_CT_GET_STATS_CPU: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 4;
const IPCTNL_MSG_CT_GET_STATS: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 5;
const IPCTNL_MSG_CT_GET_DYING: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 6;
const IPCTNL_MSG_CT_GET_UNCONFIRMED: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 7;
const NFNL_SUBSYS_CTNETLINK_EXP: u16 = 2;
const IPCTNL_MSG_EXP_GET: u16 = NFNL_SUBSYS_CTNETLINK_EXP << 8 | 1;

const CTA_MARK_MASK: u16 = 21;
const CTA_FILTER: u16 = 25;
const CTA_STATUS_MASK: u16 = 26;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;

/// What of a tuple counts: `CTA_FILTER_F_...` of the kernel's `nf_internals.h`.
const BY_SOURCE: u32 = 1;
const BY_DESTINATION: u32 = 1 << 1;
const BY_PROTOCOL: u32 = 1 << 3;
const BY_SOURCE_PORT: u32 = 1 << 4;
const BY_DESTINATION_PORT: u32 = 1 << 5;

/// How much of a filter the kernel is asked to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefilter {
    /// All that it can.
    Tuples,
    /// The family, and what stands on its own. Kernels before 5.8 do not compare tuples, and pass over what asks for it.
    Marks,
}

/// All flows, or those that the kernel can tell to pass the filter and some more.
#[must_use]
pub fn dump(filter: &Filter, prefilter: Prefilter) -> Request {
    let mut request = Request::new(IPCTNL_MSG_CT_GET, NLM_F_DUMP, filter.family().unwrap_or(0));
    if let Some(mark) = filter.mark {
        request = request
            .with(CTA_MARK, &(mark.value & mark.mask).to_be_bytes())
            .with(CTA_MARK_MASK, &mark.mask.to_be_bytes());
    }
    // A mask of 0, which would mean everything, is refused.
    if let Some(status) = filter.status.filter(|status| status.mask != 0) {
        request = request
            .with(CTA_STATUS, &(status.value & status.mask).to_be_bytes())
            .with(CTA_STATUS_MASK, &status.mask.to_be_bytes());
    }
    if let Some(zone) = filter.zone {
        request = request.with(CTA_ZONE, &zone.to_be_bytes());
    }
    if prefilter == Prefilter::Tuples { with_tuples(request, filter) } else { request }
}

/// The kernel compares tuples of one family only.
fn with_tuples(mut request: Request, filter: &Filter) -> Request {
    if filter.family().is_none() {
        return request;
    }
    // Both directions have the same protocol: the first says it.
    let directions = [
        (CTA_TUPLE_ORIG, CTA_FILTER_ORIG_FLAGS, &filter.original, 0),
        (CTA_TUPLE_REPLY, CTA_FILTER_REPLY_FLAGS, &filter.reply, BY_PROTOCOL),
    ];
    let mut flags = Vec::new();
    for (tuple, flag, ends, said) in directions {
        let wanted = Compared::of(ends, filter.protocol);
        if wanted.flags & !said != 0 {
            request = request.with_inner(tuple, |inner| wanted.write(inner));
            flags.push((flag, wanted.flags));
        }
    }
    if flags.is_empty() {
        return request;
    }
    // Of all numbers of this protocol these two alone are not big-endian.
    request.with_inner(CTA_FILTER, |inner| {
        flags.iter().fold(inner, |inner, &(kind, flags)| inner.with(kind, &flags.to_ne_bytes()))
    })
}

/// What of one direction the kernel is to compare.
#[derive(Default)]
struct Compared {
    flags: u32,
    source: Option<u32>,
    destination: Option<u32>,
    protocol: Option<u8>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
}

impl Compared {
    fn of(ends: &Ends, protocol: Option<u8>) -> Self {
        // Not the addresses of IPv6: `ctnetlink_filter_match_tuple` leaves out the very flows that have them.
        let single = |prefix: Option<Prefix>| {
            prefix.filter(|prefix| prefix.family == IPV4).and_then(|prefix| prefix.single()).map(Address::low32)
        };
        // Ports are compared for these two, and only beside a protocol.
        let ports = matches!(protocol, Some(IPPROTO_TCP | IPPROTO_UDP));
        let mut compared = Self {
            flags: 0,
            source: single(ends.source),
            destination: single(ends.destination),
            protocol,
            source_port: ends.source_port.filter(|_| ports),
            destination_port: ends.destination_port.filter(|_| ports),
        };
        let given = [
            (compared.source.is_some(), BY_SOURCE),
            (compared.destination.is_some(), BY_DESTINATION),
            (compared.protocol.is_some(), BY_PROTOCOL),
            (compared.source_port.is_some(), BY_SOURCE_PORT),
            (compared.destination_port.is_some(), BY_DESTINATION_PORT),
        ];
        compared.flags = given.iter().filter(|(is_given, _)| *is_given).map(|(_, flag)| flag).sum();
        compared
    }

    fn write(&self, request: Request) -> Request {
        let ends = [(CTA_IP_V4_SRC, self.source), (CTA_IP_V4_DST, self.destination)];
        let ports = [(CTA_PROTO_SRC_PORT, self.source_port), (CTA_PROTO_DST_PORT, self.destination_port)];
        request
            .with_inner(CTA_TUPLE_IP, |inner| {
                let given = ends.iter().filter_map(|&(kind, address)| Some((kind, address?)));
                given.fold(inner, |inner, (kind, address)| inner.with(kind, &address.to_be_bytes()))
            })
            .with_inner(CTA_TUPLE_PROTO, |inner| {
                let inner = self.protocol.iter().fold(inner, |inner, protocol| inner.with(CTA_PROTO_NUM, &[*protocol]));
                let given = ports.iter().filter_map(|&(kind, port)| Some((kind, port?)));
                given.fold(inner, |inner, (kind, port)| inner.with(kind, &port.to_be_bytes()))
            })
    }
}

/// Which flow a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    pub family: u8,
    /// One direction of it, the original one or the other.
    pub tuple: Tuple,
    pub zone: Option<u16>,
}

#[must_use]
pub fn get(flow: &Named) -> Request {
    about(IPCTNL_MSG_CT_GET, flow)
}

/// Get, and set the counters to 0 in the same moment.
#[must_use]
pub fn get_and_zero(flow: &Named) -> Request {
    about(IPCTNL_MSG_CT_GET_CTRZERO, flow)
}

/// With `id` only if it is that very flow, and not one that has come in its place.
#[must_use]
pub fn delete(flow: &Named, id: Option<u32>) -> Request {
    let request = about(IPCTNL_MSG_CT_DELETE, flow);
    match id {
        Some(id) => request.with(CTA_ID, &id.to_be_bytes()),
        None => request,
    }
}

/// Delete all, or all of a family; kernels before 4.20 do not heed the family.
#[must_use]
pub fn flush(family: Option<u8>) -> Request {
    Request::new(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, family.unwrap_or(0)).with_version_1()
}

/// How many flows there are, and may be.
#[must_use]
pub fn count() -> Request {
    Request::new(IPCTNL_MSG_CT_GET_STATS, NLM_F_ACK, 0)
}

/// What each processor has counted.
#[must_use]
pub fn statistics() -> Request {
    Request::new(IPCTNL_MSG_CT_GET_STATS_CPU, NLM_F_DUMP, 0)
}

/// Flows that are gone and whose event has not been taken yet.
#[must_use]
pub fn dying(family: Option<u8>) -> Request {
    Request::new(IPCTNL_MSG_CT_GET_DYING, NLM_F_DUMP, family.unwrap_or(0))
}

/// Flows whose first packet is on its way through; none since Linux 6.6.
#[must_use]
pub fn unconfirmed(family: Option<u8>) -> Request {
    Request::new(IPCTNL_MSG_CT_GET_UNCONFIRMED, NLM_F_DUMP, family.unwrap_or(0))
}

/// Flows that a helper expects.
#[must_use]
pub fn expectations(family: Option<u8>) -> Request {
    Request::new(IPCTNL_MSG_EXP_GET, NLM_F_DUMP, family.unwrap_or(0))
}

fn about(kind: u16, flow: &Named) -> Request {
    let request = Request::new(kind, NLM_F_ACK, flow.family)
        .with_inner(CTA_TUPLE_ORIG, |inner| write_tuple(inner, flow.family, &flow.tuple));
    match flow.zone {
        Some(zone) => request.with(CTA_ZONE, &zone.to_be_bytes()),
        None => request,
    }
}

fn write_tuple(request: Request, family: u8, tuple: &Tuple) -> Request {
    let request = request
        .with_inner(CTA_TUPLE_IP, |inner| {
            if family == IPV4 {
                inner
                    .with(CTA_IP_V4_SRC, &tuple.source.low32().to_be_bytes())
                    .with(CTA_IP_V4_DST, &tuple.destination.low32().to_be_bytes())
            } else {
                inner
                    .with(CTA_IP_V6_SRC, &tuple.source.0.to_be_bytes())
                    .with(CTA_IP_V6_DST, &tuple.destination.0.to_be_bytes())
            }
        })
        .with_inner(CTA_TUPLE_PROTO, |inner| write_transport(inner.with(CTA_PROTO_NUM, &[tuple.protocol]), tuple));
    match tuple.zone {
        Some(zone) => request.with(CTA_TUPLE_ZONE, &zone.to_be_bytes()),
        None => request,
    }
}

fn write_transport(request: Request, tuple: &Tuple) -> Request {
    match tuple.transport {
        Transport::Bare => request,
        Transport::Ports { source, destination } => {
            request.with(CTA_PROTO_SRC_PORT, &source.to_be_bytes()).with(CTA_PROTO_DST_PORT, &destination.to_be_bytes())
        }
        Transport::Icmp { kind, code, identifier } => {
            let [identifier_kind, type_kind, code_kind] = if tuple.protocol == IPPROTO_ICMPV6 {
                [CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_ICMPV6_CODE]
            } else {
                [CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE]
            };
            request.with(identifier_kind, &identifier.to_be_bytes()).with(type_kind, &[kind]).with(code_kind, &[code])
        }
    }
}
