//! Any bytes as an answer of nftables: each quota is whole, is another object, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netledger_core::nfnetlink::Replies;
use netledger_core::nft_quotas::quota_of;

fuzz_target!(|datagram: &[u8]| {
    for reply in Replies::new(datagram).flatten() {
        if let Ok(Some(quota)) = quota_of(&reply) {
            assert!(!quota.name.is_empty() && !quota.table.is_empty());
            assert!(quota.name.len() + quota.table.len() < datagram.len());
            assert_eq!(quota.family, reply.family);
        }
    }
});
