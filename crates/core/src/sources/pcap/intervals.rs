//! Which interval a packet's time lies in, as a small number for the key.

use std::collections::HashMap;

use crate::batch;
use crate::flow::{Fields, Key};

use super::format::{Packet, Refusal};

/// Distinct intervals of one capture: a year in steps of 30 seconds. A damaged clock must not fill the memory.
pub(super) const INTERVALS_MAX: usize = 1 << 20;

/// Numbers intervals in the order in which they appear; packets may come in any order.
#[derive(Debug)]
pub(super) struct Intervals {
    length_ns: i64,
    /// The interval of the packet before: nearly always that of the next one too.
    open_start_ns: i64,
    /// 0 until there is one.
    open_length_ns: u64,
    open_tag: u32,
    starts_ns: Vec<i64>,
    least_ns: i64,
    greatest_ns: i64,
    tags: HashMap<i64, u32>,
}

impl Intervals {
    /// `length_ns` 0: the whole capture is one interval.
    pub(super) fn new(length_ns: i64) -> Self {
        Self {
            length_ns,
            open_start_ns: 0,
            open_length_ns: 0,
            open_tag: 0,
            starts_ns: Vec::new(),
            least_ns: i64::MAX,
            greatest_ns: i64::MIN,
            tags: HashMap::new(),
        }
    }

    /// The tag of the interval that `packet` belongs to.
    #[inline]
    pub(super) fn tag(&mut self, packet: &Packet<'_>) -> Result<u32, Refusal> {
        if self.length_ns <= 0 {
            return Ok(0);
        }
        let Some(time_ns) = packet.time_ns else {
            return Err(Refusal::with_hint(
                "it has packets without a time (simple packet blocks)",
                "leave out --interval: the whole capture is then one interval",
            ));
        };
        // A time before the start wraps to a large number.
        if time_ns.wrapping_sub(self.open_start_ns).cast_unsigned() < self.open_length_ns {
            return Ok(self.open_tag);
        }
        self.change(time_ns)
    }

    #[cold]
    fn change(&mut self, time_ns: i64) -> Result<u32, Refusal> {
        let start_ns = time_ns.saturating_sub(time_ns.rem_euclid(self.length_ns));
        let tag = if let Some(&tag) = self.tags.get(&start_ns) {
            tag
        } else {
            let tag = u32::try_from(self.starts_ns.len()).ok().filter(|&tag| (tag as usize) < INTERVALS_MAX);
            let (least_ns, greatest_ns) = (self.least_ns.min(start_ns), self.greatest_ns.max(start_ns));
            let span = greatest_ns.abs_diff(least_ns) / self.length_ns.unsigned_abs();
            let Some(tag) = tag.filter(|_| span < u64::from(u32::MAX)) else {
                return Err(Refusal::with_hint(
                    format!("its packets lie in more than {INTERVALS_MAX} intervals, or too far apart"),
                    "choose a longer --interval",
                ));
            };
            (self.least_ns, self.greatest_ns) = (least_ns, greatest_ns);
            self.starts_ns.push(start_ns);
            self.tags.insert(start_ns, tag);
            tag
        };
        (self.open_start_ns, self.open_tag) = (start_ns, tag);
        self.open_length_ns = self.length_ns.unsigned_abs();
        Ok(tag)
    }

    /// The same intervals, numbered by time.
    pub(super) fn numbers(&self) -> Numbers {
        let origin_ns = self.starts_ns.iter().copied().min().unwrap_or(0);
        let number =
            |&start_ns: &i64| u32::try_from(start_ns.abs_diff(origin_ns) / self.length_ns.unsigned_abs().max(1));
        Numbers {
            by_tag: self.starts_ns.iter().map(|start_ns| number(start_ns).unwrap_or(u32::MAX)).collect(),
            intervals: (self.length_ns > 0).then_some(batch::Intervals { origin_ns, length_ns: self.length_ns }),
        }
    }

    /// Start of each interval, by tag.
    pub(super) fn starts_ns(&self) -> &[i64] {
        &self.starts_ns
    }
}

/// Intervals as a batch wants them: numbered from the earliest on.
pub(super) struct Numbers {
    by_tag: Vec<u32>,
    pub(super) intervals: Option<batch::Intervals>,
}

impl Numbers {
    /// `key` with the number of its interval in place of the tag.
    pub(super) fn renumbered(&self, key: Key) -> Key {
        match self.by_tag.get(key.tag() as usize) {
            Some(&tag) => Key::new(&Fields { tag, ..key.fields() }),
            None => key,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "how a test fails")]
mod tests {
    use super::{Intervals, Packet};
    use crate::sources::pcap::link::Link;

    fn at(time_ns: i64) -> Packet<'static> {
        Packet { link: Link::Raw, time_ns: Some(time_ns), time_invalid: false, captured: &[], original_bytes: 0 }
    }

    #[test]
    fn packets_out_of_order_find_their_interval_again() {
        let mut intervals = Intervals::new(10);
        let tags: Vec<_> = [5, 9, 10, 3, 25, 19, -1].map(|time| intervals.tag(&at(time)).unwrap()).into();
        assert_eq!(tags, [0, 0, 1, 0, 2, 1, 3]);
        assert_eq!(intervals.starts_ns(), [0, 10, 20, -10]);
    }

    #[test]
    fn without_a_length_all_is_one_interval_and_needs_no_time() {
        let mut intervals = Intervals::new(0);
        assert_eq!(intervals.tag(&Packet { time_ns: None, ..at(0) }), Ok(0));
        assert!(Intervals::new(1).tag(&Packet { time_ns: None, ..at(0) }).is_err());
    }

    #[test]
    fn the_ends_of_time_are_intervals_too() {
        let mut intervals = Intervals::new(i64::MAX);
        for time in [i64::MIN, i64::MAX, 0, -1] {
            assert!(intervals.tag(&at(time)).is_ok());
        }
    }

    #[test]
    fn intervals_too_far_apart_to_be_numbered_are_refused() {
        let mut intervals = Intervals::new(7);
        assert!(intervals.tag(&at(i64::MIN)).is_ok());
        assert!(intervals.tag(&at(i64::MIN + 1)).is_ok());
        assert!(intervals.tag(&at(i64::MAX)).is_err());
    }

    #[test]
    fn numbers_rise_with_time() {
        let mut intervals = Intervals::new(10);
        for time in [25, 3, -1] {
            intervals.tag(&at(time)).unwrap();
        }
        let numbers = intervals.numbers();
        assert_eq!(numbers.by_tag, [3, 1, 0]);
        assert_eq!(numbers.intervals.map(|of| (of.origin_ns, of.length_ns)), Some((-10, 10)));
    }
}
