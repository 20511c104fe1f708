//! How a table file survives `kill -9`.
//!
//! The kernel copies datagrams straight into the file's receive buffer. A *batch* is what lies in the buffer for one
//! group: it is opened before the first byte can arrive, its postings are applied one by one with a count kept beside
//! them, and one store of the group's epoch closes it together with the group's new state.
//!
//! [`recover`] finds a batch that was open when the process died. It reads the buffer again, which gives the same postings
//! in the same order; it skips those that were applied, finishes the one that may be torn, and applies the rest. What
//! shows how far the torn one got is the double entry itself: the sums of all rows against the sums of all postings.
//!
//! Stores of a killed process are seen in program order, for they are in the page cache as soon as they are made; only
//! the compiler has to be kept from moving them. A power cut is another matter: then the file is gone, as are the
//! kernel's counters.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::compiler_fence;

use crate::error::{Error, Kind};
use crate::flow::{Posting, Side, Sums};

use super::file::TableFile;
use super::header::{GroupSpec, GroupState, Header, Word};
use super::{CONTROL_APPLIED, Table};

/// Reads the messages of a batch: changes the state and gives the postings in order, with the packets that each is for.
///
/// It must give the same for the same bytes and state. With `tail` the end is not known: it takes messages as long as they
/// are of this group and not older than what the state expects.
pub(crate) type Absorb<'a> =
    dyn FnMut(&[u8], /* tail: */ bool, &GroupSpec, Header<'_>, &mut GroupState, &mut dyn FnMut(Posting, u64)) + 'a;

impl TableFile {
    /// Opens a batch of `group`: from now on what arrives in the buffer counts.
    pub fn open_batch(&mut self, group: usize) {
        let header = self.header();
        header.set(Word::PendingEpoch, u64::MAX);
        compiler_fence(SeqCst);
        header.set(Word::PendingBytes, 0);
        header.set(Word::PendingGroup, group as u64);
        let epoch = header.epoch(group);
        self.table.set_applied(0);
        compiler_fence(SeqCst);
        self.header().set(Word::PendingEpoch, epoch);
        compiler_fence(SeqCst);
    }

    /// Opens a batch that is in the buffer already: so many bytes, and the state that holds when they are applied. It is
    /// for those who cannot read again what came: [`written_state`] has the state after a crash.
    pub(crate) fn open_written(&mut self, group: usize, bytes: usize, state: &GroupState) {
        let header = self.header();
        let epoch = header.epoch(group);
        header.write_state(group, epoch.wrapping_add(1), state);
        header.set(Word::PendingBytes, bytes as u64);
        header.set(Word::PendingGroup, group as u64);
        self.table.set_applied(0);
        compiler_fence(SeqCst);
        // The last batch is closed: until here its epoch stands there, which is not the group's any more.
        self.header().set(Word::PendingEpoch, epoch);
        compiler_fence(SeqCst);
    }

    /// So many bytes of the buffer have arrived.
    pub fn extend_batch(&self, bytes: usize) {
        self.header().set(Word::PendingBytes, bytes as u64);
        compiler_fence(SeqCst);
    }

    /// All postings of the batch are applied: the group's new state and the end of the batch become true in one store.
    pub fn close_batch(&self, group: usize, state: &GroupState) {
        let header = self.header();
        let next = header.epoch(group).wrapping_add(1);
        header.write_state(group, next, state);
        compiler_fence(SeqCst);
        header.set_epoch(group, next);
        compiler_fence(SeqCst);
    }

    /// What a group has got. Another thread may ask: a state that is replaced meanwhile is read again.
    #[must_use]
    pub fn state(&self, group: usize) -> GroupState {
        self.header().current_state(group)
    }

    /// The sums of all groups.
    #[must_use]
    pub fn totals(&self) -> GroupState {
        self.header().totals(self.groups.len())
    }
}

/// The state that [`TableFile::open_written`] left for when its batch is applied.
pub(crate) fn written_state(header: Header<'_>, group: usize) -> GroupState {
    header.state(group, header.epoch(group).wrapping_add(1))
}

/// Finishes what a dead process had begun. Returns whether there was anything to finish.
///
/// # Errors
/// The rows are not what the journal says: the file is damaged.
pub(crate) fn recover(file: &mut TableFile, absorb: &mut Absorb<'_>) -> Result<bool, Error> {
    let rows = file.table.sums();
    let mut base = file.totals().posted;
    let header = file.header();
    let group = usize::try_from(header.get(Word::PendingGroup)).unwrap_or(usize::MAX);
    let is_open = group < file.groups.len() && header.get(Word::PendingEpoch) == header.epoch(group);
    if !is_open {
        return if rows == base { Ok(false) } else { Err(damaged(file, &rows, &base)) };
    }
    let applied = usize::try_from(header.get_at(CONTROL_APPLIED)).unwrap_or(usize::MAX);
    let known_bytes = usize::try_from(header.get(Word::PendingBytes)).unwrap_or(usize::MAX);
    let mut state = file.state(group);
    let Some(spec) = file.groups.get(group) else { return Err(damaged(file, &rows, &base)) };
    let mut postings = Vec::new();
    let buffer = file.buffer.bytes();
    let known = buffer.get(..known_bytes).unwrap_or(buffer);
    absorb(known, false, spec, header, &mut state, &mut |posting, packets| postings.push((posting, packets)));
    // A datagram may have arrived whose length was not yet noted: it lies behind the others.
    let behind = buffer.get(known.len().next_multiple_of(4)..).unwrap_or_default();
    absorb(behind, true, spec, header, &mut state, &mut |posting, packets| postings.push((posting, packets)));

    let Some((done, left)) = postings.split_at_checked(applied) else { return Err(damaged(file, &rows, &base)) };
    for (posting, packets) in done {
        base.add(posting, *packets);
    }
    file.table.set_applied(applied as u64);
    let left = match left.split_first() {
        Some((torn, rest)) if rows != base => {
            let (torn, packets) = torn;
            let missing = missing(&rows, &base, torn, *packets).ok_or_else(|| damaged(file, &rows, &base))?;
            file.table.finish(torn, missing);
            rest
        }
        _ if rows != base => return Err(damaged(file, &rows, &base)),
        _ => left,
    };
    file.table.apply_counted(left);
    file.close_batch(group, &state);
    Ok(true)
}

/// Which of the two additions of the torn posting are missing: packets, bytes. None if the difference is not its.
fn missing(rows: &Sums, base: &Sums, torn: &Posting, packets: u64) -> Option<(u64, u64)> {
    let sent = (rows.sent_packets.checked_sub(base.sent_packets)?, rows.sent_bytes.checked_sub(base.sent_bytes)?);
    let received = (
        rows.received_packets.checked_sub(base.received_packets)?,
        rows.received_bytes.checked_sub(base.received_bytes)?,
    );
    let (own, foreign) = match torn.side {
        Side::Sent => (sent, received),
        Side::Received => (received, sent),
    };
    let is_its = foreign == (0, 0) && (own.0 == 0 || own.0 == packets) && (own.1 == 0 || own.1 == torn.bytes);
    is_its.then(|| (packets - own.0, torn.bytes - own.1))
}

fn damaged(file: &TableFile, rows: &Sums, base: &Sums) -> Error {
    let cause = format!("its rows do not add up: rows {rows:?}, journal {base:?}");
    Error::new(Kind::Table, format!("table {}", file.path().display()), "recover", cause)
}

impl Table {
    /// Does a part of a posting, as a kill would leave it.
    #[cfg(test)]
    pub(crate) fn tear(&mut self, posting: &Posting, packets: u64, bytes: u64) {
        let tag = self.tag(&posting.key);
        let row = self.find_or_append(&posting.key, tag);
        self.add(row, posting.side, packets, bytes);
    }

    /// Adds what is missing of one posting.
    fn finish(&mut self, posting: &Posting, (packets, bytes): (u64, u64)) {
        let tag = self.tag(&posting.key);
        let row = self.find_or_append(&posting.key, tag);
        self.add(row, posting.side, packets, bytes);
        self.set_applied(self.applied + 1);
    }
}
