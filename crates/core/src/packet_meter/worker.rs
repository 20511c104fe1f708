//! The thread of one ring.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Inbox, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind};
use crate::sources::packet::frame::Frames;
use crate::sources::packet::interfaces::Interfaces;
use crate::sources::packet::port::Port;
use crate::sources::packet::receiver::{Read, Receiver};
use crate::sources::packet::{Reader, Wanted};
use crate::sys::poll::{Waker, wait};
use crate::table::file::TableFile;

use super::patience;

/// How often the kernel is asked what it dropped.
const STATISTICS_EVERY: Duration = Duration::from_secs(1);
/// With the ring found empty, wait so long before looking again: one wake-up for many blocks. A small ring has less time,
/// so that none is filled meanwhile at less than this rate: that of four million small packets a second.
const GATHER_MILLISECONDS_MAX: usize = 100;
const FILLED_BYTES_PER_MILLISECOND: usize = 640 * 1024;
/// If more than this part of the ring was filled meanwhile there is no time for that.
const GATHER_SHARE: usize = 8;
/// Without a cut, every packet is before it.
const NEVER: u64 = u64::MAX;

/// What is to become of the ring behind a cut.
pub(super) enum Cut {
    /// It goes on in another file.
    Roll(Box<TableFile>),
    End,
}

struct Order {
    cut: Cut,
    at_ns: u64,
    reply: Sender<TableFile>,
}

/// The handle of a thread. Dropped, it ends it; the table file stays on disk as it is.
#[derive(Debug)]
pub(super) struct Worker {
    orders: Option<Sender<Order>>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(
        port: Port,
        file: TableFile,
        wanted: Wanted,
        interfaces: Arc<Interfaces>,
    ) -> Result<Self, Error> {
        let waker = Arc::new(Waker::new().map_err(|e| Error::io("packet meter", "make an eventfd", &e))?);
        let (orders, inbox) = channel();
        port.pass(&wanted, &interfaces)?;
        let unwanted_version = interfaces.unwanted_version();
        let socket = Arc::clone(&port.socket);
        let reader = Reader::new(&file.spec, wanted.clone(), port.tells_segments);
        let receiver = Receiver::new(file, reader, Arc::clone(&interfaces), socket);
        let mut work = Work {
            inbox,
            waker: Arc::clone(&waker),
            port,
            receiver: Some(receiver),
            wanted,
            interfaces,
            unwanted_version,
            pending: None,
            asked: Instant::now(),
        };
        let thread = Builder::new()
            .name("netledger-pkt".to_owned())
            .spawn(move || work.run())
            .map_err(|e| Error::io("packet meter", "start a thread", &e))?;
        Ok(Self { orders: Some(orders), waker, thread: Some(thread) })
    }

