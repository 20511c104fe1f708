//! The ports of fragments: only the first one of a packet has them.
//!
//! First fragments are remembered in a table of fixed size, for as long as the kernel would wait for the others. When a
//! set of places is full the oldest goes: whoever floods us with fragments makes ports unknown, and nothing else.

use std::hash::{BuildHasher, RandomState};

use crate::flow::Address;
use crate::packet::{Fragment, Headers};

/// Places of the table, and of each set in it.
const SETS: usize = 1024;
const WAYS: usize = 4;
/// `net.ipv4.ipfrag_time`, and that of IPv6 is 60 s: who comes later is thrown away by the receiver.
const KEPT_NS: u64 = 30_000_000_000;

/// What fragments of one packet share. IPv6 leaves the protocol out (RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Name {
    source: Address,
    destination: Address,
    identification: u32,
    protocol: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    name: Name,
    /// 0: the place is free.
    at_ns: u64,
    protocol: u8,
    ports: (u16, u16),
}

#[derive(Debug)]
pub(crate) struct Fragments {
    places: Box<[[Seen; WAYS]]>,
    /// Random, so that nobody can choose which place a fragment takes.
    hasher: RandomState,
}

impl Default for Fragments {
    fn default() -> Self {
        Self { places: vec![[Seen::default(); WAYS]; SETS].into_boxed_slice(), hasher: RandomState::new() }
    }
}

impl Fragments {
    /// Remembers the ports of a first fragment, or gives them to a later one. False if they are not known.
    #[cold]
    pub(crate) fn resolve(&mut self, headers: &mut Headers, fragment: Fragment, now_ns: u64) -> bool {
        let name = Name {
            source: headers.source,
            destination: headers.destination,
            identification: fragment.identification,
            protocol: headers.is_ipv4.then_some(headers.protocol),
        };
        let set = self.set(&name);
        let place = set.iter_mut().find(|seen| seen.at_ns != 0 && seen.name == name);
        if fragment.is_first {
            let seen = Seen {
                name,
                at_ns: now_ns.max(1),
                protocol: headers.protocol,
                ports: (headers.source_port, headers.destination_port),
            };
            let place = match place {
                Some(place) => Some(place),
                None => self.set(&name).iter_mut().min_by_key(|seen| seen.at_ns),
            };
            if let Some(place) = place {
                *place = seen;
            }
            return true;
        }
        // A clock that was set back makes nothing old.
        match place.filter(|seen| now_ns.saturating_sub(seen.at_ns) <= KEPT_NS) {
            Some(seen) => {
                headers.protocol = seen.protocol;
                (headers.source_port, headers.destination_port) = seen.ports;
                true
            }
            None => false,
        }
    }

    fn set(&mut self, name: &Name) -> &mut [Seen; WAYS] {
        let number = usize::try_from(self.hasher.hash_one(name) % SETS as u64).unwrap_or(0);
        // The remainder is below the number of sets.
        &mut self.places[number]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Depth, fragment, parse};

    const SECOND_NS: u64 = 1_000_000_000;

    /// A UDP packet of IPv4, or a later part of one.
    fn part(host: u8, identification: u8, offset: u8, more: bool) -> Vec<u8> {
        let mut ip = vec![0x45, 0, 0, 28, 0, identification, u8::from(more) << 5, offset, 64, 17, 0, 0];
        ip.extend([10, 0, 0, host, 10, 0, 1, 1, 0x11, 0x22, 0x33, 0x44, 0, 8, 0, 0]);
        ip
    }

    fn ports(table: &mut Fragments, ip: &[u8], now_ns: u64) -> Option<(u16, u16)> {
        let mut headers = parse(ip, Depth::Ports).unwrap();
        let is_known = table.resolve(&mut headers, fragment(ip).unwrap(), now_ns);
        is_known.then_some((headers.source_port, headers.destination_port))
    }

    #[test]
    fn later_fragments_have_the_ports_of_the_first_one_of_their_packet() {
        let mut table = Fragments::default();
        assert_eq!(ports(&mut table, &part(1, 7, 0, true), 1), Some((0x1122, 0x3344)));
        assert_eq!(ports(&mut table, &part(1, 7, 1, true), 2), Some((0x1122, 0x3344)));
        assert_eq!(ports(&mut table, &part(1, 7, 2, false), 3), Some((0x1122, 0x3344)));
        assert_eq!(ports(&mut table, &part(1, 8, 2, false), 3), None, "another packet");
        assert_eq!(ports(&mut table, &part(2, 7, 2, false), 3), None, "another host");
    }

    #[test]
    fn a_fragment_that_comes_too_late_belongs_to_nothing() {
        let mut table = Fragments::default();
        ports(&mut table, &part(1, 7, 0, true), SECOND_NS);
        assert!(ports(&mut table, &part(1, 7, 1, false), 31 * SECOND_NS).is_some());
        assert!(ports(&mut table, &part(1, 7, 1, false), 32 * SECOND_NS).is_none());
    }

    #[test]
    fn a_flood_of_fragments_takes_no_more_room() {
        let mut table = Fragments::default();
        for number in 0..=255 {
            for host in 0..=255 {
                ports(&mut table, &part(host, number, 0, true), u64::from(number) * 256 + u64::from(host));
            }
        }
        assert_eq!(table.places.len() * WAYS, SETS * WAYS);
        assert!(ports(&mut table, &part(255, 255, 1, false), 70_000).is_some(), "the newest is still there");
    }

    #[test]
    fn a_whole_packet_is_no_fragment() {
        assert_eq!(fragment(&part(1, 7, 0, false)), None);
        let mut ipv6 = vec![0x60, 0, 0, 0, 0, 16, 44, 64];
        ipv6.extend([0; 32]);
        ipv6.extend([17, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 2, 0, 8, 0, 0]);
        assert_eq!(fragment(&ipv6), None, "one fragment is the whole packet");
        ipv6[43] = 1;
        assert_eq!(fragment(&ipv6), Some(Fragment { identification: 9, is_first: true }));
        ipv6[43] = 8;
        assert_eq!(fragment(&ipv6), Some(Fragment { identification: 9, is_first: false }));
        ipv6.truncate(45);
        assert_eq!(fragment(&ipv6), None, "cut off");
    }
}
