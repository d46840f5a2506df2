//! Waiting on an epoll fd with a timeout in nanoseconds.
//!
//! Owns the one system call that rustix offers only in milliseconds, and the fallback to those on
//! kernels before 5.11 or under a seccomp filter that does not know the call.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use crate::Timeout;

/// How a reactor waits, found out once when it is made.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Timing {
    /// epoll_pwait2(2).
    Nanoseconds,
    /// epoll_wait(2), rounding up.
    Milliseconds,
}

/// The kernel's own timespec: 64 bits on every architecture.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

/// Room for the events of one wait.
pub(crate) type Events = [MaybeUninit<libc::epoll_event>];

impl Timing {
    /// Asks the kernel. `epoll` watches nothing yet, so that this neither waits nor takes an event.
    pub(crate) fn probe(epoll: BorrowedFd<'_>) -> Timing {
        let mut room = [MaybeUninit::uninit(); 1];
        match wait_nanoseconds(epoll, &mut room, Timeout::Now) {
            Ok(_) => Timing::Nanoseconds,
            Err(_) => Timing::Milliseconds,
        }
    }

    /// Waits; returns how many events are at the start of `events`. A signal yields none.
    pub(crate) fn wait<'e>(
        self,
        epoll: BorrowedFd<'_>,
        events: &'e mut Events,
        timeout: Timeout,
    ) -> io::Result<&'e [libc::epoll_event]> {
        let waited = match self {
            Timing::Nanoseconds => wait_nanoseconds(epoll, events, timeout),
            Timing::Milliseconds => wait_milliseconds(epoll, events, timeout),
        };
        let count = match waited {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            waited => waited?,
        };
        let filled = &events[..count];
        // SAFETY: the kernel has filled the first `count` events, and `MaybeUninit<T>` has the
        // layout of `T`.
        Ok(unsafe { &*(ptr::from_ref(filled) as *const [libc::epoll_event]) })
    }
}

fn wait_nanoseconds(
    epoll: BorrowedFd<'_>,
    events: &mut Events,
    timeout: Timeout,
) -> io::Result<usize> {
    let span = match timeout {
        Timeout::Now => Some(KernelTimespec { seconds: 0, nanoseconds: 0 }),
        Timeout::After(span) => Some(KernelTimespec {
            // The kernel adds the time of day and saturates; a second poll may come after 2^62 s.
            seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX).min(i64::MAX >> 1),
            nanoseconds: i64::from(span.subsec_nanos()),
        }),
        Timeout::Never => None,
    };
    let span = span.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel writes at most `events.len()` events at that address, and reads the
    // timespec and no signal mask, all of which live until the call returns.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            room(events),
            span,
            ptr::null::<libc::sigset_t>(),
            0usize,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

fn wait_milliseconds(
    epoll: BorrowedFd<'_>,
    events: &mut Events,
    timeout: Timeout,
) -> io::Result<usize> {
    let timeout_ms = match timeout {
        Timeout::Now => 0,
        Timeout::After(span) => milliseconds(span),
        Timeout::Never => -1,
    };
    // SAFETY: the kernel writes at most `events.len()` events at that address, which is valid.
    let count = unsafe {
        libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr().cast(), room(events), timeout_ms)
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Rounds up, because a wait must not end before its time. Longer ones end early at 24 days.
fn milliseconds(span: Duration) -> i32 {
    let rounded = span.as_nanos().div_ceil(1_000_000);
    i32::try_from(rounded).unwrap_or(i32::MAX)
}

fn room(events: &Events) -> i32 {
    i32::try_from(events.len()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, epoll, eventfd};
    use std::os::fd::AsFd;
    use std::time::Instant;

    #[test]
    fn milliseconds_are_rounded_up_and_saturate() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(3)), 3);
        assert_eq!(milliseconds(Duration::new(0, 3_000_001)), 4);
        assert_eq!(milliseconds(Duration::MAX), i32::MAX);
    }

    #[test]
    fn both_timings_keep_the_lower_bound_and_see_an_event() {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let event = eventfd(0, EventfdFlags::empty()).unwrap();
        epoll::add(&poll, &event, epoll::EventData::new_u64(9), epoll::EventFlags::IN).unwrap();
        let mut room = [MaybeUninit::uninit(); 4];
        for timing in [Timing::Milliseconds, Timing::Nanoseconds] {
            let start = Instant::now();
            let span = Duration::from_micros(1_300);
            let seen = timing.wait(poll.as_fd(), &mut room, Timeout::After(span)).unwrap().len();
            assert!(seen == 0 && start.elapsed() >= span, "{timing:?}");
        }
        rustix::io::write(&event, &1u64.to_ne_bytes()).unwrap();
        for timing in [Timing::Milliseconds, Timing::Nanoseconds] {
            let seen = timing.wait(poll.as_fd(), &mut room, Timeout::Never).unwrap();
            assert_eq!({ seen[0].u64 }, 9, "{timing:?}");
            let longest = Timeout::After(Duration::MAX);
            assert_eq!(timing.wait(poll.as_fd(), &mut room, longest).unwrap().len(), 1);
        }
    }
}
