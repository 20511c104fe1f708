//! What a packet costs from a received datagram to its rows, in nanoseconds, without the kernel:
//! `cargo run --release -p netledger-core --example nflog_path`.
#![allow(clippy::print_stdout, reason = "it prints what it measures")]
#![allow(clippy::cast_precision_loss, reason = "figures to look at")]

use std::time::Instant;

use netledger_core::flow::{Posting, Sides};
use netledger_core::netlink::{Message, Messages};
use netledger_core::packet::{Depth, parse};
use netledger_core::posting::{KeySpec, Place, Poster};
use netledger_core::table::Table;

const PACKETS: usize = 1767;
const REPEATS: usize = 600;

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend((4 + u16::try_from(value.len()).unwrap_or(0)).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn datagram(first: u32, addresses: u32) -> Vec<u8> {
    let mut all = Vec::new();
    for number in 0..u32::try_from(PACKETS).unwrap_or(0) {
        let index = (first + number) % addresses;
        let mut body = vec![2, 0, 0, 4];
        attribute(&mut body, 1, &[8, 0, 0, 0]);
        attribute(&mut body, 4, &2_u32.to_be_bytes());
        attribute(&mut body, 8, &[0, 6, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0]);
        attribute(&mut body, 15, &[0, 1]);
        attribute(&mut body, 17, &[0, 14]);
        attribute(&mut body, 16, &[0; 14]);
        attribute(&mut body, 12, &(first + number).to_be_bytes());
        let mut ip = [0_u8; 20];
        ip[0] = 0x45;
        ip[3] = 50;
        ip[9] = 17;
        let address = 0x0a00_0000 | (index.wrapping_mul(0x9E37_79B1) & 0x00ff_ffff);
        ip[12..16].copy_from_slice(&address.to_be_bytes());
        ip[16..20].copy_from_slice(&[192, 168, 77, 1]);
        attribute(&mut body, 9, &ip);
        all.extend((16 + u32::try_from(body.len()).unwrap_or(0)).to_ne_bytes());
        all.extend(0x0400_u16.to_ne_bytes());
        all.extend([0; 10]);
        all.extend(body);
    }
    all
}

fn main() {
    for (addresses, sides) in [(1000, Sides::Sent), (1000, Sides::Both), (100_000, Sides::Sent), (100_000, Sides::Both)]
    {
        let datagrams: Vec<_> = (0..64).map(|n| datagram(n * 1767, addresses)).collect();
        // As a receive does: from somewhere into the one buffer that is read.
        let mut buffer = datagrams[0].clone();
        let spec = KeySpec::default();
        let poster = Poster::new(&spec, false);
        let Ok(mut table) = Table::anonymous(&spec, 1 << 20, 0) else { return };
        let total = (PACKETS * REPEATS) as f64;
        let mut sum = 0_u64;
        let started = Instant::now();
        for round in 0..REPEATS {
            buffer.copy_from_slice(&datagrams[round % 64]);
            sum = sum.wrapping_add(u64::from(buffer[round]));
        }
        let copy = started.elapsed().as_nanos() as f64 / total;
        let started = Instant::now();
        for round in 0..REPEATS {
            buffer.copy_from_slice(&datagrams[round % 64]);
            for message in Messages::new(&buffer) {
                if let Ok(Message::Packet(packet)) = message {
                    sum = sum.wrapping_add(u64::from(packet.sequence.unwrap_or(0)));
                }
            }
        }
        let walk = started.elapsed().as_nanos() as f64 / total;
        let started = Instant::now();
        let mut postings: Vec<Posting> = Vec::with_capacity(256);
        for round in 0..REPEATS {
            buffer.copy_from_slice(&datagrams[round % 64]);
            for message in Messages::new(&buffer) {
                let Ok(Message::Packet(packet)) = message else { continue };
                let Ok(headers) = packet.ip().and_then(|ip| parse(ip, Depth::Addresses)) else { continue };
                postings.clear();
                poster.post(&headers, sides, &Place::default(), |posting| postings.push(posting));
                sum = sum.wrapping_add(postings.len() as u64);
            }
        }
        let post = started.elapsed().as_nanos() as f64 / total;
        let started = Instant::now();
        for round in 0..REPEATS {
            postings.clear();
            buffer.copy_from_slice(&datagrams[round % 64]);
            for message in Messages::new(&buffer) {
                let Ok(Message::Packet(packet)) = message else { continue };
                let Ok(headers) = packet.ip().and_then(|ip| parse(ip, Depth::Addresses)) else { continue };
                poster.post(&headers, sides, &Place::default(), |posting| postings.push(posting));
                if postings.len() >= 255 {
                    table.apply(&postings);
                    postings.clear();
                }
            }
            table.apply(&postings);
        }
        let all = started.elapsed().as_nanos() as f64 / total;
        println!(
            "{addresses} addresses, {sides:?}: copy {copy:.1}, walk {walk:.1}, to postings {post:.1}, to rows {all:.1} ns ({sum})"
        );
    }
}
