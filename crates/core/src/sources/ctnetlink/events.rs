//! Being told when flows begin, change and end.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Kept, failed};
use crate::conntrack::filter::Filter;
use crate::conntrack::socket_filter::{self, Wanted};
use crate::conntrack::{Occasion, flow_of};
use crate::error::Error;
use crate::nfnetlink::Replies;
use crate::nfnetlink::conversation::Failure;
use crate::sys::netlink_socket::{NetlinkSocket, Received, attach_filter};
use crate::sys::poll::{self, Waker};

/// The kernel sends one event in a message of some 200 bytes; texts and labels make it longer.
const BUFFER_BYTES: usize = 8_192;
/// So many messages are taken at a time at most.
const MESSAGES_MAX: usize = 256;
const SUBJECT: &str = "conntrack events";

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// `NFNLGRP_CONNTRACK_...`.
    pub groups: Vec<u32>,
    pub filter: Filter,
    /// What the kernel may queue; it doubles the number for its own needs.
    pub receive_buffer_bytes: i32,
    /// Has the kernel keep an event that finds no room, and send it again.
    pub reliable: bool,
}

/// One entry of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Flow {
        occasion: Occasion,
        flow: Box<Kept>,
        /// The socket of the program that caused it, or 0.
        port: u32,
    },
    Lost(Loss),
}

/// What is missing from the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// How often the kernel has said so.
    pub overruns: u64,
    /// Messages that found no room or could not be read; those of a reliable subscription come again.
    pub dropped: u64,
}

/// What a wait ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    Events(Vec<Event>),
    Nothing,
    Closed,
}

/// The events of the network namespace of the thread that opened it. May be shared between threads.
#[derive(Debug)]
pub struct Events {
    socket: NetlinkSocket,
    filter: Filter,
    waker: Waker,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    buffer: Vec<u8>,
    dropped: u32,
}

impl Events {
    /// From here on every event is told.
    ///
    /// # Errors
    /// [`crate::error::Kind::PermissionDenied`] without `CAP_NET_ADMIN`.
    pub fn open(subscription: &Subscription) -> Result<Self, Error> {
        let fail = |operation| move |error| failed(SUBJECT, operation, Failure::Socket(error));
        let socket = NetlinkSocket::open().map_err(fail("open"))?;
        socket.force_receive_buffer(subscription.receive_buffer_bytes).map_err(fail("set the receive buffer"))?;
        if subscription.reliable {
            socket.report_broadcast_errors().map_err(fail("ask for what is dropped"))?;
        }
        let wanted = Wanted { filter: subscription.filter, ..Wanted::default() };
        let program = socket_filter::program(&wanted);
        if !program.is_empty() {
            attach_filter(&socket, &program).map_err(fail("attach the filter"))?;
        }
        for &group in &subscription.groups {
            socket.join(group).map_err(fail("subscribe"))?;
        }
        let waker = Waker::new().map_err(fail("open"))?;
        let state = Mutex::new(State { buffer: vec![0; BUFFER_BYTES], dropped: 0 });
        Ok(Self { socket, filter: subscription.filter, waker, closed: AtomicBool::new(false), state })
    }

    /// What is queued, in its order, but no more than some hundred events; waits for the first of them no longer than
    /// `timeout`, and not at all when it is closed meanwhile.
    ///
    /// A loss is told before what was queued when it happened, as soon as the kernel tells it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self, timeout: Duration) -> Result<Waited, Error> {
        if let Some(ended) = self.look()? {
            return Ok(ended);
        }
        poll::wait(&[self.socket.as_raw_fd(), self.waker.as_raw_fd()], Some(timeout), &mut Vec::new());
        Ok(self.look()?.unwrap_or(Waited::Nothing))
    }

    fn look(&self) -> Result<Option<Waited>, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(Some(Waited::Closed));
        }
        let mut events = Vec::new();
        let mut state = self.state();
        for _ in 0..MESSAGES_MAX {
            let fail = |error| failed(SUBJECT, "receive", Failure::Socket(error));
            match self.socket.receive_whole(&mut state.buffer).map_err(fail)? {
                Received::Datagram { bytes, .. } => {
                    let unreadable = self.read(state.buffer.get(..bytes).unwrap_or_default(), &mut events);
                    if unreadable > 0 {
                        events.push(Event::Lost(Loss { overruns: 0, dropped: unreadable }));
                    }
                }
                Received::Overrun => {
                    let dropped = self.newly_dropped(&mut state)?;
                    events.push(Event::Lost(Loss { overruns: 1, dropped }));
                }
                Received::Empty => {
                    // The kernel says it once until the queue is empty; its counter has what was dropped after that, too.
                    let dropped = self.newly_dropped(&mut state)?;
                    if dropped > 0 {
                        events.push(Event::Lost(Loss { overruns: 0, dropped }));
                    }
                    break;
                }
            }
        }
        Ok((!events.is_empty()).then_some(Waited::Events(events)))
    }

    fn newly_dropped(&self, state: &mut State) -> Result<u64, Error> {
        let dropped = self.socket.dropped().map_err(|error| failed(SUBJECT, "receive", Failure::Socket(error)))?;
        let newly = dropped.wrapping_sub(state.dropped);
        state.dropped = dropped;
        Ok(newly.into())
    }

    /// Appends the events of a datagram; returns how many messages could not be read.
    fn read(&self, datagram: &[u8], events: &mut Vec<Event>) -> u64 {
        let mut unreadable = 0;
        for reply in Replies::new(datagram) {
            match reply.map(|reply| (flow_of(&reply), reply.port)) {
                Ok((Some((occasion, Ok(flow))), port)) => {
                    if self.filter.holds(&flow) {
                        events.push(Event::Flow { occasion, flow: Box::new(flow.into()), port });
                    }
                }
                Ok((None, _)) => {}
                Ok((Some((_, Err(_))), _)) | Err(_) => unreadable += 1,
            }
        }
        unreadable
    }

    /// Ends the stream, also for a thread that waits. May be called twice.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
