//! Any bytes as an IP packet: an answer, the same to both depths, and nothing behind the packet's own end matters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netledger_core::packet::{Depth, Unreadable, parse};

fuzz_target!(|packet: &[u8]| {
    let deep = match (parse(packet, Depth::Addresses), parse(packet, Depth::Ports)) {
        (Ok(shallow), Ok(deep)) => {
            assert_eq!((shallow.source, shallow.destination), (deep.source, deep.destination));
            assert_eq!((shallow.bytes, shallow.length_known), (deep.bytes, deep.length_known));
            assert!(!shallow.ports_known);
            deep
        }
        (shallow, deep) => {
            assert_eq!(shallow, deep, "one depth refuses what the other reads");
            assert!(packet.is_empty() == (deep == Err(Unreadable::Empty)) && deep != Err(Unreadable::NotIp));
            return;
        }
    };
    assert_eq!(deep.length_known, deep.bytes != 0);
    assert!(deep.ports_known || (deep.source_port, deep.destination_port) == (0, 0));
    if let Some(own) = usize::try_from(deep.bytes).ok().and_then(|end| packet.get(..end)).filter(|_| deep.length_known)
    {
        assert_eq!(parse(own, Depth::Ports), Ok(deep), "padding was read");
    }
});
