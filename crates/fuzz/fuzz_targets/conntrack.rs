//! Any bytes as messages of connection tracking: each flow, expectation and statistic readable or refused; a filter made
//! of what was read holds for it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netledger_core::conntrack::expectation::Expectation;
use netledger_core::conntrack::filter::{Ends, Filter, Masked, Prefix};
use netledger_core::conntrack::state::State;
use netledger_core::conntrack::statistics::{Count, Statistics};
use netledger_core::conntrack::{Flow, IPV4, IPV6, Transport, Tuple, flow_of};
use netledger_core::nfnetlink::{Content, Replies};

fn ends(family: u8, tuple: &Tuple) -> Ends {
    let mut ends = Ends {
        source: Some(Prefix::new(family, tuple.source, 24)),
        destination: Some(Prefix::new(family, tuple.destination, u8::MAX)),
        ..Ends::default()
    };
    match tuple.transport {
        Transport::Bare => {}
        Transport::Ports { source, destination } => {
            (ends.source_port, ends.destination_port) = (Some(source), Some(destination));
        }
        Transport::Icmp { kind, code, identifier } => {
            (ends.icmp_kind, ends.icmp_code, ends.icmp_identifier) = (Some(kind), Some(code), Some(identifier));
        }
    }
    ends
}

fn holds_for_itself(flow: &Flow<'_>) {
    let filter = Filter {
        family: Some(flow.family),
        protocol: Some(flow.original.protocol),
        mark: flow.mark.map(|value| Masked { value, mask: 0xffff_00ff }),
        status: flow.status.map(|value| Masked { value, mask: u32::MAX }),
        zone: Some(flow.zone_number()),
        original: ends(flow.family, &flow.original),
        reply: ends(flow.family, &flow.reply),
    };
    assert!(filter.holds(flow));
}

fuzz_target!(|datagram: &[u8]| {
    for reply in Replies::new(datagram).map_while(Result::ok) {
        if let Some((_, Ok(flow))) = flow_of(&reply) {
            assert!(matches!(flow.family, IPV4 | IPV6));
            for text in [flow.helper, flow.security_context].into_iter().flatten() {
                assert!(text.len() < datagram.len() && !text.contains(&0));
            }
            assert!(flow.state.and_then(State::name).is_none_or(|name| !name.is_empty()));
            holds_for_itself(&flow);
        }
        if let Content::Data { kind, attributes } = &reply.content {
            if let Ok(expectation) = Expectation::read(reply.family, attributes.clone()) {
                assert!(matches!(expectation.family, IPV4 | IPV6));
            }
            if let Ok(Some(statistics)) = Statistics::read(*kind, reply.resource, attributes.clone()) {
                assert_eq!(statistics.processor, reply.resource);
            }
            if let Ok(Some(count)) = Count::read(*kind, attributes.clone()) {
                assert!(count.flows_max.is_none_or(|_| datagram.len() > 32));
            }
        }
    }
});
