//! Connection tracking as a source: events at the end of flows, and dumps of those that live.
//!
//! Events have a socket of their own, with a filter in the kernel for what is not wanted. The kernel is told to keep an
//! event that finds no room and to send it again (`NETLINK_BROADCAST_ERROR`), so that an overrun delays and does not lose.
//! It sends again every ten milliseconds, as much as there is room for: so a buffer that was too small is made larger.
//! Who reads sleeps while there is nothing and then takes all there is: one wake-up for many events.

mod reader;

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use crate::conntrack::filter::Filter;
use crate::conntrack::requests::{self, Prefilter};
use crate::conntrack::socket_filter::{Wanted, program};
use crate::conntrack::{IPV4, IPV6, NFNLGRP_CONNTRACK_DESTROY};
use crate::error::{Error, Kind};
use crate::flows::{FlowTable, Origin};
use crate::nfnetlink::Request;
use crate::posting::KeySpec;
use crate::rights;
use crate::sys::datagrams::Datagrams;
use crate::sys::netlink_socket::{NetlinkSocket, Received, attach_filter};
use crate::sys::poll;

use reader::{Part, Reader};

const SUBJECT: &str = "conntrack";
/// The kernel writes a part of a dump while it is read; to wait at all is the exception.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel's parts of a dump are at most 32 KiB, and as large as the reader's buffer lets them be.
const PART_BYTES: usize = 65_536;
/// Parts of a dump between two looks at the events, which must not wait for the end of a long dump.
const PARTS: usize = 64;
/// How often a dump that did not hold together is begun anew.
const ATTEMPTS_MAX: usize = 8;
/// How often the list of those that are dying is asked for until it is surely whole.
const DYING_ATTEMPTS_MAX: usize = 4;
/// One that took longer is not asked for again: the kernel walks all of it for each part.
const DYING_QUICK: Duration = Duration::from_millis(100);
/// Up to which an overrun makes the receive buffer larger, and by how much.
const BUFFER_BYTES_MAX: i32 = 64 << 20;
const BUFFER_GROWTH: i32 = 4;
/// Until so long no event comes, or so often they did, the kernel is left to send again what had found no room.
const SETTLED: Duration = Duration::from_millis(25);
const SETTLING_MAX: usize = 40;
/// The room of parts, rounded up, and what one flow needs of it, likewise.
const SIZES_BYTES: [usize; 2] = [4_096, 32_768];
const FLOW_BYTES_MAX: usize = 1_536;
const FLOW_BYTES_MIN: usize = 64;
/// Events of one call. A flow's fits, with a long security context as well.
const EVENTS: usize = 512;
const EVENT_BYTES: usize = 1_600;
/// A dump that mends an overrun is not made again before so many times its own duration.
const RESYNC_REST: u32 = 10;
/// What one that failed counts for at least.
const FAILED_REST: Duration = Duration::from_millis(100);

/// What is listened to.
#[derive(Clone, Debug)]
pub struct Config {
    pub families: Vec<u8>,
    /// Empty: all.
    pub zones: Vec<u16>,
    pub buffer_bytes: i32,
}

/// A flow table and the sockets that feed it.
#[derive(Debug)]
pub struct Listener {
    pub table: FlowTable,
    events: NetlinkSocket,
    dumps: NetlinkSocket,
    inbox: Datagrams,
    part: Vec<u8>,
    parts: PartSizes,
    reader: Reader,
    requests: [Request; 2],
    sequence: u32,
    overrun: bool,
    buffer_bytes: i32,
    swept: Option<(Instant, Duration)>,
}

/// How large the parts of an answer were.
///
/// The list of those that are dying goes on with the flow at which a part was full; if that one has left the list meanwhile,
/// the answer ends there and says nothing of it (`ctnetlink_dump_dying`). So an answer is surely whole when its last part
/// had room for more.
#[derive(Clone, Copy, Debug, Default)]
struct PartSizes {
    last_bytes: usize,
}

impl PartSizes {
    fn note(&mut self, bytes: usize) {
        // The end of an answer comes by itself.
        if bytes > FLOW_BYTES_MIN {
            self.last_bytes = bytes;
        }
    }

    /// A part has a page less its bookkeeping, or where there is memory for it 32 KiB less the same.
    fn had_room(self) -> bool {
        !SIZES_BYTES.iter().any(|&size| (size - FLOW_BYTES_MAX..=size).contains(&self.last_bytes))
    }
}

