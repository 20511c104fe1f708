//! Adding postings to their rows, many at once: a cache miss of one is waited for while the others are asked for.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, compiler_fence};

use crate::flow::{Address, Key, NARROW_WORDS, Posting, Side, WIDE_WORDS};
use crate::sys::mapping::prefetch;

use super::index::{LookUp, NONE, Tag};
use super::{CONTROL_APPLIED, NARROW_STRIDE, Table, WIDE_STRIDE};

/// Postings whose look-ups are in flight together. Their tags and rows stay in the first-level cache.
pub(crate) const FLIGHT: usize = 64;

/// A posting to a table whose keys have so many words.
pub(crate) trait Entry<const KEY: usize>: Copy {
    const EMPTY: Self;

    fn tag(&self, look_up: &LookUp<'_>) -> Tag;
    /// Whether a row is that of its key. All words are compared before the one decision.
    fn is_at(&self, row: &[AtomicU64; KEY]) -> bool;
    fn posting(&self) -> Posting;
    fn side(&self) -> Side;
    fn bytes(&self) -> u64;
    #[inline]
    fn packets(&self) -> u64 {
        1
    }
}

impl<const KEY: usize> Entry<KEY> for Posting {
    const EMPTY: Self = Self { key: Key { words: [0; WIDE_WORDS] }, bytes: 0, side: Side::Sent };

    #[inline]
    fn tag(&self, look_up: &LookUp<'_>) -> Tag {
        look_up.tag::<KEY>(&self.key)
    }

    #[inline]
    fn is_at(&self, row: &[AtomicU64; KEY]) -> bool {
        is_at(row, &self.key)
    }

    #[inline]
    fn posting(&self) -> Posting {
        *self
    }

    #[inline]
    fn side(&self) -> Side {
        self.side
    }

    #[inline]
    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A posting where nothing but the host tells rows apart: the rest of its key is zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostPosting {
    host: [u64; 2],
    bytes: u64,
    side: Side,
}

impl HostPosting {
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the two halves of an address")]
    pub(crate) fn new(Address(host): Address, bytes: u64, side: Side) -> Self {
        Self { host: [(host >> 64) as u64, host as u64], bytes, side }
    }
}

impl Entry<NARROW_WORDS> for HostPosting {
    const EMPTY: Self = Self { host: [0; 2], bytes: 0, side: Side::Sent };

    #[inline]
    fn tag(&self, look_up: &LookUp<'_>) -> Tag {
        look_up.host_tag(self.host)
    }

    #[inline]
    fn is_at(&self, [high, low, meta, place]: &[AtomicU64; NARROW_WORDS]) -> bool {
        let rest = meta.load(Relaxed) | place.load(Relaxed);
        (high.load(Relaxed) ^ self.host[0]) | (low.load(Relaxed) ^ self.host[1]) | rest == 0
    }

    #[inline]
    fn posting(&self) -> Posting {
        let [high, low] = self.host.map(u128::from);
        Posting { key: Key::host_only(Address(high << 64 | low)), bytes: self.bytes, side: self.side }
    }

    #[inline]
    fn side(&self) -> Side {
        self.side
    }

    #[inline]
    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A posting that stands for so many packets.
#[derive(Clone, Copy, Debug)]
struct Counted(Posting, u64);

impl<const KEY: usize> Entry<KEY> for Counted {
    const EMPTY: Self = Self(<Posting as Entry<KEY>>::EMPTY, 0);

    #[inline]
    fn tag(&self, look_up: &LookUp<'_>) -> Tag {
        look_up.tag::<KEY>(&self.0.key)
    }

    #[inline]
    fn is_at(&self, row: &[AtomicU64; KEY]) -> bool {
        is_at(row, &self.0.key)
    }

    #[inline]
    fn posting(&self) -> Posting {
        self.0
    }

    #[inline]
    fn side(&self) -> Side {
        self.0.side
    }

    #[inline]
    fn bytes(&self) -> u64 {
        self.0.bytes
    }

    #[inline]
    fn packets(&self) -> u64 {
        self.1
    }
}

/// A posting on its way, and where it probably goes: the first row whose key has the same tag.
#[derive(Clone, Copy)]
struct Seat<E> {
    entry: E,
    tag: Tag,
    row: u32,
}

/// Postings on their way into a table: while one is made, the places of those before it are asked for.
pub(crate) struct Flight<E>([Seat<E>; FLIGHT]);

impl<E> Flight<E> {
    pub(crate) fn new<const KEY: usize>() -> Self
    where
        E: Entry<KEY>,
    {
        Self([Seat { entry: E::EMPTY, tag: 0, row: NONE }; FLIGHT])
    }

    /// Takes postings until it lands ([`Table::land`]).
    #[inline]
    pub(crate) fn board<'a>(&'a mut self, table: &'a Table) -> Boarding<'a, E> {
        Boarding { free: self.0.iter_mut(), look_up: table.index.look_up() }
    }
}

/// A flight that takes postings: [`FLIGHT`] of them.
pub(crate) struct Boarding<'a, E> {
    free: std::slice::IterMut<'a, Seat<E>>,
    look_up: LookUp<'a>,
}

impl<E> Boarding<'_, E> {
    /// For those who see to it that there is room: what finds none is not booked.
    #[inline]
    pub(crate) fn take<const KEY: usize>(&mut self, entry: E)
    where
        E: Entry<KEY>,
    {
        debug_assert!(self.free.len() > 0, "a flight takes no more than it has seats for");
        if let Some(seat) = self.free.next() {
            seat.tag = entry.tag(&self.look_up);
            self.look_up.prefetch(seat.tag);
            seat.entry = entry;
        }
    }

