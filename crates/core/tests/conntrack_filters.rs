//! Filters of flows: what is asked of the kernel, and the program for the socket, run by the kernel itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

use std::os::unix::net::UnixDatagram;

use netledger_core::conntrack::filter::{Ends, Filter, Masked, Prefix};
use netledger_core::conntrack::requests::{self, Named, Prefilter, dump};
use netledger_core::conntrack::socket_filter::{Wanted, program};
use netledger_core::conntrack::{Flow, IPV4, IPV6, Transport, Tuple};
use netledger_core::flow::Address;
use netledger_core::nfnetlink::{Attributes, Request};
use netledger_core::sys::netlink_socket::attach_filter;
use proptest::prelude::*;

const STATUS: u32 = 0x18e;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn v4(last: u8) -> Address {
    Address::from_v4([10, 0, last, 1])
}

fn ports(source: u16, destination: u16) -> Transport {
    Transport::Ports { source, destination }
}

fn tuple(protocol: u8, transport: Transport) -> Tuple {
    Tuple { source: v4(1), destination: v4(2), protocol, transport, zone: None }
}

/// A tuple, as a request writes one: the kernel writes them alike.
fn written_tuple(request: Request, kind: u16, family: u8, tuple: &Tuple) -> Request {
    let named = Named { family, tuple: *tuple, zone: None };
    let mut whole = requests::get(&named);
    // Behind both headers and that of the attribute.
    let inner = whole.numbered(1).get(24..).unwrap().to_vec();
    request.with(kind | 0x8000, &inner)
}

fn event(flow: &Flow<'_>) -> Vec<u8> {
    let mut request = Request::new(0x100, 0, flow.family);
    request = written_tuple(request, 1, flow.family, &flow.original);
    request = written_tuple(request, 2, flow.family, &flow.reply);
    if let Some(zone) = flow.zone {
        request = request.with(18, &zone.to_be_bytes());
    }
    request = request.with(12, &7_u32.to_be_bytes()).with(3, &flow.status.unwrap_or(0).to_be_bytes());
    if let Some(mark) = flow.mark {
        request = request.with(8, &mark.to_be_bytes());
    }
    request.numbered(0).to_vec()
}

/// Whether the kernel lets a message through to a socket with this program.
fn passes(wanted: &Wanted, message: &[u8]) -> bool {
    let program = program(wanted);
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    receiver.set_nonblocking(true).unwrap();
    if !program.is_empty() {
        attach_filter(&receiver, &program).unwrap();
    }
    // What a program drops is told to the sender here.
    let sent = sender.send(message).is_ok();
    let mut buffer = [0; 4096];
    let came = receiver.recv(&mut buffer).is_ok();
    assert!(came <= sent);
    came
}

fn of(filter: &Filter) -> Wanted {
    Wanted { filter: *filter, ..Wanted::default() }
}

#[test]
fn what_is_written_is_read() {
    let flow = Flow {
        family: IPV4,
        original: tuple(17, ports(1, 2)),
        reply: Tuple { zone: Some(3), ..tuple(17, ports(2, 1)) },
        zone: Some(9),
        mark: Some(5),
        status: Some(STATUS),
        id: Some(7),
        ..Flow::default()
    };
    let message = event(&flow);
    assert_eq!(Flow::read(IPV4, Attributes::new(&message[20..])), Ok(flow));
}

#[test]
fn without_a_wish_there_is_no_program() {
    assert!(program(&Wanted::default()).is_empty());
    let zones = (0..101).collect();
    assert!(program(&Wanted { zones, ..Wanted::default() }).is_empty());
}