fn fail(operation: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| {
        let made = Error::io(SUBJECT, operation, &error);
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                made.with_kind(Kind::PermissionDenied).with_hint(rights::hint(&[rights::NET_ADMIN]))
            }
            Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT) => made
                .with_kind(Kind::NotSupported)
                .with_hint("load the module nf_conntrack_netlink, or run a kernel with CONFIG_NF_CT_NETLINK"),
            _ => made,
        }
    }
}

impl Listener {
    /// Listens in the network namespace of the calling thread, from here on.
    ///
    /// # Errors
    /// A capability is missing; the kernel lacks conntrack's netlink.
    pub fn open(table: FlowTable, config: &Config) -> Result<Self, Error> {
        let events = NetlinkSocket::open().map_err(fail("open"))?;
        events.force_receive_buffer(config.buffer_bytes).map_err(fail("set the receive buffer"))?;
        events.report_broadcast_errors().map_err(fail("ask for events again"))?;
        let all = [IPV4, IPV6].iter().all(|family| config.families.contains(family));
        let families = if all { Vec::new() } else { config.families.clone() };
        let wanted = Wanted { families, zones: config.zones.clone(), filter: Filter::default() };
        let program = program(&wanted);
        if !program.is_empty() {
            attach_filter(&events, &program).map_err(fail("filter events"))?;
        }
        // Behind the filter: what it drops has never been in the queue.
        events.join(NFNLGRP_CONNTRACK_DESTROY).map_err(fail("subscribe"))?;
        let dumps = NetlinkSocket::open().map_err(fail("open"))?;
        let zone = if let [zone] = config.zones.as_slice() { Some(*zone) } else { None };
        let family = if let [family] = config.families.as_slice() { Some(*family) } else { None };
        let filter = Filter { family, zone, ..Filter::default() };
        Ok(Self {
            reader: Reader::new(table.seeds(), &config.families, &config.zones),
            table,
            events,
            dumps,
            inbox: Datagrams::new(EVENTS, EVENT_BYTES),
            part: vec![0; PART_BYTES],
            parts: PartSizes::default(),
            requests: [requests::dump(&filter, Prefilter::Marks), requests::dying(family)],
            sequence: 0,
            overrun: false,
            buffer_bytes: config.buffer_bytes,
            swept: None,
        })
    }

