//! `netlink`: datagrams recorded from a kernel, built ones read back, and broken ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

use netledger_core::netlink::{ConfigAttribute, Malformed, Message, Messages, NflogPacket, nflog_config};
use netledger_core::packet::Unreadable;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Linux 6.18, `NFLOG --nflog-group 4 --nflog-prefix IPv4out --nflog-size 20` in the output hook, sequence numbers on:
/// one datagram. Byte order of the recording: little-endian.
#[cfg(target_endian = "little")]
const RECORDED: &str = "
    60000000 0004 0000 00000000 00000000 02000004
      0800 0100 08000300
      0c00 0a00 495076346f757400
      0800 0500 00000002
      0800 0b00 00000000
      0800 0e00 00000000
      0800 0c00 00000000
      1800 0900 450000802a5140004011fc070a0900010a090002
    60000000 0004 0000 00000000 00000000 02000004
      0800 0100 08000300
      0c00 0a00 495076346f757400
      0800 0500 00000002
      0800 0b00 00000000
      0800 0e00 00000000
      0800 0c00 00000001
      1800 0900 450000802a5240004011fc060a0900010a090002
    14000000 0300 0000 00000000 00000000 00000004";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut message = u32::try_from(body.len() + 16).unwrap().to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend([0, 0]);
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

const PACKET: u16 = 0x400;

fn only(datagram: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut messages = Messages::new(datagram);
    let first = messages.next().unwrap();
    assert!(messages.next().is_none(), "more than one message");
    first
}

#[cfg(target_endian = "little")]
#[test]
fn a_recorded_datagram_is_read_to_its_end() {
    let datagram = bytes(RECORDED);
    assert_eq!(datagram.len(), 212);
    let expected = |sequence, payload| NflogPacket {
        group: 4,
        family: 2,
        hw_protocol: 0x0800,
        sequence: Some(sequence),
        in_interface: 0,
        out_interface: 2,
        prefix: b"IPv4out",
        payload: Some(payload),
    };
    let mut messages = Messages::new(&datagram);
    assert_eq!(messages.next(), Some(Ok(Message::Packet(expected(0, &datagram[76..96])))));
    assert_eq!(messages.offset(), 96);
    assert_eq!(messages.next(), Some(Ok(Message::Packet(expected(1, &datagram[172..192])))));
    assert_eq!(messages.next(), Some(Ok(Message::Done)));
    assert_eq!(messages.next(), None);
    assert_eq!(messages.offset(), 212);
}

#[cfg(target_endian = "little")]
#[test]
fn a_datagram_cut_anywhere_gives_its_whole_messages_and_then_malformed() {
    let datagram = bytes(RECORDED);
    for length in 0..=datagram.len() {
        let mut messages = Messages::new(&datagram[..length]);
        let whole = messages.by_ref().take_while(Result::is_ok).count();
        let borders = [0, 96, 192, 212];
        assert_eq!(whole, borders.iter().filter(|&&border| border != 0 && border <= length).count(), "{length}");
        assert_eq!(messages.offset(), borders[whole], "{length}");
        assert_eq!(messages.next(), None, "{length}");
        assert_eq!(
            Messages::new(&datagram[..length]).last().is_some_and(|last| last.is_err()),
            !borders.contains(&length)
        );
    }
}

#[test]
fn acknowledgements_and_errors_carry_the_sequence_of_their_request() {
    let ack = message(2, 7, &[0_i32.to_ne_bytes().to_vec(), vec![0; 16]].concat());
    assert_eq!(only(&ack), Ok(Message::Error { sequence: 7, errno: 0 }));
    let busy = message(2, u32::MAX, &(-16_i32).to_ne_bytes());
    assert_eq!(only(&busy), Ok(Message::Error { sequence: u32::MAX, errno: 16 }));
    assert_eq!(only(&message(2, 7, &i32::MIN.to_ne_bytes())), Err(Malformed));
    assert_eq!(only(&message(2, 7, &[0, 0])), Err(Malformed));
}

#[test]
fn other_kinds_are_named_and_passed_over() {
    let datagram = [message(1, 0, &[]), message(0x401, 0, &[1; 9]), message(3, 0, &[])].concat();
    let kinds: Vec<_> = Messages::new(&datagram).collect();
    assert_eq!(kinds, [Ok(Message::Other { kind: 1 }), Ok(Message::Other { kind: 0x401 }), Ok(Message::Done)]);
}

