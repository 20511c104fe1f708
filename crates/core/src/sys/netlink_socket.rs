//! A netlink socket: of netfilter, or of the news of interfaces.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Has the kernel drop what does not pass a program of classic BPF before it enters the socket's queue.
///
/// # Errors
/// The kernel's, for a program that it does not accept.
pub fn attach_filter(socket: &impl AsRawFd, program: &[libc::sock_filter]) -> io::Result<()> {
    let mut program = program.to_vec();
    let length = libc::c_ushort::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the program lives across the call, which copies it, and its length is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            length_of::<libc::sock_fprog>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

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
        Self::open_for(libc::NETLINK_NETFILTER, 0)
    }

    /// Opens a non-blocking `NETLINK_ROUTE` socket there that is told of interfaces. Needs no capability.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_for_links() -> io::Result<Self> {
        const RTMGRP_LINK: u32 = 1;
        Self::open_for(libc::NETLINK_ROUTE, RTMGRP_LINK)
    }

    fn open_for(protocol: libc::c_int, groups: u32) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: only integers cross; the descriptor returned is ours alone.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and nobody else owns it.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // SAFETY: sockaddr_nl is plain data for which zero is valid.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = FAMILY;
        address.nl_groups = groups;
        let length = length_of::<libc::sockaddr_nl>();
        // SAFETY: the address lives across the call and its length is given.
        if unsafe { libc::bind(fd, (&raw const address).cast(), length) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(socket)
    }

    /// A number that the network namespace of the socket shares with no other since the machine started.
    ///
    /// # Errors
    /// The kernel's; those before 5.14 have none.
    pub fn namespace_cookie(&self) -> io::Result<u64> {
        const SO_NETNS_COOKIE: libc::c_int = 71;
        let mut cookie = 0_u64;
        let mut length = length_of::<u64>();
        // SAFETY: the number lives across the call and no more than its length is written.
        let result = unsafe {
            libc::getsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_NETNS_COOKIE,
                (&raw mut cookie).cast(),
                &raw mut length,
            )
        };
        if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
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

    /// Has the kernel say in words what it refuses, where it can, and not send the request back with its answer.
    ///
    /// # Errors
    /// The kernel's; those before 4.12 know neither.
    pub fn explain_errors(&self) -> io::Result<()> {
        self.set_netlink(libc::NETLINK_EXT_ACK, 1)?;
        self.set_netlink(libc::NETLINK_CAP_ACK, 1)
    }

    /// Has messages to a multicast group delivered here.
    ///
    /// # Errors
    /// EPERM without `CAP_NET_ADMIN`.
    pub fn join(&self, group: u32) -> io::Result<()> {
        self.set_netlink(libc::NETLINK_ADD_MEMBERSHIP, group)
    }

    fn set_netlink(&self, option: libc::c_int, value: u32) -> io::Result<()> {
        // SAFETY: an integer that lives across the call, with its length.
        let result = unsafe {
            libc::setsockopt(self.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const value).cast(), length_of::<u32>())
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// How many messages found no room in the queue since the socket was opened. Wraps.
    ///
    /// # Errors
    /// The kernel's; those before 4.12 do not tell.
    pub fn dropped(&self) -> io::Result<u32> {
        const SO_MEMINFO: libc::c_int = 55;
        const SK_MEMINFO_DROPS: usize = 8;
        let mut numbers = [0_u32; SK_MEMINFO_DROPS + 1];
        let mut length = length_of::<[u32; SK_MEMINFO_DROPS + 1]>();
        // SAFETY: the array lives across the call and no more than its length is written.
        let result = unsafe {
            libc::getsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_MEMINFO,
                numbers.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result == 0 { Ok(numbers[SK_MEMINFO_DROPS]) } else { Err(io::Error::last_os_error()) }
    }

    /// # Errors
    /// The kernel's, if it did not take the request.
    pub fn send(&self, request: &[u8]) -> io::Result<()> {
        // SAFETY: the request lives across the call and its length is given.
        let sent = unsafe { libc::send(self.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Has a sender told when a message to a group found no room here. Connection tracking then keeps the event, and sends
    /// it again; the other subsystems make nothing of it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn report_broadcast_errors(&self) -> io::Result<()> {
        self.set_netlink(libc::NETLINK_BROADCAST_ERROR, 1)
    }

    /// Receives one datagram without waiting, however large it is: the buffer grows if it must.
    ///
    /// # Errors
    /// What the kernel says, other than "nothing there" and "overrun".
    pub fn receive_whole(&self, buffer: &mut Vec<u8>) -> io::Result<Received> {
        // Its length is asked for first: what does not fit would be gone. That costs little beside a part of a list.
        match self.receive_with(&mut [], libc::MSG_TRUNC | libc::MSG_PEEK)? {
            Received::Datagram { bytes, .. } if bytes > buffer.len() => buffer.resize(bytes, 0),
            Received::Datagram { .. } => {}
            nothing => return Ok(nothing),
        }
        self.receive(buffer)
    }

    /// Receives one datagram without waiting.
    ///
    /// # Errors
    /// What the kernel says, other than "nothing there" and "overrun".
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let received = self.receive_with(buffer, libc::MSG_TRUNC)?;
        Ok(match received {
            Received::Datagram { bytes, .. } => {
                Received::Datagram { bytes: bytes.min(buffer.len()), truncated: bytes > buffer.len() }
            }
            nothing => nothing,
        })
    }

    fn receive_with(&self, buffer: &mut [u8], flags: libc::c_int) -> io::Result<Received> {
        loop {
            // SAFETY: the buffer lives across the call and its length is given.
            let got = unsafe { libc::recv(self.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) };
            if let Ok(bytes) = usize::try_from(got) {
                return Ok(Received::Datagram { bytes, truncated: bytes > buffer.len() });
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
