//! A regular tick.

use std::time::{Duration, Instant};

use crate::cancel::Cancelled;
use crate::task::Cx;

/// What happens to ticks that were due while nobody waited for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MissedTicks {
    /// They come at once, one after the other, until the interval has caught up.
    #[default]
    CatchUp,
    /// One comes at once, and the next a full period after it.
    Delay,
    /// One comes at once, and the next at the next multiple of the period.
    Skip,
}

/// A regular tick; made by [`Cx::interval`].
#[derive(Clone, Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: MissedTicks,
}

impl Interval {
    #[track_caller]
    pub(super) fn new(now: Instant, period: Duration) -> Interval {
        assert!(!period.is_zero(), "an interval needs a period longer than zero");
        Interval { next: later(now, period), period, missed: MissedTicks::default() }
    }

    /// Chooses what happens to missed ticks.
    #[must_use]
    pub fn missed_ticks(mut self, missed: MissedTicks) -> Interval {
        self.missed = missed;
        self
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick and returns the time at which it was due.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no tick is lost: the next call waits for the same one.
    pub fn tick(&mut self, cx: &mut Cx) -> Result<Instant, Cancelled> {
        cx.sleep_until(self.next)?;
        let due = self.next;
        let now = cx.now();
        self.next = match self.missed {
            MissedTicks::CatchUp => later(due, self.period),
            MissedTicks::Delay => later(now.max(due), self.period),
            MissedTicks::Skip => {
                let late = now.saturating_duration_since(due).as_nanos();
                let periods = late / self.period.as_nanos() + 1;
                let ahead = u64::try_from(self.period.as_nanos() * periods).unwrap_or(u64::MAX);
                later(due, Duration::from_nanos(ahead))
            }
        };
        Ok(due)
    }
}

/// As late as the platform can say, if the sum is later than that.
fn later(at: Instant, by: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    at.checked_add(by).or_else(|| at.checked_add(CENTURY)).unwrap_or(at)
}