#[test]
fn lengths_that_lead_nowhere_are_malformed() {
    let mut short = message(PACKET, 0, &[2, 0, 0, 4]);
    short[..4].copy_from_slice(&15_u32.to_ne_bytes());
    assert_eq!(only(&short), Err(Malformed));
    let mut long = message(PACKET, 0, &[2, 0, 0, 4]);
    long[..4].copy_from_slice(&21_u32.to_ne_bytes());
    assert_eq!(only(&long), Err(Malformed));
    let mut longest = message(PACKET, 0, &[2, 0, 0, 4]);
    longest[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert_eq!(only(&longest), Err(Malformed));
    assert_eq!(only(&message(PACKET, 0, &[2, 0, 0])), Err(Malformed), "no room for the group");
    for length in [0_u16, 3, 13, u16::MAX] {
        let mut body = [vec![2, 0, 0, 4], attribute(9, &[0x45; 8])].concat();
        body[4..6].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(only(&message(PACKET, 0, &body)), Err(Malformed), "attribute of {length} bytes");
    }
    for kind in [1, 4, 5, 12] {
        for value in [&[][..], &[1], &[1, 2, 3]] {
            let body = [vec![2, 0, 0, 4], attribute(kind, value), attribute(9, &[0x45; 8])].concat();
            assert_eq!(only(&message(PACKET, 0, &body)), Err(Malformed), "attribute {kind} of {} bytes", value.len());
        }
    }
}

#[test]
fn a_number_that_has_grown_starts_with_what_is_known() {
    let grown = [
        attribute(1, &[0x86, 0xdd, 3, 0, 9, 9, 9, 9]),
        attribute(12, &[0, 0, 1, 2, 9]),
        attribute(4, &[0, 0, 0, 3, 9]),
    ];
    match only(&message(PACKET, 0, &[vec![2, 0, 0, 4], grown.concat()].concat())) {
        Ok(Message::Packet(packet)) => {
            assert_eq!((packet.hw_protocol, packet.sequence, packet.in_interface), (0x86dd, Some(0x0102), 3));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_attribute_and_the_last_message_may_lack_their_padding() {
    let whole = message(PACKET, 0, &[vec![2, 0, 0, 4], attribute(9, &[0x45; 5])].concat());
    let mut bare = whole[..whole.len() - 3].to_vec();
    bare[..4].copy_from_slice(&u32::try_from(whole.len() - 3).unwrap().to_ne_bytes());
    for datagram in [&whole, &bare] {
        match only(datagram) {
            Ok(Message::Packet(packet)) => assert_eq!(packet.payload, Some(&[0x45; 5][..])),
            other => panic!("{other:?}"),
        }
    }
}

fn ip_of(family: u8, hw_protocol: u16, payload: Option<&[u8]>) -> Result<Vec<u8>, Unreadable> {
    let packet = NflogPacket {
        group: 1,
        family,
        hw_protocol,
        sequence: None,
        in_interface: 0,
        out_interface: 0,
        prefix: &[],
        payload,
    };
    packet.ip().map(<[u8]>::to_vec)
}

#[test]
fn ip_is_found_behind_the_tags_of_a_bridge() {
    let ip = [0x45, 1, 2, 3];
    let tagged = [&[0x20, 5, 0x08, 0][..], &ip].concat();
    let twice = [&[0, 9, 0x81, 0][..], &tagged].concat();
    for family in [2, 10] {
        assert_eq!(ip_of(family, 0, Some(&ip)), Ok(ip.to_vec()), "a layer 3 rule sees no tags");
    }
    for family in [5, 7] {
        assert_eq!(ip_of(family, 0x0800, Some(&ip)), Ok(ip.to_vec()));
        assert_eq!(ip_of(family, 0x86dd, Some(&ip)), Ok(ip.to_vec()));
        assert_eq!(ip_of(family, 0x8100, Some(&tagged)), Ok(ip.to_vec()));
        assert_eq!(ip_of(family, 0x88a8, Some(&twice)), Ok(ip.to_vec()));
        assert_eq!(ip_of(family, 0x8100, Some(&tagged[..3])), Err(Unreadable::Short));
        assert_eq!(ip_of(family, 0x0806, Some(&ip)), Err(Unreadable::NotIp));
        assert_eq!(ip_of(family, 0, Some(&ip)), Err(Unreadable::NotIp));
        assert_eq!(ip_of(family, 0x8100, Some(&[0x81_u8, 0].repeat(40))), Err(Unreadable::NotIp), "tags without end");
    }
    assert_eq!(ip_of(3, 0x0806, Some(&ip)), Err(Unreadable::NotIp));
    assert_eq!(ip_of(2, 0x0800, None), Err(Unreadable::Empty));
}

#[test]
fn a_bridge_rule_tells_the_ports_and_others_tell_the_bridge() {
    let ports = [attribute(6, &[0, 0, 0, 12]), attribute(7, &[0, 0, 0, 13])].concat();
    let bridge = [attribute(4, &[0, 0, 0, 2]), attribute(5, &[0, 0, 0, 3])].concat();
    let no_ports = [attribute(6, &[0; 4]), attribute(7, &[0; 4])].concat();
    let interfaces = |datagram: &[u8]| match only(datagram).unwrap() {
        Message::Packet(packet) => (packet.in_interface, packet.out_interface),
        other => panic!("{other:?}"),
    };
    let of = |family: u8, attributes: &[&[u8]]| {
        interfaces(&message(PACKET, 0, &[&[family, 0, 0, 4][..], &attributes.concat()].concat()))
    };
    assert_eq!(of(7, &[&ports, &bridge]), (12, 13));
    assert_eq!(of(7, &[&bridge, &ports]), (12, 13), "in any order");
    assert_eq!(of(7, &[&bridge]), (2, 3), "in its input and output hooks a packet has no port on one side");
    assert_eq!(of(7, &[&no_ports, &bridge]), (2, 3));
    assert_eq!(of(2, &[&ports, &bridge]), (2, 3), "iifname of an inet rule is the bridge");
    let short = message(PACKET, 0, &[&[7, 0, 0, 4][..], &attribute(6, &[0, 0])].concat());
    assert_eq!(only(&short), Err(Malformed));
}

#[test]
fn requests_are_the_bytes_that_the_kernel_acknowledged() {
    // Recorded with an ACK of errno 0 each, on Linux 6.18.
    let accepted = [
        (ConfigAttribute::Bind, "05000100 01000000"),
        (ConfigAttribute::CopyPacket { range_bytes: 20 }, "0a000200 00000014 0200 0000"),
        (ConfigAttribute::SequenceNumbers, "06000600 00010000"),
        (ConfigAttribute::Threshold(16383), "08000500 00003fff"),
        (ConfigAttribute::Timeout { centiseconds: 100 }, "08000400 00000064"),
        (ConfigAttribute::BufferBytes(131_072), "08000300 00020000"),
        (ConfigAttribute::Unbind, "05000100 02000000"),
    ];
    let mut buffer = Vec::new();
    for (sequence, (setting, recorded)) in (40_u32..).zip(accepted) {
        let start = buffer.len();
        nflog_config(&mut buffer, sequence, 0x0105, 0, setting);
        let request = &buffer[start..];
        let length = u32::try_from(request.len()).unwrap();
        assert_eq!(request[..4], length.to_ne_bytes(), "{setting:?}");
        assert_eq!(request[4..6], 0x401_u16.to_ne_bytes(), "NFULNL_MSG_CONFIG");
        assert_eq!(request[6..8], 5_u16.to_ne_bytes(), "NLM_F_REQUEST | NLM_F_ACK");
        assert_eq!(request[8..12], sequence.to_ne_bytes());
        assert_eq!(request[12..20], [0, 0, 0, 0, 0, 0, 1, 5], "to the kernel, any family, version 0, group 261");
        if cfg!(target_endian = "little") {
            assert_eq!(request[20..], bytes(recorded), "{setting:?}");
        }
    }
    assert_eq!(Messages::new(&buffer).filter(|one| *one == Ok(Message::Other { kind: 0x401 })).count(), 7);
}

#[derive(Clone, Debug)]
struct Logged {
    group: u16,
    family: u8,
    hw_protocol: Option<u16>,
    sequence: Option<u32>,
    interfaces: (Option<u32>, Option<u32>),
    prefix: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    unknown: Vec<(u16, Vec<u8>)>,
    order: Vec<u8>,
    type_flags: u16,
}

prop_compose! {
    fn logged()(
        group: u16,
        family: u8,
        hw_protocol in option::of(any::<u16>()),
        sequence in option::of(any::<u32>()),
        interfaces in (option::of(any::<u32>()), option::of(any::<u32>())),
        prefix in option::of("[a-z ]{0,128}"),
        payload in option::of(vec(any::<u8>(), 0..90)),
        unknown in vec((13_u16..0x3fff, vec(any::<u8>(), 0..20)), 0..5),
        order in vec(any::<u8>(), 16),
        type_flags in 0_u16..4,
    ) -> Logged {
        let prefix = prefix.map(String::into_bytes);
        Logged { group, family, hw_protocol, sequence, interfaces, prefix, payload, unknown, order, type_flags }
    }
}

impl Logged {
    fn message(&self) -> Vec<u8> {
        let number = |value: u32| value.to_be_bytes().to_vec();
        let mut attributes: Vec<(u16, Vec<u8>)> = self.unknown.clone();
        attributes.extend(self.hw_protocol.map(|kind| (1, [&kind.to_be_bytes()[..], &[3, 0]].concat())));
        attributes.extend(self.interfaces.0.map(|index| (4, number(index))));
        attributes.extend(self.interfaces.1.map(|index| (5, number(index))));
        attributes.extend(self.sequence.map(|sequence| (12, number(sequence))));
        attributes.extend(self.prefix.clone().map(|prefix| (10, [prefix, vec![0]].concat())));
        attributes.extend(self.payload.clone().map(|payload| (9, payload)));
        let mut ordered: Vec<_> = attributes.into_iter().zip(&self.order).collect();
        ordered.sort_by_key(|(_, place)| **place);
        let mut body = vec![self.family, 0];
        body.extend(self.group.to_be_bytes());
        for ((kind, value), _) in ordered {
            body.extend(attribute(kind | self.type_flags << 14, &value));
        }
        message(PACKET, 0, &body)
    }

    fn expected(&self) -> NflogPacket<'_> {
        NflogPacket {
            group: self.group,
            family: self.family,
            hw_protocol: self.hw_protocol.unwrap_or(0),
            sequence: self.sequence,
            in_interface: self.interfaces.0.unwrap_or(0),
            out_interface: self.interfaces.1.unwrap_or(0),
            prefix: self.prefix.as_deref().unwrap_or_default(),
            payload: self.payload.as_deref(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_datagram_reads_back_as_built(packets in vec(logged(), 0..5)) {
        let datagram: Vec<u8> = packets.iter().flat_map(Logged::message).collect();
        let read: Vec<_> = Messages::new(&datagram).collect();
        let expected: Vec<_> = packets.iter().map(|packet| Ok(Message::Packet(packet.expected()))).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn any_bytes_end_within_their_length(bytes in vec(any::<u8>(), 0..300), packets in vec(logged(), 0..3), at: prop::sample::Index) {
        let mut datagram: Vec<u8> = packets.iter().flat_map(Logged::message).collect();
        let at = at.index(datagram.len() + 1);
        datagram.splice(at..(at + bytes.len()).min(datagram.len()), bytes);
        let mut messages = Messages::new(&datagram);
        let mut before = 0;
        while let Some(message) = messages.next() {
            if message.is_ok() {
                prop_assert!(messages.offset() >= before + 16 && messages.offset() <= datagram.len());
            } else {
                prop_assert_eq!(messages.offset(), before);
                prop_assert!(messages.next().is_none());
            }
            before = messages.offset();
        }
    }

    /// What was learnt from the messages before is a short cut, never a difference.
    #[test]
    fn a_message_reads_the_same_behind_others_as_alone(
        packet in logged(),
        times in 2_usize..6,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut datagram = packet.message().repeat(times);
        for (at, value) in changes {
            let at = at.index(datagram.len());
            datagram[at] = value;
        }
        let mut messages = Messages::new(&datagram);
        let mut start = 0;
        while let Some(message) = messages.next() {
            let end = if message.is_ok() { messages.offset() } else { datagram.len() };
            prop_assert_eq!(Messages::new(&datagram[start..end]).next(), Some(message));
            start = end;
        }
    }
}
