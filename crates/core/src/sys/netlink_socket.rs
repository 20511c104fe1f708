//! A netfilter netlink socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// What one receive gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A datagram of `bytes`; `truncated` when the buffer was too small for all of it.
    Datagram { bytes: usize, truncated: bool },
    /// Nothing is queued.
    Empty,
    /// ENOBUFS: the queue was full since the last receive, and something was dropped.
    Overrun,
}

#[allow(clippy::cast_possible_truncation, reason = "the constant is 16")]
const FAMILY: libc::sa_family_t = libc::AF_NETLINK as libc::sa_family_t;

#[allow(clippy::cast_possible_truncation, reason = "the sizes of small structures")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

#[derive(Debug)]
pub struct NetlinkSocket(OwnedFd);

impl NetlinkSocket {
    /// Opens a non-blocking `NETLINK_NETFILTER` socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: only integers cross; the descriptor returned is ours alone.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_NETFILTER) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and nobody else owns it.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // SAFETY: sockaddr_nl is plain data for which zero is valid.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = FAMILY;
        let length = length_of::<libc::sockaddr_nl>();
        // SAFETY: the address lives across the call and its length is given.
        if unsafe { libc::bind(fd, (&raw const address).cast(), length) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(socket)
    }

    /// Sets the receive buffer beyond the system's limit; the kernel doubles the number for its own needs.
    ///
    /// # Errors
    /// EPERM without `CAP_NET_ADMIN`.
    pub fn force_receive_buffer(&self, bytes: i32) -> io::Result<()> {
        let length = length_of::<i32>();
        // SAFETY: an integer that lives across the call, with its length.
        let result = unsafe {
            libc::setsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                (&raw const bytes).cast(),
                length,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// # Errors
    /// The kernel's, if it did not take the request.
    pub fn send(&self, request: &[u8]) -> io::Result<()> {
        // SAFETY: the request lives across the call and its length is given.
        let sent = unsafe { libc::send(self.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Receives one datagram without waiting.
    ///
    /// # Errors
    /// What the kernel says, other than "nothing there" and "overrun".
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            // SAFETY: the buffer lives across the call and its length is given.
            let got =
                unsafe { libc::recv(self.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_TRUNC) };
            if let Ok(bytes) = usize::try_from(got) {
                let truncated = bytes > buffer.len();
                return Ok(Received::Datagram { bytes: bytes.min(buffer.len()), truncated });
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(Received::Empty),
                Some(libc::ENOBUFS) => return Ok(Received::Overrun),
                _ => return Err(error),
            }
        }
    }
}

impl AsRawFd for NetlinkSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
