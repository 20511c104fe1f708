//! Files of both formats, in all their dialects.

use super::super::PcapConfig;
use super::build::{BIG, LITTLE, ethernet, v4, v6};
use super::{config, posted, read, read_with};
use crate::packet::Unreadable;

#[test]
fn all_four_kinds_of_pcap_say_the_same() {
    for order in [LITTLE, BIG] {
        for (magic, fraction) in [(0xa1b2_c3d4, 500_000), (0xa1b2_3c4d, 500_000_000)] {
            let frame = ethernet(0x0800, &v4(1, 2, 1500));
            let capture = [
                order.pcap_header(magic, 1),
                order.record(7, fraction, 1514, &frame),
                order.record(5, 0, 1514, &frame),
            ]
            .concat();
            let reader = read(&capture).unwrap();
            assert_eq!(posted(&reader), (2, 3000), "magic {magic:x}");
            let counts = reader.counts();
            assert_eq!((counts.first_ns, counts.last_ns), (Some(5_000_000_000), Some(7_500_000_000)));
            assert_eq!(reader.truncated(), None);
            assert_eq!(reader.link_types(), ["ETHERNET"]);
        }
    }
}

#[test]
fn pcapng_with_sections_of_both_orders_interfaces_and_all_packet_blocks() {
    let frame = ethernet(0x0800, &v4(1, 2, 100));
    let capture = [
        LITTLE.section(),
        LITTLE.interface(1, 0, &[(2, b"eth0")]),
        LITTLE.interface(101, 0, &[(9, &[9]), (14, &10_i64.to_le_bytes()), (0, &[])]),
        LITTLE.block(4, &[0; 8]),
        LITTLE.enhanced(0, 2_000_000, &frame),
        LITTLE.enhanced(1, 3, &v6(140)),
        LITTLE.simple(34, &frame),
        LITTLE.block(0x8000_0001, &[1; 5]),
        BIG.section(),
        BIG.interface(113, 0, &[(9, &[0x8a]), (14, &(-1_i64).to_be_bytes())]),
        BIG.block(5, &[0; 12]),
        BIG.obsolete(0, 4 * 1024, &[&[0; 14][..], &[8, 0], &v4(3, 4, 60)].concat()),
    ]
    .concat();
    let reader = read(&capture).unwrap();
    assert_eq!(posted(&reader), (4, 100 + 140 + 100 + 60));
    let counts = reader.counts();
    assert_eq!((counts.first_ns, counts.last_ns), (Some(2_000_000_000), Some(10_000_000_003)));
    assert_eq!(reader.link_types(), ["ETHERNET", "RAW", "LINUX_SLL"]);
    assert_eq!(reader.position_bytes(), capture.len() as u64);
}

#[test]
fn interfaces_end_with_their_section() {
    let capture =
        [LITTLE.section(), LITTLE.interface(101, 0, &[]), LITTLE.section(), LITTLE.enhanced(0, 0, &v4(1, 2, 20))]
            .concat();
    let reader = read(&capture).unwrap();
    assert_eq!(posted(&reader), (0, 0));
    assert_eq!(reader.truncated(), Some("it is damaged at byte 76 (a packet of interface 0, of 0 declared)"));
}

#[test]
fn a_simple_packet_is_as_long_as_the_snap_length_lets_it() {
    let capture =
        [LITTLE.section(), LITTLE.interface(101, 20, &[]), LITTLE.simple(1500, &[v4(1, 2, 1500), vec![9; 4]].concat())]
            .concat();
    assert_eq!(posted(&read(&capture).unwrap()), (1, 1500));
}

#[test]
fn a_link_type_that_is_not_understood_is_refused_by_name() {
    let error = read(&LITTLE.pcap_header(0xa1b2_c3d4, 105)).err().unwrap();
    assert_eq!(error.to_string(), "capture: read: link type IEEE802_11 (105) is not understood");
    let unused = [
        LITTLE.section(),
        LITTLE.interface(220, 0, &[]),
        LITTLE.interface(101, 0, &[]),
        LITTLE.enhanced(1, 0, &v4(1, 2, 20)),
    ]
    .concat();
    assert_eq!(posted(&read(&unused).unwrap()), (1, 20));
    let error = read(&[unused, LITTLE.enhanced(0, 0, &[0; 64])].concat()).err().unwrap();
    assert_eq!(error.to_string(), "capture: read: link type USB_LINUX_MMAPPED (220) is not understood");
}

#[test]
fn what_is_no_capture_is_refused_with_its_first_bytes() {
    let cases: [(&[u8], &str); 9] = [
        (b"", "not a pcap or pcapng capture (it is empty)"),
        (b"ab", "not a pcap or pcapng capture (starts with 61 62, and ends there)"),
        (b"hello world", "not a pcap or pcapng capture (starts with 68 65 6c 6c)"),
        (&[0x1f, 0x8b, 8, 0], "not a pcap or pcapng capture (starts with 1f 8b 08 00: gzip data)"),
        (
            &[0x34, 0xcd, 0xb2, 0xa1],
            "not a pcap or pcapng capture (starts with 34 cd b2 a1: pcap as modified by A. Kuznetzov)",
        ),
        (b"\n\r\r\nand so on, a text", "not a pcap or pcapng capture (starts with 0a 0d 0d 0a)"),
        (b"\n\r\r\n", "the pcapng section header is cut short"),
        (&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0], "the pcap file header is cut short (6 of 24 bytes)"),
        (
            &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
            "version 2.3 of the pcap format is not understood, only 2.4",
        ),
    ];
    for (bytes, cause) in cases {
        assert_eq!(read(bytes).err().unwrap().cause, cause);
    }
}

