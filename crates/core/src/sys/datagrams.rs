//! Many small datagrams by one call.

use std::io;
use std::os::fd::AsRawFd;

use super::netlink_socket::{NetlinkSocket, Received};

/// Room for so many datagrams, each of a slot.
pub struct Datagrams {
    slots: Box<[u8]>,
    slot_bytes: usize,
    /// They point into `slots`.
    _parts: Box<[libc::iovec]>,
    /// They point into `_parts`.
    headers: Box<[libc::mmsghdr]>,
    count: usize,
}

// SAFETY: the pointers lead into allocations that this value owns and that nobody else knows; they move with it, for a
// box stays where it is.
unsafe impl Send for Datagrams {}

impl Datagrams {
    /// `slots_max` datagrams of `slot_bytes` each.
    #[must_use]
    pub fn new(slots_max: usize, slot_bytes: usize) -> Self {
        let mut slots = vec![0_u8; slots_max * slot_bytes].into_boxed_slice();
        let mut parts: Box<[libc::iovec]> = slots
            .chunks_exact_mut(slot_bytes)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() })
            .collect();
        let headers = parts
            .iter_mut()
            .map(|part| {
                // SAFETY: a message header is plain data for which zero is valid.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = part;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { slots, slot_bytes, _parts: parts, headers, count: 0 }
    }

    /// Receives what is queued, as far as there is room, without waiting. `bytes` of what it returns is the sum.
    ///
    /// # Errors
    /// What the kernel says, other than "nothing there" and "overrun".
    pub fn receive(&mut self, socket: &NetlinkSocket) -> io::Result<Received> {
        self.count = 0;
        let room = libc::c_uint::try_from(self.headers.len()).unwrap_or(0);
        let got = loop {
            // SAFETY: headers, parts and slots are this value's; each part has the length of its slot, and nobody reads
            // the slots meanwhile, for that takes a reference to this value.
            let got = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    room,
                    libc::MSG_DONTWAIT,
                    std::ptr::null_mut(),
                )
            };
            if let Ok(got) = usize::try_from(got) {
                break got;
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(Received::Empty),
                Some(libc::ENOBUFS) => return Ok(Received::Overrun),
                _ => return Err(error),
            }
        };
        self.count = got;
        let bytes = self.headers.iter().take(got).map(length_of).sum();
        Ok(Received::Datagram { bytes, truncated: false })
    }

    /// What the last call received, and whether there was more of each than a slot holds.
    pub fn received(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let slots = self.slots.chunks_exact(self.slot_bytes);
        slots.zip(&self.headers).take(self.count).map(|(slot, header)| {
            let is_cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            (slot.get(..length_of(header)).unwrap_or(slot), is_cut)
        })
    }

    /// Whether the last call found as much as there was room for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == self.headers.len()
    }
}

fn length_of(header: &libc::mmsghdr) -> usize {
    usize::try_from(header.msg_len).unwrap_or(0)
}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datagrams")
            .field("slots", &self.headers.len())
            .field("received", &self.count)
            .finish_non_exhaustive()
    }
}
