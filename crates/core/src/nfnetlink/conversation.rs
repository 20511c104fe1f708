//! Asking the kernel: one socket, one request at a time, its answer to the end.

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::nfnetlink::{Attributes, Content, Malformed, Replies, Reply, Request};
use crate::sys::netlink_socket::{NetlinkSocket, Received};
use crate::sys::poll;

/// The kernel answers while it takes the request, and writes a dump while it is read: to wait at all is the exception.
const ANSWER_SECONDS: u64 = 10;
/// The kernel's parts of a dump are at most 32 KiB, and as large as the reader's buffer lets them be. It grows for more.
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
    parts: Parts,
}

/// Is handed each message of a subsystem.
pub type Take<'a> = dyn FnMut(&Reply<'_>) -> Result<(), Malformed> + 'a;

impl Conversation {
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        let socket = NetlinkSocket::open()?;
        socket.explain_errors()?;
        Ok(Self { socket, buffer: vec![0; BUFFER_BYTES], sequence: 0, parts: Parts::default() })
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
        request: Request,
        take: &mut dyn FnMut(u16, Attributes<'_>) -> Result<(), Malformed>,
    ) -> Result<Ending, Failure> {
        self.ask_replies(request, &mut |reply| match &reply.content {
            Content::Data { kind, attributes } => take(*kind, attributes.clone()),
            _ => Ok(()),
        })
    }

    /// The same, with all that stands in the head of a message.
    ///
    /// # Errors
    /// [`Failure`]; what was handed over until then is not all there is.
    pub fn ask_replies(&mut self, request: Request, take: &mut Take<'_>) -> Result<Ending, Failure> {
        self.send(request)?;
        loop {
            if let Some(ending) = self.receive_part(take)? {
                return Ok(ending);
            }
        }
    }

    /// Sends a request whose answer is taken part by part. One that has not come to its end is forgotten.
    ///
    /// # Errors
    /// [`Failure::Socket`].
    pub fn send(&mut self, mut request: Request) -> Result<(), Failure> {
        self.sequence = self.sequence.wrapping_add(1);
        self.parts = Parts::default();
        self.socket.send(request.numbered(self.sequence)).map_err(Failure::Socket)
    }

    /// Hands over the messages of the next part of the answer; None while there may be more. The kernel writes no more of
    /// a list than a few parts ahead of its reader, so a slow one costs no memory.
    ///
    /// # Errors
    /// [`Failure`]; the answer is at its end then, and what was handed over is not all there is.
    pub fn receive_part(&mut self, take: &mut Take<'_>) -> Result<Option<Ending>, Failure> {
        let deadline = Instant::now() + Duration::from_secs(ANSWER_SECONDS);
        loop {
            match self.socket.receive_whole(&mut self.buffer).map_err(Failure::Socket)? {
                Received::Datagram { bytes, .. } => {
                    let part = self.buffer.get(..bytes).unwrap_or_default();
                    return self.parts.read(part, self.sequence, take).transpose();
                }
                Received::Overrun => self.parts.spoil("the socket's queue was full"),
                Received::Empty => self.wait_until(deadline)?,
            }
        }
    }

    fn wait_until(&self, deadline: Instant) -> Result<(), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Socket(io::Error::from_raw_os_error(libc::ETIMEDOUT)));
        }
        poll::wait(&[self.socket.as_raw_fd()], Some(left), &mut Vec::new());
        Ok(())
    }
}

