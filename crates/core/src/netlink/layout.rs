//! Remembers where the attributes of a message stood: the packets of one group are all laid out alike.
//!
//! A message of the same length whose attribute headers are the same, byte for byte and at the same places, has the same
//! attributes: the values can be read where they are known to be. The headers of all attributes are compared at once, as
//! words under a mask, which takes a few vector instructions instead of a walk from one to the next.

use super::{
    ATTRIBUTE_HEADER_BYTES, NFGEN_HEADER_BYTES, NFULA_IFINDEX_INDEV, NFULA_IFINDEX_OUTDEV, NFULA_IFINDEX_PHYSINDEV,
    NFULA_IFINDEX_PHYSOUTDEV, NFULA_PACKET_HDR, NFULA_PAYLOAD, NFULA_PREFIX, NFULA_SEQ, NLA_TYPE_MASK, NflogPacket,
    aligned, port_or,
};

/// The header of the last attribute, usually the payload's, ends below this. Otherwise nothing is remembered.
const COMPARED_BYTES_MAX: usize = WORDS * WORD_BYTES;
const WORDS: usize = 32;
/// Words that are compared at once: two vectors of what every 64-bit x86 and ARM has.
const LANES: usize = 4;
const WORD_BYTES: usize = size_of::<u64>();
/// Lengths that are remembered at once: IPv4 and IPv6, with and without an interface.
const LAYOUTS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u16,
    bytes: u16,
}

impl Span {
    #[inline]
    fn of(self, body: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        body.get(start..start + usize::from(self.bytes)).unwrap_or_default()
    }

    #[inline]
    fn number(self, body: &[u8]) -> Option<u32> {
        body.get(usize::from(self.start)..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

/// The places of one message, counted from behind its netlink header. A start of 0 means "not there".
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    length: usize,
    /// How many words hold headers.
    words: usize,
    headers: [u64; WORDS],
    /// All ones where there are headers.
    masks: [u64; WORDS],
    hw_protocol: Span,
    in_interface: Span,
    out_interface: Span,
    in_port: Span,
    out_port: Span,
    sequence: Span,
    prefix: Span,
    payload: Span,
}

impl Layout {
    /// None if the message is not one that can be remembered.
    fn of(body: &[u8]) -> Option<Self> {
        let mut layout = Self { length: body.len(), ..Self::default() };
        let mut masks = [0_u8; COMPARED_BYTES_MAX];
        let mut at = usize::from(NFGEN_HEADER_BYTES);
        while at < body.len() {
            let [length_0, length_1, kind_0, kind_1] = *body.get(at..)?.first_chunk()?;
            let length = u16::from_ne_bytes([length_0, length_1]);
            let start = at + usize::from(ATTRIBUTE_HEADER_BYTES);
            masks.get_mut(at..start)?.fill(u8::MAX);
            layout.words = start.div_ceil(WORD_BYTES).next_multiple_of(LANES);
            let kind = u16::from_ne_bytes([kind_0, kind_1]) & NLA_TYPE_MASK;
            if let Some(span) = layout.span(kind) {
                let bytes = length.checked_sub(ATTRIBUTE_HEADER_BYTES)?;
                *span = Span { start: u16::try_from(start).ok()?, bytes };
            }
            at += aligned(usize::from(length)).max(1);
        }
        let (words, _) = body.as_chunks();
        if words.len() < layout.words {
            return None;
        }
        let places = layout.headers.iter_mut().zip(&mut layout.masks);
        for ((header, mask), (word, bytes)) in places.zip(words.iter().zip(masks.as_chunks().0)) {
            *mask = u64::from_ne_bytes(*bytes);
            *header = u64::from_ne_bytes(*word) & *mask;
        }
        Some(layout)
    }

    fn span(&mut self, kind: u16) -> Option<&mut Span> {
        Some(match kind {
            NFULA_PACKET_HDR => &mut self.hw_protocol,
            NFULA_IFINDEX_INDEV => &mut self.in_interface,
            NFULA_IFINDEX_OUTDEV => &mut self.out_interface,
            NFULA_IFINDEX_PHYSINDEV => &mut self.in_port,
            NFULA_IFINDEX_PHYSOUTDEV => &mut self.out_port,
            NFULA_SEQ => &mut self.sequence,
            NFULA_PREFIX => &mut self.prefix,
            NFULA_PAYLOAD => &mut self.payload,
            _ => return None,
        })
    }

    #[allow(clippy::inline_always, reason = "as for `Messages::next_alike`")]
    #[inline(always)]
    fn is_of(&self, body: &[u8]) -> bool {
        let (blocks, _) = body.as_chunks::<{ LANES * WORD_BYTES }>();
        let (headers, _) = self.headers.as_chunks::<LANES>();
        let (masks, _) = self.masks.as_chunks::<LANES>();
        let mut differences = [0; LANES];
        for ((block, headers), masks) in blocks.iter().zip(headers).zip(masks).take(self.words / LANES) {
            let (words, _) = block.as_chunks::<WORD_BYTES>();
            for (((difference, word), header), mask) in differences.iter_mut().zip(words).zip(headers).zip(masks) {
                *difference |= (u64::from_ne_bytes(*word) & mask) ^ header;
            }
        }
        differences == [0; LANES]
    }

    /// The packet of a message that [`Self::is_of`] this layout. Interfaces and prefix are read only if they are wanted.
    #[allow(clippy::inline_always, reason = "as for `Messages::next_alike`")]
    #[inline(always)]
    fn read<'a>(&self, body: &'a [u8], wants_place: bool) -> Option<NflogPacket<'a>> {
        let &[family, _version, group_high, group_low] = body.first_chunk()?;
        let number = |span: Span| if span.start == 0 { Some(0) } else { span.number(body) };
        let (in_interface, out_interface, prefix) = if wants_place {
            let in_interface = port_or(family, number(self.in_port)?, number(self.in_interface)?);
            let out_interface = port_or(family, number(self.out_port)?, number(self.out_interface)?);
            (in_interface, out_interface, self.prefix.of(body))
        } else {
            (0, 0, [].as_slice())
        };
        Some(NflogPacket {
            group: u16::from_be_bytes([group_high, group_low]),
            family,
            hw_protocol: u16::try_from(number(self.hw_protocol)? >> 16).unwrap_or(0),
            sequence: if self.sequence.start == 0 { None } else { self.sequence.number(body) },
            in_interface,
            out_interface,
            prefix: prefix.strip_suffix(&[0]).unwrap_or(prefix),
            payload: if self.payload.start == 0 { None } else { Some(self.payload.of(body)) },
        })
    }
}

