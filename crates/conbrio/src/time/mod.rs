//! Sleeping, and intervals.

mod interval;

use std::time::{Duration, Instant};

pub use interval::{Interval, MissedTicks};

use crate::cancel::Cancelled;
use crate::clock::NEVER;
use crate::task::Cx;

impl Cx {
    /// The current time of the runtime's clock.
    pub fn now(&self) -> Instant {
        self.task().worker().shared().timeline().now_instant()
    }

    /// Stops the task for `duration`.
    ///
    /// Never shorter than asked; how much longer depends on what else the worker has to do. A sleep of
    /// zero lets other tasks run. Allocates nothing.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// conbrio::run(|cx| {
    ///     let start = Instant::now();
    ///     cx.sleep(Duration::from_millis(2)).unwrap();
    ///     assert!(start.elapsed() >= Duration::from_millis(2));
    /// });
    /// ```
    pub fn sleep(&mut self, duration: Duration) -> Result<(), Cancelled> {
        if duration.is_zero() {
            return self.yield_now();
        }
        self.checkpoint()?;
        let deadline = self.task().worker().shared().timeline().after(duration);
        self.sleep_until_ticks(deadline)
    }

    /// Stops the task until `deadline`; if that has passed, lets other tasks run.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    pub fn sleep_until(&mut self, deadline: Instant) -> Result<(), Cancelled> {
        let ticks = self.task().worker().shared().timeline().ticks(deadline);
        if ticks <= self.now_ticks() {
            return self.yield_now();
        }
        self.checkpoint()?;
        self.sleep_until_ticks(ticks)
    }

    /// Stops the task until it is cancelled. The result is always an error.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    pub fn sleep_forever(&mut self) -> Result<(), Cancelled> {
        self.checkpoint()?;
        self.sleep_until_ticks(NEVER)
    }

    /// Ticks every `period`, the first time after one period.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// conbrio::run(|cx| {
    ///     let mut interval = cx.interval(Duration::from_millis(1));
    ///     for _ in 0..3 {
    ///         interval.tick(cx).unwrap();
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn interval(&self, period: Duration) -> Interval {
        Interval::new(self.now(), period)
    }
}
