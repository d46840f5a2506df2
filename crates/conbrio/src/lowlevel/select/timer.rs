//! Time as an arm.

use std::time::{Duration, Instant};

use crate::task::Cx;

use super::arm::{Arm, Registered};
use super::claim::Claim;

/// Happens when a point in time has come. Made by [`after`] and [`at`].
#[derive(Clone, Copy, Debug)]
#[must_use = "an arm does nothing before it is selected"]
pub struct Timer(When);

#[derive(Clone, Copy, Debug)]
enum When {
    /// Counted from the first time that it is asked.
    After(Duration),
    At(Instant),
    /// Farther away than a clock can tell.
    Never,
}

/// An arm that happens after this time, counted from the begin of the first
/// [`select`](crate::Cx::select) that it is used in.
///
/// Passed as `&mut timer` to several selects, it is one limit for all of them. Allocates nothing.
///
/// # Examples
///
/// ```
/// use conbrio::channel::{self, OneOf2, after};
/// use std::time::Duration;
///
/// conbrio::testing::run(|cx| {
///     let (_tx, rx) = channel::bounded::<u8>(1);
///     let outcome = cx.select((rx.receiving(), after(Duration::from_secs(5)))).unwrap();
///     assert!(matches!(outcome, OneOf2::Second(())));
/// });
/// ```
pub fn after(duration: Duration) -> Timer {
    Timer(When::After(duration))
}

/// An arm that happens when the clock of the runtime shows this time or a later one.
pub fn at(deadline: Instant) -> Timer {
    Timer(When::At(deadline))
}

impl Arm for Timer {
    type Output = ();

    fn poll(&mut self, cx: &Cx) -> Option<()> {
        let timeline = cx.task().worker().shared().timeline();
        if let When::After(duration) = self.0 {
            let deadline = timeline.now_instant().checked_add(duration);
            self.0 = deadline.map_or(When::Never, When::At);
            return duration.is_zero().then_some(());
        }
        match self.0 {
            When::At(deadline) => (timeline.ticks(deadline) <= timeline.now()).then_some(()),
            When::After(_) | When::Never => None,
        }
    }

    fn register(&mut self, _: Claim) -> Registered {
        // The select sees to the deadline.
        Registered::Waiting
    }

    fn unregister(&mut self) {}

    fn deadline(&self) -> Option<Instant> {
        match self.0 {
            When::At(deadline) => Some(deadline),
            When::After(_) | When::Never => None,
        }
    }
}
