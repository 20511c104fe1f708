//! Reads named counters so many times: `counters_speed nfacct 20`, `counters_speed TABLE 20` for a table of family ip.
//!
//! Says how many there were, what they had counted, and the CPU nanoseconds of all reads; for `bench/counters.py`.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use netledger_core::error::Error;
use netledger_core::nfacct::Filter;
use netledger_core::sources::nfacct::Nfacct;
use netledger_core::sources::nft_counters::NftCounters;

const IP: u8 = 2;

/// Time on a CPU of this thread, as the kernel tells it.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, repeats] = words.as_slice() else {
        println!("counters_speed nfacct|TABLE REPEATS");
        return Ok(());
    };
    let (mut nfacct, mut nft) = (Nfacct::open()?, NftCounters::open()?);
    let (mut entries, mut packets) = (0, 0_u64);
    let before = cpu_ns();
    for _ in 0..repeats.parse().unwrap_or(1) {
        if what == "nfacct" {
            let found = nfacct.list(Filter::default())?;
            entries = found.len();
            packets = found.iter().map(|one| one.packets).sum();
        } else {
            let found = nft.of_table(IP, what.as_bytes())?;
            entries = found.len();
            packets = found.iter().map(|one| one.packets).sum();
        }
    }
    let passed = cpu_ns().saturating_sub(before);
    println!("{{\"entries\": {entries}, \"packets\": {packets}, \"cpu_ns\": {passed}}}");
    Ok(())
}
