//! The names of interfaces in the header of a packet socket's table: they are there when the interfaces are not.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Release;

use super::header::{Header, Word, word_of};

/// Interfaces that a table tells apart.
const NAMES_MAX: usize = 4096;
/// A number and two words of name: `IFNAMSIZ` of the kernel.
const NAME_WORDS: usize = 3;
const NAME_BYTES: usize = 16;
pub(super) const WORDS: usize = NAMES_MAX * NAME_WORDS;

/// The number of all interfaces that find no room, and what they are called.
pub(crate) const MORE: u32 = u32::MAX;
pub(crate) const MORE_NAME: &str = "(more)";

impl Header<'_> {
    /// Notes the name that a number in keys stands for. Returns the number to book by: another when there is no room.
    pub(crate) fn note_interface(self, number: u32, name: &str) -> u32 {
        let known = self.interfaces_known();
        let at = self.interfaces_at();
        if (0..known).any(|place| self.get_at(at + place * NAME_WORDS) == u64::from(number)) {
            return number;
        }
        if known == NAMES_MAX || number == MORE {
            return MORE;
        }
        let bytes = name.as_bytes();
        let (first, second) = bytes.split_at(bytes.len().min(size_of::<u64>()));
        let at = at + known * NAME_WORDS;
        for (offset, word) in [u64::from(number), word_of(first), word_of(second)].into_iter().enumerate() {
            self.set_at(at + offset, word);
        }
        if let Some(count) = self.0.get(Word::Interfaces as usize) {
            count.store(known as u64 + 1, Release);
        }
        number
    }

    /// The names by the numbers in keys.
    pub(crate) fn interfaces(self) -> HashMap<u32, String> {
        let at = self.interfaces_at();
        let name = |place: usize| {
            let at = at + place * NAME_WORDS;
            let bytes = [self.get_at(at + 1), self.get_at(at + 2)].map(u64::to_ne_bytes).concat();
            let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            (u32::try_from(self.get_at(at)).unwrap_or(MORE), String::from_utf8_lossy(name).into_owned())
        };
        let more = std::iter::once((MORE, MORE_NAME.to_owned()));
        (0..self.interfaces_known()).map(name).chain(more).collect()
    }

    fn interfaces_known(self) -> usize {
        usize::try_from(self.get(Word::Interfaces)).unwrap_or(0).min(NAMES_MAX)
    }

    fn interfaces_at(self) -> usize {
        Self::behind_networks(usize::try_from(self.get(Word::Networks)).unwrap_or(0))
    }
}

const _: () = assert!(NAME_BYTES == 2 * size_of::<u64>(), "a name is two words");
