//! Which packets the program in the kernel counts, and where they go when there is no row for them. Root is needed;
//! `tests/kernel/test_bpf_cases.py` runs it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod bpf;

use bpf::oracle::{self, books};
use bpf::program::{At, FORWARD, OUTPUT, Program, Segments};
use bpf::settings::Settings;
use netledger_core::flow::Address;
use netledger_core::posting::Network;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const WHOLE: Segments = Segments { count: 0, bytes: 0 };
const INPUT: u8 = 1;

fn ipv4(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    [&[0x45, 0, 0, 28, 0, 1, 0x40, 0, 64, 17, 0, 0][..], &source, &destination, &[0, 9, 0, 9, 0, 8, 0, 0]].concat()
}

fn ipv6(source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
    [&[0x60, 0, 0, 0, 0, 8, 17, 64][..], &source, &destination, &[0, 9, 0, 9, 0, 8, 0, 0]].concat()
}

fn frame(ip: &[u8]) -> Vec<u8> {
    [&[0; 12][..], if ip[0] >> 4 == 4 { &[8, 0] } else { &[0x86, 0xdd] }, ip].concat()
}

#[test]
#[ignore = "loads programs into the kernel"]
fn only_the_side_whose_generation_is_open_counts() {
    let settings = Settings { side: 2, ..Settings::new(&["host"]) };
    let ip = ipv4([10, 0, 0, 1], [10, 0, 0, 2]);
    for at in [At::Netfilter(FORWARD, 2), At::Ingress] {
        let program = Program::load(&settings, at);
        for (number, counts) in
            [(2 << 56 | 8, true), (0, false), (8, false), (1 << 56 | 8, false), (3 << 56 | 8, false)]
        {
            program.switch(number);
            let expected = if counts { books(&settings, at, &ip, 4, WHOLE) } else { oracle::nothing() };
            assert_eq!(program.run(at, &frame(&ip), WHOLE), expected, "{at:?} {number:x}");
        }
    }
}

#[test]
#[ignore = "loads programs into the kernel"]
fn what_finds_no_room_for_a_row_is_in_other() {
    let settings = Settings::new(&["host"]);
    let ip = ipv4([10, 0, 0, 1], [10, 0, 0, 2]);
    for at in [At::Netfilter(FORWARD, 2), At::Egress] {
        let found = Program::load_with_rows(&settings, at, 1).run(at, &frame(&ip), WHOLE);
        let mut expected = books(&settings, at, &ip, 4, WHOLE);
        let bytes = expected.receipt[1];
        expected.rows.retain(|_, sums| sums.sent_packets > 0);
        expected.receipt[oracle::OTHER + 2] = 1;
        expected.receipt[oracle::OTHER + 3] = bytes;
        expected.receipt[oracle::ROWS] = 1;
        assert_eq!(found, expected, "{at:?}");
    }
}

type Names = &'static [&'static str];
/// Hook, `loopback`, `interfaces`, `interfaces_excluded`, and whether the packet counts.
type Choice = (u8, bool, Option<Names>, Names, bool);

/// A packet of the kernel's test leaves by `lo`, and comes from nowhere.
#[test]
#[ignore = "loads programs into the kernel"]
fn interfaces_are_chosen_by_name() {
    let none: Names = &[];
    let cases: [Choice; 22] = [
        (FORWARD, false, None, none, true),
        (FORWARD, false, Some(none), none, false),
        (FORWARD, false, Some(&["lo"]), none, true),
        (FORWARD, false, Some(&["eth0", "lo"]), none, true),
        (FORWARD, false, Some(&["l*"]), none, true),
        (FORWARD, false, Some(&["lo*"]), none, true),
        (FORWARD, false, Some(&["l"]), none, false),
        (FORWARD, false, Some(&["lo0", "loo*", "o", "abcdefghijklmno"]), none, false),
        (FORWARD, false, None, &["lo"], false),
        (FORWARD, false, None, &["eth0", "l*"], false),
        (FORWARD, false, None, &["l", "lo0", "ab*"], true),
        (FORWARD, false, Some(&["lo"]), &["lo*"], false),
        (OUTPUT, false, None, none, false),
        (OUTPUT, true, None, none, true),
        (OUTPUT, true, Some(none), none, true),
        (OUTPUT, false, Some(none), none, false),
        (OUTPUT, true, Some(&["eth0"]), none, true),
        (OUTPUT, true, None, &["lo"], false),
        (OUTPUT, true, None, &["eth*"], true),
        (INPUT, false, None, none, true),
        (INPUT, true, Some(&["eth0"]), none, false),
        (INPUT, true, None, &["lo", "eth0"], true),
    ];
    let ip = ipv4([10, 0, 0, 1], [10, 0, 0, 2]);
    for (hook, loopback, interfaces, excluded, counts) in cases {
        let settings = Settings {
            loopback,
            interfaces: interfaces.map(<[_]>::to_vec),
            interfaces_excluded: excluded.to_vec(),
            ..Settings::new(&["host"])
        };
        let at = At::Netfilter(hook, 2);
        let packet = if hook == OUTPUT { ip.clone() } else { frame(&ip) };
        let expected = if counts { books(&settings, at, &ip, 4, WHOLE) } else { oracle::nothing() };
        let found = Program::load(&settings, at).run(at, &packet, WHOLE);
        assert_eq!(found, expected, "{hook} {loopback} {interfaces:?} {excluded:?}");
    }
}

