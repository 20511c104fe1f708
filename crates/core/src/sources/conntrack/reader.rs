//! From the kernel's messages to sightings: who began a flow, who answers, what it moved.

use crate::conntrack::{Flow, IPPROTO_TCP, IPPROTO_UDP, Occasion, Transport, Tuple, flow_of};
use crate::flows::{Identity, Sighting};
use crate::nfnetlink::{Content, Replies};

#[cfg(test)]
mod tests;

/// Protocols whose numbers above the addresses are ports. Those of GRE are keys, which no packet shows as ports.
const WITH_PORTS: [u8; 5] = [IPPROTO_TCP, IPPROTO_UDP, 33, 132, 136];

/// How a part of an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// There is more to come.
    More,
    /// It was the last.
    Last,
    /// The kernel refuses.
    Refused(i32),
}

/// Reads messages. What it finds is kept until it is taken.
#[derive(Debug)]
pub(super) struct Reader {
    seeds: [u64; 8],
    families: Vec<u8>,
    zones: Vec<u16>,
    pub(super) sightings: Vec<Sighting>,
    pub(super) malformed: u64,
    /// Flows of a dump that have no counters.
    pub(super) uncounted: u64,
    /// A dump that does not hold together.
    pub(super) interrupted: bool,
}

impl Reader {
    pub(super) fn new(seeds: [u64; 8], families: &[u8], zones: &[u16]) -> Self {
        Self {
            seeds,
            families: families.to_vec(),
            zones: zones.to_vec(),
            sightings: Vec::with_capacity(1024),
            malformed: 0,
            uncounted: 0,
            interrupted: false,
        }
    }

    /// Reads one event.
    #[inline]
    pub(super) fn event(&mut self, datagram: &[u8]) -> u64 {
        let mut events = 0;
        for reply in Replies::new(datagram) {
            let Ok(reply) = reply else {
                self.malformed += 1;
                break;
            };
            if let Some((Occasion::Destroy, flow)) = flow_of(&reply) {
                events += 1;
                match flow {
                    Ok(flow) => self.take(&flow),
                    Err(_) => self.malformed += 1,
                }
            }
        }
        events
    }

    /// Reads a part of the answer to request `sequence`.
    pub(super) fn part(&mut self, datagram: &[u8], sequence: u32) -> Part {
        for reply in Replies::new(datagram) {
            let Ok(reply) = reply else {
                self.malformed += 1;
                self.interrupted = true;
                break;
            };
            // The rest of an answer that nobody waited for.
            if reply.sequence != sequence {
                continue;
            }
            self.interrupted |= reply.interrupted;
            match reply.content {
                Content::Done { errno: 0 } | Content::Answer { errno: 0, .. } => return Part::Last,
                Content::Done { errno } | Content::Answer { errno, .. } => return Part::Refused(errno),
                Content::Nothing => {}
                Content::Data { .. } => match flow_of(&reply) {
                    Some((_, Ok(flow))) => self.take(&flow),
                    Some((_, Err(_))) => self.malformed += 1,
                    None => {}
                },
            }
        }
        Part::More
    }

    #[inline]
    fn take(&mut self, flow: &Flow<'_>) {
        let zone = flow.zone_number();
        let is_wanted = self.families.contains(&flow.family) && (self.zones.is_empty() || self.zones.contains(&zone));
        if !is_wanted {
            return;
        }
        let (Some(original), Some(reply)) = (flow.original_counters, flow.reply_counters) else {
            self.uncounted += 1;
            return;
        };
        let identity = Identity {
            id: flow.id.unwrap_or(0),
            source: flow.original.source,
            destination: flow.original.destination,
            ports: number_of(flow.original.transport),
            protocol: flow.original.protocol,
            zone,
            start_ns: flow.start_ns,
        };
        let ends = [flow.original.source, flow.reply.source];
        let counters = [original.packets, original.bytes, reply.packets, reply.bytes];
        let ports = ports_of(&flow.original, &flow.reply);
        self.sightings.push(Sighting::new(&self.seeds, &identity, ends, ports, flow.mark.unwrap_or(0), counters));
    }
}

fn number_of(transport: Transport) -> u64 {
    match transport {
        Transport::Bare => 0,
        Transport::Ports { source, destination } => 1 << 32 | u64::from(source) << 16 | u64::from(destination),
        Transport::Icmp { kind, code, identifier } => {
            2 << 32 | u64::from(identifier) << 16 | u64::from(kind) << 8 | u64::from(code)
        }
    }
}

/// Source and destination port of both directions, each as its true end has it: of the original direction the source is
/// what began the flow, before it was translated, and the destination what answers.
fn ports_of(original: &Tuple, reply: &Tuple) -> [u16; 4] {
    match (original.transport, reply.transport) {
        (Transport::Ports { source: first, .. }, Transport::Ports { source: second, .. })
            if WITH_PORTS.contains(&original.protocol) =>
        {
            [first, second, second, first]
        }
        (Transport::Icmp { kind, code, .. }, Transport::Icmp { kind: reply_kind, code: reply_code, .. }) => {
            [kind.into(), code.into(), reply_kind.into(), reply_code.into()]
        }
        _ => [0; 4],
    }
}