    /// Closes what came up to `at_ns` by the clock of the kernel's stamps. The file comes when it is closed.
    pub(super) fn cut(&self, cut: Cut, at_ns: u64) -> Result<Inbox<TableFile>, Error> {
        let (reply, answer) = channel();
        let orders = self.orders.as_ref().ok_or_else(gone)?;
        orders.send(Order { cut, at_ns, reply }).map_err(|_| gone())?;
        self.waker.wake();
        Ok(answer)
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    pub(super) fn is_gone(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None;
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

pub(super) fn gone() -> Error {
    Error::new(Kind::Source, "packet meter", "ask its thread", "it has ended")
}

/// A cut that waits for the packets before it.
struct Pending {
    order: Order,
    deadline: Instant,
}

struct Work {
    inbox: Inbox<Order>,
    waker: Arc<Waker>,
    port: Port,
    /// None when it has ended.
    receiver: Option<Receiver>,
    wanted: Wanted,
    interfaces: Arc<Interfaces>,
    unwanted_version: u64,
    pending: Option<Pending>,
    asked: Instant,
}

impl Work {
    fn run(&mut self) {
        let mut ready = Vec::new();
        let mut blocks = 0;
        let gather = gather(self.port.ring.bytes());
        while self.receiver.is_some() {
            if !self.take_order() {
                return;
            }
            if self.read_block() {
                blocks += 1;
                self.filter_anew();
                continue;
            }
            let gathers = self.pending.is_none() && blocks > 0 && blocks < self.port.ring.blocks() / GATHER_SHARE;
            blocks = 0;
            if gathers {
                wait(&[self.waker.as_raw_fd()], Some(gather), &mut ready);
                if ready.first() == Some(&true) {
                    self.waker.clear();
                }
                continue;
            }
            self.filter_anew();
            let is_late = self.pending.as_ref().is_some_and(|pending| Instant::now() >= pending.deadline);
            if self.pending.is_some() && (is_late || self.port.ring.is_empty()) {
                self.finish_cut();
                continue;
            }
            let timeout = if self.pending.is_some() { Duration::from_millis(1) } else { STATISTICS_EVERY };
            wait(&[self.waker.as_raw_fd(), self.port.as_raw_fd()], Some(timeout), &mut ready);
            if ready.first() == Some(&true) {
                self.waker.clear();
            }
            if ready.get(1) == Some(&true) && self.port.ring.block().is_none() {
                self.port.socket.clear_error();
            }
            if self.asked.elapsed() >= STATISTICS_EVERY {
                self.count_dropped();
            }
        }
    }

    /// False when the handle is gone: there is nobody to count for.
    fn take_order(&mut self) -> bool {
        use std::sync::mpsc::TryRecvError::{Disconnected, Empty};
        if self.pending.is_some() {
            return true;
        }
        match self.inbox.try_recv() {
            Ok(order) => {
                let deadline = Instant::now() + patience(self.wanted.retire_milliseconds);
                self.pending = Some(Pending { order, deadline });
                true
            }
            Err(Empty) => true,
            Err(Disconnected) => false,
        }
    }

    /// Reads the next block if the kernel has handed it over.
    fn read_block(&mut self) -> bool {
        let Some(block) = self.port.ring.block() else { return false };
        let mut frames = Frames::new(block);
        let until_ns = self.pending.as_ref().map_or(NEVER, |pending| pending.order.at_ns);
        let Some(receiver) = &mut self.receiver else { return false };
        if receiver.read(&mut frames, until_ns) == Read::Until {
            close(&mut self.pending, &mut self.receiver, &self.port);
            self.asked = Instant::now();
            // Behind an end nothing counts.
            if let Some(receiver) = &mut self.receiver {
                receiver.read(&mut frames, NEVER);
            }
        }
        self.port.ring.hand_back();
        true
    }

    fn finish_cut(&mut self) {
        close(&mut self.pending, &mut self.receiver, &self.port);
        self.asked = Instant::now();
    }

    fn count_dropped(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            count_dropped(receiver, &self.port);
        }
        self.asked = Instant::now();
    }

    /// What is known to be unwanted need not come any more.
    fn filter_anew(&mut self) {
        let version = self.interfaces.unwanted_version();
        if version != self.unwanted_version {
            self.unwanted_version = version;
            // If the kernel has no memory for another program the old one goes on, and more is dropped here.
            let _later = self.port.pass(&self.wanted, &self.interfaces);
        }
    }
}

fn gather(ring_bytes: usize) -> Duration {
    let milliseconds = (ring_bytes / FILLED_BYTES_PER_MILLISECOND).min(GATHER_MILLISECONDS_MAX);
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// Closes the file, and goes on in the next one if there is one.
fn close(pending: &mut Option<Pending>, receiver: &mut Option<Receiver>, port: &Port) {
    let (Some(Pending { order, .. }), Some(mut reading)) = (pending.take(), receiver.take()) else { return };
    count_dropped(&mut reading, port);
    let closed = match order.cut {
        Cut::Roll(file) => {
            let closed = reading.roll(*file);
            *receiver = Some(reading);
            closed
        }
        Cut::End => reading.end(),
    };
    // Whoever asked may have gone away: then the file stays on disk.
    let _unheard = order.reply.send(closed);
}

fn count_dropped(receiver: &mut Receiver, port: &Port) {
    // It fails for no socket that is open; what it has counted is told the next time.
    if let Ok(statistics) = port.socket.take_statistics() {
        receiver.count_dropped(u64::from(statistics.dropped), u64::from(statistics.full));
    }
}
