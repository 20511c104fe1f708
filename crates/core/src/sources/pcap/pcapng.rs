//! The pcapng format: blocks in sections. <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>
//!
//! Section header, interface descriptions and the three kinds of packet blocks are read; all others are skipped.

use std::collections::BTreeSet;

use super::clock::Clock;
use super::format::{Next, Packet, Progress, RECORD_BYTES_MAX, Refusal, unknown_link};
use super::link::Link;

/// Interfaces of one section; a file that declares more is not from a capture.
pub(super) const INTERFACES_MAX: usize = 1 << 16;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type, length, and the length again at the end.
const BLOCK_FRAME_BYTES: usize = 12;

/// What has been declared so far; interfaces are forgotten at the next section header.
#[derive(Debug, Default)]
pub(super) struct Pcapng {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Of all sections.
    link_numbers: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    /// Not understood is no matter until a packet comes: captures declare interfaces that never see one.
    link: Option<Link>,
    link_number: u32,
    snap_bytes: u32,
    clock: Clock,
}

/// Why a block is not taken: the file is damaged from here on, or its user must be told.
enum Fault {
    Damage(String),
    Refused(Refusal),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault::Refused(refusal)
    }
}

fn damage<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Damage(what.into()))
}

impl Pcapng {
    /// Numbers of all link types declared so far.
    pub(super) fn link_numbers(&self) -> &BTreeSet<u32> {
        &self.link_numbers
    }

