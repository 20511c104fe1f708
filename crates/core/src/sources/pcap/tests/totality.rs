//! Whatever the bytes are: an answer, no panic, and books that balance.

use proptest::prelude::{any, prop, prop_assert_eq, proptest};

use super::super::format::RECORD_BYTES_MAX;
use super::build::{BIG, LITTLE, ethernet, v4};
use super::{posted, read};

fn pcap(packets: usize) -> Vec<u8> {
    let record = LITTLE.record(1, 0, 60, &ethernet(0x0800, &[v4(1, 2, 46), vec![0; 26]].concat()));
    [LITTLE.pcap_header(0xa1b2_c3d4, 1), record.repeat(packets)].concat()
}

fn pcapng(packets: usize) -> Vec<u8> {
    [BIG.section(), BIG.interface(101, 0, &[(9, &[9])]), BIG.enhanced(0, 1, &v4(1, 2, 46)).repeat(packets)].concat()
}

#[test]
fn a_capture_cut_anywhere_counts_all_whole_packets() {
    for (capture, header_bytes, record_bytes) in [(pcap(5), 24, 76), (pcapng(5), 28 + 28, 52)] {
        for end in header_bytes..=capture.len() {
            let reader = read(&capture[..end]).unwrap();
            let whole = (end - header_bytes) / record_bytes;
            assert_eq!(posted(&reader), (whole as u64, 46 * whole as u64), "{end} bytes");
            assert_eq!(reader.truncated().is_some(), (end - header_bytes) % record_bytes != 0, "{end} bytes");
        }
    }
}

#[test]
fn the_note_tells_where_and_how_much_is_there() {
    let reader = read(&pcap(3)[..24 + 76 + 30]).unwrap();
    assert_eq!(reader.truncated(), Some("it ends inside a record at byte 100 (30 of at least 76 bytes are there)"));
}

#[test]
fn lengths_beyond_the_limit_are_damage_and_take_no_memory() {
    let mut capture = pcap(2);
    capture.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let reader = read(&capture).unwrap();
    assert_eq!(posted(&reader).0, 2);
    assert_eq!(reader.truncated(), Some("it is damaged at byte 176 (a packet of 4294967295 captured bytes)"));

    for length in [0, 4, 8, 13, 14, 15, RECORD_BYTES_MAX + 4, u32::MAX as usize] {
        let mut capture = pcapng(2);
        let at = capture.len();
        capture.extend([0, 0, 0, 6]);
        capture.extend(u32::try_from(length).unwrap().to_be_bytes());
        let reader = read(&capture).unwrap();
        assert_eq!(posted(&reader).0, 2);
        assert_eq!(reader.truncated(), Some(&*format!("it is damaged at byte {at} (a block of {length} bytes)")));
    }
}

#[test]
fn a_capture_behind_a_capture_is_no_packet() {
    for second in [LITTLE.pcap_header(0xa1b2_c3d4, 1), BIG.pcap_header(0xa1b2_3c4d, 1)] {
        let reader = read(&[pcap(2), second].concat()).unwrap();
        assert_eq!(reader.counts().packets, 2);
        assert_eq!(
            reader.truncated(),
            Some("it is damaged at byte 176 (another capture begins here: mergecap joins captures, cat does not)")
        );
    }
}

#[test]
fn a_block_whose_lengths_differ_is_damage() {
    let mut capture = pcapng(3);
    if let Some(last) = capture.last_mut() {
        *last ^= 4;
    }
    let reader = read(&capture).unwrap();
    assert_eq!(posted(&reader).0, 2);
    assert!(reader.truncated().unwrap().ends_with("(a block whose two lengths differ)"));
}

#[test]
fn a_record_larger_than_the_buffer_is_read() {
    let frame = ethernet(0x0800, &[v4(1, 2, 60_000), vec![0; 5 << 20]].concat());
    let capture =
        [pcap(1), LITTLE.record(0, 0, frame.len(), &frame), LITTLE.record(0, 0, frame.len(), &frame)].concat();
    let reader = read(&capture).unwrap();
    assert_eq!(posted(&reader), (3, 120_046));
}

#[test]
fn interfaces_are_bounded() {
    let capture = [LITTLE.section(), LITTLE.interface(1, 0, &[]).repeat((1 << 16) + 1)].concat();
    let reader = read(&capture).unwrap();
    assert!(reader.truncated().unwrap().contains("more than 65536 interfaces"));
}

proptest! {
    #[test]
    fn any_bytes_behind_a_valid_start_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400), ng in any::<bool>(), link in 0_u32..300) {
        let start = if ng { [LITTLE.section(), LITTLE.interface(u16::try_from(link).unwrap(), 0, &[])].concat() } else { LITTLE.pcap_header(0xa1b2_c3d4, link) };
        if let Ok(reader) = read(&[start, bytes].concat()) {
            posted(&reader);
        }
    }

    #[test]
    fn a_flipped_byte_never_unbalances_the_books(at in 0_usize..300, flip in 1_u8.., ng in any::<bool>()) {
        let mut capture = if ng { pcapng(4) } else { pcap(4) };
        if let Some(byte) = capture.get_mut(at) {
            *byte ^= flip;
        }
        if let Ok(reader) = read(&capture) {
            posted(&reader);
        }
    }

    #[test]
    fn how_the_bytes_arrive_does_not_matter(packets in 0_usize..20, piece in 1_usize..500, cut in 0_usize..60) {
        struct Pieces(std::io::Cursor<Vec<u8>>, usize);
        impl std::io::Read for Pieces {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let length = buffer.len().min(self.1);
                self.0.read(&mut buffer[..length])
            }
        }
        let mut capture = pcapng(packets);
        capture.truncate(capture.len().saturating_sub(cut).max(40));
        let whole = read(&capture).unwrap();
        let source = Pieces(std::io::Cursor::new(capture), piece);
        let mut reader = super::PcapReader::from_bytes(source, &super::config()).unwrap();
        while reader.read(1).unwrap() {}
        prop_assert_eq!(posted(&reader), posted(&whole));
        prop_assert_eq!(reader.truncated(), whole.truncated());
    }
}
