//! Waiting until everything else has come to rest.

use std::time::Duration;

use crate::cancel::Cancelled;
use crate::task::Cx;

/// Waits until every other task of the runtime waits for something, and has done so for `cushion` of
/// real time.
///
/// In a test it takes the place of "sleep a little, so that the other task gets there". Sleeping tasks
/// count as waiting. If several tasks settle, those with the shortest cushion go on first. Time of a
/// virtual clock stands still meanwhile.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::testing::settle;
/// use std::{cell::Cell, time::Duration};
///
/// conbrio::run(|cx| {
///     let steps = Cell::new(0);
///     cx.nursery(|cx, n| -> Result<(), Cancelled> {
///         n.spawn_local(cx, |cx| {
///             for _ in 0..10 {
///                 steps.set(steps.get() + 1);
///                 cx.yield_now()?;
///             }
///             Ok(())
///         });
///         settle(cx, Duration::ZERO)?;
///         assert_eq!(steps.get(), 10);
///         Ok(())
///     })
///     .unwrap();
/// });
/// ```
pub fn settle(cx: &mut Cx, cushion: Duration) -> Result<(), Cancelled> {
    cx.checkpoint()?;
    cx.wait_for_quiet(cushion)
}
