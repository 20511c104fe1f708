//! Nanoseconds per packet of the parsers: `cargo run --release --example parse_speed`.
//!
//! Single thread, data in the cache, the best of several rounds: what the code costs, not what memory does.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::hint::black_box;
use std::time::Instant;

use netledger_core::netlink::{Message, Messages};
use netledger_core::packet::{self, Depth};

const PACKETS: u16 = 1000;
const ROUNDS: u32 = 200;
const SLOT_BYTES: usize = 64;

fn ipv4(number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let header = [0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 9, high, low, 192, 0, 2, low];
    [&header[..], &[0x80, low, 0x01, 0xbb]].concat()
}

fn ipv6(number: u16, extension: bool) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 5, 0, if extension { 0 } else { 17 }, 64];
    packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    packet.extend(number.to_be_bytes());
    packet.extend([0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    if extension {
        packet.extend([60, 0, 5, 2, 0, 0, 1, 0]);
        packet.extend([17, 0, 1, 4, 0, 0, 0, 0]);
    }
    packet.extend([0x80, 1, 0, 53]);
    packet
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// As the kernel writes them for a rule with a prefix and a forwarded packet.
fn datagram() -> Vec<u8> {
    let mut datagram = Vec::new();
    for number in 0..PACKETS {
        let mut body = vec![2, 0, 0, 4];
        body.extend(attribute(1, &[8, 0, 2, 0]));
        body.extend(attribute(10, b"forward\0"));
        body.extend(attribute(4, &[0, 0, 0, 3]));
        body.extend(attribute(5, &[0, 0, 0, 2]));
        body.extend(attribute(8, &[0, 6, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0]));
        body.extend(attribute(12, &u32::from(number).to_be_bytes()));
        body.extend(attribute(9, &ipv4(number)));
        let length = u32::try_from(body.len() + 16).unwrap_or(u32::MAX);
        datagram.extend(length.to_ne_bytes());
        datagram.extend([0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        datagram.extend(body);
    }
    datagram
}

fn measure(what: &str, mut round: impl FnMut() -> u64) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(round());
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(PACKETS));
    }
    println!("{best:6.2} ns/packet  {what}");
}

fn slots(packet: impl Fn(u16) -> Vec<u8>) -> Vec<u8> {
    (0..PACKETS)
        .flat_map(|number| {
            let mut slot = packet(number);
            slot.resize(SLOT_BYTES, 0);
            slot
        })
        .collect()
}

/// Takes all fields, so that none of the work can be left out.
#[inline]
fn sum(ip: &[u8], depth: Depth) -> u64 {
    packet::parse(ip, depth).map_or(1, |headers| {
        headers.bytes
            ^ u64::from(headers.source.low32())
            ^ u64::from(headers.destination.low32())
            ^ u64::from(headers.protocol)
            ^ u64::from(headers.source_port)
            ^ u64::from(headers.destination_port)
            ^ u64::from(headers.ports_known)
    })
}

fn packets(what: &str, slots: &[u8], depth: Depth) {
    measure(&format!("packet::parse, {what}, {depth:?}"), || {
        slots.chunks_exact(SLOT_BYTES).fold(0, |total, slot| total ^ sum(black_box(slot), depth))
    });
}

fn main() {
    for depth in [Depth::Addresses, Depth::Ports] {
        packets("IPv4 TCP", &slots(ipv4), depth);
        packets("IPv6 UDP", &slots(|number| ipv6(number, false)), depth);
        packets("IPv6, two extension headers, UDP", &slots(|number| ipv6(number, true)), depth);
        packets("IPv4 and IPv6 in turn", &slots(|n| if n % 2 == 0 { ipv4(n) } else { ipv6(n, false) }), depth);
    }
    let datagram = datagram();
    measure("netlink::Messages, 7 attributes", || {
        Messages::new(black_box(&datagram)).fold(0, |total, message| match message {
            Ok(Message::Packet(logged)) => {
                total ^ u64::from(logged.sequence.unwrap_or(0)) ^ u64::from(logged.in_interface)
            }
            _ => total,
        })
    });
    measure("netlink::Messages and packet::parse, Addresses", || {
        Messages::new(black_box(&datagram)).fold(0, |total, message| match message {
            Ok(Message::Packet(logged)) => total ^ logged.ip().map_or(0, |ip| sum(ip, Depth::Addresses)),
            _ => total,
        })
    });
}
