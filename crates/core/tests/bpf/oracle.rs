//! What the books must be: `packet::parse` and `posting::Poster`, and the rules of `docs/explanation/bpf.md`.

use netledger_core::flow::{Account, Key, Side, Sides};
use netledger_core::packet::{Depth, Headers, Unreadable, parse};
use netledger_core::posting::{Place, Poster};

use super::program::{At, Books, Segments};
use super::settings::Settings;

// Where words are in `struct receipt`.
const TOTAL: usize = 0;
const EXTERNAL: usize = 2;
pub(crate) const OTHER: usize = 6;
const UNREADABLE: usize = 10;
pub(crate) const SUPER: usize = 22;
pub(crate) const SUPER_WIRE: usize = 24;
pub(crate) const LENGTH_LIES: usize = 26;
pub(crate) const LENGTH_UNKNOWN: usize = 27;
pub(crate) const FRAGMENTS_UNKNOWN: usize = 28;
pub(crate) const IGNORED: usize = 29;
pub(crate) const ROWS: usize = 30;
const RECEIPT_WORDS: usize = 31;

const WANTED: u8 = 2;
const EXCLUDED: u8 = 4;

/// The index of loopback, which is what a packet of `BPF_PROG_TEST_RUN` passes.
const LOOPBACK: u32 = 1;

pub(crate) fn nothing() -> Books {
    Books { receipt: vec![0; RECEIPT_WORDS], ..Books::default() }
}

/// Of an IP packet of `version`, as far as it was carried.
pub(crate) fn books(settings: &Settings, at: At, ip: &[u8], version: u8, segments: Segments) -> Books {
    let mut books = nothing();
    let there = ip.len() as u64;
    let depth = if settings.asks_ports() { Depth::Ports } else { Depth::Addresses };
    let parsed = match ip.first() {
        Some(first) if first >> 4 != version => Err(Unreadable::Version),
        _ => parse(ip, depth),
    };
    let mut headers = match parsed {
        Ok(headers) => headers,
        Err(why) => {
            add(&mut books.receipt, TOTAL, there);
            add(&mut books.receipt, UNREADABLE + 2 * why.index(), there);
            return books;
        }
    };
    if settings.asks_networks() && !is_wanted(settings, &headers) {
        return books;
    }
    let is_later = is_later_fragment(ip, &headers);
    if matches!(at, At::Netfilter(..)) {
        headers.bytes = there; // the length of the buffer
    } else {
        measure(&mut headers, ip, segments, &mut books.receipt);
    }
    add(&mut books.receipt, TOTAL, headers.bytes);
    books.receipt[FRAGMENTS_UNKNOWN] += u64::from(depth == Depth::Ports && is_later);
    let place = match at {
        // It passes loopback as the interface to which it goes, and comes from none.
        At::Netfilter(..) => Place { out_interface: LOOPBACK, ..Place::default() },
        At::Ingress | At::Egress => Place { in_interface: LOOPBACK, out_interface: LOOPBACK, ..Place::default() },
    };
    Poster::new(&settings.spec, false).post(&headers, Sides::Both, &place, |posting| {
        if posting.key == Key::special(Account::External, 0) {
            add(&mut books.receipt, EXTERNAL + if posting.side == Side::Sent { 0 } else { 2 }, posting.bytes);
            return;
        }
        let words = posting.key.words[..settings.key_bytes as usize / 8].to_vec();
        books.rows.entry(words).or_default().add(&posting, 1);
    });
    books.receipt[ROWS] = books.rows.len() as u64;
    books
}

fn add(receipt: &mut [u64], at: usize, bytes: u64) {
    receipt[at] += 1;
    receipt[at + 1] += bytes;
}

/// Whether the upper layer's header is in an earlier fragment. Where IPv6 hides that behind other headers it is looked for here
/// as the parser does, but for nothing else.
fn is_later_fragment(ip: &[u8], headers: &Headers) -> bool {
    if headers.is_ipv4 {
        return u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff != 0;
    }
    let end = if headers.length_known { ip.len().min(headers.bytes as usize) } else { ip.len() };
    let (mut kind, mut at) = (ip[6], 40);
    for _ in 0..16 {
        let Some(&[next, length, high, low]) = ip[..end].get(at..).and_then(|rest| rest.first_chunk()) else {
            return false;
        };
        let units = usize::from(length);
        at += match kind {
            44 if u16::from_be_bytes([high, low]) >> 3 != 0 => return true,
            135 if next == 59 => return false,
            44 => 8,
            51 => (units + 2) * 4,
            0 | 43 | 60 | 135 => (units + 1) * 8,
            _ => return false,
        };
        kind = next;
        if at > end {
            return false;
        }
    }
    false
}

fn is_wanted(settings: &Settings, headers: &Headers) -> bool {
    let from = settings.answer(headers.source, headers.is_ipv4);
    let to = settings.answer(headers.destination, headers.is_ipv4);
    (settings.wanted.is_empty() || (from | to) & WANTED != 0) && (from | to) & EXCLUDED == 0
}

fn measure(headers: &mut Headers, ip: &[u8], segments: Segments, receipt: &mut [u64]) {
    let there = ip.len() as u64;
    if !headers.length_known {
        receipt[LENGTH_UNKNOWN] += 1;
        headers.bytes = there;
    } else if headers.bytes > there {
        receipt[LENGTH_LIES] += 1;
        headers.bytes = there;
    }
    if segments.bytes > 0 {
        add(receipt, SUPER, headers.bytes);
    }
}
