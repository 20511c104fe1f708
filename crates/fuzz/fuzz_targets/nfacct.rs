//! Any bytes as an answer of netfilter: messages up to the first malformed one, each object readable or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netledger_core::nfacct::Object;
use netledger_core::nfnetlink::{Content, Replies};

fuzz_target!(|datagram: &[u8]| {
    let mut replies = Replies::new(datagram);
    let mut count = 0;
    while let Some(reply) = replies.next() {
        count += 1;
        match reply.map(|reply| reply.content) {
            Ok(Content::Data { attributes, .. }) => {
                for attribute in attributes.clone().flatten() {
                    assert!(attribute.value.len() < datagram.len());
                    assert!(attribute.nested().count() <= attribute.value.len() / 4);
                }
                if let Ok(object) = Object::read(attributes) {
                    assert!(!object.name.is_empty() && !object.name.contains(&0));
                }
            }
            Ok(Content::Answer { errno, message }) => assert!(errno >= 0 && message.len() < datagram.len()),
            Ok(Content::Done { errno }) => assert!(errno >= 0),
            Ok(Content::Nothing) => {}
            Err(_) => assert!(replies.next().is_none()),
        }
    }
    assert!(count <= datagram.len() / 16 + 1);
});
