//! Which capture format a file is in, and what the decoders of both formats share.

use super::classic::Classic;
use super::link::Link;
use super::pcapng::Pcapng;

/// Records and blocks above this are damage, not packets: the largest snap length of any tool is 256 KiB (USB aside).
pub(super) const RECORD_BYTES_MAX: usize = 16 << 20;

/// One captured packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) link: Link,
    /// UTC since 1970; None where the format has none (Simple Packet Block).
    pub(super) time_ns: Option<i64>,
    /// The record's fraction of a second is a second or more: `time_ns` is the second alone.
    pub(super) time_invalid: bool,
    /// What was captured of the frame.
    pub(super) captured: &'a [u8],
    /// How long the frame was on its link.
    pub(super) original_bytes: u32,
}

/// Why a capture is not read (further), for its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) cause: String,
    pub(super) hint: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), hint: None }
    }

    pub(super) fn with_hint(cause: impl Into<String>, hint: &'static str) -> Self {
        Self { cause: cause.into(), hint: Some(hint) }
    }
}

/// How far a decoder came in the bytes it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes of whole records, all handed on.
    pub(super) consumed: usize,
    pub(super) next: Next,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This many bytes from `consumed` on would show the next record, or at least its length.
    Needs(usize),
    /// What comes next cannot be a record. There is no way to find the one after it.
    Damaged(String),
}

/// A decoder of either format; it keeps what the records before have declared.
#[derive(Debug)]
pub(super) enum Decoder {
    Classic(Classic),
    Pcapng(Pcapng),
}

const CONVERT: &str = "convert it: editcap -F pcapng FILE NEW";

impl Decoder {
    /// Bytes that [`Decoder::detect`] needs at least; a shorter file is no capture.
    pub(super) const DETECT_BYTES: usize = Classic::HEADER_BYTES;

    /// Looks at the start of a file: a decoder, and how many bytes of the start are done with.
    ///
    /// # Errors
    /// The start is that of something else, named where it is known.
    pub(super) fn detect(start: &[u8]) -> Result<(Self, usize), Refusal> {
        let Some(magic) = start.first_chunk::<4>() else {
            return Err(Refusal::new(match start {
                [] => "not a pcap or pcapng capture (it is empty)".to_owned(),
                _ => format!("not a pcap or pcapng capture (starts with {}, and ends there)", hex(start)),
            }));
        };
        match magic {
            [0x0a, 0x0d, 0x0d, 0x0a] => match start.get(8..12) {
                Some([0x1a, 0x2b, 0x3c, 0x4d] | [0x4d, 0x3c, 0x2b, 0x1a]) => {
                    Ok((Decoder::Pcapng(Pcapng::default()), 0))
                }
                Some(_) => Err(not_a_capture(*magic)),
                None => Err(Refusal::new("the pcapng section header is cut short")),
            },
            [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0xc3, 0xd4]
            | [0x4d, 0x3c, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d] => Ok((Decoder::Classic(Classic::new(start)?), Classic::HEADER_BYTES)),
            _ => Err(not_a_capture(*magic)),
        }
    }

    /// Hands each whole packet in `bytes` to `sink`, in the order of the file.
    ///
    /// # Errors
    /// The packet's link type is not understood, or `sink` refused it.
    #[inline]
    pub(super) fn decode<S>(&mut self, bytes: &[u8], sink: S) -> Result<Progress, Refusal>
    where
        S: FnMut(Packet<'_>) -> Result<(), Refusal>,
    {
        match self {
            Decoder::Classic(classic) => classic.decode(bytes, sink),
            Decoder::Pcapng(pcapng) => pcapng.decode(bytes, sink),
        }
    }
}

impl Decoder {
    /// Numbers of the link types that the capture has declared so far, in order.
    pub(super) fn link_numbers(&self) -> Vec<u32> {
        match self {
            Decoder::Classic(classic) => vec![classic.link_number()],
            Decoder::Pcapng(pcapng) => pcapng.link_numbers().iter().copied().collect(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn not_a_capture(magic: [u8; 4]) -> Refusal {
    let known: Option<(&str, &'static str)> = match magic {
        [0x1f, 0x8b, ..] => Some(("gzip data", "unpack it: zcat FILE | netledger read -")),
        [0x28, 0xb5, 0x2f, 0xfd] => Some(("zstd data", "unpack it: zstdcat FILE | netledger read -")),
        [0xfd, b'7', b'z', b'X'] => Some(("xz data", "unpack it: xzcat FILE | netledger read -")),
        [b'B', b'Z', b'h', _] => Some(("bzip2 data", "unpack it: bzcat FILE | netledger read -")),
        [0x04, 0x22, 0x4d, 0x18] => Some(("lz4 data", "unpack it: lz4cat FILE | netledger read -")),
        [0x34, 0xcd, 0xb2, 0xa1] | [0xa1, 0xb2, 0xcd, 0x34] => Some(("pcap as modified by A. Kuznetzov", CONVERT)),
        [0xcd, 0x34, 0xb2, 0xa1] | [0xa1, 0xb2, 0x34, 0xcd] => Some(("pcap as modified by F. Mesquita", CONVERT)),
        [0x4d, 0x3c, 0x2b, 0xa1] | [0xa1, 0x2b, 0x3c, 0x4d] => Some(("pcap as modified by Navtel", CONVERT)),
        [b's', b'n', b'o', b'o'] => Some(("a snoop capture", CONVERT)),
        _ => None,
    };
    let starts = format!("starts with {}", hex(&magic));
    match known {
        Some((what, hint)) => Refusal::with_hint(format!("not a pcap or pcapng capture ({starts}: {what})"), hint),
        None => Refusal::new(format!("not a pcap or pcapng capture ({starts})")),
    }
}

/// The refusal of a link type, by name and number.
pub(super) fn unknown_link(number: u32) -> Refusal {
    Refusal::with_hint(
        format!("link type {} ({number}) is not understood", super::link_names::link_name(number)),
        "understood are Ethernet, Linux cooked v1 and v2, raw IP, loopback, PPP and PPPoE",
    )
}
