//! All come to one point.

use std::fmt;

use crate::cancel::Cancelled;
use crate::lowlevel::ParkingLot;
use crate::task::Cx;

use super::unbroken;

/// A point at which a fixed number of tasks wait for each other, and then all go on. It can be used again
/// and again.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::Barrier;
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
///
/// let (barrier, arrived) = (Barrier::new(3), AtomicUsize::new(0));
/// conbrio::run(|cx| {
///     cx.nursery(|_, n| -> Result<(), Cancelled> {
///         for _ in 0..3 {
///             n.spawn(|cx| {
///                 arrived.fetch_add(1, Relaxed);
///                 barrier.wait(cx)?;
///                 assert_eq!(arrived.load(Relaxed), 3);
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
/// });
/// ```
pub struct Barrier {
    lot: ParkingLot,
    /// `size > 0`; never more than `size - 1` wait.
    size: usize,
}

/// What a barrier is doing. Returned by [`Barrier::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarrierStatistics {
    /// How many have to come.
    pub size: usize,
    /// Tasks that have come and wait for the others.
    pub tasks_waiting: usize,
}

/// What a task learns when it goes on. Returned by [`Barrier::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Whether it is the one of its round that came last.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}

impl Barrier {
    /// A barrier for this many tasks. Allocates.
    ///
    /// # Panics
    ///
    /// If it is for none.
    #[track_caller]
    pub fn new(size: usize) -> Barrier {
        assert!(
            size > 0,
            "a barrier is for one task at least: nobody could come to `Barrier::new(0)`"
        );
        Barrier { lot: ParkingLot::new().named("a barrier"), size }
    }

    /// Waits until as many tasks have come as the barrier is for.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also for the last one. On cancel the task has not come: the others wait for one
    /// more.
    pub fn wait(&self, cx: &mut Cx) -> Result<BarrierWaitResult, Cancelled> {
        cx.checkpoint()?;
        let mut waiting = self.lot.lock();
        if waiting.waiting() + 1 == self.size {
            waiting.unpark_all();
            return Ok(BarrierWaitResult { is_leader: true });
        }
        unbroken(waiting.park(cx, &mut ()))?;
        Ok(BarrierWaitResult { is_leader: false })
    }

    /// A snapshot of what the barrier is doing.
    pub fn statistics(&self) -> BarrierStatistics {
        BarrierStatistics { size: self.size, tasks_waiting: self.lot.len() }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("size", &self.size).finish_non_exhaustive()
    }
}
