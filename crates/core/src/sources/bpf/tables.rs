//! Networks as the program searches them: where the answer changes, and the answer from there on.

use std::collections::BTreeMap;
use std::mem::offset_of;

use crate::networks;
use crate::posting::Network;

use super::layout::{NETWORK_EXCLUDED, NETWORK_LOCAL, NETWORK_WANTED, NETWORKS_MAX, Networks};

/// The tables of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    /// Which of the lists there are.
    pub(super) asked: u8,
    ipv4: Vec<(u128, u8)>,
    ipv6: Vec<(u128, u8)>,
}

impl Tables {
    /// None where there are more changes than the program has room for.
    pub(super) fn new(local: &[Network], wanted: &[Network], excluded: &[Network]) -> Option<Self> {
        let lists = [(NETWORK_LOCAL, local), (NETWORK_WANTED, wanted), (NETWORK_EXCLUDED, excluded)];
        let asked = lists.iter().filter(|(_, list)| !list.is_empty()).fold(0, |asked, (flag, _)| asked | flag);
        let of_family = |is_ipv4: bool| {
            // An address → the flags that change there. No network is a no, so each change turns its flag over.
            let mut turned = BTreeMap::from([(0_u128, 0_u8)]);
            for (flag, list) in lists {
                let list: Vec<_> =
                    list.iter().map(|&(address, length, is_v4)| (address, length, is_v4, true)).collect();
                for change in networks::Networks::new(&list).changes(is_ipv4) {
                    *turned.entry(change).or_default() ^= flag;
                }
            }
            let mut answer = 0;
            let changes = turned.into_iter().map(|(start, flags)| {
                answer ^= flags;
                (start, answer)
            });
            changes.collect::<Vec<_>>()
        };
        let (ipv4, ipv6) = (of_family(true), of_family(false));
        (ipv4.len().max(ipv6.len()) <= NETWORKS_MAX).then_some(Self { asked, ipv4, ipv6 })
    }

    /// Half of the entries that are searched: 0 where there is one.
    pub(super) fn halves(&self) -> [u32; 2] {
        [&self.ipv4, &self.ipv6].map(|table| u32::try_from(table.len().next_power_of_two() / 2).unwrap_or_default())
    }

    /// As they lie in memory. Behind the last change everything is ones, with its answer.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::MAX; size_of::<Networks>()];
        #[allow(clippy::cast_possible_truncation, reason = "the halves of an address, and those of IPv4 have 32 bits")]
        {
            put(&mut bytes, offset_of!(Networks, ipv4_start), &self.ipv4, |&(start, _)| (start as u32).to_ne_bytes());
            let high = offset_of!(Networks, ipv6_start_high);
            put(&mut bytes, high, &self.ipv6, |&(start, _)| ((start >> 64) as u64).to_ne_bytes());
            put(&mut bytes, offset_of!(Networks, ipv6_start_low), &self.ipv6, |&(start, _)| {
                (start as u64).to_ne_bytes()
            });
        }
        for (at, table) in
            [(offset_of!(Networks, ipv4_answer), &self.ipv4), (offset_of!(Networks, ipv6_answer), &self.ipv6)]
        {
            let last = table.last().map_or(0, |&(_, answer)| answer);
            if let Some(answers) = bytes.get_mut(at..at + NETWORKS_MAX) {
                answers.fill(last);
            }
            put(&mut bytes, at, table, |&(_, answer)| [answer]);
        }
        bytes
    }
}

