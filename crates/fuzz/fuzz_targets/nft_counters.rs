//! Any bytes as an answer of nftables: each counter and each table is whole, is another object, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netledger_core::nfnetlink::Replies;
use netledger_core::nft_counters::{counter_of, table_of};

fuzz_target!(|datagram: &[u8]| {
    for reply in Replies::new(datagram).flatten() {
        if let Ok(Some(counter)) = counter_of(&reply) {
            assert!(!counter.name.is_empty() && !counter.table.is_empty());
            assert!(counter.name.len() + counter.table.len() < datagram.len());
            assert_eq!(counter.family, reply.family);
        }
        if let Ok(Some(table)) = table_of(&reply) {
            assert!(!table.name.is_empty() && !table.name.contains(&0));
        }
    }
});
