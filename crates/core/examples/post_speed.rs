//! How long a packet takes from its headers to its rows: `cargo run --release --example post_speed`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program to measure with, not a part of the product")]

use std::hint::black_box;
use std::time::Instant;

use netledger_core::flow::Sides;
use netledger_core::packet::{Headers, parse};
use netledger_core::posting::{KeySpec, Place, Poster};
use netledger_core::table::Table;

const PACKETS: usize = 1 << 16;
const HOSTS: u32 = 1000;
const ROUNDS: usize = 200;
const BURST: usize = 256;

fn headers(spec: &KeySpec) -> Vec<Headers> {
    let ip = |number: u32| {
        let [_, _, high, low] = (number % HOSTS).to_be_bytes();
        let mut ip = [0x45, 0, 0, 84, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, high, low, 198, 51, 100, 7, 0x9c, 0x40, 1, 0xbb];
        ip[3] = 60 + low % 4;
        ip
    };
    (0..u32::try_from(PACKETS).unwrap()).map(|number| parse(&ip(number), spec.depth()).unwrap()).collect()
}

fn measure(columns: &[&str]) {
    let spec = KeySpec { columns: KeySpec::columns_of(columns.iter().copied()).unwrap(), ..KeySpec::default() };
    let poster = Poster::new(&spec, false);
    let mut table = Table::anonymous(&spec, 100_000, 0).unwrap();
    let headers = headers(&spec);
    let mut postings = Vec::with_capacity(2 * BURST);
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for burst in headers.chunks(BURST) {
            postings.clear();
            for one in burst {
                let place = Place { in_interface: 2, out_interface: 3, ..Place::default() };
                poster.post(black_box(one), Sides::Both, &place, |posting| postings.push(posting));
            }
            table.apply(&postings);
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    #[allow(clippy::cast_precision_loss, reason = "a few thousands")]
    let ns = best * 1e9 / PACKETS as f64;
    println!("{:<52} {ns:6.2} ns a packet, {} rows", columns.join(","), table.len());
}

fn main() {
    measure(&["host"]);
    measure(&["host", "protocol", "peer_port"]);
    measure(&["host", "peer", "protocol", "host_port", "peer_port", "interface"]);
}