    #[inline]
    pub(super) fn decode<S>(&mut self, bytes: &[u8], mut sink: S) -> Result<Progress, Refusal>
    where
        S: FnMut(Packet<'_>) -> Result<(), Refusal>,
    {
        let mut rest = bytes;
        let next = loop {
            match self.block(rest, &mut sink) {
                Ok(Whole::Block(behind)) => rest = behind,
                Ok(Whole::Needs(bytes)) => break Next::Needs(bytes),
                Err(Fault::Damage(what)) => break Next::Damaged(what),
                Err(Fault::Refused(refusal)) => return Err(refusal),
            }
        };
        Ok(Progress { consumed: bytes.len() - rest.len(), next })
    }

    /// Takes the block at the start of `bytes`.
    #[inline]
    fn block<'a, S>(&mut self, bytes: &'a [u8], sink: &mut S) -> Result<Whole<'a>, Fault>
    where
        S: FnMut(Packet<'_>) -> Result<(), Refusal>,
    {
        let Some((head, behind_head)) = bytes.split_first_chunk::<8>() else {
            return Ok(Whole::Needs(BLOCK_FRAME_BYTES));
        };
        let kind = self.word([head[0], head[1], head[2], head[3]]);
        if kind == SECTION_HEADER {
            // Its number reads the same in both byte orders, its length does not: the byte order mark comes first.
            let Some(mark) = behind_head.first_chunk::<4>() else {
                return Ok(Whole::Needs(BLOCK_FRAME_BYTES));
            };
            self.big_endian = match mark {
                [0x1a, 0x2b, 0x3c, 0x4d] => true,
                [0x4d, 0x3c, 0x2b, 0x1a] => false,
                _ => return damage("a section header without a byte order mark"),
            };
        }
        let length = self.word([head[4], head[5], head[6], head[7]]) as usize;
        if length < BLOCK_FRAME_BYTES || !length.is_multiple_of(4) || length > RECORD_BYTES_MAX {
            return damage(format!("a block of {length} bytes"));
        }
        let Some((block, behind)) = bytes.split_at_checked(length) else {
            return Ok(Whole::Needs(length));
        };
        let Some((body, tail)) = block.get(8..).and_then(|rest| rest.split_last_chunk::<4>()) else {
            return damage(format!("a block of {length} bytes"));
        };
        if self.word(*tail) as usize != length {
            return damage("a block whose two lengths differ");
        }
        match kind {
            ENHANCED_PACKET => self.enhanced(body, sink)?,
            SIMPLE_PACKET => self.simple(body, sink)?,
            OBSOLETE_PACKET => self.obsolete(body, sink)?,
            SECTION_HEADER => self.section(body)?,
            INTERFACE_DESCRIPTION => self.interface(body)?,
            _ => {}
        }
        Ok(Whole::Block(behind))
    }

    fn section(&mut self, body: &[u8]) -> Result<(), Fault> {
        let Some(&[_, _, _, _, a, b, c, d, ..]) = body.first_chunk::<16>() else {
            return damage("a section header that is too short");
        };
        let (major, minor) = (self.half([a, b]), self.half([c, d]));
        // 1.2 was written by early tools and means 1.0, says the draft.
        if major != 1 || !matches!(minor, 0 | 2) {
            return Err(Refusal::new(format!("version {major}.{minor} of the pcapng format is not understood")).into());
        }
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), Fault> {
        let Some((&[a, b, _, _, s0, s1, s2, s3], options)) = body.split_first_chunk::<8>() else {
            return damage("an interface description that is too short");
        };
        if self.interfaces.len() >= INTERFACES_MAX {
            return damage(format!("more than {INTERFACES_MAX} interfaces in a section"));
        }
        let link_number = u32::from(self.half([a, b]));
        self.link_numbers.insert(link_number);
        self.interfaces.push(Interface {
            link: Link::from_number(link_number),
            link_number,
            snap_bytes: self.word([s0, s1, s2, s3]),
            clock: self.clock(options),
        });
        Ok(())
    }

    /// Options that make no sense are passed over: none but the clock's is needed.
    fn clock(&self, mut options: &[u8]) -> Clock {
        const END: u16 = 0;
        const TIME_RESOLUTION: u16 = 9;
        const TIME_OFFSET: u16 = 14;
        let mut clock = Clock::default();
        while let Some((&[a, b, c, d], rest)) = options.split_first_chunk::<4>() {
            let (code, length) = (self.half([a, b]), usize::from(self.half([c, d])));
            let Some((value, behind)) = rest.split_at_checked(length) else { break };
            match (code, value) {
                (END, _) => break,
                (TIME_RESOLUTION, &[resolution]) => clock.set_resolution(resolution),
                (TIME_OFFSET, value) => {
                    if let Ok(offset) = <[u8; 8]>::try_from(value) {
                        let little = i64::from_le_bytes(offset);
                        clock.set_offset(if self.big_endian { little.swap_bytes() } else { little });
                    }
                }
                _ => {}
            }
            options = behind.get(padding(length)..).unwrap_or_default();
        }
        clock
    }

    #[inline]
    fn enhanced<S>(&self, body: &[u8], sink: &mut S) -> Result<(), Fault>
    where
        S: FnMut(Packet<'_>) -> Result<(), Refusal>,
    {
        let Some((h, rest)) = body.split_first_chunk::<20>() else {
            return damage("a packet block that is too short");
        };
        let index = self.word([h[0], h[1], h[2], h[3]]) as usize;
        self.timed(
            index,
            [h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11]],
            [h[12], h[13], h[14], h[15]],
            [h[16], h[17], h[18], h[19]],
            rest,
            sink,
        )
    }

    /// The Packet Block of early pcapng: as the enhanced one, with a 16-bit interface and a drop count.
    fn obsolete<S>(&self, body: &[u8], sink: &mut S) -> Result<(), Fault>
    where
        S: FnMut(Packet<'_>) -> Result<(), Refusal>,
    {
        let Some((h, rest)) = body.split_first_chunk::<20>() else {
            return damage("a packet block that is too short");
        };
        let index = usize::from(self.half([h[0], h[1]]));
        self.timed(
            index,
            [h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11]],
            [h[12], h[13], h[14], h[15]],
            [h[16], h[17], h[18], h[19]],
            rest,
            sink,
        )
    }

    #[inline]
    fn timed<S>(
        &self,
        index: usize,
        ticks: [u8; 8],
        captured: [u8; 4],
        original: [u8; 4],
        rest: &[u8],
        sink: &mut S,
    ) -> Result<(), Fault>
    where
        S: FnMut(Packet<'_>) -> Result<(), Refusal>,
    {
        let [t0, t1, t2, t3, t4, t5, t6, t7] = ticks;
        let interface = self.declared(index)?;
        let Some(captured) = rest.get(..self.word(captured) as usize) else {
            return damage("a packet longer than its block");
        };
        let ticks = u64::from(self.word([t0, t1, t2, t3])) << 32 | u64::from(self.word([t4, t5, t6, t7]));
        sink(Packet {
            link: interface.link.ok_or_else(|| unknown_link(interface.link_number))?,
            time_ns: Some(interface.clock.to_ns(ticks)),
            time_invalid: false,
            captured,
            original_bytes: self.word(original),
        })?;
        Ok(())
    }

    /// A packet of the first interface, without time; how much was captured follows from the snap length.
    fn simple<S>(&self, body: &[u8], sink: &mut S) -> Result<(), Fault>
    where
        S: FnMut(Packet<'_>) -> Result<(), Refusal>,
    {
        let Some((original, rest)) = body.split_first_chunk::<4>() else {
            return damage("a packet block that is too short");
        };
        let interface = self.declared(0)?;
        let original_bytes = self.word(*original);
        let snap_bytes = if interface.snap_bytes == 0 { u32::MAX } else { interface.snap_bytes };
        let Some(captured) = rest.get(..original_bytes.min(snap_bytes) as usize) else {
            return damage("a packet longer than its block");
        };
        let link = interface.link.ok_or_else(|| unknown_link(interface.link_number))?;
        sink(Packet { link, time_ns: None, time_invalid: false, captured, original_bytes })?;
        Ok(())
    }

    #[inline]
    fn declared(&self, index: usize) -> Result<Interface, Fault> {
        match self.interfaces.get(index) {
            Some(interface) => Ok(*interface),
            None => damage(format!("a packet of interface {index}, of {} declared", self.interfaces.len())),
        }
    }

    #[inline]
    fn word(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn half(&self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }
}

enum Whole<'a> {
    /// One block was taken; this is behind it.
    Block(&'a [u8]),
    Needs(usize),
}

/// Options are padded to 32 bits.
fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}
