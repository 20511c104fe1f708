//! `conntrack`: messages recorded from a kernel, requests, filters, and broken bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

use netledger_core::conntrack::expectation::Expectation;
use netledger_core::conntrack::state::State;
use netledger_core::conntrack::statistics::{Count, Statistics};
use netledger_core::conntrack::{Counters, Flow, IPV4, IPV6, Occasion, Transport, Tuple, flow_of};
use netledger_core::flow::Address;
use netledger_core::nfnetlink::{Attributes, Malformed, Replies};
use proptest::collection::vec;
use proptest::prelude::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

fn message(kind: u16, flags: u16, port: u32, family: u8, attributes: &[u8]) -> Vec<u8> {
    let mut message = u32::try_from(attributes.len() + 20).unwrap().to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(port.to_ne_bytes());
    message.extend([family, 0, 0, 0]);
    message.extend(attributes);
    message
}

/// The events of one flow on Linux 6.18: a UDP flow from 10.9.0.1:4000 to 10.9.0.2:9000, and its end by a program.
const TUPLES: &str = "3400 0180 1400 0180 0800 0100 0a090001 0800 0200 0a090002
    1c00 0280 0500 0100 11000000 0600 0200 0fa00000 0600 0300 23280000
    3400 0280 1400 0180 0800 0100 0a090002 0800 0200 0a090001
    1c00 0280 0500 0100 11000000 0600 0200 23280000 0600 0300 0fa00000";
const NEW: &str = "0800 0c00 15e4a584 0800 0300 00000008 0800 0700 00000003 0c00 1b00 18e9c911c5764bfb";
const DESTROY: &str = "0800 0c00 15e4a584 0800 0300 00000208 0800 0700 00000002
    1c00 0980 0c00 0100 0000000000000005 0c00 0200 0000000000000280
    1c00 0a80 0c00 0100 0000000000000000 0c00 0200 0000000000000000
    1c00 1480 0c00 0100 18e9c911c5764ace 0c00 0200 18e9c911c8a52546 0c00 1b00 18e9c911c8a52619";

fn tuple(source: [u8; 4], destination: [u8; 4], source_port: u16, destination_port: u16) -> Tuple {
    Tuple {
        source: Address::from_v4(source),
        destination: Address::from_v4(destination),
        protocol: 17,
        transport: Transport::Ports { source: source_port, destination: destination_port },
        zone: None,
    }
}

fn recorded_flow() -> Flow<'static> {
    Flow {
        family: IPV4,
        original: tuple([10, 9, 0, 1], [10, 9, 0, 2], 4000, 9000),
        reply: tuple([10, 9, 0, 2], [10, 9, 0, 1], 9000, 4000),
        status: Some(8),
        timeout_seconds: Some(3),
        id: Some(0x15e4_a584),
        event_ns: Some(0x18e9_c911_c576_4bfb),
        ..Flow::default()
    }
}

fn read(datagram: &[u8]) -> Vec<(Occasion, Result<Flow<'_>, Malformed>, u32)> {
    let flow = |reply: Result<_, Malformed>| {
        let reply = reply.unwrap();
        flow_of(&reply).map(|(occasion, flow)| (occasion, flow, reply.port))
    };
    Replies::new(datagram).filter_map(flow).collect()
}

#[cfg(target_endian = "little")]
#[test]
fn events_are_read_as_the_kernel_wrote_them() {
    let new = message(0x100, 0x600, 0, 2, &bytes(&[TUPLES, NEW].concat()));
    let update = message(0x100, 0, 0, 2, &bytes(&[TUPLES, NEW].concat()));
    let destroy = message(0x102, 0, 2_332_874_873, 2, &bytes(&[TUPLES, DESTROY].concat()));
    assert_eq!(read(&new), [(Occasion::New, Ok(recorded_flow()), 0)]);
    assert_eq!(read(&update), [(Occasion::Update, Ok(recorded_flow()), 0)]);
    let gone = Flow {
        status: Some(0x208),
        timeout_seconds: Some(2),
        original_counters: Some(Counters { packets: 5, bytes: 640 }),
        reply_counters: Some(Counters { packets: 0, bytes: 0 }),
        start_ns: Some(0x18e9_c911_c576_4ace),
        stop_ns: Some(0x18e9_c911_c8a5_2546),
        event_ns: Some(0x18e9_c911_c8a5_2619),
        ..recorded_flow()
    };
    assert_eq!(read(&destroy), [(Occasion::Destroy, Ok(gone), 2_332_874_873)]);
    let together = [new, message(0x101, 0, 0, 2, &[]), destroy].concat();
    assert_eq!(
        read(&together).iter().map(|(occasion, _, _)| *occasion).collect::<Vec<_>>(),
        [Occasion::New, Occasion::Destroy]
    );
}

fn ends_v4() -> Vec<u8> {
    attribute(1, &[attribute(1, &[10, 0, 0, 1]), attribute(2, &[10, 0, 0, 2])].concat())
}

fn direction(kind: u16, transport: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind, &[ends_v4(), attribute(2, &transport.concat())].concat())
}