/// What is known of an answer while it comes.
#[derive(Debug, Default)]
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
    fn read(&mut self, part: &[u8], sequence: u32, take: &mut Take<'_>) -> Option<Result<Ending, Failure>> {
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
                Content::Data { .. } => {
                    self.last_bytes = part.len();
                    self.greatest_bytes = self.greatest_bytes.max(part.len());
                    if take(&reply).is_err() {
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

#[cfg(test)]
#[allow(clippy::panic, reason = "a test says what is wrong by failing")]
mod tests {
    use super::*;

    const SEQUENCE: u32 = 7;
    const INTERRUPTED: u16 = 0x12;

    fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 16).unwrap_or(0);
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        message
    }

    fn object(bytes: usize) -> Vec<u8> {
        message(0x700, 2, SEQUENCE, &vec![0; bytes - 16])
    }

    fn done(flags: u16) -> Vec<u8> {
        message(3, flags, SEQUENCE, &[0; 4])
    }

    /// How an answer of these parts ends, and how many messages it hands over.
    fn read(parts: &[Vec<u8>]) -> (Option<Result<Ending, Failure>>, usize) {
        let (mut known, mut taken) = (Parts::default(), 0);
        let mut take = |_: &Reply<'_>| {
            taken += 1;
            Ok(())
        };
        let end = parts.iter().find_map(|part| known.read(part, SEQUENCE, &mut take));
        (end, taken)
    }

    fn why(parts: &[Vec<u8>]) -> &'static str {
        match read(parts).0 {
            Some(Err(Failure::Broken(why))) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_ends_with_its_end_and_not_before() {
        assert!(read(&[object(40), object(40)]).0.is_none());
        let (end, taken) = read(&[object(40), [object(40), done(2), object(40)].concat()]);
        assert!(end.is_some_and(|end| end.is_ok()));
        assert_eq!(taken, 2);
    }

    #[test]
    fn the_rest_of_another_answer_is_passed_over() {
        let other = [message(0x700, 2, 6, &[0; 4]), message(3, INTERRUPTED, 6, &[0; 4])].concat();
        let (end, taken) = read(&[other, object(40), done(2)]);
        assert!(end.is_some_and(|end| end.is_ok()));
        assert_eq!(taken, 1);
    }

    #[test]
    fn an_answer_that_does_not_hold_together_is_read_to_its_end_and_refused() {
        assert_eq!(why(&[object(40), done(INTERRUPTED)]), "objects came or went meanwhile");
        let flagged = message(0x700, INTERRUPTED, SEQUENCE, &[0; 4]);
        assert_eq!(why(&[flagged, object(40), done(2)]), "objects came or went meanwhile");
        let torn = object(40).into_iter().take(39).collect();
        assert_eq!(why(&[torn, done(2)]), "a message is malformed");
        let mut known = Parts::default();
        let part = [object(40), done(2)].concat();
        let end = known.read(&part, SEQUENCE, &mut |_| Err(Malformed));
        assert!(matches!(end, Some(Err(Failure::Broken("an object is malformed")))), "{end:?}");
    }

    #[test]
    fn a_refusal_goes_before_what_else_is_wrong() {
        let refusal = message(2, 0, SEQUENCE, &(-16_i32).to_ne_bytes());
        let (end, _) = read(&[message(0x700, INTERRUPTED, SEQUENCE, &[0; 4]), refusal]);
        assert!(matches!(end, Some(Err(Failure::Refused { errno: 16, .. }))), "{end:?}");
        let (end, _) = read(&[message(3, 2, SEQUENCE, &(-4_i32).to_ne_bytes())]);
        assert!(matches!(end, Some(Err(Failure::Refused { errno: 4, .. }))), "{end:?}");
    }

    #[test]
    fn the_room_of_the_last_part_is_what_it_surely_had() {
        let cases: [(&[usize], usize); 6] = [
            (&[], 3_072),
            (&[2_000], 1_072),
            (&[3_740], 0),
            (&[3_740, 32_436, 2_516], 29_920),
            (&[3_740, 32_436, 32_400], 36),
            // The kernel had no memory for a larger one.
            (&[3_740, 32_436, 3_740], 0),
        ];
        for (sizes, room_bytes) in cases {
            let mut parts: Vec<_> = sizes.iter().map(|&bytes| object(bytes)).collect();
            parts.push(done(2));
            match read(&parts).0 {
                Some(Ok(ending)) => assert_eq!(ending, Ending { room_bytes }, "{sizes:?}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
