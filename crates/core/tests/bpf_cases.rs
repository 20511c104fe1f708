//! One table of cases for `packet::parse` and for the program in the kernel, at each place where it is attached: equal headers
//! make equal rows. Root is needed; `tests/kernel/test_bpf_cases.py` runs it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod bpf;

use bpf::oracle::{self, books};
use bpf::program::{At, FORWARD, OUTPUT, Program, Segments};
use bpf::settings::Settings;
use netledger_core::flow::Address;
use netledger_core::posting::KeySpec;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const WHOLE: Segments = Segments { count: 0, bytes: 0 };
const FULL: [&str; 6] = ["host", "peer", "protocol", "host_port", "peer_port", "interface"];

/// The packets of the table, by name.
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let cases: Vec<_> = include_str!("packet_cases.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut parts = line.split('|').map(str::trim);
            let (name, hex) = (parts.next().unwrap(), parts.next().unwrap());
            let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (name, (0..hex.len()).step_by(2).map(digits).collect())
        })
        .collect();
    assert!(cases.len() > 100, "only {} cases", cases.len());
    cases
}

/// An Ethernet frame for loopback's address, which has none but zeros.
fn frame(kind: u16, content: &[u8]) -> Vec<u8> {
    [&[0; 12][..], &kind.to_be_bytes(), content].concat()
}

/// The same with a tag, or what else stands before the type of the content.
fn tagged(kind: u16, inner: &[u8], content: &[u8]) -> Vec<u8> {
    frame(kind, &[&[0, 5], inner, content].concat())
}

fn type_of(version: u8) -> u16 {
    if version == 6 { 0x86dd } else { 0x0800 }
}

/// Keys of each width, and what else changes how far a packet is read.
fn variants() -> Vec<Settings> {
    let narrow = Settings::new(&["host", "protocol", "host_port", "interface"]);
    let mut prefixes = Settings::new(&FULL);
    prefixes.spec = KeySpec { ipv4_prefix_length: 24, ipv6_prefix_length: 56, ..prefixes.spec };
    let mut local = Settings::new(&["host"]);
    local.spec.local = vec![
        (Address::from_v4([192, 0, 2, 0]), 24, true),
        (Address(0x2001_0db8 << 96), 64, false),
        (Address::from_v4([0, 0, 0, 0]), 32, true),
    ];
    vec![Settings::new(&["host"]), narrow, Settings::new(&FULL), prefixes, local]
}

/// A program for each place, and a comparison of one packet at all of them.
struct Bench {
    settings: Settings,
    netfilter: Program,
    ingress: Program,
    egress: Program,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self {
            netfilter: Program::load(&settings, At::Netfilter(OUTPUT, 2)),
            ingress: Program::load(&settings, At::Ingress),
            egress: Program::load(&settings, At::Egress),
            settings,
        }
    }

    /// What carries the packet says `version`, which may be a lie.
    fn compare(&self, name: &str, ip: &[u8], version: u8) {
        let settings = &self.settings;
        let carried = frame(type_of(version), ip);
        let tagged = tagged(0x8100, &type_of(version).to_be_bytes(), ip);
        // The kernel's test makes no shorter frame of IP, but does not look into tags.
        let is_short = ip.len() < if version == 6 { 40 } else { 20 };
        for (at, program) in [(At::Ingress, &self.ingress), (At::Egress, &self.egress)] {
            let expected = books(settings, at, ip, version, WHOLE);
            let found = program.run(at, if is_short { &tagged } else { &carried }, WHOLE);
            assert_eq!(found, expected, "{name} at {at:?}, {settings:?}, {ip:02x?}");
        }
        let family = if version == 6 { 10 } else { 2 };
        let output = At::Netfilter(OUTPUT, family);
        if ip.len() >= 20 {
            let expected = books(settings, output, ip, version, WHOLE);
            assert_eq!(self.netfilter.run(output, ip, WHOLE), expected, "{name} at output, {settings:?}, {ip:02x?}");
        }
        if !is_short {
            let forward = At::Netfilter(FORWARD, family);
            let expected = books(settings, forward, ip, version, WHOLE);
            assert_eq!(self.netfilter.run(forward, &carried, WHOLE), expected, "{name} at forward, {ip:02x?}");
        }
    }
}

