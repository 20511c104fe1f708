//! What a program says of itself, for whoever takes it over: also for a program of another version, older or newer.
//!
//! It is a list of words in a map of its own. What they mean is settled for ever: whoever needs more of them appends, and
//! whoever must change one gives the list another [`FORMAT`], which nobody else then touches.

use crate::posting::KeySpec;

use super::layout::{ROW_BYTES, SIDE_SHIFT, SLOTS};
use super::receipt::{MEMBERS, ReceiptForm};
use super::settings::Wanted;
use super::{AttachPoint, Config, Hook};

/// "NLBPF" and the number of the format.
const FORMAT: u64 = u64::from_be_bytes(*b"NLBPF\0\0\x01");
const WORDS: usize = 64;
pub(super) const ABOUT_BYTES: usize = WORDS * size_of::<u64>();
const HOOKS: [Hook; 3] = [Hook::Input, Hook::Forward, Hook::Output];
/// Where the offsets in the receipt stand, in the order of its members' names.
const MEMBERS_AT: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) layout: u32,
    /// Without networks: they are no part of how rows are read.
    pub(super) spec: KeySpec,
    pub(super) key_bytes: u32,
    pub(super) rows_max: u32,
    pub(super) side: u8,
    pub(super) attach: AttachPoint,
    pub(super) hooks: Vec<Hook>,
    pub(super) priority: i32,
    pub(super) receipt: ReceiptForm,
}

impl About {
    pub(super) fn of(config: &Config, wanted: &Wanted, layout: u32, receipt: ReceiptForm) -> Self {
        Self {
            layout,
            spec: KeySpec { local: Vec::new(), ..config.spec.clone() },
            key_bytes: wanted.settings.key_bytes,
            rows_max: config.rows_max,
            side: config.side,
            attach: config.attach,
            hooks: config.active_hooks(),
            priority: config.priority,
            receipt,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let hooks = HOOKS.iter().enumerate().map(|(bit, hook)| u64::from(self.hooks.contains(hook)) << bit);
        let words: [u64; MEMBERS_AT] = [
            FORMAT,
            u64::from(self.layout),
            u64::from(self.spec.columns),
            u64::from(self.spec.ipv4_prefix_length),
            u64::from(self.spec.ipv6_prefix_length),
            u64::from(self.key_bytes),
            u64::from(self.rows_max),
            u64::from(self.side),
            u64::from(self.attach == AttachPoint::Tcx),
            hooks.sum(),
            i64::from(self.priority).cast_unsigned(),
            // How slots, rows and the number are made: today there is one way.
            u64::from(SLOTS),
            u64::from(SIDE_SHIFT),
            ROW_BYTES as u64,
            self.receipt.bytes as u64,
            MEMBERS.len() as u64,
        ];
        let members = self.receipt.offsets.iter().map(|offset| offset.map_or(u64::MAX, |offset| offset as u64));
        let padded = words.into_iter().chain(members).chain(std::iter::repeat(0)).take(WORDS);
        padded.flat_map(u64::to_ne_bytes).collect()
    }

    /// None if the bytes are not what [`Self::bytes`] gives, or slots and rows are made in a way that is not known here.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |at: usize| words.get(at).map(|word| u64::from_ne_bytes(*word));
        let known = [(0, FORMAT), (11, SLOTS.into()), (12, SIDE_SHIFT.into()), (13, ROW_BYTES as u64)];
        if known.iter().any(|&(at, value)| word(at) != Some(value)) {
            return None;
        }
        let receipt_bytes = usize::try_from(word(14)?).ok()?;
        let members = usize::try_from(word(15)?).ok()?;
        // Members that came later than ours stand behind them.
        let offset = |member: usize| {
            let offset = word(MEMBERS_AT + member).filter(|_| member < members)?;
            usize::try_from(offset).ok().filter(|&offset| offset < receipt_bytes)
        };
        let hooks = word(9)?;
        Some(Self {
            layout: word(1)?.try_into().ok()?,
            spec: KeySpec {
                columns: word(2)?.try_into().ok()?,
                ipv4_prefix_length: word(3)?.try_into().ok()?,
                ipv6_prefix_length: word(4)?.try_into().ok()?,
                local: Vec::new(),
            },
            key_bytes: word(5)?.try_into().ok().filter(|bytes| [16, 32, 48].contains(bytes))?,
            rows_max: word(6)?.try_into().ok()?,
            side: word(7)?.try_into().ok()?,
            attach: if word(8)? == 0 { AttachPoint::Netfilter } else { AttachPoint::Tcx },
            hooks: HOOKS
                .into_iter()
                .enumerate()
                .filter(|(bit, _)| hooks >> bit & 1 == 1)
                .map(|(_, hook)| hook)
                .collect(),
            priority: word(10)?.cast_signed().try_into().ok()?,
            receipt: ReceiptForm { bytes: receipt_bytes, offsets: std::array::from_fn(offset) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        let config = Config { side: 2, priority: -7, rows_max: 9, ..Config::everything(AttachPoint::Tcx) };
        let receipt = ReceiptForm { bytes: 400, offsets: std::array::from_fn(|at| Some(at * 8)) };
        About::of(&config, &Wanted::of(&config).unwrap(), 3, receipt)
    }

    #[test]
    fn what_a_program_says_of_itself_is_read_again() {
        let about = about();
        assert_eq!(About::from_bytes(&about.bytes()), Some(about.clone()));
        assert_eq!(About::from_bytes(&about.bytes()[..64]), None);
        assert_eq!(About::from_bytes(&[0; ABOUT_BYTES]), None);
        let output = About { hooks: vec![Hook::Output], attach: AttachPoint::Netfilter, ..about };
        assert_eq!(About::from_bytes(&output.bytes()), Some(output));
    }

    #[test]
    fn a_format_or_a_way_that_is_not_known_is_left_alone() {
        for at in [0, 11, 12, 13] {
            let mut bytes = about().bytes();
            bytes[at * 8] ^= 1;
            assert_eq!(About::from_bytes(&bytes), None, "word {at}");
        }
    }

    #[test]
    fn members_of_another_time_are_neither_missed_nor_misread() {
        let with = |at: usize, value: u64| {
            let mut bytes = about().bytes();
            bytes[at * 8..at * 8 + 8].copy_from_slice(&value.to_ne_bytes());
            About::from_bytes(&bytes).unwrap().receipt.offsets
        };
        let mut expected = about().receipt.offsets;
        assert_eq!(with(15, 99), expected, "a newer program has more members");
        expected[MEMBERS.len() - 1] = None;
        assert_eq!(with(15, MEMBERS.len() as u64 - 1), expected, "an older one had fewer");
        assert_eq!(with(MEMBERS_AT + MEMBERS.len() - 1, u64::MAX), expected, "or lacks one");
    }
}
