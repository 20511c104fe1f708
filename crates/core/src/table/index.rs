//! Finds a row by its key's hash: open addressing, eight bytes a slot, at most half full.
//!
//! A slot holds 32 bits of the hash and the row's number. Its place follows from those same 32 bits, so that growing
//! reads the old slots in order, writes the new ones nearly in order, and never touches a row or a key.
//!
//! The index lives in this process alone: after a crash it is built again from the rows.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::Error;
use crate::flow::{Key, NARROW_WORDS};
use crate::sys::mapping::{Mapping, prefetch};

const BITS_MIN: u32 = 10;
/// Slots are placed by 32 bits of hash, and are at most half full.
pub(crate) const ROWS_LIMIT: u32 = 1 << 30;
/// No row.
pub(crate) const NONE: u32 = u32::MAX;

/// The 32 bits of a key's hash that the index works with.
pub(crate) type Tag = u32;

#[derive(Debug)]
pub(crate) struct Index {
    /// In huge pages where the kernel has them: at 100,000 keys a look-up would else miss the translation cache too.
    slots: Mapping,
    bits: u32,
    used: usize,
    /// Random, so that nobody can choose addresses that collide.
    seeds: [u64; 6],
}

impl Index {
    /// With room for `rows` without growing.
    pub(crate) fn new(rows: usize) -> Result<Self, Error> {
        let random = RandomState::new();
        let mut seeds = [0; 6];
        for (number, seed) in seeds.iter_mut().enumerate() {
            *seed = random.hash_one(number) | 1;
        }
        let bits = (rows.max(1) * 2).next_power_of_two().trailing_zeros().clamp(BITS_MIN, 31);
        Ok(Self { slots: slots(bits)?, bits, used: 0, seeds })
    }

    /// What looking up needs, for those who look up many: it stays in registers.
    #[inline]
    pub(crate) fn look_up(&self) -> LookUp<'_> {
        let [_, _, s2, s3, ..] = self.seeds;
        let zeros = fold(s2, s3);
        LookUp { slots: self.slots.words(), shift: 32 - self.bits, seeds: self.seeds, zeros }
    }

    #[inline]
    pub(crate) fn tag<const KEY: usize>(&self, key: &Key) -> Tag {
        self.look_up().tag::<KEY>(key)
    }

    #[inline]
    fn place(&self, tag: Tag) -> usize {
        self.look_up().place(tag)
    }

    #[inline]
    pub(crate) fn prefetch(&self, tag: Tag) {
        self.look_up().prefetch(tag);
    }

    /// The first row whose hash has this tag, or [`NONE`].
    #[inline]
    pub(crate) fn first(&self, tag: Tag) -> u32 {
        self.look_up().first(tag)
    }

    /// The first row of this tag that `is_it`, or [`NONE`].
    #[inline]
    pub(crate) fn find(&self, tag: Tag, is_it: impl FnMut(u32) -> bool) -> u32 {
        self.look_up().find(tag, is_it)
    }

    /// Makes sure that one more row can be found; false if there is no memory for it.
    pub(crate) fn make_room(&mut self) -> bool {
        (self.used + 1) * 2 <= self.slots.words().len() || self.grow()
    }

    /// Notes a row, after [`Self::make_room`].
    pub(crate) fn insert(&mut self, tag: Tag, row: u32) {
        self.used += 1;
        self.put(u64::from(tag) << 32 | (u64::from(row) + 1));
    }

    #[allow(clippy::cast_possible_truncation, reason = "the upper half of a slot")]
    fn put(&mut self, slot: u64) {
        let slots = self.slots.words();
        let mask = slots.len().wrapping_sub(1);
        let mut place = self.place((slot >> 32) as Tag);
        while let Some(found) = slots.get(place) {
            if found.load(Relaxed) == 0 {
                found.store(slot, Relaxed);
                return;
            }
            place = (place + 1) & mask;
        }
    }

    /// Forgets a row. Those behind it move up, so that none is behind a gap.
    pub(crate) fn remove(&mut self, tag: Tag, row: u32) {
        let slots = self.slots.words();
        let mask = slots.len().wrapping_sub(1);
        let load = |place: usize| slots.get(place).map_or(0, |slot| slot.load(Relaxed));
        let wanted = u64::from(tag) << 32 | (u64::from(row) + 1);
        let mut gap = self.place(tag);
        while load(gap) != wanted {
            if load(gap) == 0 {
                return;
            }
            gap = (gap + 1) & mask;
        }
        let mut place = (gap + 1) & mask;
        loop {
            let slot = load(place);
            #[allow(clippy::cast_possible_truncation, reason = "the upper half of a slot")]
            let home = self.place((slot >> 32) as Tag);
            if slot == 0 {
                break;
            }
            // It may stand in the gap if that is not in front of where it belongs.
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(gap) & mask {
                if let Some(target) = slots.get(gap) {
                    target.store(slot, Relaxed);
                }
                gap = place;
            }
            place = (place + 1) & mask;
        }
        if let Some(last) = slots.get(gap) {
            last.store(0, Relaxed);
        }
        self.used -= 1;
    }

    fn grow(&mut self) -> bool {
        let Ok(larger) = slots(self.bits + 1) else { return false };
        self.bits += 1;
        let old = std::mem::replace(&mut self.slots, larger);
        for slot in old.words() {
            let slot = slot.load(Relaxed);
            if slot != 0 {
                self.put(slot);
            }
        }
        true
    }
}

