//! Any bytes as a capture: refused or read to an end, the same in one piece or in many, and every packet accounted for.
#![no_main]

use std::io::{Cursor, Read};

use libfuzzer_sys::fuzz_target;
use netledger_core::posting::KeySpec;
use netledger_core::sources::pcap::{PcapConfig, PcapReader};

/// Gives a few bytes at a time, as a pipe may.
struct Dribble(Cursor<Vec<u8>>);

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let few = buffer.len().min(7);
        self.0.read(&mut buffer[..few])
    }
}

/// All that a capture tells in the end, or why it was refused.
fn outcome(bytes: impl Read + Send + 'static, length: usize, piece_bytes: u64) -> Result<String, String> {
    let config = PcapConfig { key: KeySpec::default(), rows_max: 64, interval_ns: 0 };
    let mut reader = PcapReader::from_bytes(bytes, &config).map_err(|error| error.to_string())?;
    let mut position = 0;
    while reader.read(piece_bytes).map_err(|error| error.to_string())? {
        assert!(reader.position_bytes() > position, "no way forward");
        position = reader.position_bytes();
    }
    assert!(reader.position_bytes() <= length as u64);
    let (counts, sums) = (reader.counts(), reader.table().sums());
    assert_eq!(counts.packets, counts.posted_packets + counts.unreadable.iter().sum::<u64>());
    assert_eq!((sums.sent_packets, sums.sent_bytes), (counts.posted_packets, counts.posted_bytes));
    assert_eq!((sums.received_packets, sums.received_bytes), (counts.posted_packets, counts.posted_bytes));
    // Not the note itself: whether an end is a cut or damage is judged by what is there at once.
    let (cut, end) = (reader.truncated().is_some(), reader.position_bytes());
    Ok(format!("{counts:?} {:?} {} rows, cut: {cut}, end: {end}", reader.link_types(), reader.table().len()))
}

fuzz_target!(|capture: &[u8]| {
    let whole = outcome(Cursor::new(capture.to_vec()), capture.len(), u64::MAX);
    let pieces = outcome(Dribble(Cursor::new(capture.to_vec())), capture.len(), 1);
    assert_eq!(whole, pieces);
});
