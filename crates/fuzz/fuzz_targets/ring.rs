//! A block of a packet socket's ring with any frames in it, or any bytes as a block: it is read to an end, what is booked
//! was there, and each packet is posted or counted by why it is not.
#![no_main]

use libc::sock_filter;
use libfuzzer_sys::fuzz_target;
use netledger_core::posting::KeySpec;
use netledger_core::sources::packet::frame::Frames;
use netledger_core::sources::packet::{Reader, Wanted};
use netledger_core::table::header::GroupState;

const LINK_AT: usize = 96;

/// What one frame is made of: what the kernel says of it, and the bytes behind its link layer's header.
fn frame(input: &[u8], block: &mut Vec<u8>) {
    let Some((&[selected, link, there_high, there_low, kind, size, flags, start], network)) = input.split_first_chunk()
    else {
        return;
    };
    let protocols: [u16; 8] = [0x0800, 0x0800, 0x86dd, 0x8100, 0x88a8, 0x8864, 0x0806, 4];
    let link_bytes = usize::from(link % 64);
    let captured = link_bytes + network.len();
    let next = (LINK_AT + captured).next_multiple_of(8);
    let mut bytes = vec![0; LINK_AT + link_bytes];
    let there = u32::from(u16::from_be_bytes([there_high, there_low]));
    for (at, value) in [(0, next), (12, captured)] {
        bytes[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap_or(0).to_ne_bytes());
    }
    bytes[16..20].copy_from_slice(&there.to_ne_bytes());
    for (at, value) in [(24, LINK_AT), (26, LINK_AT + link_bytes)] {
        bytes[at..at + 2].copy_from_slice(&u16::try_from(value).unwrap_or(0).to_ne_bytes());
    }
    bytes[50..52].copy_from_slice(&protocols[usize::from(selected % 8)].to_be_bytes());
    bytes[LINK_AT - 10] = flags;
    bytes[LINK_AT - 9] = kind;
    bytes[LINK_AT - 6] = size;
    bytes[LINK_AT - 4] = start;
    bytes.extend(network);
    bytes.resize(next, 0);
    block.extend(bytes);
}

fn read(block: &[u8], columns: &[&str]) -> (GroupState, u64) {
    let columns = KeySpec::columns_of(columns.iter().copied()).unwrap_or(1);
    let spec = KeySpec { columns, ..KeySpec::default() };
    // UDP passes: byte 9 of what is behind a tag.
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let given = vec![step(0x30, 0, 0, 0xfff0_0009), step(0x15, 0, 1, 17), step(0x06, 0, 0, 1), step(0x06, 0, 0, 0)];
    let wanted = Wanted { families: [true, true], given, ..Wanted::default() };
    let mut reader = Reader::new(&spec, wanted, true);
    let (mut state, mut there, mut packets) = (GroupState::default(), 0, 0);
    let mut frames = Frames::new(block);
    while let Ok(Some(frame)) = frames.next_frame() {
        there += u64::from(frame.network_bytes());
        packets += u64::from(reader.read(&frame, 1, &mut state).is_some());
    }
    let unreadable: u64 = state.unreadable.iter().sum();
    assert_eq!(state.received_packets, packets + unreadable, "a packet is neither posted nor counted");
    assert!(state.received_bytes <= there, "more was booked than was there");
    assert!(state.ring.wire_packets >= state.received_packets);
    (state, packets)
}

fuzz_target!(|input: &[u8]| {
    read(input, &["host"]);
    let mut block = vec![0; 48];
    let parts: Vec<&[u8]> = input.split(|&byte| byte == 0xfe).collect();
    for part in &parts {
        frame(part, &mut block);
    }
    block[12..16].copy_from_slice(&u32::try_from(parts.len()).unwrap_or(0).to_ne_bytes());
    block[16..20].copy_from_slice(&48_u32.to_ne_bytes());
    let (shallow, shallow_packets) = read(&block, &["host"]);
    let (deep, deep_packets) = read(&block, &["host", "host_port"]);
    assert_eq!((shallow.received_bytes, shallow_packets), (deep.received_bytes, deep_packets), "ports change no sum");
});
