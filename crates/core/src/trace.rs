//! What a meter noted, for those who watch: a bounded ring. It drops the newest when nobody takes what is there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::flow::Address;

/// How much is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Packets that could not be read, gaps and overruns.
    Notable,
    /// Also each batch.
    Batches,
    /// Also each packet: for looking at a quiet line, not for a busy one.
    Packets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Batch { packets: u64 },
    Packet { address: Address, is_source: bool, bytes: u64, is_ipv4: bool },
    Short { have: usize, need: usize, version: u8 },
    Version { found: u8 },
    Missing { count: u32, received: u32, expected: u32 },
    Overrun,
}

/// An event and the NFLOG group that it is about.
pub type Noted = (u16, Event);

#[derive(Debug)]
pub struct Trace {
    level: Level,
    max: usize,
    ring: Mutex<VecDeque<Noted>>,
}

impl Trace {
    #[must_use]
    pub fn new(level: Level, max: usize) -> Arc<Self> {
        Arc::new(Self { level, max, ring: Mutex::new(VecDeque::new()) })
    }

    #[must_use]
    #[inline]
    pub fn wants(&self, level: Level) -> bool {
        self.max > 0 && self.level >= level
    }

    #[cold]
    pub fn note(&self, group: u16, event: Event) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() < self.max {
            ring.push_back((group, event));
        }
    }

    /// Takes what is there.
    pub fn take(&self) -> Vec<Noted> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}
