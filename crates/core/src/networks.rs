//! A set of networks, each with a yes or no; an address is answered by the longest prefix that holds it.
//!
//! All prefixes are resolved once, when the set is made. What is left are the addresses at which the answer changes,
//! in order: an address gets yes if the number of changes up to it is odd.

use std::collections::BTreeMap;

use crate::flow::Address;

/// So few changes are counted faster than they are searched: the private networks have six.
const COUNTED_MAX: usize = 8;

/// Of the addresses that begin with an octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    No,
    Yes,
    /// Some of them yes, and some no.
    Both,
}

/// The set. IPv4 and IPv6 are apart: `::/0` holds no IPv4 address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    changes_v4: Box<[u32]>,
    changes_v6: Box<[u128]>,
    /// What most IPv4 addresses need: their first octet has one answer. Others are searched.
    first_octets: Box<[Answer]>,
    empty: bool,
}

impl Networks {
    /// From (network, prefix length, whether it is IPv4, answer).
    ///
    /// Bits behind the prefix are ignored and lengths above the family's (32, 128) mean the whole address. Of the same
    /// network given twice the later counts.
    #[must_use]
    pub fn new(list: &[(Address, u8, bool, bool)]) -> Self {
        let of_family = |wanted: bool| {
            list.iter().filter(move |&&(_, _, is_ipv4, _)| is_ipv4 == wanted).map(
                |&(address, prefix_length, is_ipv4, value)| {
                    let (number, bits) = if is_ipv4 { (u128::from(address.low32()), 32) } else { (address.0, 128) };
                    Network::new(number, prefix_length, bits, value)
                },
            )
        };
        // A change behind the last address is never met.
        let changes_v4: Box<[u32]> = changes(of_family(true)).filter_map(|change| u32::try_from(change).ok()).collect();
        Self {
            first_octets: (0..=u8::MAX).map(|octet| answer(octet, &changes_v4)).collect(),
            changes_v4,
            changes_v6: changes(of_family(false)).collect(),
            empty: list.is_empty(),
        }
    }

    /// Whether it was made from no networks, and so answers no to everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// The answer of the longest prefix that holds the address; no if none does.
    #[must_use]
    #[inline]
    pub fn lookup(&self, address: Address) -> bool {
        if address.is_v4() {
            return self.lookup_v4(address.low32());
        }
        self.changes_v6.partition_point(|&change| change <= address.0) % 2 == 1
    }

    /// The addresses of a family at which the answer changes, in order, the first from no to yes.
    #[cfg(feature = "bpf")]
    pub(crate) fn changes(&self, is_ipv4: bool) -> Vec<u128> {
        if is_ipv4 { self.changes_v4.iter().map(|&change| change.into()).collect() } else { self.changes_v6.to_vec() }
    }

    /// The same for the 32 bits of an IPv4 address.
    #[must_use]
    #[inline]
    pub fn lookup_v4(&self, address: u32) -> bool {
        let [octet, ..] = address.to_be_bytes();
        match self.first_octets.get(usize::from(octet)) {
            Some(Answer::No) => false,
            Some(Answer::Yes) => true,
            _ => self.search_v4(address),
        }
    }

    fn search_v4(&self, address: u32) -> bool {
        let changes: usize = if self.changes_v4.len() <= COUNTED_MAX {
            self.changes_v4.iter().map(|&change| usize::from(change <= address)).sum()
        } else {
            self.changes_v4.partition_point(|&change| change <= address)
        };
        changes % 2 == 1
    }
}

/// The answer to all addresses that begin with `octet`.
fn answer(octet: u8, changes: &[u32]) -> Answer {
    let first = u32::from_be_bytes([octet, 0, 0, 0]);
    let before = |address: u32| changes.partition_point(|&change| change <= address);
    if before(first) != before(first | 0x00ff_ffff) {
        Answer::Both
    } else if before(first) % 2 == 1 {
        Answer::Yes
    } else {
        Answer::No
    }
}

struct Network {
    first: u128,
    last: u128,
    prefix_length: u32,
    value: bool,
}

impl Network {
    fn new(address: u128, prefix_length: u8, address_bits: u32, value: bool) -> Self {
        let prefix_length = u32::from(prefix_length).min(address_bits);
        let hosts = u128::MAX.checked_shr(128 - address_bits + prefix_length).unwrap_or(0);
        Self { first: address & !hosts, last: address | hosts, prefix_length, value }
    }
}

/// The addresses at which the answer changes, the first from no to yes.
fn changes(networks: impl Iterator<Item = Network>) -> impl Iterator<Item = u128> {
    let mut networks: Vec<Network> = networks.collect();
    // A stable sort: of equals the later one paints over the earlier one.
    networks.sort_by_key(|network| network.prefix_length);
    // Where an answer starts → the answer. Longer prefixes are painted over the shorter ones that hold them.
    let mut answers = BTreeMap::from([(0_u128, false)]);
    for network in networks {
        if let Some(behind) = network.last.checked_add(1) {
            let holds = answers.range(..=behind).next_back().is_some_and(|(_, &value)| value);
            answers.entry(behind).or_insert(holds);
        }
        // A longer prefix never holds a border of a shorter one but at its own ends, so nothing has to be removed but
        // what an equal network left.
        answers.insert(network.first, network.value);
    }
    let mut current = false;
    answers.into_iter().filter_map(move |(start, value)| {
        let changed = value != current;
        current = value;
        changed.then_some(start)
    })
}
