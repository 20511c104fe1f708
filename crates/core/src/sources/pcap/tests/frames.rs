//! Every link layer: what is found in it, and what in its beginnings.

use super::super::link::{Family, Inner, Link};
use super::build::{ethernet, v4, v6};

const NUMBERS: [u32; 13] = [0, 1, 9, 12, 14, 50, 51, 101, 108, 113, 228, 229, 276];

fn open(number: u32, frame: &[u8]) -> Inner<'_> {
    Link::from_number(number).unwrap().open(frame)
}

/// (link type, what stands before IPv4, what stands before IPv6)
fn layers() -> Vec<(u32, Vec<u8>, Vec<u8>)> {
    let ether = |tags: &[u8], kind: u16| {
        ethernet(kind, &[])[..12].iter().chain(tags).copied().chain(kind.to_be_bytes()).collect()
    };
    let cooked = |kind: u16| [&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0][..], &kind.to_be_bytes()].concat();
    let cooked2 = |kind: u16| [&kind.to_be_bytes()[..], &[0; 18]].concat();
    vec![
        (1, ether(&[], 0x0800), ether(&[], 0x86dd)),
        (1, ether(&[0x81, 0, 0, 5], 0x0800), ether(&[0x81, 0, 0, 5], 0x86dd)),
        (1, ether(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6], 0x0800), ether(&[0x91, 0, 0, 5, 0x81, 0, 0, 6], 0x86dd)),
        (
            1,
            ethernet(0x8864, &[0x11, 0, 0, 9, 0, 22, 0x00, 0x21]),
            ethernet(0x8100, &[0, 7, 0x88, 0x64, 0x11, 0, 0, 9, 0, 42, 0x00, 0x57]),
        ),
        (1, ethernet(28, &[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00]), ethernet(48, &[0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd])),
        (113, cooked(0x0800), cooked(0x86dd)),
        (276, cooked2(0x0800), cooked2(0x86dd)),
        (113, [cooked(0x8100), vec![0, 5, 0x08, 0]].concat(), [cooked(0x8100), vec![0, 5, 0x86, 0xdd]].concat()),
        (101, vec![], vec![]),
        (12, vec![], vec![]),
        (14, vec![], vec![]),
        (0, vec![2, 0, 0, 0], vec![30, 0, 0, 0]),
        (0, vec![0, 0, 0, 2], vec![0, 0, 0, 10]),
        (108, vec![0, 0, 0, 2], vec![0, 0, 0, 24]),
        (9, vec![0x00, 0x21], vec![0x00, 0x57]),
        (9, vec![0xff, 0x03, 0x00, 0x21], vec![0xff, 0x03, 0x57]),
        (50, vec![0xff, 0x03, 0x00, 0x21], vec![0xff, 0x03, 0x00, 0x57]),
        (50, vec![0x0f, 0x00, 0x08, 0x00], vec![0x8f, 0x00, 0x86, 0xdd]),
        (51, vec![0x11, 0, 0, 9, 0, 22, 0x00, 0x21], vec![0x11, 0, 0, 9, 0, 42, 0x00, 0x57]),
    ]
}

#[test]
fn every_layer_shows_its_ip_packet() {
    for (number, before_v4, before_v6) in layers() {
        for (before, packet, other) in [(before_v4, v4(1, 2, 20), Family::V6), (before_v6, v6(40), Family::V4)] {
            let frame = [&before[..], &packet].concat();
            match open(number, &frame) {
                Inner::Ip(family, ip) => {
                    assert_eq!(ip, packet, "link type {number}, {before:02x?}");
                    assert!(family.agrees(packet[0]) && family != other, "link type {number}, {before:02x?}");
                }
                inner => panic!("link type {number}, {before:02x?}: {inner:?}"),
            }
        }
    }
}

#[test]
fn a_header_cut_short_is_no_packet_and_no_panic() {
    for (number, before, _) in layers() {
        for end in 0..before.len() {
            let inner = open(number, &before[..end]);
            assert!(
                matches!(inner, Inner::Short | Inner::NotIp),
                "link type {number}, {:02x?}: {inner:?}",
                &before[..end]
            );
        }
    }
}

#[test]
fn raw_ip_of_one_version_takes_no_other() {
    assert!(matches!(open(228, &v4(1, 2, 20)), Inner::Ip(Family::V4, _)));
    assert!(matches!(open(229, &v6(40)), Inner::Ip(Family::V6, _)));
    assert!(!Family::V4.agrees(0x60) && !Family::V6.agrees(0x45) && Family::Either.agrees(0x60));
}

#[test]
fn what_is_not_ip_is_said_to_be_so() {
    let not_ip: [(u32, Vec<u8>); 11] = [
        (1, ethernet(0x0806, &[0; 28])),                              // ARP
        (1, ethernet(0x88cc, &[0; 28])),                              // LLDP
        (1, ethernet(0x8847, &v4(1, 2, 20))),                         // MPLS
        (1, ethernet(0x0026, &[0x42, 0x42, 3, 0, 0, 0, 0, 0])),       // spanning tree
        (1, ethernet(0x8863, &[0x11, 9, 0, 0, 0, 0])),                // PPPoE discovery
        (1, ethernet(0x8864, &[0x11, 0, 0, 9, 0, 4, 0xc0, 0x21, 1])), // PPPoE: LCP
        (1, ethernet(0x8100, &[0, 1, 0x81, 0].repeat(20))),           // tags without end
        (1, ethernet(0x0008, &[0xaa, 0xaa, 3, 0, 0, 0, 0, 8])),       // SNAP in SNAP
        (113, [&[0; 14][..], &[0, 4], &v4(1, 2, 20)].concat()),       // LLC
        (0, vec![7, 0, 0, 0]),
        (9, vec![0xc0, 0x21]),
    ];
    for (number, frame) in not_ip {
        assert_eq!(open(number, &frame), Inner::NotIp, "link type {number}, {frame:02x?}");
    }
}

#[test]
fn every_understood_link_type_has_a_name() {
    for number in NUMBERS {
        assert!(Link::from_number(number).is_some());
        assert_ne!(super::super::link_names::link_name(number), "UNKNOWN");
    }
    assert_eq!((0..100_000).filter(|&number| Link::from_number(number).is_some()).count(), NUMBERS.len());
}
