//! Being told when a quota is reached.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::failed;
use crate::error::Error;
use crate::nfacct::{NFNLGRP_ACCT_QUOTA, Object, is_object};
use crate::nfnetlink::conversation::Failure;
use crate::nfnetlink::{Content, Replies};
use crate::sys::netlink_socket::{NetlinkSocket, Received};
use crate::sys::poll::{self, Waker};

/// The kernel sends one event in a message of some 100 bytes.
const BUFFER_BYTES: usize = 8_192;
const SUBJECT: &str = "nfacct events";

/// One entry of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The object as it was when it reached its quota.
    OverQuota(Object),
    /// So many events found no room, or could not be read.
    Lost(u64),
}

/// What a wait ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    Event(Event),
    Nothing,
    Closed,
}

/// The events of the network namespace of the thread that opened it. May be shared between threads.
#[derive(Debug)]
pub struct Events {
    socket: NetlinkSocket,
    waker: Waker,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Event>,
    dropped: u32,
}

impl Events {
    /// From here on every event is told. `receive_buffer_bytes` is what the kernel may queue; it doubles the number for
    /// its own needs.
    ///
    /// # Errors
    /// [`crate::error::Kind::PermissionDenied`] without `CAP_NET_ADMIN`.
    pub fn open(receive_buffer_bytes: i32) -> Result<Self, Error> {
        let fail = |operation| move |error| failed(SUBJECT, operation, Failure::Socket(error));
        let socket = NetlinkSocket::open().map_err(fail("open"))?;
        socket.force_receive_buffer(receive_buffer_bytes).map_err(fail("set the receive buffer"))?;
        socket.join(NFNLGRP_ACCT_QUOTA).map_err(fail("subscribe"))?;
        let waker = Waker::new().map_err(fail("open"))?;
        Ok(Self { socket, waker, closed: AtomicBool::new(false), state: Mutex::default() })
    }

    /// The next event; waits for it no longer than `timeout`, and not at all when it is closed meanwhile.
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
        let mut state = self.state();
        if state.ready.is_empty() {
            self.receive(&mut state)?;
        }
        Ok(state.ready.pop_front().map(Waited::Event))
    }

    fn receive(&self, state: &mut State) -> Result<(), Error> {
        let mut buffer = [0; BUFFER_BYTES];
        let fail = |error| failed(SUBJECT, "receive", Failure::Socket(error));
        let received = self.socket.receive(&mut buffer).map_err(fail)?;
        if let Received::Datagram { bytes, truncated } = received {
            let unreadable = read(buffer.get(..bytes).unwrap_or_default(), &mut state.ready) + u64::from(truncated);
            if unreadable > 0 {
                state.ready.push_back(Event::Lost(unreadable));
            }
            return Ok(());
        }
        // The kernel says ENOBUFS once until the queue is empty; its counter has what was dropped after that, too.
        let dropped = self.socket.dropped().map_err(fail)?;
        let lost = dropped.wrapping_sub(state.dropped);
        state.dropped = dropped;
        if lost > 0 {
            state.ready.push_back(Event::Lost(u64::from(lost)));
        } else if received == Received::Overrun {
            // The loss that it means has been told; what is queued has not.
            return self.receive(state);
        }
        Ok(())
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

/// Appends the events of a datagram; returns how many messages could not be read.
fn read(datagram: &[u8], events: &mut VecDeque<Event>) -> u64 {
    let mut unreadable = 0;
    for reply in Replies::new(datagram) {
        match reply.map(|reply| reply.content) {
            Ok(Content::Data { kind, attributes }) if is_object(kind) => match Object::read(attributes) {
                Ok(object) => events.push_back(Event::OverQuota(object)),
                Err(_) => unreadable += 1,
            },
            Ok(_) => {}
            Err(_) => unreadable += 1,
        }
    }
    unreadable
}
