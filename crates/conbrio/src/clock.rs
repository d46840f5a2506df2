//! The source of time of a runtime.
//!
//! The run loop never knows whether time is real: it asks the clock for the time, for how long it may
//! sleep, and what to do when nothing can run.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::util::abort::AbortGuard;
use crate::util::coarse_clock;

/// What the workers do when every one of them has nothing to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Sleep until the next deadline or event.
    Sleep,
    /// Sleep, but ask again if nothing has happened after this much real time.
    AskAgainAfter(Duration),
    /// The clock has moved: look at the deadlines again.
    Jumped,
}

/// A source of time.
///
/// [`SystemClock`] is the real one; [`testing::MockClock`](crate::testing::MockClock) is moved by tests.
/// Give a clock to a runtime with [`Builder::clock`](crate::Builder::clock).
pub trait Clock: Send + Sync + Debug {
    /// The current time. It never goes backwards.
    fn now(&self) -> Instant;

    /// How much real time passes until this clock shows `deadline`.
    fn real_time_until(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since(self.now())
    }

    /// Called when no task of the runtime can run. `next` is the earliest deadline, `idle` the real time
    /// for which nothing has happened.
    fn on_idle(&self, next: Option<Instant>, idle: Duration) -> Idle {
        let _ = (next, idle);
        Idle::Sleep
    }

    /// Hands the clock a function to be called whenever its time was changed by other means than the
    /// passing of time, so that sleeping workers look at their deadlines again.
    fn on_change(&self, changed: Arc<dyn Fn() + Send + Sync>) {
        let _ = changed;
    }

    /// Whether [`on_idle`](Clock::on_idle) can do anything but `Sleep`. When this is `false`, the
    /// runtime does not look for moments in which all workers are idle.
    fn is_virtual(&self) -> bool {
        false
    }

    /// Whether it shows the monotonic time of the system, which then may be read in cheaper ways.
    #[doc(hidden)]
    fn is_system(&self) -> bool {
        false
    }
}

/// The real, monotonic time of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn is_system(&self) -> bool {
        true
    }
}

/// Nanoseconds since the start of the runtime: what the timer store counts in.
pub(crate) type Ticks = u64;

/// No deadline.
pub(crate) const NEVER: Ticks = u64::MAX;

/// The clock of a runtime and the moment that counts as zero.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    clock: Arc<dyn Clock>,
    origin: Instant,
    /// What the coarse clock of the system showed then, if it may be asked instead of this clock.
    coarse_origin: Option<u64>,
}

impl Timeline {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Timeline {
        let origin = clock.now();
        let coarse_origin = if clock.is_system() { coarse_clock::now() } else { None };
        Timeline { clock, origin, coarse_origin }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn now(&self) -> Ticks {
        self.ticks(self.now_instant())
    }

    pub(crate) fn now_instant(&self) -> Instant {
        // The runtime asks in places that must not unwind, such as half-way out of a scope
        // (`tests/attack/deadlines.rs: a_clock_that_panics_ends_the_process`).
        let guard = AbortGuard::new("the clock given to the `Builder` panicked");
        let now = self.clock.now();
        guard.disarm();
        now
    }

    /// The ticks of an instant; what lies before the start is zero.
    pub(crate) fn ticks(&self, at: Instant) -> Ticks {
        nanoseconds(at.saturating_duration_since(self.origin)).min(NEVER - 1)
    }

    /// The instant of ticks that are not [`NEVER`]; `None` if the platform cannot represent it.
    pub(crate) fn instant(&self, ticks: Ticks) -> Option<Instant> {
        (ticks != NEVER).then(|| self.origin.checked_add(Duration::from_nanos(ticks))).flatten()
    }

    /// The ticks at which `timeout` from now has passed.
    pub(crate) fn after(&self, timeout: Duration) -> Ticks {
        self.now().saturating_add(nanoseconds(timeout)).min(NEVER - 1)
    }

    /// Whether `ticks` is too far away to have come. `false` says nothing.
    ///
    /// A quarter of the price of [`now`](Timeline::now): it asks a clock that moves with the timer
    /// interrupt, every one to ten milliseconds, and leaves room for some that were late.
    #[inline]
    pub(crate) fn is_far(&self, ticks: Ticks) -> bool {
        let Some(origin) = self.coarse_origin else { return false };
        coarse_clock::now()
            .is_some_and(|now| now.saturating_sub(origin).saturating_add(FAR) < ticks)
    }

    /// How long a worker may sleep in real time until `ticks`.
    pub(crate) fn real_time_until(&self, ticks: Ticks) -> Duration {
        match self.instant(ticks) {
            Some(at) => self.clock.real_time_until(at),
            None => Duration::MAX,
        }
    }
}

const FAR: Ticks = 100_000_000;

/// What does not fit is as much as fits: some 584 years.
#[inline]
fn nanoseconds(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(duration.subsec_nanos()))
}