#[test]
fn the_header_decides_over_padding_and_snap_length_and_the_frame_where_it_is_silent() {
    let padded = ethernet(0x0800, &[v4(1, 2, 28), vec![0; 26]].concat());
    let snapped = ethernet(0x0800, &v4(1, 2, 1500));
    let super_packet = ethernet(0x0800, &v4(1, 2, 0));
    let capture = [
        LITTLE.pcap_header(0xa1b2_c3d4, 1),
        LITTLE.record(0, 0, 60, &padded),
        LITTLE.record(0, 0, 1514, &snapped),
        LITTLE.record(0, 0, 70_014, &super_packet),
    ]
    .concat();
    let reader = read(&capture).unwrap();
    assert_eq!(posted(&reader), (3, 28 + 1500 + 70_000));
    assert_eq!(reader.counts().length_unknown_packets, 1);
}

#[test]
fn what_cannot_be_read_is_counted_by_reason() {
    let frames = [
        (ethernet(0x0806, &[0; 28]), Unreadable::NotIp),
        (ethernet(0x0800, &v4(1, 2, 28)[..19]), Unreadable::Short),
        (ethernet(0x0800, &v6(60)), Unreadable::Version),
        (ethernet(0x0800, &[]), Unreadable::Empty),
        (ethernet(0x0800, &v4(1, 2, 19)), Unreadable::TotalLength),
        (vec![1; 13], Unreadable::Short),
    ];
    let mut capture = LITTLE.pcap_header(0xa1b2_c3d4, 1);
    for (frame, _) in &frames {
        capture.extend(LITTLE.record(0, 0, frame.len(), frame));
    }
    let reader = read(&capture).unwrap();
    assert_eq!(posted(&reader), (0, 0));
    for reason in Unreadable::ALL {
        let expected = frames.iter().filter(|(_, of)| *of == reason).count() as u64;
        assert_eq!(reader.counts().unreadable[reason.index()], expected, "{reason:?}");
    }
}

#[test]
fn rows_are_kept_apart_by_the_interval_of_their_time() {
    let mut capture = LITTLE.pcap_header(0xa1b2_c3d4, 101);
    for seconds in [299, 300, 301, 10, 600] {
        capture.extend(LITTLE.record(seconds, 0, 20, &v4(1, 2, 20)));
    }
    let reader = read_with(&capture, &PcapConfig { interval_ns: 300_000_000_000, ..config() }).unwrap();
    let starts = reader.interval_starts_ns();
    assert_eq!(starts, [0, 300_000_000_000, 600_000_000_000]);
    let mut sent: Vec<_> = reader
        .table()
        .rows()
        .filter(|(_, sums)| sums.sent_packets > 0)
        .map(|(key, sums)| (starts[key.tag() as usize], sums.sent_packets))
        .collect();
    sent.sort_unstable();
    assert_eq!(sent, [(0, 2), (300_000_000_000, 2), (600_000_000_000, 1)]);
}

#[test]
fn a_bounded_table_keeps_the_books_of_each_interval() {
    let mut capture = LITTLE.pcap_header(0xa1b2_c3d4, 101);
    for seconds in 0..50 {
        for host in 0..20 {
            capture.extend(LITTLE.record(seconds, 0, 20, &v4(host, 100 + host, 20)));
        }
    }
    let reader = read_with(&capture, &PcapConfig { interval_ns: 1_000_000_000, rows_max: 30, ..config() }).unwrap();
    assert_eq!(posted(&reader), (1000, 20_000));
    for tag in 0..50 {
        let (mut sent, mut received) = (0, 0);
        for (key, sums) in reader.table().rows().filter(|(key, _)| key.tag() == tag) {
            assert!(key.is_other() || tag < 2);
            sent += sums.sent_packets;
            received += sums.received_packets;
        }
        assert_eq!((sent, received), (20, 20), "interval {tag}");
    }
}

#[test]
fn a_fraction_of_a_second_or_more_shifts_no_packet_and_is_counted() {
    for (magic, greatest) in [(0xa1b2_c3d4, 999_999), (0xa1b2_3c4d, 999_999_999)] {
        let capture = [
            LITTLE.pcap_header(magic, 101),
            LITTLE.record(7, greatest, 20, &v4(1, 2, 20)),
            LITTLE.record(8, greatest + 1, 20, &v4(1, 2, 20)),
            LITTLE.record(6, u32::MAX, 20, &v4(1, 2, 20)),
        ]
        .concat();
        let counts = read(&capture).unwrap().counts();
        assert_eq!((counts.posted_packets, counts.time_invalid_packets), (3, 2), "magic {magic:x}");
        assert_eq!((counts.first_ns, counts.last_ns), (Some(6_000_000_000), Some(8_000_000_000)));
    }
    let latest = [LITTLE.pcap_header(0xa1b2_3c4d, 101), LITTLE.record(u32::MAX, 999_999_999, 20, &v4(1, 2, 20))];
    assert_eq!(read(&latest.concat()).unwrap().counts().last_ns, Some(4_294_967_295_999_999_999));
}

#[test]
fn a_packet_without_a_time_has_no_interval() {
    let capture = [LITTLE.section(), LITTLE.interface(101, 0, &[]), LITTLE.simple(20, &v4(1, 2, 20))].concat();
    assert_eq!(posted(&read(&capture).unwrap()), (1, 20));
    assert_eq!(read(&capture).unwrap().counts().first_ns, None);
    let error = read_with(&capture, &PcapConfig { interval_ns: 1, ..config() }).err().unwrap();
    assert_eq!(error.cause, "it has packets without a time (simple packet blocks)");
}
