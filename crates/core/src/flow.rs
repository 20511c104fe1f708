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

/// To whom a posting is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// An accounted address.
    Host,
    /// Everything that is not local.
    External,
    /// What found no room for a row of its own.
    Other,
}

impl Account {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Host, Self::External, Self::Other];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::External => "external",
            Self::Other => "other",
        }
    }
}

const PROTOCOL_SHIFT: u32 = 32;
const ACCOUNT_SHIFT: u32 = 40;
const ZONE_SHIFT: u32 = 48;
const TAG_SHIFT: u32 = 32;

/// The number of words of a key without and with a peer.
pub const NARROW_WORDS: usize = 4;
pub const WIDE_WORDS: usize = 6;

/// What rows are added up by, as words: host (2), ports + protocol + account + zone, place + tag, peer (2).
///
/// The *place* is the number of an interface, or the mark of a connection: no source knows both of a row, for packets
/// have an interface and no connection's mark, and a flow is counted as a whole, wherever its packets passed.
///
/// The *tag* is a small number whose meaning the source knows: the label of an NFLOG prefix, the interval of a capture.
/// Fields that are not asked for are zero. Keys without a peer are told apart by the first four words alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Key {
    pub words: [u64; WIDE_WORDS],
}

/// The fields of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    pub account: Account,
    pub host: Address,
    pub peer: Address,
    pub protocol: u8,
    pub host_port: u16,
    pub peer_port: u16,
    pub zone: u16,
    /// The index of an interface, or a connection's mark.
    pub place: u32,
    pub tag: u32,
}

#[allow(clippy::cast_possible_truncation, reason = "fields are cut out of words on purpose")]
impl Key {
    #[must_use]
    #[inline]
    pub fn new(fields: &Fields) -> Self {
        let meta = u64::from(fields.host_port)
            | u64::from(fields.peer_port) << 16
            | u64::from(fields.protocol) << PROTOCOL_SHIFT
            | (fields.account as u64) << ACCOUNT_SHIFT
            | u64::from(fields.zone) << ZONE_SHIFT;
        let place = u64::from(fields.place) | u64::from(fields.tag) << TAG_SHIFT;
        let Address(host) = fields.host;
        let Address(peer) = fields.peer;
        Self { words: [(host >> 64) as u64, host as u64, meta, place, (peer >> 64) as u64, peer as u64] }
    }

    /// An accounted address, and nothing else.
    #[must_use]
    #[inline]
    pub fn host_only(Address(host): Address) -> Self {
        Self { words: [(host >> 64) as u64, host as u64, 0, 0, 0, 0] }
    }

    /// The row of `account` that has no address; one per tag.
    #[must_use]
    #[inline]
    pub fn special(account: Account, tag: u32) -> Self {
        Self { words: [0, 0, (account as u64) << ACCOUNT_SHIFT, u64::from(tag) << TAG_SHIFT, 0, 0] }
    }

    #[must_use]
    #[inline]
    pub fn tag(&self) -> u32 {
        (self.words[3] >> TAG_SHIFT) as u32
    }

    /// The same with another tag.
    #[must_use]
    pub fn with_tag(mut self, tag: u32) -> Self {
        self.words[3] = u64::from(self.words[3] as u32) | u64::from(tag) << TAG_SHIFT;
        self
    }

    #[must_use]
    #[inline]
    pub fn is_other(&self) -> bool {
        // Only hosts have a zone.
        self.words[2] >> ACCOUNT_SHIFT == Account::Other as u64
    }

    #[must_use]
    pub fn fields(&self) -> Fields {
        let [host_high, host_low, meta, place, peer_high, peer_low] = self.words;
        Fields {
            account: match (meta >> ACCOUNT_SHIFT) as u8 {
                0 => Account::Host,
                1 => Account::External,
                _ => Account::Other,
            },
            host: Address(u128::from(host_high) << 64 | u128::from(host_low)),
            peer: Address(u128::from(peer_high) << 64 | u128::from(peer_low)),
            protocol: (meta >> PROTOCOL_SHIFT) as u8,
            host_port: meta as u16,
            peer_port: (meta >> 16) as u16,
            zone: (meta >> ZONE_SHIFT) as u16,
            place: place as u32,
            tag: (place >> TAG_SHIFT) as u32,
        }
    }
}

/// The side of the books that a posting goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Side {
    #[default]
    Sent,
    Received,
}

/// Which postings a packet makes: both (double entry), or one where a source knows only one end to be accounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    Both,
    Sent,
    Received,
}

impl Sides {
    #[must_use]
    #[inline]
    pub fn sent(self) -> bool {
        self != Self::Received
    }

    #[must_use]
    #[inline]
    pub fn received(self) -> bool {
        self != Self::Sent
    }
}

/// One packet, added to one side of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Posting {
    pub key: Key,
    pub bytes: u64,
    pub side: Side,
}

/// Packets and bytes of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sums {
    pub sent_packets: u64,
    pub sent_bytes: u64,
    pub received_packets: u64,
    pub received_bytes: u64,
}

impl Sums {
    /// Adds a posting of so many packets. A sum that no longer fits into 64 bits stays at the top; it would take a hundred years at full
    /// speed of any line there is.
    #[inline]
    pub fn add(&mut self, posting: &Posting, count: u64) {
        let (packets, bytes) = match posting.side {
            Side::Sent => (&mut self.sent_packets, &mut self.sent_bytes),
            Side::Received => (&mut self.received_packets, &mut self.received_bytes),
        };
        *packets = packets.saturating_add(count);
        *bytes = bytes.saturating_add(posting.bytes);
    }

    /// Adds packets that were posted on these sides.
    pub fn add_packets(&mut self, sides: Sides, packets: u64, bytes: u64) {
        if sides.sent() {
            self.sent_packets = self.sent_packets.saturating_add(packets);
            self.sent_bytes = self.sent_bytes.saturating_add(bytes);
        }
        if sides.received() {
            self.received_packets = self.received_packets.saturating_add(packets);
            self.received_bytes = self.received_bytes.saturating_add(bytes);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.sent_packets = self.sent_packets.saturating_add(other.sent_packets);
        self.sent_bytes = self.sent_bytes.saturating_add(other.sent_bytes);
        self.received_packets = self.received_packets.saturating_add(other.received_packets);
        self.received_bytes = self.received_bytes.saturating_add(other.received_bytes);
    }
}
