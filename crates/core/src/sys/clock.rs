//! The clock that is never stepped and goes on while the machine sleeps. Of the wall clock the core knows nothing.

/// `CLOCK_BOOTTIME` in nanoseconds; 0 if the kernel has none, which no Linux since 2.6.39 does.
#[must_use]
pub fn boottime_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure lives across the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) } != 0 {
        return 0;
    }
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec))
}
