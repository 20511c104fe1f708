//! A generation of NFLOG accounting: a table file and the groups that feed it.

use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind};
use crate::flow::Posting;
use crate::netlink::ConfigAttribute;
use crate::posting::KeySpec;
use crate::sys::clock::boottime_ns;
use crate::sys::netlink_socket::Received;
use crate::sys::poll::wait;
use crate::table::file::{GATHER_BYTES, TableFile};
use crate::table::header::{GroupSpec, GroupState, Header, Word};
use crate::table::journal;
use crate::table::live::LiveTable;
use crate::trace::{Event, Level, Trace};

use super::port::{Gathering, Port};
use super::{Answer, Reader};

/// How long the kernel may take to answer a request. It answers at once; this ends a wait that would never end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// An acknowledgement can be dropped when the queue is full; after this long the request is sent again.
const ANSWER_REPEAT: Duration = Duration::from_millis(500);
/// Without its header a message is none.
const MESSAGE_HEADER_BYTES: usize = 16;
/// Postings that are made before they are added: enough to hide look-ups, few enough to stay in the cache.
const POSTINGS: usize = 256;

/// A generation that receives.
#[derive(Debug)]
pub struct Generation {
    file: TableFile,
    ports: Vec<Port>,
    reader: Reader,
    postings: Vec<Posting>,
    trace: Arc<Trace>,
}

/// What one look at a port gave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    /// More may be queued.
    pub(crate) more: bool,
    answer: Option<Answer>,
}

impl Generation {
    /// Makes the table file, opens a socket for each group and binds it. Packets that arrive on the way are counted.
    ///
    /// # Errors
    /// The file cannot be made; a group is taken; a capability is missing.
    pub fn begin(
        path: &Path,
        spec: &KeySpec,
        groups: &[GroupSpec],
        gathering: &Gathering,
        (rows_max, rows_expected): (usize, usize),
        trace: Arc<Trace>,
    ) -> Result<Self, Error> {
        let ports = groups.iter().map(|group| Port::open(group, gathering)).collect::<Result<Vec<_>, _>>()?;
        let file = TableFile::create(path, spec, groups, rows_max, rows_expected)?;
        let mut generation = Self::with(file, ports, trace);
        for (number, group) in groups.iter().enumerate() {
            for (attribute, operation) in Port::setup(group, gathering) {
                if let Err(error) = generation.ask(number, attribute, operation) {
                    // Nothing can have been counted that anyone was promised: the file goes, and the sockets with it.
                    let _ignored = generation.file.remove();
                    return Err(error);
                }
            }
        }
        Ok(generation)
    }

    fn with(file: TableFile, ports: Vec<Port>, trace: Arc<Trace>) -> Self {
        let reader = Reader::new(&file.spec);
        Self { file, ports, reader, postings: Vec::with_capacity(POSTINGS), trace }
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.ports.iter().map(AsRawFd::as_raw_fd)
    }

    pub(crate) fn ports(&self) -> usize {
        self.ports.len()
    }

    #[must_use]
    pub fn totals(&self) -> GroupState {
        self.file.totals()
    }

    /// For another thread to look at its rows.
    #[must_use]
    pub fn live(&self) -> LiveTable {
        self.file.live()
    }

    /// Receives and accounts what is queued at a port, up to about one buffer.
    pub(crate) fn turn(&mut self, number: usize) -> Result<Turn, Error> {
        let Some(port) = self.ports.get(number) else { return Ok(Turn::default()) };
        let mut state = self.file.state(number);
        let overruns_before = state.overruns;
        self.file.open_batch(number);
        let mut filled = 0_usize;
        let mut turn = Turn { more: true, answer: None };
        while filled < GATHER_BYTES {
            let Some(room) = self.file.buffer.bytes_mut().get_mut(filled..) else { break };
            // What an earlier batch left here must not look like a message that has just arrived.
            room.iter_mut().take(MESSAGE_HEADER_BYTES).for_each(|byte| *byte = 0);
            match port.socket.receive(room).map_err(|e| Error::io(port.subject(), "receive", &e))? {
                Received::Datagram { bytes, truncated } => {
                    self.file.extend_batch(filled + bytes);
                    filled = (filled + bytes).next_multiple_of(4);
                    if truncated {
                        state.truncated_datagrams += 1;
                        break;
                    }
                }
                Received::Empty => {
                    turn.more = false;
                    break;
                }
                Received::Overrun => {
                    state.overruns += 1;
                    if self.trace.wants(Level::Notable) {
                        self.trace.note(port.group, Event::Overrun);
                    }
                }
            }
        }
        if filled > 0 {
            turn.answer = self.account(number, filled, &mut state);
        }
        if filled > 0 || state.overruns != overruns_before {
            self.file.close_batch(number, &state);
            self.file.header().set(Word::LastReceived, boottime_ns());
        }
        Ok(turn)
    }

