//! Captures built byte by byte, read whole, cut at every byte, and damaged.

mod build;
mod files;
mod frames;
mod totality;

use std::io::Cursor;

use super::{PcapConfig, PcapReader};
use crate::error::Error;
use crate::posting::KeySpec;

pub(super) fn config() -> PcapConfig {
    PcapConfig { key: KeySpec::default(), rows_max: 1000, interval_ns: 0 }
}

/// Reads `capture` to its end.
pub(super) fn read_with(capture: &[u8], config: &PcapConfig) -> Result<PcapReader, Error> {
    let mut reader = PcapReader::from_bytes(Cursor::new(capture.to_vec()), config)?;
    while reader.read(64)? {}
    Ok(reader)
}

pub(super) fn read(capture: &[u8]) -> Result<PcapReader, Error> {
    read_with(capture, &config())
}

/// Packets and bytes that were posted, after checking that both sides of the books and the counts agree.
pub(super) fn posted(reader: &PcapReader) -> (u64, u64) {
    let counts = reader.counts();
    let sums = reader.table().sums();
    assert_eq!((sums.sent_packets, sums.sent_bytes), (sums.received_packets, sums.received_bytes));
    assert_eq!((sums.sent_packets, sums.sent_bytes), (counts.posted_packets, counts.posted_bytes));
    assert_eq!(counts.posted_packets + counts.unreadable.iter().sum::<u64>(), counts.packets);
    (counts.posted_packets, counts.posted_bytes)
}
