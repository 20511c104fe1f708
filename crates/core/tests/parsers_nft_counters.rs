//! `nft_counters`: requests as `nft` sends them, answers as the kernel writes them, and broken bytes.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use netledger_core::nfnetlink::{Malformed, Replies};
use netledger_core::nft_counters::{Counter, Table, counter_of, dump_counters, dump_tables, table_of};
use proptest::collection::vec;
use proptest::prelude::*;

const NEWTABLE: u16 = 10 << 8;
const NEWOBJ: u16 = 10 << 8 | 0x12;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

fn text(kind: u16, text: &[u8]) -> Vec<u8> {
    attribute(kind, &[text, &[0]].concat())
}

fn message(kind: u16, family: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let body = [vec![family, 0, 0x12, 0x34], attributes.concat()].concat();
    let mut message = u32::try_from(body.len() + 16).unwrap().to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend([2, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    message.extend(body);
    message
}

fn attributes(counter: &Counter) -> Vec<Vec<u8>> {
    let numbers = [attribute(1, &counter.bytes.to_be_bytes()), attribute(2, &counter.packets.to_be_bytes())].concat();
    vec![
        text(1, &counter.table),
        text(2, &counter.name),
        attribute(6, &counter.handle.to_be_bytes()),
        attribute(3, &1_u32.to_be_bytes()),
        attribute(5, &counter.references.to_be_bytes()),
        attribute(4 | 0x8000, &numbers),
    ]
}

fn web() -> Counter {
    Counter {
        family: 1,
        table: b"filter".to_vec(),
        name: b"web".to_vec(),
        handle: 3,
        references: 2,
        packets: 7,
        bytes: u64::MAX,
    }
}

fn counters(datagram: &[u8]) -> Vec<Result<Option<Counter>, Malformed>> {
    Replies::new(datagram).map(|reply| counter_of(&reply?)).collect()
}

#[cfg(target_endian = "little")]
#[test]
fn requests_name_family_kind_and_table() {
    // Tables are asked for as nft 1.0.6 does, byte for byte. Of a table it asks for objects of every kind.
    let mut request = dump_counters(1, Some(b"filter"));
    let expected: Vec<u8> = [
        &[0x28, 0, 0, 0, 0x13, 0x0a, 0x01, 0x03, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0][..],
        &[8, 0, 3, 0, 0, 0, 0, 1],
        &[0x0b, 0, 1, 0, b'f', b'i', b'l', b't', b'e', b'r', 0, 0],
    ]
    .concat();
    assert_eq!(request.numbered(5), expected);
    let tables = [0x14, 0, 0, 0, 0x01, 0x0a, 0x01, 0x03, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(dump_tables(0).numbered(6), tables);
    assert_eq!(dump_counters(2, None).numbered(1).len(), 28);
}

#[test]
fn a_counter_and_a_table_are_read_with_their_family() {
    let all = [message(NEWOBJ, 1, &attributes(&web())), message(NEWTABLE, 10, &[])].concat();
    assert_eq!(counters(&all), [Ok(Some(web())), Ok(None)]);
    let datagram = message(NEWTABLE, 10, &[text(1, b"nat"), attribute(2, &[0; 4]), attribute(4, &9_u64.to_be_bytes())]);
    let reply = Replies::new(&datagram).next().unwrap().unwrap();
    assert_eq!(table_of(&reply), Ok(Some(Table { family: 10, name: b"nat".to_vec(), handle: 9 })));
    assert_eq!((counter_of(&reply), reply.resource), (Ok(None), 0x1234));
    let other = message(NEWOBJ, 10, &[text(1, b"nat")]);
    assert_eq!(table_of(&Replies::new(&other).next().unwrap().unwrap()), Ok(None));
}

#[test]
fn attributes_may_come_in_any_order_be_unknown_and_unaligned() {
    let mut turned = attributes(&web());
    turned.reverse();
    turned.push(attribute(99, b"odd"));
    turned.push(attribute(7, &[]));
    assert_eq!(counters(&message(NEWOBJ, 1, &turned)), [Ok(Some(web()))]);
}

#[test]
fn an_object_of_another_kind_is_no_counter() {
    let mut quota = attributes(&web());
    quota[3] = attribute(3, &2_u32.to_be_bytes());
    quota.pop();
    assert_eq!(counters(&message(NEWOBJ, 1, &quota)), [Ok(None)]);
}

#[test]
fn a_counter_without_its_numbers_is_not_one_of_nothing() {
    for left_out in [0, 1, 3, 5] {
        let mut some = attributes(&web());
        some.remove(left_out);
        assert_eq!(counters(&message(NEWOBJ, 1, &some)), [Err(Malformed)], "{left_out}");
    }
    for numbers in
        [vec![], attribute(1, &[0; 8]), attribute(2, &[0; 8]), [attribute(1, &[0; 8]), attribute(2, &[0; 7])].concat()]
    {
        let mut torn = attributes(&web());
        torn[5] = attribute(4, &numbers);
        assert_eq!(counters(&message(NEWOBJ, 1, &torn)), [Err(Malformed)], "{numbers:?}");
    }
    let mut torn = attributes(&web());
    torn[2] = attribute(6, &[0; 4]);
    assert_eq!(counters(&message(NEWOBJ, 1, &torn)), [Err(Malformed)]);
}

fn any_counter() -> impl Strategy<Value = Counter> {
    let numbers = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>());
    (any::<u8>(), vec(1_u8.., 1..40), vec(1_u8.., 1..40), numbers).prop_map(
        |(family, table, name, (handle, references, packets, bytes))| Counter {
            family,
            table,
            name,
            handle,
            references,
            packets,
            bytes,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(all in vec(any_counter(), 0..5)) {
        let datagram: Vec<u8> = all.iter().flat_map(|one| {
            let mut message = message(NEWOBJ, one.family, &attributes(one));
            message.resize(message.len().next_multiple_of(4), 0);
            message
        }).collect();
        prop_assert_eq!(counters(&datagram), all.into_iter().map(|one| Ok(Some(one))).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in vec(any::<u8>(), 0..300), kind in prop_oneof![Just(NEWOBJ), Just(NEWTABLE)]) {
        let datagram = message(kind, 1, &[body]);
        for reply in Replies::new(&datagram).flatten() {
            prop_assert!(counter_of(&reply).ok().flatten().is_none_or(|one| !one.name.is_empty()));
            prop_assert!(table_of(&reply).ok().flatten().is_none_or(|one| !one.name.is_empty()));
        }
    }
}
