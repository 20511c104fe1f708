//! `packet::parse` reads back what was built, for generated packets of every shape, and answers for any bytes at all.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use netledger_core::flow::Address;
use netledger_core::packet::{Depth, Headers, Unreadable, parse};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// The upper layer of a generated packet: protocol, its first four bytes, and the ports that they mean.
#[derive(Clone, Debug)]
struct Upper {
    protocol: u8,
    start: [u8; 4],
    ports: Option<(u16, u16)>,
}

fn upper(icmp: u8) -> impl Strategy<Value = Upper> {
    let kind = prop_oneof![
        Just(6_u8),
        Just(17),
        Just(33),
        Just(132),
        Just(136),
        Just(icmp),
        prop::sample::select(vec![2_u8, 4, 41, 47, 50, 89, 103, 112, 253])
    ];
    (kind, any::<[u8; 4]>()).prop_map(move |(protocol, start)| {
        let [a, b, c, d] = start;
        let ports = match protocol {
            6 | 17 | 33 | 132 | 136 => Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))),
            kind if kind == icmp => Some((u16::from(a), u16::from(b))),
            _ => None,
        };
        Upper { protocol, start, ports }
    })
}

fn expected(source: Address, destination: Address, bytes: u64, upper: &Upper, first_fragment: bool) -> Headers {
    let ports = upper.ports.filter(|_| first_fragment);
    Headers {
        source,
        destination,
        bytes,
        protocol: upper.protocol,
        source_port: ports.map_or(0, |(source, _)| source),
        destination_port: ports.map_or(0, |(_, destination)| destination),
        is_ipv4: source.is_v4(),
        length_known: bytes != 0,
        ports_known: ports.is_some(),
    }
}

#[derive(Clone, Debug)]
struct V4 {
    source: [u8; 4],
    destination: [u8; 4],
    option_words: u8,
    fragment_offset: u16,
    flags: u16,
    payload_bytes: u16,
    super_packet: bool,
    upper: Upper,
}

prop_compose! {
    fn v4()(
        source: [u8; 4],
        destination: [u8; 4],
        option_words in 0_u8..=10,
        fragment_offset in prop_oneof![3 => Just(0_u16), 1 => 1_u16..=0x1fff],
        flags in 0_u16..8,
        payload_bytes in 4_u16..=65_000,
        super_packet in prop::bool::weighted(0.1),
        upper in upper(1),
    ) -> V4 {
        V4 { source, destination, option_words, fragment_offset, flags, payload_bytes, super_packet, upper }
    }
}

impl V4 {
    fn total(&self) -> u16 {
        if self.super_packet { 0 } else { 20 + u16::from(self.option_words) * 4 + self.payload_bytes }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut packet = vec![0x45 + self.option_words, 0];
        packet.extend(self.total().to_be_bytes());
        packet.extend([0x12, 0x34]);
        packet.extend((self.flags << 13 | self.fragment_offset).to_be_bytes());
        packet.extend([64, self.upper.protocol, 0, 0]);
        packet.extend(self.source);
        packet.extend(self.destination);
        packet.extend(vec![1; usize::from(self.option_words) * 4]);
        packet.extend(self.upper.start);
        packet
    }

    fn headers(&self) -> Headers {
        let (source, destination) = (Address::from_v4(self.source), Address::from_v4(self.destination));
        expected(source, destination, u64::from(self.total()), &self.upper, self.fragment_offset == 0)
    }
}

/// An extension header with its content; the next header's kind is put in when the packet is built.
#[derive(Clone, Debug)]
enum Extension {
    Options { kind: u8, words: u8 },
    Authentication { words: u8 },
    Fragment { offset: u16, more: bool },
}

fn extension() -> impl Strategy<Value = Extension> {
    prop_oneof![
        (prop::sample::select(vec![43_u8, 60, 135]), 0_u8..4)
            .prop_map(|(kind, words)| Extension::Options { kind, words }),
        (0_u8..9).prop_map(|words| Extension::Authentication { words }),
        (prop_oneof![2 => Just(0_u16), 1 => 1_u16..0x2000], any::<bool>())
            .prop_map(|(offset, more)| Extension::Fragment { offset, more }),
    ]
}

impl Extension {
    fn kind(&self) -> u8 {
        match self {
            Self::Options { kind, .. } => *kind,
            Self::Authentication { .. } => 51,
            Self::Fragment { .. } => 44,
        }
    }

    fn bytes(&self, next_header: u8) -> Vec<u8> {
        let (second, content_bytes) = match self {
            Self::Options { words, .. } => (*words, 6 + usize::from(*words) * 8),
            Self::Authentication { words } => (*words, 6 + usize::from(*words) * 4),
            Self::Fragment { offset, more } => {
                let [high, low] = (offset << 3 | u16::from(*more)).to_be_bytes();
                return vec![next_header, 0xff, high, low, 0, 0, 0, 9];
            }
        };
        [vec![next_header, second], vec![0; content_bytes]].concat()
    }
}