fn read_one(attributes: &[u8]) -> Result<Flow<'_>, Malformed> {
    Flow::read(IPV4, Attributes::new(attributes))
}

#[test]
fn a_flow_of_a_list_has_all_that_the_kernel_knows() {
    let transport = [attribute(1, &[6]), attribute(2, &7_u16.to_be_bytes()), attribute(3, &8_u16.to_be_bytes())];
    let zoned =
        attribute(1, &[ends_v4(), attribute(2, &transport.concat()), attribute(3, &9_u16.to_be_bytes())].concat());
    let attributes = [
        attribute(99, b"a newer kernel's"),
        zoned,
        direction(2, &transport),
        attribute(8, &0x20_u32.to_be_bytes()),
        attribute(11, &1_u32.to_be_bytes()),
        attribute(4, &attribute(1, &[attribute(1, &[3]), attribute(2, &[7])].concat())),
        attribute(5, &attribute(1, b"ftp\0")),
        attribute(19, &attribute(1, b"unconfined\0")),
        attribute(22, &[1; 16]),
        direction(14, &[attribute(1, &[6])]),
    ]
    .concat();
    let flow = read_one(&attributes).unwrap();
    assert_eq!((flow.mark, flow.uses, flow.state), (Some(0x20), Some(1), Some(State::Tcp(3))));
    assert_eq!(flow.state.and_then(State::name), Some("ESTABLISHED"));
    assert_eq!((flow.helper, flow.security_context), (Some(&b"ftp"[..]), Some(&b"unconfined"[..])));
    assert_eq!(flow.labels, Some(&[1; 16][..]));
    assert_eq!((flow.zone, flow.original.zone, flow.reply.zone, flow.zone_number()), (None, Some(9), None, 9));
    let master = flow.master.unwrap();
    assert_eq!((master.protocol, master.transport), (6, Transport::Bare));
    assert_eq!(flow.original.transport, Transport::Ports { source: 7, destination: 8 });
}

#[test]
fn states_have_the_names_that_conntrack_prints() {
    let state = |protocol, number| attribute(4, &attribute(protocol, &attribute(1, &[number])));
    let name = |protocol, number| {
        let tuples = [direction(1, &[attribute(1, &[6])]), direction(2, &[attribute(1, &[6])])].concat();
        let attributes = [tuples, state(protocol, number)].concat();
        read_one(&attributes).unwrap().state.and_then(State::name)
    };
    let cases = [
        (1, 1, Some("SYN_SENT")),
        (1, 9, Some("SYN_SENT2")),
        (1, 10, None),
        (2, 7, Some("TIMEWAIT")),
        (3, 1, Some("CLOSED")),
        (3, 8, Some("HEARTBEAT_SENT")),
        (3, 255, None),
        (9, 1, None),
    ];
    for (protocol, number, expected) in cases {
        assert_eq!(name(protocol, number), expected, "{protocol} {number}");
    }
}

#[test]
fn sctp_has_tags_and_nothing_else_does() {
    let tuples = [direction(1, &[attribute(1, &[132])]), direction(2, &[attribute(1, &[132])])].concat();
    let inner = [attribute(1, &[3]), attribute(2, &5_u32.to_be_bytes()), attribute(3, &6_u32.to_be_bytes())];
    for (protocol, expected) in [(3, Some([5, 6])), (1, None), (2, None)] {
        let attributes = [tuples.clone(), attribute(4, &attribute(protocol, &inner.concat()))].concat();
        assert_eq!(read_one(&attributes).unwrap().verification_tags, expected, "{protocol}");
    }
    let half = [tuples, attribute(4, &attribute(3, &inner[..2].concat()))].concat();
    assert_eq!(read_one(&half).unwrap().verification_tags, None);
}

#[test]
fn icmp_and_ipv6_have_attributes_of_their_own() {
    let ends = [attribute(3, &1_u128.to_be_bytes()), attribute(4, &2_u128.to_be_bytes())].concat();
    let echo = [attribute(1, &[58]), attribute(7, &77_u16.to_be_bytes()), attribute(8, &[128]), attribute(9, &[0])];
    let tuple = |kind| attribute(kind, &[attribute(1, &ends), attribute(2, &echo.concat())].concat());
    let attributes = [tuple(1), tuple(2)].concat();
    let flow = Flow::read(IPV6, Attributes::new(&attributes)).unwrap();
    assert_eq!(flow.original.transport, Transport::Icmp { kind: 128, code: 0, identifier: 77 });
    assert_eq!((flow.reply.source, flow.reply.destination), (Address(1), Address(2)));
    assert_eq!(Flow::read(IPV4, Attributes::new(&attributes)), Err(Malformed));
    let echo = [attribute(1, &[1]), attribute(4, &7_u16.to_be_bytes()), attribute(5, &[8]), attribute(6, &[1])];
    let attributes = [direction(1, &echo), direction(2, &echo)].concat();
    assert_eq!(read_one(&attributes).unwrap().reply.transport, Transport::Icmp { kind: 8, code: 1, identifier: 7 });
}