/// The layouts met last, by length.
#[derive(Clone, Debug, Default)]
pub(super) struct Layouts([Layout; LAYOUTS]);

impl Layouts {
    #[inline]
    fn place(length: usize) -> usize {
        (length / 4) % LAYOUTS
    }

    /// The packet, if its message is laid out like one before.
    #[allow(clippy::inline_always, reason = "as for `Messages::next_alike`")]
    #[inline(always)]
    pub(super) fn read<'a>(&self, body: &'a [u8], wants_place: bool) -> Option<NflogPacket<'a>> {
        let layout = self.0.get(Self::place(body.len()))?;
        if layout.words == 0 || layout.length != body.len() || !layout.is_of(body) {
            return None;
        }
        layout.read(body, wants_place)
    }

    /// Remembers a message that was read by walking.
    #[cold]
    pub(super) fn learn(&mut self, body: &[u8]) {
        if let (Some(layout), Some(place)) = (Layout::of(body), self.0.get_mut(Self::place(body.len()))) {
            *place = layout;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::{NFPROTO_BRIDGE, packet};

    fn body(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![NFPROTO_BRIDGE, 0, 0, 7]; // the family with the most places
        for (kind, value) in attributes {
            bytes.extend((4 + u16::try_from(value.len()).unwrap()).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    proptest! {
        /// Whatever was remembered, a message read from memory is the message read by walking.
        #[test]
        fn what_is_remembered_changes_nothing(
            messages in vec(vec((0_u16..14, vec(any::<u8>(), 0..9)), 0..6), 1..12),
            flips in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let mut bodies: Vec<_> = messages.iter().map(|attributes| body(attributes)).collect();
            bodies.extend(bodies.clone());
            for (which, place, value) in flips {
                let body = which.get_mut(&mut bodies[..]);
                *place.get_mut(&mut body[..]) = value;
            }
            let mut layouts = Layouts::default();
            for body in &bodies {
                let walked = packet(body);
                if let Some(read) = layouts.read(body, true) {
                    prop_assert_eq!(Some(read), walked);
                } else if walked.is_some() {
                    layouts.learn(body);
                }
            }
        }
    }

    #[test]
    fn a_message_laid_out_like_the_one_before_is_read_without_walking() {
        let first = body(&[(1, vec![8, 0, 1, 0]), (12, vec![0, 0, 0, 1]), (9, vec![1; 20])]);
        let second = body(&[(1, vec![8, 0, 1, 0]), (12, vec![0, 0, 0, 2]), (9, vec![2; 20])]);
        let mut layouts = Layouts::default();
        layouts.learn(&first);
        assert_eq!(layouts.read(&second, true), packet(&second));
        assert_eq!(layouts.read(&second, true).unwrap().sequence, Some(2));
    }
}
