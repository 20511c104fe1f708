//! One ring and the table file that it feeds.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::flow::Sides;
use crate::posting::Poster;
use crate::sys::clock::boottime_ns;
use crate::sys::packet_socket::PacketSocket;
use crate::table::file::TableFile;
use crate::table::header::{GroupState, Word};
use crate::table::interfaces::MORE;

use super::Reader;
use super::frame::{FOR_OTHERS, Frame, Frames, OUTGOING};
use super::interfaces::{Interfaces, Known};
use super::record::{BYTES, Postings, Record};

/// Packets that go into the journal together: their postings and records stay in the first-level cache.
const PIECE: usize = 256;
/// Interfaces that are kept at hand, by the last bits of their index.
const AT_HAND: usize = 1024;
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
    /// Not yet in the file.
    records: Vec<Record>,
    postings: Postings,
    /// Of the state when the journal was last written.
    readable_before: (u64, u64),
    interfaces: Arc<Interfaces>,
    socket: Arc<PacketSocket>,
    at_hand: Vec<(u32, Known)>,
    version: u64,
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
            records: Vec::with_capacity(PIECE),
            postings: Postings::default(),
            readable_before: (0, 0),
            version: interfaces.version(),
            interfaces,
            socket,
            at_hand: vec![(0, Known::default()); AT_HAND],
            file,
        }
    }

    /// Reads frames until one came after `until_ns`, and sees to it that all of them are in the file.
    pub(crate) fn read(&mut self, frames: &mut Frames<'_>, until_ns: u64) -> Read {
        if self.version != self.interfaces.version() {
            self.version = self.interfaces.version();
            self.at_hand.fill((0, Known::default()));
        }
        let mut result = Read::All;
        loop {
            let before = frames.clone();
            before.prefetch();
            match frames.next_frame() {
                Ok(Some(frame)) if frame.time_ns() > until_ns => {
                    *frames = before;
                    result = Read::Until;
                    break;
                }
                Ok(Some(frame)) => self.frame(&frame),
                Ok(None) => break,
                Err(_) => self.state.malformed_messages += 1,
            }
        }
        self.write();
        self.file.header().set(Word::LastReceived, boottime_ns());
        result
    }

    #[inline]
    fn frame(&mut self, frame: &Frame<'_>) {
        let known = self.known(frame);
        if known.number == 0 || !counts(frame, known) {
            return;
        }
        let Some(record) = self.reader.read(frame, known.number, &mut self.state) else { return };
        self.records.push(record);
        if self.records.len() == PIECE {
            self.write();
        }
    }

    #[inline]
    fn known(&mut self, frame: &Frame<'_>) -> Known {
        let index = frame.interface();
        match self.at_hand.get(index as usize % AT_HAND) {
            Some((at_hand, known)) if *at_hand == index && frame.time_ns() >= known.since_ns => *known,
            _ => self.look_up(index, frame.is_of_loopback(), frame.time_ns()),
        }
    }

    #[cold]
    fn look_up(&mut self, index: u32, is_loopback: bool, at_ns: u64) -> Known {
        let found = self.interfaces.look_up(&self.socket, index, is_loopback, at_ns);
        let mut known = found.known;
        if known.number != 0 && known.number != MORE {
            known.number = self.file.header().note_interface(known.number, &found.name);
        }
        if found.is_present
            && let Some(place) = self.at_hand.get_mut(index as usize % AT_HAND)
        {
            *place = (index, known);
        }
        known
    }

    /// Adds what was read since the last time. The journal has it all before the first row changes.
    fn write(&mut self) {
        let (packets, bytes) = self.state.readable();
        let (packets_before, bytes_before) = self.readable_before;
        self.state.posted.add_packets(
            self.sides,
            packets.saturating_sub(packets_before),
            bytes.saturating_sub(bytes_before),
        );
        self.readable_before = (packets, bytes);
        let words = self.file.buffer.words();
        for (to, from) in words.iter().zip(self.records.as_flattened()) {
            to.store(*from, Relaxed);
        }
        self.file.open_written(GROUP, self.records.len() * BYTES, &self.state);
        self.postings.make(&self.records, &self.poster, self.sides);
        self.file.table.apply(&self.postings.hosts);
        for (posting, packets) in &self.postings.external {
            self.file.table.apply_one(posting, *packets);
        }
        self.file.close_batch(GROUP, &self.state);
        self.records.clear();
    }

    /// Adds to the state what the kernel counted.
    pub(crate) fn count_dropped(&mut self, packets: u64, full: u64) {
        if packets > 0 || full > 0 {
            self.state.overruns = self.state.overruns.saturating_add(full);
            self.state.ring.dropped_packets = self.state.ring.dropped_packets.saturating_add(packets);
            self.write();
        }
    }

    /// Goes on in `file`; gives the one that is closed by this.
    pub(crate) fn roll(&mut self, file: TableFile) -> TableFile {
        self.state = GroupState::default();
        self.readable_before = (0, 0);
        // The new file has no names yet.
        self.at_hand.fill((0, Known::default()));
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
