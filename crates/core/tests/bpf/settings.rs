//! `struct settings` and `struct networks` of `bpf/accounting.h`, written by their offsets.

use netledger_core::flow::Address;
use netledger_core::posting::{KeySpec, Network};

pub(crate) const SETTINGS_BYTES: usize = 2152;
const NETWORKS_MAX: usize = 16384;
pub(crate) const NETWORKS_BYTES: usize = NETWORKS_MAX * 22;
const LOCAL: u8 = 1;
const WANTED: u8 = 2;
const EXCLUDED: u8 = 4;

/// What a meter asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) spec: KeySpec,
    pub(crate) key_bytes: u32,
    pub(crate) side: u8,
    pub(crate) loopback: bool,
    pub(crate) others: bool,
    /// None: not limited.
    pub(crate) interfaces: Option<Vec<&'static str>>,
    pub(crate) interfaces_excluded: Vec<&'static str>,
    pub(crate) wanted: Vec<Network>,
    pub(crate) excluded: Vec<Network>,
}

impl Settings {
    pub(crate) fn new(columns: &[&str]) -> Self {
        let spec = KeySpec { columns: KeySpec::columns_of(columns.iter().copied()).unwrap(), ..KeySpec::default() };
        let is_wide = spec.has_peer();
        let is_narrow = spec.columns & !1 != 0;
        let key_bytes = if is_wide {
            48
        } else if is_narrow {
            32
        } else {
            16
        };
        Self { spec, key_bytes, side: 1, loopback: true, others: true, ..Self::default() }
    }

    pub(crate) fn asks_ports(&self) -> bool {
        self.spec.has_protocol() || self.spec.has_host_port() || self.spec.has_peer_port()
    }

    pub(crate) fn asks_networks(&self) -> bool {
        self.asked() != 0
    }

    fn lists(&self) -> [(u8, &[Network]); 3] {
        [(LOCAL, &self.spec.local), (WANTED, &self.wanted), (EXCLUDED, &self.excluded)]
    }

    fn asked(&self) -> u8 {
        self.lists().iter().filter(|(_, list)| !list.is_empty()).map(|(bit, _)| bit).sum()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut to = vec![0; SETTINGS_BYTES];
        let mut put = |at: usize, bytes: &[u8]| to[at..at + bytes.len()].copy_from_slice(bytes);
        let spec = &self.spec;
        let v4 = u128::MAX << (32 - u32::from(spec.ipv4_prefix_length));
        let v6 = u128::MAX.checked_shl(128 - u32::from(spec.ipv6_prefix_length)).unwrap_or(0);
        for (family, mask) in [v4, v6].into_iter().enumerate() {
            for (at, is_asked) in [(0, spec.has_host()), (32, spec.has_peer())] {
                let mask = if is_asked { mask } else { 0 };
                put(at + family * 16, &((mask >> 64) as u64).to_ne_bytes());
                put(at + family * 16 + 8, &(mask as u64).to_ne_bytes());
            }
        }
        let when = |is_asked: bool, mask: u64| if is_asked { mask } else { 0 };
        let meta = when(spec.has_host_port(), 0xffff)
            | when(spec.has_peer_port(), 0xffff << 16)
            | when(spec.has_protocol(), 0xff << 32);
        put(64, &meta.to_ne_bytes());
        put(72, &when(spec.has_interface(), u64::from(u32::MAX)).to_ne_bytes());
        put(80, &u32::from(self.side).to_ne_bytes());
        put(84, &self.key_bytes.to_ne_bytes());
        put(88, &[u8::from(self.asks_ports()), u8::from(self.loopback), u8::from(self.others), self.asked()]);
        let interfaces = self.interfaces.clone().unwrap_or_default();
        let counts = [interfaces.len(), self.interfaces_excluded.len()].map(|count| count as u8);
        put(92, &[u8::from(self.interfaces.is_some()), counts[0], counts[1]]);
        put(96, &self.half(true).to_ne_bytes());
        put(100, &self.half(false).to_ne_bytes());
        for (at, names) in [(104, &interfaces), (104 + 32 * 32, &self.interfaces_excluded)] {
            for (number, name) in names.iter().enumerate() {
                put(at + number * 32, &pattern(name));
            }
        }
        to
    }

    /// Where the answer changes, and what it is from there on: each address tried that could be a border.
    fn changes(&self, is_ipv4: bool) -> Vec<(u128, u8)> {
        let mut borders = vec![0];
        for &(Address(address), length, v4) in self.lists().iter().flat_map(|(_, list)| list.iter()) {
            if v4 == is_ipv4 {
                let (number, bits) = if v4 { (address & 0xffff_ffff, 32) } else { (address, 128) };
                let size = 1_u128.checked_shl(bits - u32::from(length)).unwrap_or(0);
                borders.push(number);
                borders.extend(number.checked_add(size).filter(|&behind| size > 0 && (!v4 || behind >> 32 == 0)));
            }
        }
        borders.sort_unstable();
        borders.dedup();
        let address = |number: u128| Address(if is_ipv4 { number | 0xffff << 32 } else { number });
        borders.into_iter().map(|border| (border, self.answer(address(border), is_ipv4))).collect()
    }

    /// By the lists themselves.
    pub(crate) fn answer(&self, Address(address): Address, is_ipv4: bool) -> u8 {
        let holds = |&(Address(network), length, v4): &Network| {
            let bits = u32::from(length) + if v4 { 96 } else { 0 };
            v4 == is_ipv4 && (network ^ address).leading_zeros() >= bits
        };
        self.lists().iter().filter(|(_, list)| list.iter().any(holds)).map(|(bit, _)| bit).sum()
    }

    fn half(&self, is_ipv4: bool) -> u32 {
        u32::try_from(self.changes(is_ipv4).len().next_power_of_two() / 2).unwrap()
    }

    pub(crate) fn networks_table(&self) -> Vec<u8> {
        let mut to = vec![0xff; NETWORKS_BYTES];
        for (is_ipv4, answers_at) in [(true, 20), (false, 21)] {
            let changes = self.changes(is_ipv4);
            let last = changes.last().unwrap().1;
            to[NETWORKS_MAX * answers_at..][..NETWORKS_MAX].fill(last);
            for (number, &(start, answer)) in changes.iter().enumerate() {
                to[NETWORKS_MAX * answers_at + number] = answer;
                if is_ipv4 {
                    to[number * 4..][..4].copy_from_slice(&(start as u32).to_ne_bytes());
                } else {
                    to[NETWORKS_MAX * 4 + number * 8..][..8].copy_from_slice(&((start >> 64) as u64).to_ne_bytes());
                    to[NETWORKS_MAX * 12 + number * 8..][..8].copy_from_slice(&(start as u64).to_ne_bytes());
                }
            }
        }
        to
    }
}

/// Words and masks: the whole name with its end, or what is before the star.
fn pattern(name: &str) -> [u8; 32] {
    let mut pattern = [0; 32];
    let (name, compared) = name.strip_suffix('*').map_or((name, name.len() + 1), |start| (start, start.len()));
    pattern[..name.len()].copy_from_slice(name.as_bytes());
    pattern[16..16 + compared.min(16)].fill(0xff);
    pattern
}