#[test]
fn counters_of_32_bits_count() {
    let counters = [attribute(4, &600_u32.to_be_bytes()), attribute(3, &5_u32.to_be_bytes())].concat();
    let attributes =
        [direction(1, &[attribute(1, &[17])]), direction(2, &[attribute(1, &[17])]), attribute(9, &counters)].concat();
    assert_eq!(read_one(&attributes).unwrap().original_counters, Some(Counters { packets: 5, bytes: 600 }));
}

#[test]
fn a_flow_without_a_direction_or_with_a_torn_value_is_none() {
    let whole = [direction(1, &[attribute(1, &[17])]), direction(2, &[attribute(1, &[17])])];
    assert!(read_one(&whole.concat()).is_ok());
    for half in whole.clone() {
        assert_eq!(read_one(&half), Err(Malformed));
    }
    let torn = [(3, 3), (7, 0), (8, 2), (11, 3), (12, 1), (18, 1), (27, 7)];
    for (kind, size) in torn {
        let attributes = [whole.concat(), attribute(kind, &vec![1; size])].concat();
        assert_eq!(read_one(&attributes), Err(Malformed), "{kind}");
    }
    for (kind, inner, size) in [(9, 1, 7), (10, 2, 4), (20, 1, 7), (20, 2, 0)] {
        let attributes = [whole.concat(), attribute(kind, &attribute(inner, &vec![1; size]))].concat();
        assert_eq!(read_one(&attributes), Err(Malformed), "{kind}");
    }
    for no_protocol in [direction(1, &[]), attribute(1, &ends_v4()), attribute(1, &attribute(2, &attribute(1, &[6])))] {
        let attributes = [no_protocol, direction(2, &[attribute(1, &[17])])].concat();
        assert_eq!(read_one(&attributes), Err(Malformed));
    }
}

#[test]
fn an_expectation_names_its_master() {
    let ports = [attribute(1, &[6]), attribute(2, &0_u16.to_be_bytes()), attribute(3, &21_u16.to_be_bytes())];
    let tuples = [direction(1, &ports), direction(2, &ports), direction(3, &ports)];
    let rest = [attribute(4, &300_u32.to_be_bytes()), attribute(6, b"ftp\0"), attribute(8, &1_u32.to_be_bytes())];
    let attributes = [tuples.concat(), rest.concat()].concat();
    let expectation = Expectation::read(IPV4, Attributes::new(&attributes)).unwrap();
    assert_eq!((expectation.timeout_seconds, expectation.helper), (Some(300), Some(&b"ftp"[..])));
    assert_eq!((expectation.flags, expectation.class, expectation.function), (Some(1), None, None));
    assert_eq!(expectation.master.transport, Transport::Ports { source: 0, destination: 21 });
    for missing in 0..3 {
        let rest: Vec<u8> = (0..3).filter(|&part| part != missing).flat_map(|part| tuples[part].clone()).collect();
        assert_eq!(Expectation::read(IPV4, Attributes::new(&rest)), Err(Malformed));
    }
}

#[test]
fn counts_are_those_that_the_kernel_sends() {
    let attributes = [attribute(1, &7_u32.to_be_bytes()), attribute(2, &262_144_u32.to_be_bytes())].concat();
    let count = Count::read(0x105, Attributes::new(&attributes));
    assert_eq!(count, Ok(Some(Count { flows: 7, flows_max: Some(262_144) })));
    assert_eq!(Count::read(0x105, Attributes::new(&[])), Err(Malformed));
    assert_eq!(Count::read(0x100, Attributes::new(&attributes)), Ok(None));
    let attributes = [attribute(2, &9_u32.to_be_bytes()), attribute(15, &1_u32.to_be_bytes()), attribute(16, &[0; 4])];
    let statistics = Statistics::read(0x104, 3, Attributes::new(&attributes.concat())).unwrap().unwrap();
    assert_eq!((statistics.processor, statistics.counts[0], statistics.counts[1]), (3, None, Some(9)));
    assert_eq!((statistics.counts[13], statistics.counts[14]), (None, Some(1)));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(family: u8, attributes in vec(any::<u8>(), 0..300)) {
        let read = Flow::read(family, Attributes::new(&attributes)).is_ok();
        let expected = Expectation::read(family, Attributes::new(&attributes)).is_ok();
        prop_assert!(matches!(family, IPV4 | IPV6) || !(read || expected));
    }

    #[test]
    fn a_message_with_any_one_byte_changed_is_read_or_refused(place in any::<prop::sample::Index>(), byte: u8) {
        let mut attributes = bytes(&[TUPLES, DESTROY].concat());
        let place = place.index(attributes.len());
        attributes[place] = byte;
        if let Ok(flow) = Flow::read(IPV4, Attributes::new(&attributes)) {
            prop_assert_eq!(flow.family, IPV4);
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_read_as_what_is_whole(cut in any::<prop::sample::Index>()) {
        let attributes = bytes(&[TUPLES, DESTROY].concat());
        let cut = cut.index(attributes.len());
        let read = Flow::read(IPV4, Attributes::new(&attributes[..cut]));
        // Both directions are 104 bytes.
        prop_assert!(cut >= 104 || read.is_err());
        if let Ok(flow) = read {
            prop_assert_eq!(flow.original, recorded_flow().original);
        }
    }
}
