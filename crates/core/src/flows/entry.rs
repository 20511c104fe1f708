//! One flow in the file: sixteen words, two cache lines. The first tells which flow it is, the second what it moved.
//!
//! `base` is what has been booked, `current` what the kernel said last. What is to be booked is their difference, modulo
//! 2^64: a flow whose counters somebody zeroed has a base "below zero".

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::atomic::compiler_fence;

use crate::flow::Address;

use super::Sighting;

pub(crate) const ENTRY_WORDS: usize = 16;
pub(crate) const ENTRY_BYTES: usize = ENTRY_WORDS * size_of::<u64>();

const STATE: usize = 0;
const HASH: usize = 1;
/// The kernel's id, and in the upper half the number of the dump that showed the flow last.
const ID: usize = 2;
const PORTS: usize = 3;
const ENDS: usize = 4;
const BASE: usize = 8;
const CURRENT: usize = 12;

const STATE_MASK: u64 = 0xff;

/// Packets and bytes of the original direction, then of the reply direction.
pub type Counters = [u64; 4];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody's.
    Free = 0,
    Live = 1,
    /// Its DESTROY has come.
    Dead = 2,
}

/// An entry where it is mapped. One thread writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a>(pub(crate) &'a [AtomicU64; ENTRY_WORDS]);

#[allow(clippy::cast_possible_truncation, reason = "fields are cut out of words on purpose")]
impl Entry<'_> {
    #[inline]
    fn get(self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |word| word.load(Relaxed))
    }

    #[inline]
    fn set(self, at: usize, value: u64) {
        #[cfg(test)]
        super::tests::crash::step();
        if let Some(word) = self.0.get(at) {
            word.store(value, Relaxed);
        }
    }

    #[inline]
    fn four(self, at: usize) -> Counters {
        [self.get(at), self.get(at + 1), self.get(at + 2), self.get(at + 3)]
    }

    #[inline]
    fn set_four(self, at: usize, values: Counters) {
        for (offset, value) in values.into_iter().enumerate() {
            self.set(at + offset, value);
        }
    }

    #[inline]
    pub(crate) fn state(self) -> State {
        match self.get(STATE) & STATE_MASK {
            1 => State::Live,
            2 => State::Dead,
            _ => State::Free,
        }
    }

    #[inline]
    pub(crate) fn is(self, sighting: &Sighting) -> bool {
        self.get(HASH) == sighting.hash && self.get(ID) as u32 == sighting.id && self.state() != State::Free
    }

    pub(crate) fn hash(self) -> u64 {
        self.get(HASH)
    }

    pub(crate) fn sweep(self) -> u32 {
        (self.get(ID) >> 32) as u32
    }

    pub(crate) fn base(self) -> Counters {
        self.four(BASE)
    }

    #[inline]
    pub(crate) fn current(self) -> Counters {
        self.four(CURRENT)
    }

    pub(crate) fn protocol(self) -> u8 {
        (self.get(STATE) >> 8) as u8
    }

    pub(crate) fn zone(self) -> u16 {
        (self.get(STATE) >> 16) as u16
    }

    pub(crate) fn mark(self) -> u32 {
        (self.get(STATE) >> 32) as u32
    }

    pub(crate) fn ends(self) -> [Address; 2] {
        let [a, b, c, d] = self.four(ENDS);
        [Address(u128::from(a) << 64 | u128::from(b)), Address(u128::from(c) << 64 | u128::from(d))]
    }

    /// Source and destination port of the original direction, then of the reply direction.
    pub(crate) fn ports(self) -> [u16; 4] {
        let word = self.get(PORTS);
        [word as u16, (word >> 16) as u16, (word >> 32) as u16, (word >> 48) as u16]
    }

    /// What is to be booked. The base is read first: it only ever follows.
    pub(crate) fn moved(self) -> Counters {
        let base = self.base();
        let current = self.current();
        let mut moved = [0; 4];
        for (moved, (current, base)) in moved.iter_mut().zip(current.into_iter().zip(base)) {
            *moved = current.wrapping_sub(base);
        }
        moved
    }

    /// Makes a free entry this flow. Only its last store makes it one: a crash before leaves it free.
    pub(crate) fn begin(self, sighting: &Sighting, sweep: u32, state: State) {
        self.set(HASH, sighting.hash);
        self.set(ID, u64::from(sighting.id) | u64::from(sweep) << 32);
        let [a, b, c, d] = sighting.ports.map(u64::from);
        self.set(PORTS, a | b << 16 | c << 32 | d << 48);
        let [Address(first), Address(second)] = sighting.ends;
        self.set_four(ENDS, [(first >> 64) as u64, first as u64, (second >> 64) as u64, second as u64]);
        self.set_four(BASE, [0; 4]);
        self.set_four(CURRENT, sighting.counters);
        self.set_state(state, sighting);
    }

    /// What the kernel says of it now; the state comes behind the numbers.
    #[inline]
    pub(crate) fn update(self, sighting: &Sighting, state: State) {
        self.set_four(CURRENT, sighting.counters);
        self.set_state(state, sighting);
    }

    #[inline]
    fn set_state(self, state: State, sighting: &Sighting) {
        let word = state as u64
            | u64::from(sighting.protocol) << 8
            | u64::from(sighting.zone) << 16
            | u64::from(sighting.mark) << 32;
        #[cfg(test)]
        super::tests::crash::step();
        compiler_fence(SeqCst);
        if let Some(place) = self.0.get(STATE) {
            place.store(word, Release);
        }
        compiler_fence(SeqCst);
    }

    #[inline]
    pub(crate) fn set_sweep(self, sweep: u32) {
        self.set(ID, self.get(ID) & u64::from(u32::MAX) | u64::from(sweep) << 32);
    }

    pub(crate) fn set_counters(self, base: Counters, current: Counters) {
        self.set_four(BASE, base);
        self.set_four(CURRENT, current);
    }

    /// All of it has been booked.
    pub(crate) fn advance(self) {
        self.set_four(BASE, self.current());
    }

    pub(crate) fn free(self) {
        self.set(STATE, State::Free as u64);
    }
}
