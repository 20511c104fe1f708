//! Writers of packets, frames and captures.

/// An IPv4 UDP packet of `bytes` total length, 10.0.0.`from` → 10.0.0.`to`, of which the header is there.
pub(in super::super) fn v4(from: u8, to: u8, bytes: u16) -> Vec<u8> {
    let [high, low] = bytes.to_be_bytes();
    vec![0x45, 0, high, low, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to]
}

/// An IPv6 UDP packet of `bytes` total length, of which the header is there.
pub(in super::super) fn v6(bytes: u16) -> Vec<u8> {
    let [high, low] = (bytes - 40).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, 17, 64];
    for last in [1, 2] {
        packet.extend([0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet
}

pub(in super::super) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12], &ethertype.to_be_bytes()[..], payload].concat()
}

#[derive(Clone, Copy)]
pub(in super::super) struct Order {
    pub(in super::super) big_endian: bool,
}

pub(in super::super) const LITTLE: Order = Order { big_endian: false };
pub(in super::super) const BIG: Order = Order { big_endian: true };

impl Order {
    pub(in super::super) fn word(self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(in super::super) fn half(self, value: u16) -> [u8; 2] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    /// A pcap file header.
    pub(in super::super) fn pcap_header(self, magic: u32, link: u32) -> Vec<u8> {
        [&self.word(magic)[..], &self.half(2), &self.half(4), &[0; 8], &self.word(65_535), &self.word(link)].concat()
    }

    /// A pcap record.
    pub(in super::super) fn record(self, seconds: u32, fraction: u32, original: usize, captured: &[u8]) -> Vec<u8> {
        let original = u32::try_from(original).unwrap();
        let length = u32::try_from(captured.len()).unwrap();
        [&self.word(seconds)[..], &self.word(fraction), &self.word(length), &self.word(original), captured].concat()
    }

    /// A pcapng block, padded.
    pub(in super::super) fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = self.word(u32::try_from(padded + 12).unwrap());
        [&self.word(kind)[..], &length, body, &vec![0; padded - body.len()], &length].concat()
    }

    pub(in super::super) fn section(self) -> Vec<u8> {
        self.block(0x0a0d_0d0a, &[&self.word(0x1a2b_3c4d)[..], &self.half(1), &self.half(0), &[0xff; 8]].concat())
    }

    /// An interface description; `options` are (code, value).
    pub(in super::super) fn interface(self, link: u16, snap: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [&self.half(link)[..], &[0; 2], &self.word(snap)].concat();
        for (code, value) in options {
            body.extend(self.half(*code));
            body.extend(self.half(u16::try_from(value.len()).unwrap()));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    pub(in super::super) fn enhanced(self, interface: u32, ticks: u64, frame: &[u8]) -> Vec<u8> {
        self.block(6, &[&self.word(interface)[..], &self.stamp(ticks, frame)].concat())
    }

    pub(in super::super) fn obsolete(self, interface: u16, ticks: u64, frame: &[u8]) -> Vec<u8> {
        self.block(2, &[&self.half(interface)[..], &self.half(7), &self.stamp(ticks, frame)].concat())
    }

    pub(in super::super) fn simple(self, original: u32, captured: &[u8]) -> Vec<u8> {
        self.block(3, &[&self.word(original)[..], captured].concat())
    }

    fn stamp(self, ticks: u64, frame: &[u8]) -> Vec<u8> {
        let (high, low) = (u32::try_from(ticks >> 32).unwrap(), u32::try_from(ticks & 0xffff_ffff).unwrap());
        let length = self.word(u32::try_from(frame.len()).unwrap());
        [&self.word(high)[..], &self.word(low), &length, &length, frame].concat()
    }
}
