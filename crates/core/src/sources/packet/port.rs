//! A packet socket with its ring, as a meter sets it up.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::rights;
use crate::sys::netlink_socket::attach_filter;
use crate::sys::packet_ring::Ring;
use crate::sys::packet_socket::{PacketSocket, tells_all_segments};

use super::Wanted;
use super::filter::{NOTHING, Wishes, program};
use super::interfaces::Interfaces;

const SUBJECT: &str = "packet socket";
/// Blocks of a ring: enough that one is read while others are filled, large enough that a wake-up is for many packets.
const BLOCKS: usize = 64;
const BLOCK_BYTES_MIN: usize = 1 << 16;
const BLOCK_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Port {
    /// Shared with those who ask it for names of interfaces.
    pub(crate) socket: Arc<PacketSocket>,
    pub(crate) ring: Ring,
    /// Whether super-packets tell how they are to be split.
    pub(crate) tells_segments: bool,
}

impl Port {
    /// Opens a socket in the network namespace of the calling thread. It lets nothing pass until [`Self::pass`].
    pub(crate) fn open(wanted: &Wanted) -> Result<Self, Error> {
        let socket = PacketSocket::open().map_err(|e| fail("open", &e))?;
        // Where the kernel cannot, super-packets are counted as they come, and that is all.
        let tells_segments = tells_all_segments() && socket.tell_segments().is_ok();
        attach_filter(&socket, &NOTHING).map_err(|e| fail("set the filter", &e))?;
        let block_bytes = (wanted.ring_bytes / BLOCKS).next_power_of_two().clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
        let ring = Ring::new(&socket, wanted.ring_bytes, block_bytes, wanted.retire_milliseconds)
            .map_err(|e| fail("make the ring", &e))?;
        socket.bind().map_err(|e| fail("bind", &e))?;
        Ok(Self { socket: Arc::new(socket), ring, tells_segments })
    }

    /// As many as are asked for; with more than one they share the packets.
    pub(crate) fn open_all(wanted: &Wanted, count: usize) -> Result<Vec<Self>, Error> {
        let ports = (0..count).map(|_| Self::open(wanted)).collect::<Result<Vec<_>, _>>()?;
        let mut group = None;
        if ports.len() > 1 {
            for port in &ports {
                group = Some(port.socket.share(group).map_err(|e| fail("share packets", &e))?);
            }
        }
        Ok(ports)
    }

    /// Lets pass what is wanted of the interfaces that are not known to be unwanted.
    pub(crate) fn pass(&self, wanted: &Wanted, interfaces: &Interfaces) -> Result<(), Error> {
        let wishes = Wishes {
            unwanted: &interfaces.unwanted(),
            overhears: interfaces.selection().overhears(),
            ipv4: wanted.families[0],
            ipv6: wanted.families[1],
            snap_bytes: wanted.snap_bytes,
            given: &wanted.given,
        };
        attach_filter(&*self.socket, &program(&wishes)).map_err(|e| fail("set the filter", &e))
    }
}

impl AsRawFd for Port {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

pub(crate) fn fail(operation: &'static str, error: &io::Error) -> Error {
    let made = Error::io(SUBJECT, operation, error);
    if error.kind() == io::ErrorKind::PermissionDenied {
        made.with_kind(Kind::PermissionDenied).with_hint(rights::hint(&[rights::NET_RAW]))
    } else {
        made
    }
}
