//! One ring and the table file that it feeds.

use std::sync::Arc;

use crate::flow::Sides;
use crate::posting::Poster;
use crate::sys::clock::boottime_ns;
use crate::sys::packet_socket::PacketSocket;
use crate::table::file::TableFile;
use crate::table::header::{GroupState, Word};

use super::at_hand::AtHand;
use super::frame::{FOR_OTHERS, Frame, Frames, OUTGOING};
use super::interfaces::{Interfaces, Known};
use super::record::{self, BYTES};
use super::{Reader, count_quick};

/// Packets that go into the journal together: their records stay in the first-level cache.
const PIECE: usize = 256;
/// Of a table file of packets there is one group.
const GROUP: usize = 0;

/// Reads blocks into a table file.
#[derive(Debug)]
pub(crate) struct Receiver {
    file: TableFile,
    state: GroupState,
    sides: Sides,
    poster: Poster,
    reader: Reader,
    /// Of the state when the journal was last written.
    readable_before: (u64, u64),
    at_hand: AtHand,
}

/// How far a block was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    All,
    /// The next frame came after the moment that was given.
    Until,
}

impl Receiver {
    pub(crate) fn new(file: TableFile, reader: Reader, interfaces: Arc<Interfaces>, socket: Arc<PacketSocket>) -> Self {
        let poster = Poster::new(&file.spec, false);
        let sides = file.groups.first().map_or(Sides::Both, |group| group.sides);
        Self {
            state: GroupState::default(),
            sides,
            poster,
            reader,
            readable_before: (0, 0),
            at_hand: AtHand::new(interfaces, socket),
            file,
        }
    }

    /// Reads frames until one came after `until_ns`, and sees to it that all of them are in the file.
    pub(crate) fn read(&mut self, frames: &mut Frames<'_>, until_ns: u64) -> Read {
        self.at_hand.refresh();
        let read = loop {
            let (records, end) = self.read_piece(frames, until_ns);
            self.write(records);
            if let Some(read) = end {
                break read;
            }
        };
        self.file.header().set(Word::LastReceived, boottime_ns());
        read
    }

    /// Puts the packets of frames into the file's buffer, as long as there is room. Returns how many they are, and how far the
    /// block is read if that is why it ended.
    #[inline(never)]
    fn read_piece(&mut self, frames: &mut Frames<'_>, until_ns: u64) -> (usize, Option<Read>) {
        let places = record::places(self.file.buffer.words());
        let header = self.file.header();
        // What changes with every packet stays in registers.
        let mut left = frames.clone();
        let (mut records, mut quick_packets, mut quick_bytes) = (0, 0, 0_u64);
        let end = loop {
            let Some(place) = places.get(records).filter(|_| records < PIECE) else { break None };
            let before = left.clone();
            left.prefetch();
            let frame = match left.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break Some(Read::All),
                Err(_) => {
                    self.state.malformed_messages += 1;
                    continue;
                }
            };
            let time_ns = frame.time_ns();
            if time_ns > until_ns {
                left = before;
                break Some(Read::Until);
            }
            let known = self.at_hand.known(&frame, time_ns, header);
            if known.number == 0 || !counts(&frame, known) {
                continue;
            }
            if let Some(record) = self.reader.read_quick(&frame, known.number) {
                quick_packets += 1;
                // Of a piece, and each below 2^32.
                quick_bytes += record::bytes(&record);
                record::store(place, &record);
            } else if let Some(record) = self.reader.read_thoroughly(frame, known.number, &mut self.state) {
                record::store(place, &record);
            } else {
                continue;
            }
            records += 1;
        };
        *frames = left;
        count_quick(quick_packets, quick_bytes, &mut self.state);
        (records, end)
    }

    /// Adds the packets that are in the buffer. The journal has it all before the first row changes.
    fn write(&mut self, records: usize) {
        let (packets, bytes) = self.state.readable();
        let (packets_before, bytes_before) = self.readable_before;
        self.state.posted.add_packets(
            self.sides,
            packets.saturating_sub(packets_before),
            bytes.saturating_sub(bytes_before),
        );
        self.readable_before = (packets, bytes);
        self.file.open_written(GROUP, records * BYTES, &self.state);
        let places = record::places(self.file.buffer.words());
        let written = places.get(..records).unwrap_or_default();
        record::apply(written, &self.poster, self.sides, &mut self.file.table);
        self.file.close_batch(GROUP, &self.state);
    }

    /// Adds to the state what the kernel counted.
    pub(crate) fn count_dropped(&mut self, packets: u64, full: u64) {
        if packets > 0 || full > 0 {
            self.state.overruns = self.state.overruns.saturating_add(full);
            self.state.ring.dropped_packets = self.state.ring.dropped_packets.saturating_add(packets);
            self.write(0);
        }
    }

    /// Goes on in `file`; gives the one that is closed by this.
    pub(crate) fn roll(&mut self, file: TableFile) -> TableFile {
        self.state = GroupState::default();
        self.readable_before = (0, 0);
        self.at_hand.forget();
        std::mem::replace(&mut self.file, file)
    }

    pub(crate) fn end(self) -> TableFile {
        self.file
    }
}

/// Whether a packet is one of this machine's, or may be overheard, and is not the one that loopback sees twice.
#[inline]
fn counts(frame: &Frame<'_>, known: Known) -> bool {
    match frame.kind() {
        FOR_OTHERS => known.is_promiscuous,
        OUTGOING => !frame.is_of_loopback(),
        _ => true,
    }
}