#[test]
fn the_lists_of_families_and_zones_are_kept() {
    let zoned = |zone: Option<u16>, place: u8| {
        let mut flow =
            Flow { family: IPV4, original: tuple(17, ports(1, 2)), reply: tuple(17, ports(2, 1)), ..Flow::default() };
        match place {
            0 => flow.zone = zone,
            1 => flow.original.zone = zone,
            _ => flow.reply.zone = zone,
        }
        event(&flow)
    };
    let wanted = Wanted { families: vec![IPV4], zones: vec![0, 5, 70], ..Wanted::default() };
    for place in 0..3 {
        for (zone, expected) in [(None, true), (Some(5), true), (Some(70), true), (Some(6), false), (Some(0), true)] {
            assert_eq!(passes(&wanted, &zoned(zone, place)), expected, "{zone:?} {place}");
        }
    }
    let longest: Vec<u16> = (1..=100).collect();
    for (zone, expected) in [(1, true), (100, true), (101, false)] {
        let wanted = Wanted { zones: longest.clone(), ..Wanted::default() };
        assert_eq!(passes(&wanted, &zoned(Some(zone), 1)), expected, "{zone}");
    }
    let wanted = Wanted { families: vec![IPV6, 7], ..Wanted::default() };
    assert!(!passes(&wanted, &zoned(None, 0)));
}

#[test]
fn what_a_program_cannot_find_passes() {
    let filter = Filter {
        protocol: Some(6),
        status: Some(Masked { value: 2, mask: 2 }),
        original: Ends { source: Some(Prefix::new(IPV4, v4(1), 32)), destination_port: Some(80), ..Ends::default() },
        ..Filter::default()
    };
    let mut empty = Request::new(0x100, 0, IPV4);
    assert!(passes(&of(&filter), empty.numbered(0)));
    let mut hollow = Request::new(0x100, 0, IPV4).with(0x8001, &[]);
    assert!(passes(&of(&filter), hollow.numbered(0)));
    // But not what has another mark, and a mark that is left out is 0.
    let marked = |value| of(&Filter { mark: Some(Masked { value, mask: 0xff }), ..Filter::default() });
    assert!(passes(&marked(0x100), empty.numbered(0)) && !passes(&marked(1), empty.numbered(0)));
}

fn any_tuple(family: u8, protocol: u8) -> impl Strategy<Value = Tuple> {
    let transport = match protocol {
        1 | 58 => Transport::Icmp { kind: 8, code: 0, identifier: 1 },
        50 => Transport::Bare,
        _ => ports(0, 0),
    };
    let address = move |last: u8| if family == IPV4 { v4(last) } else { Address(u128::from(last) << 64 | 1) };
    (0_u8..3, 0_u8..3, 0_u16..3, 0_u16..3, prop::option::weighted(0.2, 0_u16..3)).prop_map(
        move |(source, destination, source_port, destination_port, zone)| Tuple {
            source: address(source),
            destination: address(destination),
            protocol,
            transport: if matches!(transport, Transport::Ports { .. }) {
                ports(source_port, destination_port)
            } else {
                transport
            },
            zone,
        },
    )
}

fn any_flow() -> impl Strategy<Value = Flow<'static>> {
    (prop_oneof![Just(IPV4), Just(IPV6)], prop_oneof![Just(6_u8), Just(17), Just(1), Just(50)]).prop_flat_map(
        |(family, protocol)| {
            let rest = (prop::option::of(0_u16..3), prop::option::of(1_u32..4), 0_u32..4);
            (any_tuple(family, protocol), any_tuple(family, protocol), rest).prop_map(
                move |(original, reply, (zone, mark, status))| {
                    let status = Some(status);
                    Flow { family, original, reply, zone, mark, status, ..Flow::default() }
                },
            )
        },
    )
}