#[test]
#[ignore = "loads programs into the kernel"]
fn every_case_of_the_table_is_booked_as_the_parser_reads_it() {
    for settings in variants() {
        let bench = Bench::new(settings);
        for (name, packet) in cases() {
            let version = packet.first().map_or(4, |first| first >> 4);
            bench.compare(name, &packet, if version == 6 { 6 } else { 4 });
            bench.compare(name, &packet, if version == 6 { 4 } else { 6 });
        }
    }
}

#[test]
#[ignore = "loads programs into the kernel"]
fn every_case_cut_anywhere_and_padded_is_booked_as_the_parser_reads_it() {
    let bench = Bench::new(Settings::new(&FULL));
    for (name, packet) in cases() {
        let version = if packet.first().is_some_and(|first| first >> 4 == 6) { 6 } else { 4 };
        for length in 0..packet.len() {
            bench.compare(name, &packet[..length], version);
        }
        bench.compare(name, &[&packet[..], &[0xee; 300]].concat(), version);
    }
}

/// A case of the table with some of its bytes changed, cut or made longer.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let packets: Vec<Vec<u8>> = cases().into_iter().map(|(_, packet)| packet).collect();
    let changes = vec((0_usize..100, prop_oneof![any::<u8>(), 0_u8..9, Just(43), Just(44), Just(51), Just(60)]), 0..6);
    (prop::sample::select(packets), changes, vec(any::<u8>(), 0..60), 0_usize..200).prop_map(
        |(mut packet, changes, more, length)| {
            packet.extend(more);
            for (at, value) in changes {
                if let Some(byte) = packet.get_mut(at) {
                    *byte = value;
                }
            }
            packet.truncate(length.max(1));
            packet
        },
    )
}

#[test]
#[ignore = "loads programs into the kernel"]
fn damaged_packets_are_booked_as_the_parser_reads_them() {
    for settings in [Settings::new(&FULL), Settings::new(&["host"])] {
        let bench = Bench::new(settings);
        let mut runner = TestRunner::new(Config { cases: 3000, failure_persistence: None, ..Config::default() });
        runner
            .run(&(damaged(), prop_oneof![Just(4_u8), Just(6)]), |(packet, version)| {
                bench.compare("damaged", &packet, version);
                Ok(())
            })
            .unwrap();
    }
}

/// What stands before the IP header at tcx, and what is left of it; None: it is not IP.
fn links() -> Vec<(&'static str, Vec<u8>, Option<u8>)> {
    let pppoe = |start: [u8; 2], protocol: [u8; 2]| [&start[..], &[0, 1, 0, 62], &protocol].concat();
    let tags = |count: usize| [0x81_u8, 0, 0, 5].repeat(count)[2..].to_vec();
    let inside = |outer: Vec<u8>, kind: [u8; 2]| [&outer[..], &kind].concat();
    let mut links = vec![
        ("pppoe", [&[0x88, 0x64][..], &pppoe([0x11, 0], [0, 0x21])].concat(), Some(4)),
        ("pppoe-ipv6", [&[0x88, 0x64][..], &pppoe([0x11, 0], [0, 0x57])].concat(), Some(6)),
        ("pppoe-lcp", [&[0x88, 0x64][..], &pppoe([0x11, 0], [0xc0, 0x21])].concat(), None),
        ("pppoe-of-another-version", [&[0x88, 0x64][..], &pppoe([0x21, 0], [0, 0x21])].concat(), None),
        ("pppoe-with-a-code", [&[0x88, 0x64][..], &pppoe([0x11, 7], [0, 0x21])].concat(), None),
        ("tag-and-arp", vec![0x81, 0, 0, 5, 8, 6], None),
        ("tag-and-pppoe", [&[0x88, 0xa8, 0, 5, 0x88, 0x64][..], &pppoe([0x11, 0], [0, 0x21])].concat(), Some(4)),
    ];
    for kind in [[0x81, 0], [0x88, 0xa8], [0x91, 0], [0x92, 0]] {
        links.push(("tag", inside([&kind[..], &[0, 5]].concat(), [8, 0]), Some(4)));
    }
    for count in [1, 2, 8] {
        links.push(("tags", [&[0x81, 0][..], &tags(count), &[0x86, 0xdd]].concat(), Some(6)));
    }
    links.push(("too-many-tags", [&[0x81, 0][..], &tags(9), &[8, 0]].concat(), None));
    links
}

