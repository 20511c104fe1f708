//! Datagrams that Linux 6.18 sent: both parsers together, on what they are for. Byte order of the recording: little-endian.
#![cfg(target_endian = "little")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

use netledger_core::netlink::{Message, Messages, NflogPacket};
use netledger_core::packet::{Depth, Headers, parse};

/// `table inet`, group 900: rules `log prefix "out" snaplen 128` at output and `log snaplen 128` at input, over a veth pair.
const INET: &[u8] = include_bytes!("../../fuzz/corpus/netlink/recorded-inet-rules");
/// `table netdev`, ingress, group 901: multicast listener reports and router solicitations of the other end.
const NETDEV: &[u8] = include_bytes!("../../fuzz/corpus/netlink/recorded-netdev-rule");

fn packets(datagram: &[u8]) -> Vec<(NflogPacket<'_>, Headers)> {
    let mut messages: Vec<_> = Messages::new(datagram).map(Result::unwrap).collect();
    assert_eq!(messages.pop(), Some(Message::Done));
    messages
        .into_iter()
        .map(|message| match message {
            Message::Packet(packet) => (packet, parse(packet.ip().unwrap(), Depth::Ports).unwrap()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn rules_at_output_and_input_tell_interface_prefix_and_sequence() {
    let packets = packets(INET);
    assert_eq!(packets.len(), 24);
    for (number, (packet, headers)) in (0_u32..).zip(&packets) {
        assert_eq!((packet.group, packet.sequence), (900, Some(number)));
        let (expected, version) = if headers.is_ipv4 { ((2, 0x0800), 4) } else { ((10, 0x86dd), 6) };
        assert_eq!((packet.family, packet.hw_protocol), expected, "IPv{version}");
        match packet.prefix {
            b"out" => assert_eq!((packet.in_interface, packet.out_interface), (0, 2)),
            b"" => assert_eq!((packet.in_interface, packet.out_interface), (2, 0)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn recorded_packets_have_the_lengths_and_ports_that_were_sent() {
    let told: Vec<_> = packets(INET)
        .into_iter()
        .map(|(packet, headers)| {
            let outgoing = packet.prefix == b"out";
            (outgoing, headers.protocol, headers.bytes, headers.source_port, headers.destination_port)
        })
        .collect();
    // ping and its answer, 56 bytes of payload
    assert_eq!(told[0], (true, 1, 84, 8, 0));
    assert_eq!(told[1], (false, 1, 84, 0, 0));
    assert_eq!(told[2], (true, 58, 104, 128, 0));
    assert_eq!(told[5], (false, 58, 104, 129, 0));
    // 4000 bytes: IPv4 is whole at both hooks; IPv6 is whole at output and in three fragments at input
    assert_eq!((told[6], told[7]), ((true, 1, 4028, 8, 0), (false, 1, 4028, 0, 0)));
    assert_eq!(told[8], (true, 58, 4048, 128, 0));
    assert_eq!(told[9..12], [(false, 58, 1496, 129, 0), (false, 58, 1496, 0, 0), (false, 58, 1160, 0, 0)]);
    // "hello" to UDP port 5353, TCP to port 9 and its refusal
    assert_eq!((told[12].1, told[12].2, told[12].4), (17, 33, 5353));
    assert_eq!((told[14].1, told[14].2, told[14].4), (6, 60, 9));
    assert_eq!((told[15].1, told[15].2, told[15].3), (6, 40, 9));
    // UDP behind a router alert option, and behind a destination options header
    assert_eq!((told[20].1, told[20].2, told[20].4), (17, 35, 5354));
    assert_eq!((told[22].1, told[22].2, told[22].4), (17, 59, 5355));
}

#[test]
fn a_rule_below_layer_3_logs_from_the_network_header_on() {
    let packets = packets(NETDEV);
    assert_eq!(packets.len(), 2);
    for (packet, headers) in &packets {
        assert_eq!((packet.family, packet.group, packet.prefix), (5, 901, &b"netdev"[..]));
        assert_eq!((packet.in_interface, headers.protocol), (2, 58));
    }
    let (report, solicitation) = (packets[0].1, packets[1].1);
    assert_eq!((report.bytes, report.source_port), (96, 143), "behind a hop-by-hop header");
    assert_eq!((solicitation.bytes, solicitation.source_port), (56, 133));
}
