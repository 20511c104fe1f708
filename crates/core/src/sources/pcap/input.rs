//! Bytes of a file or a pipe, in order, through one buffer that is used again and again.
//!
//! The file is read, not mapped: a mapping of a file that someone shortens kills the process (SIGBUS), and copying out of
//! the page cache is not what limits the reader.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

/// Where the bytes come from.
pub(super) trait Origin: Read + Send {}
impl<T: Read + Send> Origin for T {}

/// A dash stands for it, as everywhere.
pub(super) fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Small enough to stay in the processor's cache between the read and the decoding.
const BUFFER_BYTES: usize = 256 << 10;

pub(super) struct Input {
    origin: Box<dyn Origin>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    position_bytes: u64,
    size_bytes: Option<u64>,
    waits: bool,
    ended: bool,
}

impl Input {
    /// Opens the file at `path`, or standard input for `-`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = if is_standard_input(path) {
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        } else {
            File::open(path)?
        };
        let metadata = file.metadata()?;
        let size_bytes = metadata.is_file().then_some(metadata.len());
        Ok(Self { size_bytes, waits: size_bytes.is_none(), ..Self::new(Box::new(file)) })
    }

    pub(super) fn new(origin: Box<dyn Origin>) -> Self {
        Self {
            origin,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            position_bytes: 0,
            size_bytes: None,
            waits: false,
            ended: false,
        }
    }

    /// What was read and not yet consumed.
    pub(super) fn available(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Lets go of the first `bytes` of what is available.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.start = self.end.min(self.start + bytes);
        self.position_bytes += bytes as u64;
    }

    /// Reads until `needed` bytes are available; fewer are only at the end. False: not a single one has come.
    ///
    /// # Errors
    /// The system's own; `Interrupted` when a signal came, and the call may be repeated.
    pub(super) fn fill(&mut self, needed: usize) -> io::Result<bool> {
        let before = self.end - self.start;
        if before >= needed || self.ended {
            return Ok(before >= needed);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < needed {
            self.buffer.resize(needed.next_multiple_of(BUFFER_BYTES), 0);
        }
        while self.end < needed && !self.ended {
            let Some(room) = self.buffer.get_mut(self.end..) else { break };
            match self.origin.read(room)? {
                0 => self.ended = true,
                bytes => self.end += bytes,
            }
        }
        Ok(self.end > before)
    }

    /// Bytes consumed so far.
    pub(super) fn position_bytes(&self) -> u64 {
        self.position_bytes
    }

    /// Whether a read may wait for someone who writes: a pipe, a terminal.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Size of a regular file when it was opened; None for a pipe.
    pub(super) fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }
}
