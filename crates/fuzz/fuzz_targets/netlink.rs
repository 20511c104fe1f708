//! Any bytes as a datagram: messages in order up to the first malformed one, each packet readable or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netledger_core::netlink::{Message, Messages};
use netledger_core::packet::{Depth, parse};

fuzz_target!(|datagram: &[u8]| {
    let mut messages = Messages::new(datagram);
    let mut offset = 0;
    while let Some(message) = messages.next() {
        match message {
            Ok(message) => {
                assert!(messages.offset() >= offset + 16 && messages.offset() <= datagram.len());
                let alone = datagram.get(offset..messages.offset()).and_then(|own| Messages::new(own).next());
                assert_eq!(alone, Some(Ok(message)), "read differently behind others");
                offset = messages.offset();
                match message {
                    Message::Packet(packet) => {
                        assert!(packet.prefix.len() < datagram.len());
                        if let Ok(ip) = packet.ip() {
                            assert!(ip.len() <= datagram.len());
                            // An error is a fine answer; a panic is what is looked for.
                            let _ = parse(ip, Depth::Ports);
                        }
                    }
                    Message::Error { errno, .. } => assert!(errno >= 0),
                    Message::Done | Message::Other { .. } => {}
                }
            }
            Err(_) => {
                assert_eq!(messages.offset(), offset);
                assert!(messages.next().is_none());
                return;
            }
        }
    }
    assert_eq!(offset, datagram.len());
});
