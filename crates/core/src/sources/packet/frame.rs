//! The frames in a block of a packet socket's ring (`TPACKET_V3`, `include/uapi/linux/if_packet.h`).
//!
//! The kernel wrote the block; all the same, nothing in it is believed that would lead outside of it.

use crate::sys::mapping::prefetch;

/// `struct tpacket3_hdr`, and behind it the beginning of a `struct sockaddr_ll`.
const HEADER_BYTES: usize = 60;
/// `struct virtio_net_hdr`, in front of the link layer's header where it was asked for.
const SEGMENTS_BYTES: usize = 10;

/// Most frames of a block are about as long as the one before them.
const FRAMES_AHEAD: usize = 8;
const CACHE_LINE_BYTES: usize = 64;

/// What a frame was to the interface (`PACKET_HOST` and the others).
pub(crate) const FOR_OTHERS: u8 = 3;
pub(crate) const OUTGOING: u8 = 4;
/// The kind of hardware that loopback says to be (`ARPHRD_LOOPBACK`).
pub(crate) const LOOPBACK: u16 = 772;

/// A block does not hold what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// The frames of a block, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Frames<'a> {
    #[must_use]
    pub fn new(block: &'a [u8]) -> Self {
        let word = |at: usize| {
            block.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
        };
        let (left, first) = (word(12), word(16));
        Self { rest: block.get(first as usize..).unwrap_or_default(), left }
    }

    /// Asks the CPU for a frame that comes in a while: the kernel wrote it on another CPU.
    #[inline]
    pub fn prefetch(&self) {
        let next = self.rest.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes)) as usize;
        let ahead = next.wrapping_mul(FRAMES_AHEAD);
        prefetch(self.rest, ahead);
        // A short frame is longer than two lines, and its IP header is at its end.
        prefetch(self.rest, ahead.wrapping_add(CACHE_LINE_BYTES));
        prefetch(self.rest, ahead.wrapping_add(2 * CACHE_LINE_BYTES));
    }

    /// The next frame; None at the end.
    ///
    /// # Errors
    /// It is not within the block; there is none behind it then.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'a>>, Damaged> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let frame = self.cut();
        if frame.is_none() {
            self.left = 0;
        }
        frame.map(Some).ok_or(Damaged)
    }

    #[inline]
    fn cut(&mut self) -> Option<Frame<'a>> {
        let header = self.rest.first_chunk::<HEADER_BYTES>()?;
        let frame = Frame { header, bytes: self.rest };
        let captured = frame.link_at().checked_add(frame.word::<12>() as usize)?;
        let frame = Frame { header, bytes: self.rest.get(..captured)? };
        if self.left > 0 {
            let next = frame.word::<0>() as usize;
            self.rest = self.rest.get(next..).filter(|_| next > 0)?;
        }
        Some(frame)
    }
}

/// A frame with what the kernel says of it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    header: &'a [u8; HEADER_BYTES],
    /// From the kernel's header to the end of what was captured.
    bytes: &'a [u8],
}

/// How a super-packet is to be split, or was put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Of the upper layer's payload.
    pub bytes: u16,
    /// Where the upper layer's header starts, from the link layer's on; None if the kernel does not say.
    pub upper_at: Option<u16>,
    pub is_tcp: bool,
}

impl<'a> Frame<'a> {
    #[inline]
    fn word<const AT: usize>(&self) -> u32 {
        const { assert!(AT + 4 <= HEADER_BYTES) };
        let header = self.header;
        u32::from_ne_bytes([header[AT], header[AT + 1], header[AT + 2], header[AT + 3]])
    }

    #[inline]
    fn half<const AT: usize>(&self) -> u16 {
        const { assert!(AT + 2 <= HEADER_BYTES) };
        u16::from_ne_bytes([self.header[AT], self.header[AT + 1]])
    }

    /// When the kernel saw it, nanoseconds since 1970.
    #[inline]
    #[must_use]
    pub fn time_ns(&self) -> u64 {
        u64::from(self.word::<4>()) * 1_000_000_000 + u64::from(self.word::<8>())
    }

    /// The bytes that there were, from the link layer's header on.
    #[inline]
    #[must_use]
    pub fn whole_bytes(&self) -> u32 {
        self.word::<16>()
    }

    #[inline]
    fn link_at(&self) -> usize {
        usize::from(self.half::<24>())
    }

    /// The bytes that there were behind the link layer's header.
    #[inline]
    #[must_use]
    pub fn network_bytes(&self) -> u32 {
        let link_bytes = u32::from(self.half::<26>()).saturating_sub(u32::from(self.half::<24>()));
        self.whole_bytes().saturating_sub(link_bytes)
    }

    /// What was captured behind the link layer's header.
    #[inline]
    #[must_use]
    pub fn network(&self) -> &'a [u8] {
        self.network_if_any().unwrap_or_default()
    }

    /// The same; None where nothing can be there.
    #[inline]
    pub(super) fn network_if_any(&self) -> Option<&'a [u8]> {
        self.bytes.get(usize::from(self.half::<26>())..)
    }

    /// The two bytes before what [`Self::network`] gives: on Ethernet the type of it. None without a header.
    #[cold]
    #[must_use]
    pub fn type_before_network(&self) -> Option<u16> {
        let at = usize::from(self.half::<26>()).checked_sub(2).filter(|&at| at >= self.link_at())?;
        self.bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// The Ethernet type of what is behind the link layer's header.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> u16 {
        u16::from_be(self.half::<50>())
    }

    #[inline]
    #[must_use]
    pub fn interface(&self) -> u32 {
        self.word::<52>()
    }

    #[inline]
    #[must_use]
    pub fn is_of_loopback(&self) -> bool {
        self.half::<56>() == LOOPBACK
    }

    /// Whether it came for this machine, was overheard, or was sent.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.header[58]
    }

    /// Whether it is a super-packet, where the kernel was asked to tell.
    #[inline]
    #[must_use]
    pub fn is_super(&self) -> bool {
        let kind = self.link_at().checked_sub(SEGMENTS_BYTES - 1).and_then(|at| self.bytes.get(at));
        kind.is_some_and(|&kind| kind != 0)
    }

    /// Of a super-packet, and only where the kernel was asked to tell.
    #[inline]
    #[must_use]
    pub fn segments(&self) -> Option<Segments> {
        let at = self.link_at().checked_sub(SEGMENTS_BYTES)?;
        let &[flags, kind, _, _, size_0, size_1, start_0, start_1, ..] =
            self.bytes.get(at..)?.first_chunk::<SEGMENTS_BYTES>()?;
        if kind == 0 {
            return None;
        }
        Some(Segments {
            bytes: u16::from_ne_bytes([size_0, size_1]),
            // VIRTIO_NET_HDR_F_NEEDS_CSUM: only then there is such a place.
            upper_at: (flags & 1 != 0).then_some(u16::from_ne_bytes([start_0, start_1])),
            // VIRTIO_NET_HDR_GSO_TCPV4 and _TCPV6, beside the bit for ECN.
            is_tcp: matches!(kind & 0x7f, 1 | 4),
        })
    }

    /// The captured bytes from the link layer's header on.
    #[must_use]
    pub fn link(&self) -> &'a [u8] {
        self.bytes.get(self.link_at()..).unwrap_or_default()
    }
}