/// Networks that hold each other and touch, and the ends of what there is.
fn network() -> impl Strategy<Value = Network> {
    let v4 =
        (prop_oneof![any::<u32>(), 0_u32..4096, 0xffff_f000_u32..=u32::MAX], 0_u8..=32).prop_map(|(number, length)| {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            (Address::from_v4((number & mask).to_be_bytes()), length, true)
        });
    let near = prop_oneof![any::<u128>(), 0_u128..4096, (0_u128..4096).prop_map(|low| 7 << 64 | low), Just(u128::MAX)];
    let v6 = (near, 0_u8..=128).prop_map(|(number, length)| {
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        (Address(number & mask), length, false)
    });
    prop_oneof![v4, v6]
}

/// Addresses at the borders of networks, and one beside.
fn near(networks: &[Network], is_ipv4: bool, pick: usize, step: u128) -> u128 {
    let of_family: Vec<u128> = networks
        .iter()
        .filter(|(_, _, v4)| *v4 == is_ipv4)
        .flat_map(|&(Address(first), length, v4)| {
            let bits = u32::from(length) + if v4 { 96 } else { 0 };
            [first, first | u128::MAX.checked_shr(bits).unwrap_or(0)]
        })
        .collect();
    let base = of_family.get(pick % of_family.len().max(1)).copied().unwrap_or(1 << 70);
    base.wrapping_add(step).wrapping_sub(1)
}

fn packet(networks: &[Network], is_ipv4: bool, picks: [usize; 2], steps: [u128; 2]) -> Vec<u8> {
    let [source, destination] = [0, 1].map(|end| near(networks, is_ipv4, picks[end], steps[end]).to_be_bytes());
    if is_ipv4 {
        let tail = |bytes: [u8; 16]| [bytes[12], bytes[13], bytes[14], bytes[15]];
        return ipv4(tail(source), tail(destination));
    }
    ipv6(source, destination)
}

#[test]
#[ignore = "loads programs into the kernel"]
fn networks_are_local_wanted_and_excluded_as_lists_say() {
    let lists = (vec(network(), 0..20), vec(network(), 0..8), vec(network(), 0..8), any::<bool>());
    let packets = vec((any::<bool>(), any::<[usize; 2]>(), [0_u128..3, 0_u128..3]), 40);
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    runner
        .run(&(lists, packets), |((local, wanted, excluded, is_ingress), packets)| {
            let at = if is_ingress { At::Ingress } else { At::Netfilter(FORWARD, 2) };
            let all = [&local[..], &wanted, &excluded].concat();
            let mut settings = Settings { wanted, excluded, ..Settings::new(&["host", "interface"]) };
            settings.spec.local = local;
            let program = Program::load(&settings, at);
            for (is_ipv4, picks, steps) in packets {
                let ip = packet(&all, is_ipv4, picks, steps);
                let version = ip[0] >> 4;
                let at = if is_ingress { at } else { At::Netfilter(FORWARD, if is_ipv4 { 2 } else { 10 }) };
                let expected = books(&settings, at, &ip, version, WHOLE);
                prop_assert_eq!(program.run(at, &frame(&ip), WHOLE), expected, "{:?} {:02x?}", settings, ip);
            }
            Ok(())
        })
        .unwrap();
}

/// As many networks as there is room for.
#[test]
#[ignore = "loads programs into the kernel"]
fn a_full_table_of_networks_is_searched_to_its_ends() {
    let mut settings = Settings::new(&["host"]);
    settings.spec.local = (0..8191_u32)
        .flat_map(|number| {
            let v6 = Address(u128::from(number) << 80 | 0xfd << 120);
            [(Address::from_v4((number << 16 | 1 << 15).to_be_bytes()), 24, true), (v6, 64, false)]
        })
        .collect();
    for at in [At::Netfilter(FORWARD, 2), At::Egress] {
        let program = Program::load(&settings, at);
        for &(Address(first), _, is_ipv4) in settings.spec.local.iter().step_by(511) {
            for address in [first, first + 200, first.wrapping_sub(1), first + (1 << if is_ipv4 { 8 } else { 64 })] {
                let bytes = address.to_be_bytes();
                let ip = if is_ipv4 {
                    ipv4([bytes[12], bytes[13], bytes[14], bytes[15]], [255; 4])
                } else {
                    ipv6(bytes, [0xff; 16])
                };
                let at = if at == At::Egress { at } else { At::Netfilter(FORWARD, if is_ipv4 { 2 } else { 10 }) };
                let expected = books(&settings, at, &ip, ip[0] >> 4, WHOLE);
                assert_eq!(program.run(at, &frame(&ip), WHOLE), expected, "{at:?} {ip:02x?}");
            }
        }
    }
}
