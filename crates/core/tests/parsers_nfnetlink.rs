//! `nfnetlink` and `nfacct`: answers recorded from a kernel, requests as its own program sends them, and broken bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

use netledger_core::nfacct::{
    Filter, OVERQUOTA, Object, QUOTA_BYTES, QUOTA_PACKETS, create, delete, dump, flush, get, get_and_zero, is_object,
};
use netledger_core::nfnetlink::{Attributes, Content, Malformed, Replies, Reply, Request};
use netledger_core::sys::netlink_socket::{NetlinkSocket, Received};
use proptest::collection::vec;
use proptest::prelude::*;

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

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut message = u32::try_from(body.len() + 16).unwrap().to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(7_u32.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

fn object_attributes(object: &Object) -> Vec<u8> {
    let mut name = object.name.clone();
    name.push(0);
    let mut attributes = [
        attribute(1, &name),
        attribute(2, &object.packets.to_be_bytes()),
        attribute(3, &object.bytes.to_be_bytes()),
        attribute(4, &object.references.to_be_bytes()),
    ]
    .concat();
    if let Some(quota) = object.quota {
        attributes.extend(attribute(5, &object.flags.to_be_bytes()));
        attributes.extend(attribute(6, &quota.to_be_bytes()));
    }
    attributes
}

fn objects(datagram: &[u8]) -> Vec<Result<Object, Malformed>> {
    let data = |reply: Result<Reply<'_>, Malformed>| match reply.map(|reply| reply.content) {
        Ok(Content::Data { kind, attributes }) if is_object(kind) => Some(Object::read(attributes)),
        Ok(_) => None,
        Err(Malformed) => Some(Err(Malformed)),
    };
    Replies::new(datagram).filter_map(data).collect()
}

fn q2() -> Object {
    Object { name: b"q2".to_vec(), packets: 1, bytes: 2, references: 1, flags: QUOTA_BYTES, quota: Some(1000) }
}

/// Linux 6.18, to a name of 32 bytes: the request cut off, and sent back whole.
#[cfg(target_endian = "little")]
const EXPLAINED: [&str; 2] = [
    "68000000 0200 0003 12000000 f62f0000 eaffffff 3c000000 0007 0504 12000000 00000000
     2700 0100 417474726962757465206661696c656420706f6c6963792076616c69646174696f6e0000
     0800 0200 14000000  1400 0480 0800 07001f000000 0800 01000c000000",
    "94000000 0200 0002 12000000 f62f0000 eaffffff 3c000000 0007 0504 12000000 00000000 00000000
     2500 0100 6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d00000000
     2700 0100 417474726962757465206661696c656420706f6c6963792076616c69646174696f6e0000
     0800 0200 14000000  1400 0480 0800 07001f000000 0800 01000c000000",
];

#[cfg(target_endian = "little")]
#[test]
fn a_refusal_is_read_with_the_words_of_the_kernel() {
    for recorded in EXPLAINED {
        let datagram = bytes(recorded);
        let mut replies = Replies::new(&datagram);
        let reply = replies.next().unwrap().unwrap();
        assert_eq!((reply.sequence, reply.interrupted), (18, false));
        assert_eq!(reply.content, Content::Answer { errno: 22, message: b"Attribute failed policy validation" });
        assert!(replies.next().is_none());
    }
}

#[cfg(target_endian = "little")]
#[test]
fn requests_are_those_of_the_old_program_but_for_the_flag_that_keeps_what_is_there() {
    let mut plain = Object { name: b"obj1".to_vec(), packets: 5, bytes: 600, ..Object::default() };
    let recorded = bytes(
        "38000000 0007 0506 02000000 00000000 00000000 0900 0100 6f626a3100 000000
         0c00 0200 0000000000000005 0c00 0300 0000000000000258",
    );
    assert_eq!(create(&plain).numbered(2), recorded);
    plain.references = 9; // the kernel's own business
    assert_eq!(create(&plain).numbered(2), recorded);
    let with_quota = "48000000 0007 0506 09000000 00000000 00000000 0700 0100 71320000
        0c00 0200 0000000000000001 0c00 0300 0000000000000002 0800 0500 00000002 0c00 0600 00000000000003e8";
    assert_eq!(create(&q2()).numbered(9), bytes(with_quota));
    let cases = [
        (get(b"obj1"), 6, "20000000 0107 0500 06000000 00000000 00000000 0900 0100 6f626a3100 000000"),
        (get_and_zero(b"q2"), 28, "1c000000 0207 0500 1c000000 00000000 00000000 0700 0100 71320000"),
        (delete(b"obj1"), 31, "20000000 0307 0500 1f000000 00000000 00000000 0900 0100 6f626a3100 000000"),
        (flush(), 32, "14000000 0307 0500 20000000 00000000 00000000"),
        (dump(Filter::default()), 24, "14000000 0107 0103 18000000 00000000 00000000"),
        (
            dump(Filter { mask: 2, value: 2 }),
            26,
            "28000000 0107 0103 1a000000 00000000 00000000 1400 0780 0800 0100 00000002 0800 0200 00000002",
        ),
    ];
    for (mut request, sequence, recorded) in cases {
        assert_eq!(request.numbered(sequence), bytes(recorded), "{sequence}");
    }
}