#[test]
#[ignore = "loads programs into the kernel"]
fn tags_and_pppoe_are_looked_behind() {
    let settings = Settings::new(&FULL);
    let program = Program::load(&settings, At::Ingress);
    for (name, link, version) in links() {
        for (case, ip) in cases() {
            let found = program.run(At::Ingress, &[&[0; 12][..], &link, &ip].concat(), WHOLE);
            let mut expected = oracle::nothing();
            match version {
                Some(version) => expected = books(&settings, At::Ingress, &ip, version, WHOLE),
                None => expected.receipt[oracle::IGNORED] = 1,
            }
            assert_eq!(found, expected, "{case} behind {name}");
        }
    }
}

#[test]
#[ignore = "loads programs into the kernel"]
fn what_is_no_ip_at_all_is_nothing() {
    let program = Program::load(&Settings::new(&["host"]), At::Ingress);
    for kind in [0x0806_u16, 0x88cc, 0x0004, 0x8847, 0x8863] {
        assert_eq!(program.run(At::Ingress, &frame(kind, &[0x45; 64]), WHOLE), oracle::nothing(), "{kind:04x}");
    }
}

#[test]
#[ignore = "loads programs into the kernel"]
fn frames_for_other_machines_count_where_they_are_asked_for() {
    let ip = cases().into_iter().find(|(name, _)| *name == "ipv4-tcp").unwrap().1;
    let foreign = [&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 7, 8, 0][..], &ip].concat();
    for (others, at, counts) in
        [(false, At::Ingress, false), (true, At::Ingress, true), (false, At::Egress, true), (true, At::Egress, true)]
    {
        let settings = Settings { others, ..Settings::new(&["host"]) };
        let found = Program::load(&settings, at).run(at, &foreign, WHOLE);
        let expected = if counts { books(&settings, at, &ip, 4, WHOLE) } else { oracle::nothing() };
        assert_eq!(found, expected, "{others} {at:?}");
    }
}

/// Headers and the bytes that come behind them, as one piece.
fn super_packets() -> Vec<(&'static str, Vec<u8>, u64)> {
    let ipv4 = |protocol: u8, upper: &[u8]| {
        let total = u16::try_from(20 + upper.len() + 1000).unwrap().to_be_bytes();
        [&[0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], upper, &[7; 1000]]
            .concat()
    };
    let tcp = |words: u8| {
        let mut header = vec![0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, words << 4, 0x10, 1, 1, 0, 0, 0, 0];
        header.resize(usize::from(words) * 4, 1);
        header
    };
    let ipv6 = {
        let upper = [&[6, 0, 1, 4, 0, 0, 0, 0][..], &tcp(5), &[7; 1000]].concat();
        let payload = u16::try_from(upper.len()).unwrap().to_be_bytes();
        [&[0x60, 0, 0, 0, payload[0], payload[1], 60, 64][..], &[0xfd; 16], &[0xfe; 16], &upper].concat()
    };
    let mut big = ipv4(6, &tcp(5));
    big[2..4].fill(0);
    vec![
        ("tcp", ipv4(6, &tcp(5)), 40),
        ("tcp-with-options", ipv4(6, &tcp(8)), 52),
        ("udp", ipv4(17, &[0x30, 0x39, 0, 53, 4, 0, 0, 0]), 28),
        ("tcp-behind-an-extension", ipv6, 68),
        ("longer-than-its-length-can-say", big, 40),
    ]
}

#[test]
#[ignore = "loads programs into the kernel"]
fn super_packets_are_told_as_what_they_are_on_the_wire() {
    for settings in [Settings::new(&["host"]), Settings::new(&FULL)] {
        let program = Program::load(&settings, At::Egress);
        for (name, ip, headers) in super_packets() {
            let version = ip[0] >> 4;
            // The kernel knows how many they are, or only how long each.
            for (segments, count) in [(4, 4), (0, 1000_u64.div_ceil(300))] {
                let segments = Segments { count: segments, bytes: 300 };
                let found = program.run(At::Egress, &frame(type_of(version), &ip), segments);
                let mut expected = books(&settings, At::Egress, &ip, version, segments);
                let total = expected.receipt[oracle::SUPER + 1];
                expected.receipt[oracle::SUPER_WIRE] = count;
                expected.receipt[oracle::SUPER_WIRE + 1] = total + (count - 1) * headers;
                assert_eq!(found, expected, "{name}, {segments:?}");
            }
        }
    }
}
