//! Waiting for sockets, and being woken by another thread.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Wakes a thread that waits in [`wait`].
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// # Errors
    /// The kernel's, when no file descriptor is left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: only integers cross; the descriptor returned is ours alone.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub fn wake(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight bytes that live across the call. It fails only when the counter is full, which wakes as well.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Forgets the wake-ups so far.
    pub fn clear(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: eight bytes to write to. It fails when nobody woke us, which is fine.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits until one of `descriptors` can be read or has an error, or `timeout` is over; `None` waits for ever.
///
/// `ready` gets one entry per descriptor. Being interrupted by a signal counts as nothing ready.
pub fn wait(descriptors: &[RawFd], timeout: Option<Duration>, ready: &mut Vec<bool>) {
    let mut polls: Vec<libc::pollfd> =
        descriptors.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    let milliseconds = timeout.map_or(-1, |t| i32::try_from(t.as_millis()).unwrap_or(i32::MAX));
    // SAFETY: the array lives across the call and its length is given.
    let count = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, milliseconds) };
    ready.clear();
    ready.extend(polls.iter().map(|p| count > 0 && p.revents != 0));
}
