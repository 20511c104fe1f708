//! A capture file as a source: pcap and pcapng, from a file or a pipe.
//!
//! [`PcapReader::read`] is called again and again; between two calls everything that was read is in the table. The bytes of
//! a packet are the length in its IP header, so that a capture with a snap length counts the same as a whole one.

mod accounts;
mod classic;
mod clock;
mod format;
mod input;
mod intervals;
mod link;
mod link_names;
mod pcapng;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "how a test fails")]
mod tests;

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;

use arrow_array::StructArray;

use crate::batch::{self, Names};
use crate::error::{Error, Kind, reason};
use crate::posting::KeySpec;
use crate::table::Table;

use accounts::Accounts;
pub use accounts::Counts;
use format::{Decoder, Next, Progress, Refusal};
use input::{Input, is_standard_input};

/// How a capture is read.
#[derive(Clone, Debug)]
pub struct PcapConfig {
    pub key: KeySpec,
    pub rows_max: usize,
    /// Above 0: rows are kept apart by the interval of the packet's time, aligned to multiples of this since 1970 (UTC).
    pub interval_ns: i64,
}

/// Reads one capture into a table. All errors say `FILE: read: cause`.
pub struct PcapReader {
    subject: String,
    key: KeySpec,
    input: Input,
    decoder: Decoder,
    accounts: Accounts,
    /// Bytes that must be available before the next record, or more of it, can be told.
    needed: usize,
    truncated: Option<String>,
    ended: bool,
}

impl PcapReader {
    /// Opens the file at `path` (`-`: standard input) and reads its header; blocks until that is there.
    ///
    /// # Errors
    /// The file cannot be opened, is no capture, or is of a link type that is not understood.
    pub fn open(path: &Path, config: &PcapConfig) -> Result<Self, Error> {
        let subject = if is_standard_input(path) { "standard input".into() } else { path.to_string_lossy() };
        let input = Input::open(path).map_err(|error| failure(&subject, &error))?;
        Self::start(&subject, input, config)
    }

    /// As [`PcapReader::open`], of bytes from anywhere.
    ///
    /// # Errors
    /// As [`PcapReader::open`].
    pub fn from_bytes(bytes: impl Read + Send + 'static, config: &PcapConfig) -> Result<Self, Error> {
        Self::start("capture", Input::new(Box::new(bytes)), config)
    }

    fn start(subject: &str, mut input: Input, config: &PcapConfig) -> Result<Self, Error> {
        // Nothing has been read yet: a signal may end it.
        input.fill(Decoder::DETECT_BYTES).map_err(|error| failure(subject, &error))?;
        let (decoder, header_bytes) =
            Decoder::detect(input.available()).map_err(|refusal| refused(subject, refusal))?;
        input.consume(header_bytes);
        Ok(Self {
            subject: subject.to_owned(),
            key: config.key.clone(),
            input,
            decoder,
            accounts: Accounts::new(&config.key, config.rows_max, config.interval_ns)?,
            needed: 0,
            truncated: None,
            ended: false,
        })
    }

    /// Reads on for about `bytes_max` bytes; false when the capture is at its end, or nothing behind can be read.
    ///
    /// From a pipe it returns, with true, after each wait for more bytes, and when a signal interrupts one.
    ///
    /// # Errors
    /// The system's own; a packet of a link type that is not understood; with intervals, a packet without a time or too
    /// many intervals.
    pub fn read(&mut self, bytes_max: u64) -> Result<bool, Error> {
        let until = self.input.position_bytes().saturating_add(bytes_max);
        while !self.ended {
            match self.input.fill(self.needed) {
                Ok(true) => self.decode()?,
                Ok(false) => self.end_of_input(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
                Err(error) => return Err(failure(&self.subject, &error)),
            }
            // A signal that comes between two waits is seen by the caller only.
            if self.input.waits() || self.input.position_bytes() >= until {
                break;
            }
        }
        self.accounts.flush();
        Ok(!self.ended)
    }

    /// Books all whole packets that are available.
    fn decode(&mut self) -> Result<(), Error> {
        let accounts = &mut self.accounts;
        let Progress { consumed, next } = self
            .decoder
            .decode(self.input.available(), |packet| accounts.book(&packet))
            .map_err(|refusal| refused(&self.subject, refusal))?;
        self.input.consume(consumed);
        match next {
            Next::Needs(bytes) => self.needed = bytes,
            Next::Damaged(what) => self.damaged(&what),
        }
        Ok(())
    }

    fn end_of_input(&mut self) {
        self.ended = true;
        let (there, needed) = (self.input.available().len(), self.needed);
        if there > 0 {
            let at = self.input.position_bytes();
            self.truncated =
                Some(format!("it ends inside a record at byte {at} ({there} of at least {needed} bytes are there)"));
        }
    }

    fn damaged(&mut self, what: &str) {
        self.ended = true;
        self.truncated = Some(format!("it is damaged at byte {} ({what})", self.input.position_bytes()));
    }

    /// Bytes of the capture read so far.
    #[must_use]
    pub fn position_bytes(&self) -> u64 {
        self.input.position_bytes()
    }

    /// Size of the file when it was opened; None for a pipe.
    #[must_use]
    pub fn size_bytes(&self) -> Option<u64> {
        self.input.size_bytes()
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.accounts.counts()
    }

    /// What is wrong with the end of the capture, or None when it is whole.
    #[must_use]
    pub fn truncated(&self) -> Option<&str> {
        self.truncated.as_deref()
    }

    /// Names of the link types that the capture has declared.
    #[must_use]
    pub fn link_types(&self) -> Vec<&'static str> {
        self.decoder.link_numbers().into_iter().map(link_names::link_name).collect()
    }

    /// What has been read, by key. With intervals, a key's tag is an index into [`PcapReader::interval_starts_ns`].
    #[must_use]
    pub fn table(&self) -> &Table {
        self.accounts.table()
    }

    /// The rows as Arrow columns; with intervals, the start of each row's interval is the first one.
    ///
    /// # Errors
    /// Arrow's own; none is known to be possible here.
    pub fn batch(&self) -> Result<StructArray, Error> {
        let names = Names { interfaces: &HashMap::new(), labels: &[] };
        let table = self.table();
        let numbers = self.accounts.numbers();
        let rows = table.rows().map(|(key, sums)| (numbers.renumbered(key), sums));
        batch::batch(rows, table.len(), &self.key, &names, numbers.intervals)
    }

    /// Start of each interval, in the order in which they appeared; empty without intervals.
    #[must_use]
    pub fn interval_starts_ns(&self) -> &[i64] {
        self.accounts.starts_ns()
    }
}

fn failure(subject: &str, error: &io::Error) -> Error {
    Error::new(Kind::Capture, subject, "read", reason(error))
}

fn refused(subject: &str, refusal: Refusal) -> Error {
    let error = Error::new(Kind::Capture, subject, "read", refusal.cause);
    match refusal.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
