//! `Networks` against the plain search through the list.

use std::net::{Ipv4Addr, Ipv6Addr};

use netledger_core::flow::Address;
use netledger_core::networks::Networks;
use proptest::collection::vec;
use proptest::prelude::*;

type Entry = (Address, u8, bool, bool);

fn v4(a: u8, b: u8, c: u8, d: u8, prefix_length: u8, value: bool) -> Entry {
    (Address::from_v4(Ipv4Addr::new(a, b, c, d).octets()), prefix_length, true, value)
}

fn v6(segments: [u16; 8], prefix_length: u8, value: bool) -> Entry {
    (Address::from_v6(Ipv6Addr::from(segments).octets()), prefix_length, false, value)
}

/// What the set must answer, the slow way: the longest of all that hold the address, the last one of equals.
fn plain(list: &[Entry], address: Address) -> bool {
    let holding = list.iter().filter(|&&(network, prefix_length, is_ipv4, _)| {
        // An IPv4 prefix is one of the mapped address behind its 96 fixed bits.
        let bits = u32::from(prefix_length) + if is_ipv4 { 96 } else { 0 };
        is_ipv4 == address.is_v4() && (network.0 ^ address.0).leading_zeros() >= bits
    });
    holding.max_by_key(|(_, prefix_length, _, _)| prefix_length).is_some_and(|&(_, _, _, value)| value)
}

#[test]
fn no_networks_hold_nothing() {
    let none = Networks::new(&[]);
    assert!(none.is_empty());
    for address in [0, 0xffff_0a00_0001, u128::MAX] {
        assert!(!none.lookup(Address(address)));
    }
}

#[test]
fn the_longest_prefix_decides() {
    let networks = Networks::new(&[
        v4(10, 0, 0, 0, 8, true),
        v4(10, 1, 0, 0, 16, false),
        v4(10, 1, 2, 0, 24, true),
        v4(10, 1, 2, 255, 32, false),
        v4(10, 1, 3, 7, 32, true),
    ]);
    let answer = |a, b, c, d| networks.lookup(Address::from_v4([a, b, c, d]));
    assert!(!networks.is_empty());
    assert!(answer(10, 0, 0, 0) && answer(10, 255, 255, 255) && answer(10, 0, 255, 255) && answer(10, 2, 0, 0));
    assert!(!answer(9, 255, 255, 255) && !answer(11, 0, 0, 0));
    assert!(!answer(10, 1, 0, 0) && !answer(10, 1, 255, 255) && !answer(10, 1, 3, 6) && !answer(10, 1, 3, 8));
    assert!(answer(10, 1, 2, 0) && answer(10, 1, 2, 254) && answer(10, 1, 3, 7));
    assert!(!answer(10, 1, 2, 255));
}

#[test]
fn the_ends_of_the_address_space_are_held() {
    let all = Networks::new(&[v4(0, 0, 0, 0, 0, true), v6([0; 8], 0, true)]);
    for address in [[0; 4], [255; 4]] {
        assert!(all.lookup(Address::from_v4(address)));
    }
    for address in [0, u128::MAX] {
        assert!(all.lookup(Address(address)));
    }
    let last = Networks::new(&[v4(255, 255, 255, 255, 32, true), v6([0xffff; 8], 128, true)]);
    assert!(last.lookup(Address::from_v4([255; 4])) && !last.lookup(Address::from_v4([255, 255, 255, 254])));
    assert!(last.lookup(Address(u128::MAX)) && !last.lookup(Address(u128::MAX - 1)));
}

#[test]
fn the_families_are_apart() {
    let only_v6 = Networks::new(&[v6([0; 8], 0, true)]);
    assert!(!only_v6.lookup(Address::from_v4([10, 0, 0, 1])));
    let only_v4 = Networks::new(&[v4(0, 0, 0, 0, 0, true)]);
    assert!(!only_v4.lookup(Address::from_v6([0x20; 16])));
}

#[test]
fn host_bits_are_ignored_and_too_long_prefixes_mean_one_address() {
    let networks = Networks::new(&[v4(192, 0, 2, 99, 24, true), v4(198, 51, 100, 1, 255, true)]);
    assert!(networks.lookup(Address::from_v4([192, 0, 2, 1])));
    assert!(
        networks.lookup(Address::from_v4([198, 51, 100, 1])) && !networks.lookup(Address::from_v4([198, 51, 100, 0]))
    );
}

#[test]
fn of_the_same_network_twice_the_later_counts() {
    let address = Address::from_v4([10, 0, 0, 1]);
    assert!(!Networks::new(&[v4(10, 0, 0, 0, 8, true), v4(10, 9, 9, 9, 8, false)]).lookup(address));
    assert!(Networks::new(&[v4(10, 0, 0, 0, 8, false), v4(10, 9, 9, 9, 8, true)]).lookup(address));
}

/// Few different octets, so that networks lie in and beside each other.
fn crowded() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0), Just(1), Just(10), Just(127), Just(128), Just(254), Just(255)]
}

prop_compose! {
    fn entry()(octets in prop::array::uniform16(crowded()), length in 0_u8..=128, is_ipv4: bool, value: bool) -> Entry {
        let [a, b, c, d, ..] = octets;
        if is_ipv4 { v4(a, b, c, d, length % 33, value) } else { (Address::from_v6(octets), length, false, value) }
    }
}

/// The border of a network, or one beside it: where mistakes are.
fn borders(list: &[Entry]) -> Vec<Address> {
    list.iter()
        .flat_map(|&(address, prefix_length, is_ipv4, _)| {
            let bits = u32::from(prefix_length) + if is_ipv4 { 96 } else { 0 };
            let hosts = u128::MAX.checked_shr(bits).unwrap_or(0);
            let (start, end) = (address.0 & !hosts, address.0 | hosts);
            [start, end, start.wrapping_sub(1), end.wrapping_add(1), address.0].map(Address)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_is_that_of_the_plain_search(list in vec(entry(), 0..16), others in vec(entry(), 0..8)) {
        let networks = Networks::new(&list);
        prop_assert_eq!(networks.is_empty(), list.is_empty());
        for address in borders(&list).into_iter().chain(others.into_iter().map(|(address, ..)| address)) {
            prop_assert_eq!(networks.lookup(address), plain(&list, address), "{:?}", address);
        }
    }
}
