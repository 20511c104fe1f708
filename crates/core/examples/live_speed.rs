//! Does a look at 1,000,000 rows slow down who writes them? `cargo run --release --example live_speed [ROWS]`
//!
//! A writer adds postings to rows in random order, as fast as it can; this is the receiver's work without the kernel.
//! Rounds with nobody looking alternate with rounds of one look per second, and of one look after the other.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people: it prints and measures")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use netledger_core::flow::{Address, Key, Posting, Side, Sides};
use netledger_core::live::{Order, snapshot};
use netledger_core::posting::KeySpec;
use netledger_core::table::file::TableFile;
use netledger_core::table::header::GroupSpec;
use netledger_core::table::live::LiveTable;

const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 9;
const GROUP: GroupSpec = GroupSpec { number: 1, sides: Sides::Both, strict_family: 0, copy_range_bytes: 48 };

/// How somebody looks.
#[derive(Clone, Copy, PartialEq)]
enum Looks {
    Never,
    EverySecond(Option<usize>),
    Always(Option<usize>),
}

fn posting(number: u64, rows: u64) -> Posting {
    // A permutation would be fairer than random numbers only for the very last rows.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let side = if number.is_multiple_of(2) { Side::Sent } else { Side::Received };
    Posting { key: Key::host_only(Address(u128::from(mixed % rows))), bytes: 100, side }
}

/// Million postings per second, and how long the looks took.
fn round(file: &mut TableFile, live: &Arc<LiveTable>, rows: u64, looks: Looks) -> (f64, Vec<Duration>) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut times = Vec::new();
            let (pause, top) = match looks {
                Looks::Never => return times,
                Looks::EverySecond(top) => (ROUND / 2, top),
                Looks::Always(top) => (Duration::ZERO, top),
            };
            std::thread::park_timeout(pause);
            while !ended.load(Relaxed) {
                let began = Instant::now();
                let seen = snapshot(
                    &KeySpec::default(),
                    &[Arc::clone(live)],
                    &HashMap::new(),
                    top.map(|limit| (limit, Order::Bytes)),
                );
                assert!(seen.unwrap().rows > 0);
                times.push(began.elapsed());
                std::thread::park_timeout(2 * pause);
            }
            times
        });
        let began = Instant::now();
        let mut number = 0;
        while began.elapsed() < ROUND {
            for _ in 0..64 {
                let flight: [Posting; 64] = std::array::from_fn(|at| posting(number + at as u64, rows));
                file.table.apply(&flight);
                number += 64;
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        ended.store(true, Relaxed);
        watcher.thread().unpark();
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        (number as f64 / seconds / 1e6, watcher.join().unwrap())
    })
}

fn median<T: Copy + PartialOrd>(values: &mut [T]) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values.get(values.len() / 2).copied()
}

fn main() {
    let rows: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let path = std::env::temp_dir().join(format!("netledger-live-speed-{}", std::process::id()));
    let room = usize::try_from(rows).unwrap();
    let mut file = TableFile::create(&path, &KeySpec::default(), &[GROUP], room + 1, room).unwrap();
    for number in 0..rows {
        let key = Key::host_only(Address(u128::from(number)));
        file.table.apply(&[Posting { key, bytes: 100, side: Side::Sent }]);
    }
    let live = Arc::new(file.live());
    let ways = [
        ("nobody looks", Looks::Never),
        ("one look of all rows a second", Looks::EverySecond(None)),
        ("one look for the top 100 a second", Looks::EverySecond(Some(100))),
        ("look after look of all rows", Looks::Always(None)),
        ("look after look for the top 100", Looks::Always(Some(100))),
    ];
    let mut speeds = vec![Vec::new(); ways.len()];
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for (at, (_, looks)) in ways.iter().enumerate() {
            let (speed, took) = round(&mut file, &live, rows, *looks);
            speeds[at].push(speed);
            times[at].extend(took);
        }
    }
    file.remove().unwrap();
    println!("{rows} rows, {ROUNDS} rounds each, medians");
    let alone = median(&mut speeds[0]).unwrap();
    for (at, (name, _)) in ways.iter().enumerate() {
        let speed = median(&mut speeds[at]).unwrap();
        let took = median(&mut times[at]).map_or_else(String::new, |time| format!(", a look takes {time:.1?}"));
        println!("{name:34} {speed:6.2} million postings/s, {:5.1} %{took}", 100.0 * speed / alone);
    }
}