#[test]
fn an_event_is_an_object_of_its_own() {
    let reached = Object { flags: QUOTA_PACKETS | OVERQUOTA, quota: Some(3), packets: 3, ..q2() };
    for kind in [0x700, 0x704] {
        let datagram = message(kind, 0, &[vec![0; 4], object_attributes(&reached)].concat());
        assert_eq!(objects(&datagram), [Ok(reached.clone())]);
    }
    assert_eq!(objects(&message(0x100, 0, &[vec![0; 4], object_attributes(&reached)].concat())), []);
}

#[test]
fn an_answer_and_the_end_of_a_dump_have_their_number() {
    let contents = |datagram: &[u8]| Replies::new(datagram).map(|reply| reply.map(|_| ())).collect::<Vec<_>>();
    let datagram = [
        message(2, 0x100, &[(-16_i32).to_ne_bytes().to_vec(), vec![0; 16]].concat()),
        message(3, 0x12, &0_i32.to_ne_bytes()),
        message(3, 2, &(-4_i32).to_ne_bytes()),
        message(3, 2, &[]),
        message(1, 0, &[1]),
    ]
    .concat();
    let read: Vec<_> = Replies::new(&datagram).map(Result::unwrap).collect();
    assert_eq!(read[0].content, Content::Answer { errno: 16, message: b"" });
    assert_eq!((&read[1].content, read[1].interrupted), (&Content::Done { errno: 0 }, true));
    assert_eq!((&read[2].content, read[2].interrupted), (&Content::Done { errno: 4 }, false));
    assert_eq!((&read[3].content, &read[4].content), (&Content::Done { errno: 0 }, &Content::Nothing));
    for broken in [message(2, 0, &[0; 3]), message(2, 0, &i32::MIN.to_ne_bytes()), message(0x700, 0, &[0; 3])] {
        assert_eq!(contents(&[broken, datagram.clone()].concat()), [Err(Malformed)]);
    }
}

#[test]
fn attributes_may_come_in_any_order_be_longer_flagged_and_unknown() {
    let mut newer = 1_u64.to_be_bytes().to_vec();
    newer.extend([9; 4]);
    let attributes = [
        attribute(99, b"odd"),
        attribute(6, &1000_u64.to_be_bytes()),
        attribute(5 | 0x4000, &QUOTA_BYTES.to_be_bytes()),
        attribute(2, &newer),
        attribute(3, &2_u64.to_be_bytes()),
        attribute(0, &[]),
        attribute(4, &1_u32.to_be_bytes()),
        attribute(1, b"q2"), // and no NUL
    ]
    .concat();
    assert_eq!(Object::read(Attributes::new(&attributes)), Ok(q2()));
    // The last one without its padding, and less than a header behind.
    let cut = attributes.strip_suffix(&[0, 0]).unwrap();
    assert_eq!(Object::read(Attributes::new(cut)), Ok(q2()));
    assert_eq!(Object::read(Attributes::new(&[&attributes[..], &[1, 2, 3]].concat())), Ok(q2()));
}