    fn account(&mut self, number: usize, filled: usize, state: &mut GroupState) -> Option<Answer> {
        let Self { file, reader, postings, trace, .. } = self;
        let TableFile { table, control, buffer, groups, .. } = file;
        let group = groups.get(number)?;
        let header = Header(control.words());
        let bytes = buffer.bytes().get(..filled).unwrap_or_default();
        postings.clear();
        let answer = reader.absorb(bytes, false, group, header, state, Some(trace), |posting| {
            postings.push(posting);
            if postings.len() >= POSTINGS {
                table.apply(postings);
                postings.clear();
            }
        });
        table.apply(postings);
        answer
    }

    /// Sends a request and accounts what comes before its answer.
    fn ask(&mut self, number: usize, attribute: ConfigAttribute, operation: &'static str) -> Result<(), Error> {
        let started = Instant::now();
        let mut first = None;
        while started.elapsed() < ANSWER_TIMEOUT {
            let Some(port) = self.ports.get_mut(number) else { return Ok(()) };
            let request = port.request(attribute, operation)?;
            let first = *first.get_or_insert(request);
            let repeat_at = Instant::now() + ANSWER_REPEAT;
            while Instant::now() < repeat_at {
                let turn = self.turn(number)?;
                match (turn.answer, self.ports.get(number)) {
                    // To a repeated unbind the kernel may say that there is no such group any more: that is what we want.
                    (Some((sequence, errno)), Some(port)) if sequence >= first => {
                        let is_done = errno == 0 || (sequence > first && attribute == ConfigAttribute::Unbind);
                        return if is_done { Ok(()) } else { Err(port.refused(operation, errno)) };
                    }
                    (_, Some(port)) if !turn.more => {
                        wait(&[port.as_raw_fd()], Some(ANSWER_REPEAT), &mut Vec::new());
                    }
                    _ => {}
                }
            }
        }
        let subject = self.ports.get(number).map_or_else(String::new, Port::subject);
        Err(Error::new(Kind::Source, subject, operation, "the kernel does not answer"))
    }

    /// Unbinds all groups. The kernel sends what it holds before it acknowledges: all of it is accounted.
    ///
    /// # Errors
    /// The kernel does not answer; what was received is in the file all the same.
    pub fn end(mut self) -> (TableFile, Result<(), Error>) {
        let mut result = Ok(());
        for number in 0..self.ports.len() {
            result = result.and(self.ask(number, ConfigAttribute::Unbind, "unbind"));
        }
        (self.file, result)
    }

    /// Goes on in `file`, from here on; what was received so far is closed.
    pub(crate) fn roll(self, file: TableFile) -> (Self, TableFile) {
        for number in 0..self.ports.len() {
            let expected_sequence = self.file.state(number).expected_sequence;
            file.close_batch(number, &GroupState { expected_sequence, ..GroupState::default() });
        }
        (Self::with(file, self.ports, self.trace), self.file)
    }

    pub(crate) fn groups(&self) -> &[GroupSpec] {
        &self.file.groups
    }
}

/// Finishes what a dead process had received and not yet added.
///
/// # Errors
/// The rows are not what the journal says: the file is damaged.
pub(crate) fn finish(file: &mut TableFile) -> Result<(), Error> {
    let reader = Reader::new(&file.spec);
    journal::recover(file, &mut |bytes, tail, group, header, state, take| {
        reader.absorb(bytes, tail, group, header, state, None, |posting| take(posting, 1));
    })?;
    Ok(())
}
