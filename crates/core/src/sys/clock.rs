//! The clock that is never stepped and goes on while the machine sleeps, and the one by which the kernel stamps packets.
//! Of the wall clock the core knows nothing else.

/// `CLOCK_BOOTTIME` in nanoseconds; 0 if the kernel has none, which no Linux since 2.6.39 does.
#[must_use]
pub fn boottime_ns() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

/// `CLOCK_REALTIME` in nanoseconds, only to be compared with the stamps of packets.
#[must_use]
pub fn packet_time_ns() -> u64 {
    read(libc::CLOCK_REALTIME)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure lives across the call.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return 0;
    }
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec))
}