#[derive(Clone, Debug)]
struct V6 {
    source: [u8; 16],
    destination: [u8; 16],
    /// Option padding before a jumbo option, and the payload length in it.
    jumbo: Option<(u8, u32)>,
    extensions: Vec<Extension>,
    payload_bytes: u16,
    upper: Upper,
}

prop_compose! {
    fn v6()(
        // Not v4-mapped: such an address is not told from an IPv4 one.
        source in any::<[u8; 16]>().prop_filter("v4-mapped", |octets| !Address::from_v6(*octets).is_v4()),
        destination: [u8; 16],
        jumbo in option::weighted(0.2, (0_u8..15, 65_536_u32..)),
        extensions in vec(extension(), 0..8),
        payload_bytes in 4_u16..=64_000,
        upper in upper(58),
    ) -> V6 {
        V6 { source, destination, jumbo, extensions, payload_bytes, upper }
    }
}

impl V6 {
    /// From the kinds of all headers, the chain in bytes and the first kind.
    fn chain(&self) -> (u8, Vec<u8>) {
        let mut next_header = self.upper.protocol;
        let mut chain = self.upper.start.to_vec();
        for extension in self.extensions.iter().rev() {
            chain = [extension.bytes(next_header), chain].concat();
            next_header = extension.kind();
        }
        if let Some((padding, payload)) = self.jumbo {
            let mut header = vec![next_header, 0];
            header.extend(vec![0; usize::from(padding)]);
            header.extend([0xc2, 4]);
            header.extend(payload.to_be_bytes());
            header.resize(header.len().next_multiple_of(8), 0);
            header[1] = u8::try_from(header.len() / 8 - 1).unwrap();
            chain = [header, chain].concat();
            next_header = 0;
        }
        (next_header, chain)
    }

    fn bytes(&self) -> Vec<u8> {
        let (next_header, chain) = self.chain();
        let payload = u16::try_from(chain.len()).unwrap() - 4 + self.payload_bytes;
        let mut packet = vec![0x6f, 0xff, 0xff, 0xff];
        packet.extend(if self.jumbo.is_some() { 0 } else { payload }.to_be_bytes());
        packet.extend([next_header, 64]);
        packet.extend(self.source);
        packet.extend(self.destination);
        packet.extend(chain);
        packet
    }

    fn headers(&self) -> Headers {
        let (_, chain) = self.chain();
        let payload = self.jumbo.map_or(chain.len() as u64 - 4 + u64::from(self.payload_bytes), |(_, n)| u64::from(n));
        let later = self.extensions.iter().position(|one| matches!(one, Extension::Fragment { offset: 1.., .. }));
        // Behind the header of a later fragment nothing can be read but what it names as next.
        let upper = match later {
            Some(at) => match self.extensions.get(at + 1) {
                Some(next) => Upper { protocol: next.kind(), ..self.upper.clone() },
                None => self.upper.clone(),
            },
            None => self.upper.clone(),
        };
        let (source, destination) = (Address::from_v6(self.source), Address::from_v6(self.destination));
        expected(source, destination, 40 + payload, &upper, later.is_none())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_ipv4_packet_reads_back_as_built(packet in v4()) {
        prop_assert_eq!(parse(&packet.bytes(), Depth::Ports), Ok(packet.headers()));
    }

    #[test]
    fn an_ipv6_packet_reads_back_as_built(packet in v6()) {
        prop_assert_eq!(parse(&packet.bytes(), Depth::Ports), Ok(packet.headers()));
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in vec(any::<u8>(), 0..200), version in prop::sample::select(vec![4_u8, 6])) {
        let header_bytes = if version == 4 { 20 } else { 40 };
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = version << 4 | *first & 0x0f;
        }
        for depth in [Depth::Addresses, Depth::Ports] {
            match parse(&bytes, depth) {
                Ok(headers) => {
                    prop_assert_eq!(headers.is_ipv4, version == 4);
                    prop_assert_eq!(headers.length_known, headers.bytes != 0);
                    prop_assert!(headers.ports_known || (headers.source_port, headers.destination_port) == (0, 0));
                }
                Err(Unreadable::Empty) => prop_assert!(bytes.is_empty()),
                Err(Unreadable::Short) => prop_assert!(bytes.len() < header_bytes),
                Err(reason) => prop_assert!(version == 4 && bytes.len() >= header_bytes, "{:?}", reason),
            }
        }
    }

    #[test]
    fn a_built_packet_with_any_byte_changed_gets_an_answer(
        packet in prop_oneof![v4().prop_map(|packet| packet.bytes()), v6().prop_map(|packet| packet.bytes())],
        at: prop::sample::Index,
        value: u8,
    ) {
        let mut packet = packet;
        let at = at.index(packet.len());
        packet[at] = value;
        if let Ok(headers) = parse(&packet, Depth::Ports) {
            prop_assert_eq!(headers.length_known, headers.bytes != 0);
        }
    }
}