    /// Takes all events that are queued.
    ///
    /// # Errors
    /// The kernel's.
    pub fn drain(&mut self) -> Result<(), Error> {
        loop {
            match self.inbox.receive(&self.events).map_err(fail("receive events"))? {
                Received::Empty => return Ok(()),
                Received::Overrun => {
                    self.overrun = true;
                    self.table.facts().overruns += 1;
                    self.widen();
                }
                Received::Datagram { .. } => {
                    let mut events = 0;
                    for (datagram, truncated) in self.inbox.received() {
                        events += self.reader.event(datagram);
                        self.reader.malformed += u64::from(truncated);
                    }
                    let facts = self.table.facts();
                    facts.events += events;
                    facts.malformed += std::mem::take(&mut self.reader.malformed);
                    self.give(Origin::End);
                    if !self.inbox.is_full() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn widen(&mut self) {
        if self.buffer_bytes < BUFFER_BYTES_MAX {
            self.buffer_bytes = self.buffer_bytes.saturating_mul(BUFFER_GROWTH).min(BUFFER_BYTES_MAX);
            // Where it is refused the old one stays, and what finds no room comes later.
            let _refused = self.events.force_receive_buffer(self.buffer_bytes);
        }
    }

    /// Takes what the kernel sends again after an overrun, for a second at most: those who are told of need not be listed.
    fn settle(&mut self) -> Result<(), Error> {
        let mut ready = Vec::new();
        for _ in 0..SETTLING_MAX {
            poll::wait(&[self.events.as_raw_fd()], Some(SETTLED), &mut ready);
            if ready.first() != Some(&true) {
                return Ok(());
            }
            self.drain()?;
        }
        Ok(())
    }

    fn give(&mut self, origin: Origin) {
        self.table.see(&self.reader.sightings, origin);
        self.reader.sightings.clear();
    }

    /// Asks for all flows that live, and for those whose end could not be told yet; events are taken meanwhile and
    /// afterwards.
    ///
    /// # Errors
    /// The kernel's; [`Kind::Unsteady`] when a dump does not hold together again and again.
    pub fn sweep(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let is_due = self.overrun;
        let settled = if is_due { self.settle() } else { Ok(()) };
        self.overrun = false;
        let done = settled.and_then(|()| self.sweep_through());
        let took = started.elapsed();
        if done.is_err() {
            self.overrun |= is_due;
            // The kernel may still be writing the rest of it, and would refuse another on the same socket.
            self.dumps = NetlinkSocket::open().map_err(fail("open"))?;
        }
        self.swept = Some((Instant::now(), if done.is_ok() { took } else { took.max(FAILED_REST) }));
        done
    }

    fn sweep_through(&mut self) -> Result<(), Error> {
        for _ in 0..ATTEMPTS_MAX {
            self.table.begin_sweep();
            self.reader.uncounted = 0;
            let whole = self.dump(0, Origin::Dump)?;
            self.table.facts().uncounted = self.reader.uncounted;
            self.dump_dying()?;
            self.drain()?;
            if whole {
                return Ok(());
            }
        }
        Err(Error::new(
            Kind::Unsteady,
            SUBJECT,
            "dump",
            format!("flows cannot be listed, {ATTEMPTS_MAX} times in a row"),
        ))
    }

    /// Asks for those whose end could not be told to everybody. Without an answer that is surely whole nobody who has ended
    /// is forgotten, and that is all.
    fn dump_dying(&mut self) -> Result<(), Error> {
        for _ in 0..DYING_ATTEMPTS_MAX {
            let started = Instant::now();
            if self.dump(1, Origin::Dying)? && self.parts.had_room() {
                self.table.dying_are_known();
                return Ok(());
            }
            if started.elapsed() > DYING_QUICK {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Adds up flows that have ended, before the cut; see [`FlowTable::spill`].
    ///
    /// # Errors
    /// The kernel's; the spill cannot be made.
    pub fn spill(&mut self, spec: &KeySpec, rows_max: usize) -> Result<(), Error> {
        self.table.begin_sweep();
        self.dump_dying()?;
        self.drain()?;
        self.table.spill(spec, rows_max)
    }

    /// Whether it holds together.
    fn dump(&mut self, request: usize, origin: Origin) -> Result<bool, Error> {
        let Some(request) = self.requests.get_mut(request) else { return Ok(false) };
        self.sequence = self.sequence.wrapping_add(1);
        self.dumps.send(request.numbered(self.sequence)).map_err(fail("dump"))?;
        self.reader.interrupted = false;
        self.parts = PartSizes::default();
        let mut parts = 0;
        loop {
            match self.dumps.receive(&mut self.part).map_err(fail("dump"))? {
                Received::Empty => self.wait()?,
                Received::Overrun => self.reader.interrupted = true,
                Received::Datagram { bytes, truncated } => {
                    self.reader.interrupted |= truncated;
                    let part = self.part.get(..bytes).unwrap_or_default();
                    let end = self.reader.part(part, self.sequence);
                    self.parts.note(bytes);
                    self.table.facts().malformed += std::mem::take(&mut self.reader.malformed);
                    self.give(origin);
                    match end {
                        Part::Last => return Ok(!self.reader.interrupted),
                        Part::Refused(errno) => return Err(fail("dump")(io::Error::from_raw_os_error(errno))),
                        Part::More => parts += 1,
                    }
                    // The kernel gets rid of those that are dying only as far as there is room for their events.
                    if origin == Origin::Dying || parts % PARTS == 0 {
                        self.drain()?;
                    }
                }
            }
        }
    }

    fn wait(&self) -> Result<(), Error> {
        let mut ready = Vec::new();
        poll::wait(&[self.dumps.as_raw_fd()], Some(ANSWER_TIMEOUT), &mut ready);
        if ready.first() == Some(&true) {
            return Ok(());
        }
        Err(fail("dump")(io::Error::from_raw_os_error(libc::ETIMEDOUT)))
    }

    /// How long to wait until a dump is to mend an overrun; None: nothing is to be mended.
    #[must_use]
    pub fn resync_in(&self) -> Option<Duration> {
        let rest =
            self.swept.map_or(Duration::ZERO, |(ended, took)| (took * RESYNC_REST).saturating_sub(ended.elapsed()));
        self.overrun.then_some(rest)
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_whose_last_part_may_have_been_full_is_not_surely_whole() {
        let had_room = |sizes: &[usize]| {
            let mut parts = PartSizes::default();
            for &bytes in sizes {
                parts.note(bytes);
            }
            parts.had_room()
        };
        assert!(had_room(&[]));
        assert!(had_room(&[20]), "nobody is on it");
        assert!(had_room(&[1_000, 20]));
        assert!(had_room(&[3_700, 32_400, 9_000, 20]));
        assert!(!had_room(&[3_700]));
        assert!(!had_room(&[3_700, 32_400, 20]));
        assert!(!had_room(&[3_700, 32_400, 31_500]));
    }
}
