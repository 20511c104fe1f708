//! Time stamps of pcapng: ticks of a unit that each interface declares.

const NS_PER_SECOND: u128 = 1_000_000_000;

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    unit: Unit,
    offset_ns: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// One tick is this many nanoseconds (what all tools write: 1000 or 1).
    Whole(u64),
    /// So many ticks are a second.
    PerSecond(u128),
    /// A unit so small that 64 bits of it are no nanosecond.
    Nothing,
}

impl Default for Clock {
    /// Microseconds since 1970, as the format says when the interface does not.
    fn default() -> Self {
        Self { unit: Unit::Whole(1000), offset_ns: 0 }
    }
}

impl Clock {
    /// Sets the unit from the option `if_tsresol`: a negative power of 10, or of 2 when the top bit is set.
    pub(super) fn set_resolution(&mut self, value: u8) {
        let exponent = u32::from(value & 0x7f);
        self.unit = if value & 0x80 != 0 {
            Unit::PerSecond(1 << exponent)
        } else if exponent <= 9 {
            Unit::Whole(10_u64.pow(9 - exponent))
        } else {
            10_u128.checked_pow(exponent).map_or(Unit::Nothing, Unit::PerSecond)
        };
    }

    /// Sets what is added to each time stamp, from the option `if_tsoffset`.
    pub(super) fn set_offset(&mut self, seconds: i64) {
        self.offset_ns = seconds.saturating_mul(1_000_000_000);
    }

    /// Nanoseconds since 1970. What does not fit (years 1677 to 2262) becomes the nearest that does.
    #[must_use]
    #[inline]
    pub(super) fn to_ns(self, ticks: u64) -> i64 {
        let ns = match self.unit {
            Unit::Whole(ns) => ticks.checked_mul(ns).and_then(|ns| i64::try_from(ns).ok()).unwrap_or(i64::MAX),
            // 64 bits of ticks times 30 bits fit into 128.
            Unit::PerSecond(ticks_per_second) => {
                i64::try_from(u128::from(ticks) * NS_PER_SECOND / ticks_per_second).unwrap_or(i64::MAX)
            }
            Unit::Nothing => 0,
        };
        ns.saturating_add(self.offset_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    fn clock(resolution: u8, offset: i64) -> Clock {
        let mut clock = Clock::default();
        clock.set_resolution(resolution);
        clock.set_offset(offset);
        clock
    }

    #[test]
    fn powers_of_ten_and_of_two_are_units() {
        assert_eq!(Clock::default().to_ns(1_500_000), 1_500_000_000);
        assert_eq!(clock(0, 0).to_ns(7), 7_000_000_000);
        assert_eq!(clock(9, 0).to_ns(7), 7);
        assert_eq!(clock(12, 0).to_ns(7_999), 7);
        assert_eq!(clock(0x81, 0).to_ns(3), 1_500_000_000);
        assert_eq!(clock(0x9e, 0).to_ns(1 << 29), 500_000_000);
    }

    #[test]
    fn an_offset_is_added_and_may_be_negative() {
        assert_eq!(clock(6, 10).to_ns(1), 10_000_001_000);
        assert_eq!(clock(6, -10).to_ns(1), -9_999_999_000);
    }

    #[test]
    fn no_resolution_and_no_offset_overflows() {
        for resolution in 0..=u8::MAX {
            for offset in [i64::MIN, -1, 0, 1, i64::MAX] {
                for ticks in [0, 1, u64::MAX] {
                    let _ns: i64 = clock(resolution, offset).to_ns(ticks);
                }
            }
        }
        assert_eq!(clock(0, i64::MAX).to_ns(u64::MAX), i64::MAX);
        assert_eq!(clock(127, i64::MIN).to_ns(u64::MAX), i64::MIN);
    }
}