#[test]
fn an_object_without_name_or_with_a_torn_number_is_none() {
    let named = attribute(1, b"a\0");
    assert_eq!(Object::read(Attributes::new(&[])), Err(Malformed));
    assert_eq!(Object::read(Attributes::new(&attribute(1, b"\0"))), Err(Malformed));
    for (kind, size) in [(2, 7), (3, 7), (4, 3), (5, 3), (6, 0)] {
        let torn = [named.clone(), attribute(kind, &vec![1; size])].concat();
        assert_eq!(Object::read(Attributes::new(&torn)), Err(Malformed), "{kind}");
    }
    for length in [0_u16, 3, 13, u16::MAX] {
        let mut attributes = [named.clone(), attribute(2, &[0; 8])].concat();
        attributes[8..10].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(Object::read(Attributes::new(&attributes)), Err(Malformed), "{length}");
    }
}

#[test]
fn a_value_that_no_attribute_can_hold_is_cut() {
    let mut request = Request::new(0x700, 0, 0).with(9, &vec![7; 70_000]);
    assert_eq!(request.numbered(1).len(), 20 + 65_536);
}

fn any_object() -> impl Strategy<Value = Object> {
    let name = vec(1_u8.., 1..32);
    let quota = prop_oneof![Just(None), (1_u32..8, any::<u64>()).prop_map(Some)];
    (name, any::<u64>(), any::<u64>(), any::<u32>(), quota).prop_map(|(name, packets, bytes, references, quota)| {
        let (flags, quota) = quota.map_or((0, None), |(flags, quota)| (flags, Some(quota)));
        Object { name, packets, bytes, references, flags, quota }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(all in vec(any_object(), 0..5)) {
        let write = |object: &Object| message(0x700, 2, &[vec![0; 4], object_attributes(object)].concat());
        let datagram: Vec<u8> = all.iter().flat_map(write).collect();
        prop_assert_eq!(objects(&datagram), all.into_iter().map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn a_part_cut_anywhere_gives_its_whole_objects(all in vec(any_object(), 1..4), cut in any::<prop::sample::Index>()) {
        let write = |object: &Object| message(0x700, 2, &[vec![0; 4], object_attributes(object)].concat());
        let datagram: Vec<u8> = all.iter().flat_map(write).collect();
        let read = objects(&datagram[..cut.index(datagram.len())]);
        let whole: Vec<_> = read.iter().take_while(|object| object.is_ok()).cloned().map(Result::unwrap).collect();
        prop_assert!(all.starts_with(&whole));
        prop_assert!(read.len() <= whole.len() + 1);
    }

    #[test]
    fn any_bytes_are_read_or_refused(datagram in vec(any::<u8>(), 0..300)) {
        prop_assert!(Replies::new(&datagram).count() <= datagram.len() / 16 + 1);
        prop_assert!(objects(&datagram).into_iter().flatten().all(|object| !object.name.is_empty()));
        prop_assert!(Attributes::new(&datagram).count() <= datagram.len() / 4 + 1);
    }

    #[test]
    fn a_request_is_read_as_it_was_written(object in any_object(), sequence: u32) {
        let mut request = create(&object);
        let written = request.numbered(sequence).to_vec();
        let expected = Object { references: 0, ..object };
        prop_assert_eq!(Replies::new(&written).next().unwrap().unwrap().sequence, sequence);
        prop_assert_eq!(objects(&written), [Ok(expected)]);
    }
}

#[test]
fn an_answer_of_any_length_is_read_whole() {
    let socket = NetlinkSocket::open().unwrap();
    // Whoever asks and whatever is asked: a refusal sends the request back.
    let mut request = Request::new(0xff00, 4, 0).with(1, &[7; 3_000]);
    let sent = request.numbered(9).to_vec();
    let mut buffer = vec![0; 16];
    for _ in 0..2 {
        socket.send(&sent).unwrap();
        let received = socket.receive_whole(&mut buffer).unwrap();
        let Received::Datagram { bytes, truncated } = received else { panic!("{received:?}") };
        assert!(!truncated && bytes > sent.len());
        let reply = Replies::new(&buffer[..bytes]).next().unwrap().unwrap();
        assert_eq!(reply.sequence, 9);
        assert!(matches!(reply.content, Content::Answer { errno: 1.., .. }), "{reply:?}");
        assert!(buffer[..bytes].windows(3_000).any(|window| window == [7; 3_000]));
    }
    assert_eq!(socket.receive_whole(&mut buffer).unwrap(), Received::Empty);
    socket.send(&sent).unwrap();
    let cut = socket.receive(&mut [0; 16]).unwrap();
    assert_eq!(cut, Received::Datagram { bytes: 16, truncated: true });
}
