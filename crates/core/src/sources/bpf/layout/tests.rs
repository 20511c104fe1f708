use std::collections::HashMap;

use libbpf_rs::btf::types::{MemberAttr, Struct};
use libbpf_rs::btf::{Btf, HasSize};

use super::*;
use crate::sources::bpf::object::{self, BUILT_IN};

const HEADER: &str = include_str!("../../../../../../bpf/accounting.h");

/// Size, names and places of what the object was compiled with. There is no padding, so places tell sizes too.
fn compiled(btf: &Btf<'_>, name: &str) -> (usize, Vec<(String, usize)>) {
    let found: Struct<'_> = btf.type_by_name(name).unwrap();
    let members = found.iter().map(|member| {
        let MemberAttr::Normal { offset } = member.attr else { panic!("{name} has a bit field") };
        (member.name.unwrap().to_str().unwrap().to_owned(), offset as usize / 8)
    });
    (found.size(), members.collect())
}

/// Members of one word each.
fn names(all: &[&str]) -> Vec<(String, usize)> {
    all.iter().enumerate().map(|(at, name)| ((*name).to_owned(), at * 8)).collect()
}

macro_rules! ours {
    ($kind:ty { $($member:ident),* }) => {
        (
            size_of::<$kind>(),
            vec![$((stringify!($member).to_owned(), offset_of!($kind, $member))),*],
        )
    };
}

#[test]
fn every_member_is_where_the_object_has_it() {
    let btf = Btf::from_raw("accounting", BUILT_IN).unwrap().unwrap();
    assert_eq!(compiled(&btf, "count"), (16, names(&["packets", "bytes"])));
    let row = ["sent_packets", "sent_bytes", "received_packets", "received_bytes"];
    assert_eq!(compiled(&btf, "row"), (ROW_BYTES, names(&row)));
    assert_eq!(compiled(&btf, "pattern"), ours!(Pattern { word, mask }));
    let settings = ours!(Settings {
        host_mask,
        peer_mask,
        meta_mask,
        place_mask,
        side,
        key_bytes,
        ports,
        loopback,
        others,
        networks,
        interfaces_limited,
        interfaces_count,
        interfaces_excluded_count,
        unused,
        ipv4_half,
        ipv6_half,
        interfaces,
        interfaces_excluded
    });
    assert_eq!(compiled(&btf, "settings"), settings);
    let networks = ours!(Networks { ipv4_start, ipv6_start_high, ipv6_start_low, ipv4_answer, ipv6_answer });
    assert_eq!(compiled(&btf, "networks"), networks);
}

#[test]
fn every_number_is_that_of_the_header() {
    let defined: HashMap<_, _> = HEADER
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_once(' '))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, value.trim().parse::<u32>().unwrap()))
        .collect();
    let expected = HashMap::from([
        ("LAYOUT", LAYOUT),
        ("SLOTS", SLOTS),
        ("SIDE_SHIFT", SIDE_SHIFT),
        ("PATTERNS_MAX", u32::try_from(PATTERNS_MAX).unwrap()),
        ("NETWORK_LOCAL", NETWORK_LOCAL.into()),
        ("NETWORK_WANTED", NETWORK_WANTED.into()),
        ("NETWORK_EXCLUDED", NETWORK_EXCLUDED.into()),
        ("NETWORKS_MAX", u32::try_from(NETWORKS_MAX).unwrap()),
    ]);
    assert_eq!(defined, expected);
    assert_eq!(object::layout(BUILT_IN).unwrap(), LAYOUT);
}

#[test]
fn settings_lie_in_memory_as_they_are_written() {
    let settings = Settings {
        host_mask: [[1, 2], [3, 4]],
        side: 5,
        key_bytes: 48,
        networks: 7,
        ipv6_half: 8,
        interfaces: std::array::from_fn(|at| Pattern { word: [at as u64, 9], mask: [10, 11] }),
        ..Settings::default()
    };
    let bytes = settings.bytes();
    assert_eq!(bytes.len(), SETTINGS_BYTES);
    let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!([0, 8, 16, 24].map(word), [1, 2, 3, 4]);
    assert_eq!(word(offset_of!(Settings, side)), u64::from_ne_bytes([5, 0, 0, 0, 48, 0, 0, 0]));
    assert_eq!(bytes[offset_of!(Settings, networks)], 7);
    assert_eq!(bytes[offset_of!(Settings, ipv6_half)], 8);
    let third = offset_of!(Settings, interfaces) + 3 * size_of::<Pattern>();
    assert_eq!([0, 8, 16, 24].map(|at| word(third + at)), [3, 9, 10, 11]);
    assert_eq!(word(offset_of!(Settings, interfaces_excluded)), 0);
}
