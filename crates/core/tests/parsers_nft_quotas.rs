//! `nft_quotas`: the request, answers as the kernel writes them, and broken bytes.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use netledger_core::nfnetlink::{Malformed, Replies};
use netledger_core::nft_quotas::{Quota, dump_quotas, quota_of};
use proptest::collection::vec;
use proptest::prelude::*;

/// What kernel 6.18 sends of `quota inet q guest { over 1000 bytes }` when it has run out; 1112 bytes had passed.
const RUN_OUT: &str = concat!(
    "68000000120a000000000000000000000200000206000100710000000a000200677565737400000008000300000000020c00",
    "060000000000000000010800050000000001240004000c00010000000000000003e80c00040000000000000003e808000200",
    "00000003",
);

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

fn message(family: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let body = [vec![family, 0, 0, 0], attributes.concat()].concat();
    let mut message = u32::try_from(body.len() + 16).unwrap().to_ne_bytes().to_vec();
    message.extend((10_u16 << 8 | 0x12).to_ne_bytes());
    message.extend([2, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    message.extend(body);
    message
}

fn attributes(quota: &Quota) -> Vec<Vec<u8>> {
    let flags = u32::from(quota.is_over) | 2;
    let numbers = [
        attribute(1, &quota.limit.to_be_bytes()),
        attribute(4, &quota.used.to_be_bytes()),
        attribute(2, &flags.to_be_bytes()),
    ];
    vec![
        attribute(1, &[&quota.table[..], &[0]].concat()),
        attribute(2, &[&quota.name[..], &[0]].concat()),
        attribute(3, &2_u32.to_be_bytes()),
        attribute(6, &quota.handle.to_be_bytes()),
        attribute(5, &quota.references.to_be_bytes()),
        attribute(4 | 0x8000, &numbers.concat()),
    ]
}

fn guest() -> Quota {
    Quota {
        family: 1,
        table: b"q".to_vec(),
        name: b"guest".to_vec(),
        handle: 1,
        references: 1,
        limit: 1000,
        used: 1000,
        is_over: true,
    }
}

fn quotas(datagram: &[u8]) -> Vec<Result<Option<Quota>, Malformed>> {
    Replies::new(datagram).map(|reply| quota_of(&reply?)).collect()
}

#[cfg(target_endian = "little")]
#[test]
fn a_quota_that_ran_out_is_read_as_the_kernel_sent_it() {
    // The family is that of the packet here, and not of the table.
    assert_eq!(quotas(&bytes(RUN_OUT)), [Ok(Some(Quota { family: 2, ..guest() }))]);
}

#[cfg(target_endian = "little")]
#[test]
fn the_request_asks_for_quotas_only() {
    let expected = [0x1c, 0, 0, 0, 0x13, 0x0a, 1, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 3, 0, 0, 0, 0, 2];
    assert_eq!(dump_quotas(0).numbered(5), expected);
}

#[test]
fn objects_of_other_kinds_are_passed_over_and_halves_are_refused() {
    let mut counter = attributes(&guest());
    counter[2] = attribute(3, &1_u32.to_be_bytes());
    assert_eq!(quotas(&message(1, &counter)), [Ok(None)]);
    for left_out in [0, 1, 2, 5] {
        let mut half = attributes(&guest());
        half.remove(left_out);
        assert_eq!(quotas(&message(1, &half)), [Err(Malformed)], "without {left_out}");
    }
    let mut empty = attributes(&guest());
    empty[5] = attribute(4 | 0x8000, &attribute(1, &7_u64.to_be_bytes()));
    assert_eq!(quotas(&message(1, &empty)), [Err(Malformed)]);
}

proptest! {
    #[test]
    fn what_the_kernel_may_send_is_read_back(
        family in any::<u8>(), table in vec(1_u8.., 1..60), name in vec(1_u8.., 1..60), handle in any::<u64>(),
        references in any::<u32>(), limit in any::<u64>(), used in any::<u64>(), is_over in any::<bool>(),
    ) {
        let quota = Quota { family, table, name, handle, references, limit, used, is_over };
        prop_assert_eq!(quotas(&message(family, &attributes(&quota))), [Ok(Some(quota))]);
    }

    #[test]
    fn broken_bytes_are_refused_or_read(mut datagram in Just(message(1, &attributes(&guest()))),
        at in any::<prop::sample::Index>(), value in any::<u8>(), length in 0_usize..110) {
        let place = at.index(datagram.len());
        datagram[place] = value;
        datagram.truncate(length);
        for quota in quotas(&datagram).into_iter().flatten().flatten() {
            prop_assert!(!quota.name.is_empty() && !quota.table.is_empty());
        }
    }
}
