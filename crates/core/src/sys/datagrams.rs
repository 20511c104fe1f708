//! Many small datagrams by one call.

use std::io;
use std::os::fd::AsRawFd;

use super::netlink_socket::{NetlinkSocket, Received};

/// Room for so many datagrams, each of a slot.
#[derive(Debug)]
pub struct Datagrams {
    slots: Vec<u8>,
    slot_bytes: usize,
    /// Bytes, and whether there were more than the slot holds.
    lengths: Vec<(usize, bool)>,
    count: usize,
}

impl Datagrams {
    /// `slots_max` datagrams of `slot_bytes` each.
    #[must_use]
    pub fn new(slots_max: usize, slot_bytes: usize) -> Self {
        Self { slots: vec![0; slots_max * slot_bytes], slot_bytes, lengths: vec![(0, false); slots_max], count: 0 }
    }

    /// Receives what is queued, as far as there is room, without waiting. `bytes` of what it returns is the sum.
    ///
    /// # Errors
    /// What the kernel says, other than "nothing there" and "overrun".
    pub fn receive(&mut self, socket: &NetlinkSocket) -> io::Result<Received> {
        self.count = 0;
        let mut parts: Vec<libc::iovec> = self
            .slots
            .chunks_exact_mut(self.slot_bytes)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .map(|part| {
                // SAFETY: a message header is plain data for which zero is valid.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = part;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        let room = libc::c_uint::try_from(headers.len()).unwrap_or(0);
        let got = loop {
            // SAFETY: headers, parts and slots live across the call; each part has the length of its slot.
            let got = unsafe {
                libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), room, libc::MSG_DONTWAIT, std::ptr::null_mut())
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
        let mut bytes = 0;
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(got) {
            let received = usize::try_from(header.msg_len).unwrap_or(0);
            *length = (received.min(self.slot_bytes), header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0);
            bytes += received;
        }
        self.count = got;
        Ok(Received::Datagram { bytes, truncated: false })
    }

    /// What the last call received, and whether there was more of each.
    pub fn received(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let slots = self.slots.chunks_exact(self.slot_bytes);
        slots
            .zip(&self.lengths)
            .take(self.count)
            .map(|(slot, &(bytes, truncated))| (slot.get(..bytes).unwrap_or_default(), truncated))
    }

    /// Whether the last call found as much as there was room for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == self.lengths.len()
    }
}