    /// How many it took.
    #[inline]
    pub(crate) fn taken(&self) -> usize {
        FLIGHT - self.free.len()
    }
}

impl Table {
    /// Adds postings to their rows, in order.
    pub fn apply(&mut self, postings: &[Posting]) {
        if self.is_wide() {
            self.fly::<_, Posting, WIDE_WORDS, WIDE_STRIDE>(postings, |posting| *posting);
        } else {
            self.fly::<_, Posting, NARROW_WORDS, NARROW_STRIDE>(postings, |posting| *posting);
        }
    }

    /// Adds postings that stand for so many packets each, in order.
    pub fn apply_counted(&mut self, postings: &[(Posting, u64)]) {
        let counted = |&(posting, packets): &(Posting, u64)| Counted(posting, packets);
        if self.is_wide() {
            self.fly::<_, Counted, WIDE_WORDS, WIDE_STRIDE>(postings, counted);
        } else {
            self.fly::<_, Counted, NARROW_WORDS, NARROW_STRIDE>(postings, counted);
        }
    }

    #[inline]
    fn fly<T, E: Entry<KEY>, const KEY: usize, const STRIDE: usize>(&mut self, all: &[T], entry: impl Fn(&T) -> E) {
        let mut flight = Flight::new();
        for some in all.chunks(FLIGHT) {
            let mut boarding = flight.board(self);
            for one in some {
                boarding.take(entry(one));
            }
            self.land::<E, KEY, STRIDE>(&mut flight, some.len());
        }
    }

    /// Adds the first postings of a flight, in order.
    #[inline]
    pub(crate) fn land<E: Entry<KEY>, const KEY: usize, const STRIDE: usize>(
        &mut self,
        flight: &mut Flight<E>,
        taken: usize,
    ) {
        let look_up = self.index.look_up();
        let (rows, _) = self.rows.words().as_chunks::<STRIDE>();
        let mut seats = flight.0.get_mut(..taken).unwrap_or_default();
        for seat in seats.iter_mut() {
            seat.row = look_up.first(seat.tag);
            prefetch(rows, seat.row as usize);
        }
        while let Some((Seat { entry, tag, .. }, behind)) = self.add_found::<E, KEY, STRIDE>(seats).split_first_mut() {
            // It is new, or another key has its tag.
            self.add_one(&entry.posting(), *tag, entry.packets());
            seats = behind;
        }
    }

    /// Adds postings as long as their rows are the ones that were found. Returns those that are left.
    #[inline]
    fn add_found<'a, E: Entry<KEY>, const KEY: usize, const STRIDE: usize>(
        &mut self,
        seats: &'a mut [Seat<E>],
    ) -> &'a mut [Seat<E>] {
        let (rows, _) = self.rows.words().as_chunks::<STRIDE>();
        let Some(word) = self.control.words().get(CONTROL_APPLIED) else { return seats };
        let before = self.applied;
        let mut applied = before;
        for Seat { entry, row, .. } in seats.iter() {
            let Some(row) = rows.get(*row as usize) else { break };
            let Some(key) = row.first_chunk() else { break };
            if !entry.is_at(key) {
                break;
            }
            add_to::<KEY>(row, entry.side(), entry.packets(), entry.bytes());
            applied = applied.wrapping_add(1);
            // The compiler must not let the store pass the additions, nor the next additions pass the store.
            compiler_fence(SeqCst);
            word.store(applied, Relaxed);
            compiler_fence(SeqCst);
        }
        self.applied = applied;
        let done = usize::try_from(applied.wrapping_sub(before)).unwrap_or(usize::MAX);
        seats.get_mut(done..).unwrap_or_default()
    }

    /// Adds a single posting that stands for so many packets.
    pub(crate) fn apply_one(&mut self, posting: &Posting, packets: u64) {
        let tag = self.tag(&posting.key);
        self.add_one(posting, tag, packets);
    }

    fn add_one(&mut self, posting: &Posting, tag: Tag, packets: u64) {
        let row = self.find_or_append(&posting.key, tag);
        self.add(row, posting.side, packets, posting.bytes);
        // As in `add_found`.
        compiler_fence(SeqCst);
        self.set_applied(self.applied.wrapping_add(1));
        compiler_fence(SeqCst);
    }
}

/// Whether a row's first words are the key's. All are compared before the one decision.
#[inline]
pub(super) fn is_at<const KEY: usize>(row: &[AtomicU64; KEY], key: &Key) -> bool {
    let differences = row.iter().zip(&key.words).map(|(word, wanted)| word.load(Relaxed) ^ wanted);
    differences.fold(0, |all, difference| all | difference) == 0
}

#[inline]
pub(super) fn add_to<const KEY: usize>(row: &[AtomicU64], side: Side, packets: u64, bytes: u64) {
    let Some([sent_packets, sent_bytes, received_packets, received_bytes, ..]) = row.get(KEY..) else { return };
    let (packet_word, byte_word) = match side {
        Side::Sent => (sent_packets, sent_bytes),
        Side::Received => (received_packets, received_bytes),
    };
    packet_word.store(packet_word.load(Relaxed).saturating_add(packets), Relaxed);
    byte_word.store(byte_word.load(Relaxed).saturating_add(bytes), Relaxed);
}
