//! The pcap format: a file header, then records. <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>

use super::format::{Next, Packet, Progress, RECORD_BYTES_MAX, Refusal, unknown_link};
use super::link::Link;

/// What the file header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classic {
    big_endian: bool,
    /// How many nanoseconds one unit of a record's fraction is: 1000 or 1.
    fraction_ns: u32,
    link: Link,
    link_number: u32,
}

const RECORD_HEADER_BYTES: usize = 16;
const SECOND_NS: u64 = 1_000_000_000;
/// The first two words of a file header, read in its own byte order or in the other.
const MAGICS: [u32; 4] = [0xa1b2_c3d4, 0xa1b2_3c4d, 0xd4c3_b2a1, 0x4d3c_b2a1];
const VERSIONS: [u32; 4] = [0x0004_0002, 0x0002_0004, 0x0200_0400, 0x0400_0200];

impl Classic {
    pub(super) const HEADER_BYTES: usize = 24;

    /// Reads the file header at the start of `start`, whose magic number is known to be a pcap one.
    pub(super) fn new(start: &[u8]) -> Result<Self, Refusal> {
        let Some(header) = start.first_chunk::<{ Self::HEADER_BYTES }>() else {
            return Err(Refusal::new(format!(
                "the pcap file header is cut short ({} of {} bytes)",
                start.len(),
                Self::HEADER_BYTES
            )));
        };
        let big_endian = header[0] == 0xa1;
        let nanoseconds = header[0] == 0x4d || header[3] == 0x4d;
        let half = |a: u8, b: u8| if big_endian { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) };
        let (major, minor) = (half(header[4], header[5]), half(header[6], header[7]));
        if (major, minor) != (2, 4) {
            return Err(Refusal::with_hint(
                format!("version {major}.{minor} of the pcap format is not understood, only 2.4"),
                "convert it: editcap -F pcapng FILE NEW",
            ));
        }
        // The upper bits tell about a frame check sequence at the end of frames, which is behind all we look at.
        let number = word(big_endian, [header[20], header[21], header[22], header[23]]) & 0x03ff_ffff;
        let link = Link::from_number(number).ok_or_else(|| unknown_link(number))?;
        Ok(Self { big_endian, fraction_ns: if nanoseconds { 1 } else { 1000 }, link, link_number: number })
    }

    pub(super) fn link_number(&self) -> u32 {
        self.link_number
    }

    #[inline]
    pub(super) fn decode<S>(&self, bytes: &[u8], sink: S) -> Result<Progress, Refusal>
    where
        S: FnMut(Packet<'_>) -> Result<(), Refusal>,
    {
        // Two loops, so that the byte order is no question within one.
        if self.big_endian { self.records::<true, S>(bytes, sink) } else { self.records::<false, S>(bytes, sink) }
    }

    #[inline]
    fn records<const BIG_ENDIAN: bool, S>(&self, bytes: &[u8], mut sink: S) -> Result<Progress, Refusal>
    where
        S: FnMut(Packet<'_>) -> Result<(), Refusal>,
    {
        let mut rest = bytes;
        let next = loop {
            let Some((h, body)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() else {
                break Next::Needs(RECORD_HEADER_BYTES);
            };
            let seconds = word(BIG_ENDIAN, [h[0], h[1], h[2], h[3]]);
            let fraction = word(BIG_ENDIAN, [h[4], h[5], h[6], h[7]]);
            let captured_bytes = word(BIG_ENDIAN, [h[8], h[9], h[10], h[11]]) as usize;
            let original_bytes = word(BIG_ENDIAN, [h[12], h[13], h[14], h[15]]);
            if captured_bytes > RECORD_BYTES_MAX {
                break Next::Damaged(format!("a packet of {captured_bytes} captured bytes"));
            }
            // A file header reads as a packet of no bytes in the year 2055.
            if captured_bytes == 0 && MAGICS.contains(&seconds) && VERSIONS.contains(&fraction) {
                break Next::Damaged("another capture begins here: mergecap joins captures, cat does not".to_owned());
            }
            let Some((captured, behind)) = body.split_at_checked(captured_bytes) else {
                break Next::Needs(RECORD_HEADER_BYTES + captured_bytes);
            };
            // Taken as it stands, a fraction of microseconds could shift a packet by more than an hour.
            let fraction_ns = u64::from(fraction) * u64::from(self.fraction_ns);
            let time_invalid = fraction_ns >= SECOND_NS;
            let second_ns = u64::from(seconds) * SECOND_NS;
            let time_ns = if time_invalid { second_ns } else { second_ns + fraction_ns };
            let time_ns = Some(time_ns.cast_signed());
            sink(Packet { link: self.link, time_ns, time_invalid, captured, original_bytes })?;
            rest = behind;
        };
        Ok(Progress { consumed: bytes.len() - rest.len(), next })
    }
}

#[inline]
fn word(big_endian: bool, bytes: [u8; 4]) -> u32 {
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}
