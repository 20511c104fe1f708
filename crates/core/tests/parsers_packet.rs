//! `packet::parse` against the table of cases, and what must hold for each of them cut anywhere.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

use std::net::IpAddr;

use netledger_core::flow::Address;
use netledger_core::packet::{Depth, Headers, Unreadable, parse};

struct Case {
    name: &'static str,
    packet: Vec<u8>,
    expected: Result<Headers, Unreadable>,
}

fn cases() -> Vec<Case> {
    include_str!("packet_cases.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let [name, hex, expected] = line.split('|').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
            Case { name, packet: bytes(hex), expected: expectation(expected) }
        })
        .collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "half a byte in {hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn address(text: &str) -> Address {
    match text.parse().unwrap() {
        IpAddr::V4(v4) => Address::from_v4(v4.octets()),
        IpAddr::V6(v6) => Address::from_v6(v6.octets()),
    }
}

fn expectation(text: &str) -> Result<Headers, Unreadable> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let ["unreadable", reason] = words[..] {
        return Err(Unreadable::ALL.into_iter().find(|known| known.name() == reason).unwrap());
    }
    let [version, source, destination, ref fields @ ..] = words[..] else { panic!("{text}") };
    let mut headers = Headers {
        source: address(source),
        destination: address(destination),
        bytes: 0,
        protocol: 0,
        source_port: 0,
        destination_port: 0,
        is_ipv4: version == "ipv4",
        length_known: true,
        ports_known: false,
    };
    for field in fields {
        match field.split_once('=').unwrap() {
            ("bytes", "unknown") => headers.length_known = false,
            ("bytes", number) => headers.bytes = number.parse().unwrap(),
            ("protocol", number) => headers.protocol = number.parse().unwrap(),
            ("ports", pair) => {
                let (source, destination) = pair.split_once(',').unwrap();
                headers.source_port = source.parse().unwrap();
                headers.destination_port = destination.parse().unwrap();
                headers.ports_known = true;
            }
            _ => panic!("{field}"),
        }
    }
    Ok(headers)
}

#[test]
fn every_case_of_the_table_is_read_as_it_says() {
    let cases = cases();
    assert!(cases.len() > 100, "only {} cases", cases.len());
    for case in cases {
        assert_eq!(parse(&case.packet, Depth::Ports), case.expected, "{}", case.name);
    }
}

#[test]
fn reading_addresses_only_leaves_out_the_ports_and_ipv6_extensions() {
    for case in cases() {
        let shallow = parse(&case.packet, Depth::Addresses);
        let expected = case.expected.map(|headers| Headers {
            protocol: if headers.is_ipv4 { headers.protocol } else { case.packet[6] },
            source_port: 0,
            destination_port: 0,
            ports_known: false,
            ..headers
        });
        assert_eq!(shallow, expected, "{}", case.name);
    }
}

#[test]
fn a_cut_costs_detail_but_never_changes_what_is_known() {
    for case in cases() {
        let Ok(whole) = case.expected else { continue };
        let header_bytes = if whole.is_ipv4 { 20 } else { 40 };
        for length in 1..=case.packet.len() {
            let cut = parse(&case.packet[..length], Depth::Ports);
            if length < header_bytes {
                assert_eq!(cut, Err(Unreadable::Short), "{} cut to {length}", case.name);
                continue;
            }
            let cut = cut.unwrap();
            assert_eq!((cut.source, cut.destination), (whole.source, whole.destination), "{}", case.name);
            assert!(!cut.length_known || cut.bytes == whole.bytes, "{} cut to {length}", case.name);
            if cut.ports_known {
                assert_eq!(
                    (cut.protocol, cut.source_port, cut.destination_port),
                    (whole.protocol, whole.source_port, whole.destination_port),
                    "{} cut to {length}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn bytes_behind_a_packet_of_known_length_change_nothing() {
    for case in cases() {
        let Ok(expected) = case.expected else { continue };
        // A packet that was cut short cannot have anything behind it.
        if expected.length_known && usize::try_from(expected.bytes).unwrap() <= case.packet.len() {
            let padded = [&case.packet[..], &[0xee; 2100]].concat();
            assert_eq!(parse(&padded, Depth::Ports), Ok(expected), "{}", case.name);
        }
    }
}

#[test]
fn reasons_are_numbered_without_gaps_and_named_apart() {
    let numbers: Vec<usize> = Unreadable::ALL.into_iter().map(Unreadable::index).collect();
    assert_eq!(numbers, (0..Unreadable::COUNT).collect::<Vec<_>>());
    let mut names: Vec<&str> = Unreadable::ALL.into_iter().map(Unreadable::name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Unreadable::COUNT);
}
