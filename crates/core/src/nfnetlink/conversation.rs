//! Asking the kernel: one socket, one request at a time, its answer to the end.

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::nfnetlink::{Attributes, Content, Replies, Request};
use crate::sys::netlink_socket::{NetlinkSocket, Received};
use crate::sys::poll;

/// The kernel answers while it takes the request, and writes a dump while it is read: to wait at all is the exception.
const ANSWER_SECONDS: u64 = 10;
/// The kernel's parts of a dump are at most 32 KiB, and as large as the reader's buffer lets them be.
const BUFFER_BYTES: usize = 65_536;
/// Where the kernel has no memory for a large part it writes one of `NLMSG_GOODSIZE`: a page, 8 KiB at most, less its own
/// bookkeeping. A part of such a size may be full, a smaller one is not.
const SMALL_PART_BYTES: std::ops::RangeInclusive<usize> = 3_072..=8_192;

/// Why a request has no answer that can be used.
#[derive(Debug)]
pub enum Failure {
    /// The kernel refuses; with its own words where it has any.
    Refused { errno: i32, message: String },
    /// What came is not all, or does not hold together.
    Broken(&'static str),
    /// The socket does not work.
    Socket(io::Error),
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How much more the last part with content could surely have held.
    pub room_bytes: usize,
}

/// A socket of `NETLINK_NETFILTER` in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Conversation {
    socket: NetlinkSocket,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Conversation {
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        let socket = NetlinkSocket::open()?;
        socket.explain_errors()?;
        Ok(Self { socket, buffer: vec![0; BUFFER_BYTES], sequence: 0 })
    }

    /// Sends a request and hands over what comes, message by message, until its acknowledgement or the end of its dump.
    ///
    /// The answer is read to its end whatever is wrong with it, so that the next request finds an empty socket. Does not
    /// block: the kernel writes its answers while it is asked. Should one fail to come, it is waited for ten seconds.
    ///
    /// # Errors
    /// [`Failure`]; what was handed over until then is not all there is.
    pub fn ask(
        &mut self,
        mut request: Request,
        take: &mut dyn FnMut(u16, Attributes<'_>) -> Result<(), super::Malformed>,
    ) -> Result<Ending, Failure> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(request.numbered(self.sequence)).map_err(Failure::Socket)?;
        let deadline = Instant::now() + Duration::from_secs(ANSWER_SECONDS);
        let mut parts = Parts::default();
        loop {
            let bytes = match self.socket.receive(&mut self.buffer).map_err(Failure::Socket)? {
                Received::Datagram { bytes, truncated } => {
                    if truncated {
                        parts.spoil("a part was larger than the buffer for it");
                    }
                    bytes
                }
                Received::Overrun => {
                    parts.spoil("the socket's queue was full");
                    continue;
                }
                Received::Empty => {
                    self.wait_until(deadline)?;
                    continue;
                }
            };
            let part = self.buffer.get(..bytes).unwrap_or_default();
            if let Some(end) = parts.read(part, self.sequence, take) {
                return end;
            }
        }
    }

    fn wait_until(&self, deadline: Instant) -> Result<(), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Broken("the kernel does not answer"));
        }
        poll::wait(&[self.socket.as_raw_fd()], Some(left), &mut Vec::new());
        Ok(())
    }
}

/// What is known of an answer while it comes.
#[derive(Default)]
struct Parts {
    greatest_bytes: usize,
    last_bytes: usize,
    broken: Option<&'static str>,
}

impl Parts {
    fn spoil(&mut self, why: &'static str) {
        self.broken.get_or_insert(why);
    }

    /// None: there is more to come.
    fn read(
        &mut self,
        part: &[u8],
        sequence: u32,
        take: &mut dyn FnMut(u16, Attributes<'_>) -> Result<(), super::Malformed>,
    ) -> Option<Result<Ending, Failure>> {
        for reply in Replies::new(part) {
            let Ok(reply) = reply else {
                self.spoil("a message is malformed");
                break;
            };
            // The rest of an answer that nobody waited for.
            if reply.sequence != sequence {
                continue;
            }
            if reply.interrupted {
                self.spoil("objects came or went meanwhile");
            }
            match reply.content {
                Content::Nothing => {}
                Content::Data { kind, attributes } => {
                    self.last_bytes = part.len();
                    self.greatest_bytes = self.greatest_bytes.max(part.len());
                    if take(kind, attributes).is_err() {
                        self.spoil("an object is malformed");
                    }
                }
                Content::Answer { errno: 0, .. } | Content::Done { errno: 0 } => return Some(self.end()),
                Content::Answer { errno, message } => {
                    let message = String::from_utf8_lossy(message).into_owned();
                    return Some(Err(Failure::Refused { errno, message }));
                }
                Content::Done { errno } => return Some(Err(Failure::Refused { errno, message: String::new() })),
            }
        }
        None
    }

    fn end(&self) -> Result<Ending, Failure> {
        if let Some(why) = self.broken {
            return Err(Failure::Broken(why));
        }
        let room_bytes = if SMALL_PART_BYTES.contains(&self.last_bytes) {
            0
        } else {
            self.greatest_bytes.max(*SMALL_PART_BYTES.start()) - self.last_bytes
        };
        Ok(Ending { room_bytes })
    }
}