/// An index as it is until the next row is noted.
#[derive(Clone, Copy)]
pub(crate) struct LookUp<'a> {
    slots: &'a [AtomicU64],
    shift: u32,
    seeds: [u64; 6],
    /// What the third and the fourth word make of the hash when they are zero.
    zeros: u64,
}

impl LookUp<'_> {
    /// Folded multiplications, after wyhash's construction: two for a narrow key, three for a wide one.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the upper half of 64 bits")]
    pub(crate) fn tag<const KEY: usize>(&self, key: &Key) -> Tag {
        let [w0, w1, w2, w3, w4, w5] = key.words;
        let [s0, s1, s2, s3, s4, s5] = self.seeds;
        let mut hash = fold(w0 ^ s0, w1 ^ s1) ^ fold(w2 ^ s2, w3 ^ s3);
        if KEY > NARROW_WORDS {
            hash ^= fold(w4 ^ s4, w5 ^ s5);
        }
        (hash >> 32) as Tag
    }

    /// The tag of a narrow key of which all but the host is zero.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the upper half of 64 bits")]
    pub(crate) fn host_tag(&self, [w0, w1]: [u64; 2]) -> Tag {
        let [s0, s1, ..] = self.seeds;
        ((fold(w0 ^ s0, w1 ^ s1) ^ self.zeros) >> 32) as Tag
    }

    #[inline]
    fn place(&self, tag: Tag) -> usize {
        (tag >> self.shift) as usize
    }

    #[inline]
    pub(crate) fn prefetch(&self, tag: Tag) {
        prefetch(self.slots, self.place(tag));
    }

    #[inline]
    pub(crate) fn first(&self, tag: Tag) -> u32 {
        self.find(tag, |_| true)
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the two halves of a slot")]
    pub(crate) fn find(&self, tag: Tag, mut is_it: impl FnMut(u32) -> bool) -> u32 {
        let mask = self.slots.len().wrapping_sub(1);
        let mut place = self.place(tag);
        loop {
            let slot = self.slots.get(place).map_or(0, |slot| slot.load(Relaxed));
            if slot == 0 {
                return NONE;
            }
            let row = (slot as u32).wrapping_sub(1);
            if (slot >> 32) as Tag == tag && is_it(row) {
                return row;
            }
            place = (place + 1) & mask;
        }
    }
}

fn slots(bits: u32) -> Result<Mapping, Error> {
    Mapping::anonymous(size_of::<u64>() << bits).map_err(|e| Error::io("table", "map memory for its index", &e))
}

const _: () = assert!(NARROW_WORDS == 4, "the hash reads four words of a narrow key");

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Tags that share few places, among them the last ones: what is behind them is at the beginning.
        #[test]
        fn rows_that_are_left_are_found(steps in vec((0..40_u32, any::<bool>()), 1..300)) {
            let mut index = Index::new(0)?;
            let mut rows = BTreeMap::new();
            for (row, add) in steps {
                let tag = 0xffff_ff00_u32.wrapping_add(row % 7 * 50);
                if add && !rows.contains_key(&row) {
                    prop_assert!(index.make_room());
                    index.insert(tag, row);
                    rows.insert(row, tag);
                } else if !add {
                    index.remove(tag, row);
                    rows.remove(&row);
                }
                for row in 0..40_u32 {
                    let tag = 0xffff_ff00_u32.wrapping_add(row % 7 * 50);
                    let expected = if rows.contains_key(&row) { row } else { NONE };
                    prop_assert_eq!(index.find(tag, |found| found == row), expected);
                }
            }
            prop_assert_eq!(index.used, rows.len());
        }
    }
}