fn any_ends() -> impl Strategy<Value = Ends> {
    let prefix = prop::option::weighted(
        0.3,
        (prop::bool::ANY, 0_u8..3, prop_oneof![Just(0_u8), Just(8), Just(23), Just(24), Just(70), Just(128)]).prop_map(
            |(is_v4, last, length)| {
                if is_v4 {
                    Prefix::new(IPV4, v4(last), length)
                } else {
                    Prefix::new(IPV6, Address(u128::from(last) << 64 | 1), length)
                }
            },
        ),
    );
    let port = || prop::option::weighted(0.2, 0_u16..3);
    (prefix.clone(), prefix, port(), port()).prop_map(|(source, destination, source_port, destination_port)| Ends {
        source,
        destination,
        source_port,
        destination_port,
        ..Ends::default()
    })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let masked = || prop::option::weighted(0.3, (0_u32..4, 0_u32..4).prop_map(|(value, mask)| Masked { value, mask }));
    let family = prop::option::weighted(0.2, prop_oneof![Just(IPV4), Just(IPV6)]);
    let protocol = prop::option::weighted(0.3, prop_oneof![Just(6_u8), Just(17), Just(1)]);
    let zone = prop::option::weighted(0.2, 0_u16..3);
    (family, protocol, masked(), masked(), zone, any_ends(), any_ends()).prop_map(
        |(family, protocol, mark, status, zone, original, reply)| Filter {
            family,
            protocol,
            mark,
            status,
            zone,
            original,
            reply,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_kernel_drops_nothing_that_passes_and_all_that_it_can_tell(flow in any_flow(), filter in any_filter()) {
        let holds = filter.holds(&flow);
        let passed = passes(&of(&filter), &event(&flow));
        prop_assert!(passed || !holds);
        // Of a mixture of families the addresses of one are not found; nor are the ports of what has none.
        let ends = [filter.original, filter.reply];
        let mixed = ends.iter().flat_map(|ends| [ends.source, ends.destination]).flatten()
            .any(|prefix| Some(prefix.family) != filter.family());
        if matches!(flow.original.transport, Transport::Ports { .. }) && !mixed {
            prop_assert_eq!(passed, holds);
        }
    }

    #[test]
    fn a_program_takes_any_bytes(message in prop::collection::vec(any::<u8>(), 1..200), filter in any_filter()) {
        passes(&of(&filter), &message);
    }
}

#[cfg(target_endian = "little")]
#[test]
fn a_list_is_asked_for_with_what_the_kernel_can_tell() {
    let none = Filter::default();
    assert_eq!(dump(&none, Prefilter::Tuples).numbered(3), bytes("14000000 0101 0103 03000000 00000000 00000000"));
    let marks = Filter {
        family: Some(IPV6),
        mark: Some(Masked { value: 0x1ff, mask: 0xff }),
        status: Some(Masked { value: 4, mask: 6 }),
        zone: Some(7),
        original: Ends { source: Some(Prefix::new(IPV6, Address(1), 128)), ..Ends::default() },
        ..none
    };
    // Not the address: the kernel would leave out the very flows that have it.
    let recorded = "3c000000 0101 0103 01000000 00000000 0a000000 0800 0800 000000ff 0800 1500 000000ff
        0800 0300 00000004 0800 1a00 00000006 0600 1200 00070000";
    assert_eq!(dump(&marks, Prefilter::Tuples).numbered(1), bytes(recorded));
    let status = Filter { status: Some(Masked { value: 0, mask: 0 }), ..none };
    assert_eq!(dump(&status, Prefilter::Tuples), dump(&none, Prefilter::Tuples));
    let tuples = Filter {
        protocol: Some(17),
        original: Ends {
            source: Some(Prefix::new(IPV4, v4(1), 32)),
            destination: Some(Prefix::new(IPV4, v4(2), 24)),
            destination_port: Some(53),
            ..Ends::default()
        },
        ..none
    };
    let written = "44000000 0101 0103 01000000 00000000 02000000
        2400 0180 0c00 0180 0800 0100 0a000101 1400 0280 0500 0100 11000000 0600 0300 00350000
        0c00 1980 0800 0100 29000000";
    assert_eq!(dump(&tuples, Prefilter::Tuples).numbered(1), bytes(written));
    let reply = Filter { reply: tuples.original, original: Ends::default(), ..tuples };
    let written = "60000000 0101 0103 01000000 00000000 02000000
        1400 0180 0400 0180 0c00 0280 0500 0100 11000000
        2400 0280 0c00 0180 0800 0100 0a000101 1400 0280 0500 0100 11000000 0600 0300 00350000
        1400 1980 0800 0100 08000000 0800 0200 29000000";
    assert_eq!(dump(&reply, Prefilter::Tuples).numbered(1), bytes(written));
    assert_eq!(dump(&tuples, Prefilter::Marks).numbered(1), bytes("14000000 0101 0103 01000000 00000000 02000000"));
    // A protocol alone is of no family, and the kernel compares tuples of one.
    let protocol = Filter { protocol: Some(17), ..none };
    assert_eq!(dump(&protocol, Prefilter::Tuples), dump(&none, Prefilter::Tuples));
}

#[cfg(target_endian = "little")]
#[test]
fn other_requests_are_those_of_the_old_program() {
    let named = Named {
        family: IPV4,
        tuple: Tuple {
            source: Address::from_v4([127, 0, 0, 1]),
            destination: Address::from_v4([127, 0, 0, 1]),
            protocol: 17,
            transport: ports(20_000, 9_000),
            zone: None,
        },
        zone: None,
    };
    let tuple = "3400 0180 1400 0180 0800 0100 7f000001 0800 0200 7f000001
        1c00 0280 0500 0100 11000000 0600 0200 4e200000 0600 0300 23280000";
    let about = |length: &str, kind: &str, rest: &str| {
        bytes(&format!("{length}000000 {kind}01 0500 01000000 00000000 02000000 {tuple} {rest}"))
    };
    assert_eq!(requests::get(&named).numbered(1), about("48", "01", ""));
    assert_eq!(requests::get_and_zero(&named).numbered(1), about("48", "03", ""));
    assert_eq!(requests::delete(&named, None).numbered(1), about("48", "02", ""));
    let zoned = Named { zone: Some(7), ..named };
    assert_eq!(
        requests::delete(&zoned, Some(9)).numbered(1),
        about("58", "02", "0600 1200 00070000 0800 0c00 00000009")
    );
    let cases = [
        (requests::count(), "14000000 0501 0500"),
        (requests::statistics(), "14000000 0401 0103"),
        (requests::dying(None), "14000000 0601 0103"),
        (requests::unconfirmed(None), "14000000 0701 0103"),
        (requests::expectations(None), "14000000 0102 0103"),
    ];
    for (mut request, head) in cases {
        assert_eq!(request.numbered(1), bytes(&format!("{head} 01000000 00000000 00000000")), "{head}");
    }
    // With version 0 of the header, as the old program sends it, the kernel takes all families.
    let flush = "14000000 0201 0500 01000000 00000000 0a010000";
    assert_eq!(requests::flush(Some(IPV6)).numbered(1), bytes(flush));
}

#[cfg(target_endian = "little")]
#[test]
fn icmp_is_named_by_numbers_of_its_version() {
    let echo = Transport::Icmp { kind: 128, code: 1, identifier: 7 };
    let named = |protocol| Named { family: IPV4, tuple: tuple(protocol, echo), zone: None };
    let version_4 = requests::get(&named(1)).numbered(1).to_vec();
    assert!(version_4.ends_with(&bytes("0500 0100 01000000 0600 0400 00070000 0500 0500 80000000 0500 0600 01000000")));
    let version_6 = requests::get(&named(58)).numbered(1).to_vec();
    assert!(version_6.ends_with(&bytes("0500 0100 3a000000 0600 0700 00070000 0500 0800 80000000 0500 0900 01000000")));
}

#[test]
fn a_prefix_is_cut_to_its_bits() {
    let cases = [
        (IPV4, v4(1), 24, v4(1), true),
        (IPV4, v4(1), 24, v4(2), false),
        (IPV4, v4(1), 16, v4(2), true),
        (IPV4, v4(1), 0, Address::from_v4([255; 4]), true),
        (IPV4, v4(1), 200, v4(1), true),
        (IPV6, Address(1 << 64), 64, Address(1 << 64 | 9), true),
        (IPV6, Address(1 << 64), 64, Address(3 << 64), false),
        (IPV6, Address(1), 0, Address(u128::MAX), true),
        (IPV6, Address(1), 255, Address(2), false),
    ];
    for (family, network, length, address, expected) in cases {
        assert_eq!(Prefix::new(family, network, length).holds(address), expected, "{network:?}/{length}");
    }
    assert_eq!(Prefix::new(IPV4, v4(1), 31).single(), None);
    assert_eq!(Prefix::new(IPV4, v4(1), 32).single(), Some(v4(1)));
}
