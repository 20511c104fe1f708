//! The vocabulary of counting: addresses, keys, postings.
//!
//! A packet is posted twice, like money: once as sent by its source, once as received by its destination. Both postings
//! of all packets are added up by key in a [`crate::table::Table`].

/// An IP address as a 128-bit number; IPv4 is v4-mapped (`::ffff:a.b.c.d`), so that both families share one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(pub u128);

const V4_MAPPED: u128 = 0xffff_0000_0000;

impl Address {
    #[must_use]
    #[inline]
    pub fn from_v4(octets: [u8; 4]) -> Self {
        Self(V4_MAPPED | u128::from(u32::from_be_bytes(octets)))
    }

    #[must_use]
    #[inline]
    pub fn from_v6(octets: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(octets))
    }

    #[must_use]
    #[inline]
    pub fn is_v4(self) -> bool {
        self.0 >> 32 == 0xffff
    }

    /// The last 32 bits: the address itself when it is an IPv4 one.
    #[must_use]
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
    pub fn low32(self) -> u32 {
        self.0 as u32
    }
}