fn put<const BYTES: usize>(
    bytes: &mut [u8],
    at: usize,
    table: &[(u128, u8)],
    value: impl Fn(&(u128, u8)) -> [u8; BYTES],
) {
    let places = bytes.get_mut(at..).unwrap_or_default().chunks_exact_mut(BYTES);
    for (place, entry) in places.zip(table) {
        place.copy_from_slice(&value(entry));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::Address;

    fn network(text: &str) -> Network {
        let (address, length) = text.split_once('/').unwrap();
        match address.parse().unwrap() {
            std::net::IpAddr::V4(v4) => (Address::from_v4(v4.octets()), length.parse().unwrap(), true),
            std::net::IpAddr::V6(v6) => (Address::from_v6(v6.octets()), length.parse().unwrap(), false),
        }
    }

    /// As the program does it, from the bytes that it gets.
    fn search(tables: &Tables, address: Address) -> u8 {
        let bytes = tables.bytes();
        let word =
            |at: usize, index: usize| u64::from_ne_bytes(bytes[at + index * 8..at + index * 8 + 8].try_into().unwrap());
        let is_v4 = address.is_v4();
        let start = |index: usize| {
            if is_v4 {
                let at = offset_of!(Networks, ipv4_start) + index * 4;
                return u128::from(u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()));
            }
            u128::from(word(offset_of!(Networks, ipv6_start_high), index)) << 64
                | u128::from(word(offset_of!(Networks, ipv6_start_low), index))
        };
        let wanted = if is_v4 { u128::from(address.low32()) } else { address.0 };
        let mut half = tables.halves()[usize::from(!is_v4)] as usize;
        let mut at = 0;
        while half > 0 {
            if start(at | half) <= wanted {
                at |= half;
            }
            half >>= 1;
        }
        let answers = if is_v4 { offset_of!(Networks, ipv4_answer) } else { offset_of!(Networks, ipv6_answer) };
        bytes[answers + at]
    }

    #[test]
    fn one_search_answers_for_all_lists() {
        let local = [network("10.0.0.0/8"), network("2001:db8::/32")];
        let excluded = [network("10.1.0.0/16"), network("255.255.255.255/32")];
        let tables = Tables::new(&local, &[network("::/0")], &excluded).unwrap();
        assert_eq!(tables.asked, NETWORK_LOCAL | NETWORK_WANTED | NETWORK_EXCLUDED);
        let answer = |text: &str| search(&tables, network(&format!("{text}/0")).0);
        assert_eq!(answer("9.255.255.255"), 0);
        assert_eq!(answer("10.0.255.255"), NETWORK_LOCAL);
        assert_eq!(answer("10.1.2.3"), NETWORK_LOCAL | NETWORK_EXCLUDED);
        assert_eq!(answer("10.255.255.255"), NETWORK_LOCAL);
        assert_eq!(answer("11.0.0.0"), 0);
        assert_eq!(answer("255.255.255.254"), 0);
        assert_eq!(answer("255.255.255.255"), NETWORK_EXCLUDED);
        assert_eq!(answer("::"), NETWORK_WANTED);
        assert_eq!(answer("2001:db8:ffff::1"), NETWORK_WANTED | NETWORK_LOCAL);
        assert_eq!(answer("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), NETWORK_WANTED);
    }

    #[test]
    fn without_lists_there_is_one_entry_and_it_says_no() {
        let tables = Tables::new(&[], &[], &[]).unwrap();
        assert_eq!((tables.asked, tables.halves()), (0, [0, 0]));
        assert_eq!(search(&tables, Address(u128::MAX)), 0);
    }

    #[test]
    fn more_changes_than_there_is_room_for_are_refused() {
        let every_second = |count: u32| {
            (0..count).map(|at| (Address::from_v4((at * 2 + 1).to_be_bytes()), 32, true)).collect::<Vec<_>>()
        };
        let fits = u32::try_from(NETWORKS_MAX / 2).unwrap() - 1;
        assert!(Tables::new(&every_second(fits), &[], &[]).is_some());
        assert!(Tables::new(&every_second(fits + 1), &[], &[]).is_none());
    }

    proptest! {
        #[test]
        fn the_search_finds_what_the_sets_say(
            lists in proptest::array::uniform3(proptest::collection::vec((any::<u32>(), 0..=32_u8), 0..6)),
            addresses in proptest::collection::vec(any::<u32>(), 1..20),
        ) {
            let [local, wanted, excluded] = lists.map(|list| {
                list.into_iter().map(|(address, length)| (Address::from_v4(address.to_be_bytes()), length, true)).collect()
            });
            let lists: [&Vec<Network>; 3] = [&local, &wanted, &excluded];
            let tables = Tables::new(&local, &wanted, &excluded).unwrap();
            let borders = lists.into_iter().flatten().map(|(address, ..)| address.low32());
            for address in addresses.iter().copied().chain(borders) {
                let expected = lists.into_iter().enumerate().map(|(bit, list)| {
                    let list: Vec<_> = list.iter().map(|&(a, l, v)| (a, l, v, true)).collect();
                    u8::from(networks::Networks::new(&list).lookup_v4(address)) << bit
                });
                prop_assert_eq!(search(&tables, Address::from_v4(address.to_be_bytes())), expected.sum::<u8>());
            }
        }
    }
}
