//! Which flows are meant. Every filter is applied here; how much of it the kernel applies before is a matter of speed.

use crate::conntrack::{Flow, IPV4, Transport, Tuple};
use crate::flow::Address;

/// Some bits of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masked {
    pub value: u32,
    pub mask: u32,
}

impl Masked {
    #[must_use]
    pub fn holds(self, number: u32) -> bool {
        number & self.mask == self.value & self.mask
    }
}

/// The addresses that begin with some bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub family: u8,
    address: u128,
    mask: u128,
}

impl Prefix {
    /// Bits behind the prefix are ignored; a length above the family's (32, 128) means the whole address.
    #[must_use]
    pub fn new(family: u8, Address(address): Address, length: u8) -> Self {
        let bits = if family == IPV4 { 32 } else { 128 };
        let behind = bits - u32::from(length).min(bits);
        let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
        Self { family, address: address & mask, mask }
    }

    #[must_use]
    pub fn holds(&self, Address(address): Address) -> bool {
        address & self.mask == self.address
    }

    /// The address, if only one is meant.
    #[must_use]
    pub fn single(&self) -> Option<Address> {
        (self.mask == u128::MAX).then_some(Address(self.address))
    }

    /// The address and the mask, word by word, as the family writes them.
    pub(super) fn words(&self) -> Vec<(u32, u32)> {
        let skipped = if self.family == IPV4 { 3 } else { 0 };
        let words = |number: u128| {
            let bytes = number.to_be_bytes();
            let words: Vec<u32> = bytes.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word)).collect();
            words.into_iter().skip(skipped)
        };
        words(self.address).zip(words(self.mask)).collect()
    }
}

/// What one direction is to look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    pub source: Option<Prefix>,
    pub destination: Option<Prefix>,
    pub source_port: Option<u16>,
    pub destination_port: Option<u16>,
    pub icmp_kind: Option<u8>,
    pub icmp_code: Option<u8>,
    pub icmp_identifier: Option<u16>,
}

impl Ends {
    fn hold(&self, tuple: &Tuple) -> bool {
        let (mut ports, mut icmp) = (None, None);
        match tuple.transport {
            Transport::Ports { source, destination } => ports = Some((source, destination)),
            Transport::Icmp { kind, code, identifier } => icmp = Some((kind, code, identifier)),
            Transport::Bare => {}
        }
        self.source.is_none_or(|prefix| prefix.holds(tuple.source))
            && self.destination.is_none_or(|prefix| prefix.holds(tuple.destination))
            && is(self.source_port, ports.map(|(source, _)| source))
            && is(self.destination_port, ports.map(|(_, destination)| destination))
            && is(self.icmp_kind, icmp.map(|(kind, _, _)| kind))
            && is(self.icmp_code, icmp.map(|(_, code, _)| code))
            && is(self.icmp_identifier, icmp.map(|(_, _, identifier)| identifier))
    }
}

/// Whether nothing is wanted, or what is there.
fn is<T: PartialEq + Copy>(wanted: Option<T>, there: Option<T>) -> bool {
    wanted.is_none() || wanted == there
}

/// All that is given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub family: Option<u8>,
    pub protocol: Option<u8>,
    pub mark: Option<Masked>,
    pub status: Option<Masked>,
    pub zone: Option<u16>,
    pub original: Ends,
    pub reply: Ends,
}

impl Filter {
    /// A mark that the kernel leaves out is 0, and so is a zone.
    #[must_use]
    pub fn holds(&self, flow: &Flow<'_>) -> bool {
        self.family().is_none_or(|family| family == flow.family)
            && self.protocol.is_none_or(|protocol| protocol == flow.original.protocol)
            && self.mark.is_none_or(|mark| mark.holds(flow.mark.unwrap_or(0)))
            && self.status.is_none_or(|status| status.holds(flow.status.unwrap_or(0)))
            && self.zone.is_none_or(|zone| zone == flow.zone_number())
            && self.original.hold(&flow.original)
            && self.reply.hold(&flow.reply)
    }

    /// The family that is asked for, if only by an address.
    #[must_use]
    pub fn family(&self) -> Option<u8> {
        let ends = [self.original.source, self.original.destination, self.reply.source, self.reply.destination];
        self.family.or_else(|| ends.into_iter().flatten().next().map(|prefix| prefix.family))
    }
}
