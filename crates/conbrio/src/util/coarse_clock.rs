//! The monotonic time of the system as of the last timer interrupt.
//!
//! It is some milliseconds late, and costs a quarter of what the exact time costs: the kernel keeps it in
//! memory that it shares with the process, and no counter of the processor is read (clock_gettime(2),
//! `CLOCK_MONOTONIC_COARSE`).

/// Nanoseconds since some moment in the past; `None` where the system has no such clock.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn now() -> Option<u64> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes to the given place only.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    if result != 0 {
        return None;
    }
    let seconds = u64::try_from(now.tv_sec).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(now.tv_nsec).ok()?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn now() -> Option<u64> {
    None
}
