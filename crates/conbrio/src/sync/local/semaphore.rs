//! So many at a time, for tasks of one worker.

use std::cell::Cell;
use std::fmt;

use crate::cancel::Cancelled;
use crate::task::Cx;

use super::queue::Queue;
use crate::sync::{NoPermits, SemaphoreStatistics};

/// A number of permits, which tasks of one worker take and give back.
///
/// See [`sync::Semaphore`](crate::sync::Semaphore), and [the module](super) for what is different.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::local::Semaphore;
///
/// conbrio::run(|cx| {
///     let slots = Semaphore::new(2);
///     cx.nursery(|cx, n| -> Result<(), Cancelled> {
///         for _ in 0..5 {
///             n.spawn_local(cx, |cx| {
///                 let _slot = slots.acquire(cx)?;
///                 cx.yield_now()
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
///     assert_eq!(slots.available(), 2);
/// });
/// ```
pub struct Semaphore {
    available: Cell<usize>,
    lent: Cell<usize>,
    waiting: Queue<usize>,
}

impl Semaphore {
    /// A semaphore with this many permits. Allocates nothing.
    pub fn new(permits: usize) -> Semaphore {
        Semaphore { available: Cell::new(permits), lent: Cell::new(0), waiting: Queue::new() }
    }

    /// Takes one permit, and waits for it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also if a permit is there. On cancel it has taken none.
    pub fn acquire(&self, cx: &mut Cx) -> Result<Permits<'_>, Cancelled> {
        self.acquire_many(cx, 1)
    }

    /// Takes this many permits at once, and waits until there are as many.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also if they are there. On cancel it has taken none, and those who have waited
    /// behind it get theirs.
    pub fn acquire_many(&self, cx: &mut Cx, count: usize) -> Result<Permits<'_>, Cancelled> {
        cx.checkpoint()?;
        if let Ok(permits) = self.try_acquire_many(count) {
            return Ok(permits);
        }
        match self.waiting.park(cx, count, || self.try_take(count)) {
            Ok(()) => Ok(Permits { semaphore: self, count }),
            Err(cancelled) => {
                // Those behind it may want less.
                self.serve();
                Err(cancelled)
            }
        }
    }

    /// Takes one permit if one is there and nobody waits. Never waits itself.
    ///
    /// # Errors
    ///
    /// [`NoPermits`] if it would have to wait.
    pub fn try_acquire(&self) -> Result<Permits<'_>, NoPermits> {
        self.try_acquire_many(1)
    }

    /// Takes this many permits if they are there and nobody waits. Never waits itself.
    ///
    /// # Errors
    ///
    /// [`NoPermits`] if it would have to wait.
    pub fn try_acquire_many(&self, count: usize) -> Result<Permits<'_>, NoPermits> {
        if self.try_take(count) {
            return Ok(Permits { semaphore: self, count });
        }
        Err(NoPermits::new(count, self.available.get()))
    }

    /// Adds new permits, which go to those who wait.
    ///
    /// # Panics
    ///
    /// If there would be more than a `usize` can count.
    #[track_caller]
    pub fn add(&self, count: usize) {
        let exist = self.available() + self.lent.get();
        assert!(
            exist.checked_add(count).is_some(),
            "add {count} permits to a semaphore that has {exist}: that is more than can be counted"
        );
        self.available.set(self.available.get() + count);
        self.serve();
    }

    /// How many permits nobody holds.
    #[must_use]
    pub fn available(&self) -> usize {
        self.waiting.touch();
        self.available.get()
    }

    /// A snapshot of what the semaphore is doing.
    pub fn statistics(&self) -> SemaphoreStatistics {
        SemaphoreStatistics {
            available: self.available(),
            lent: self.lent.get(),
            tasks_waiting: self.waiting.len(),
        }
    }

    /// Takes them if nobody waits.
    fn try_take(&self, count: usize) -> bool {
        self.waiting.is_empty() && self.take(count)
    }

    fn take(&self, count: usize) -> bool {
        let left = self.available.get().checked_sub(count);
        if let Some(left) = left {
            self.available.set(left);
            self.lent.set(self.lent.get() + count);
        }
        left.is_some()
    }

    /// Gives those who wait longest what they want, as far as it goes.
    fn serve(&self) {
        while self.waiting.first().is_some_and(|wanted| self.take(wanted)) {
            self.waiting.unpark_first();
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`], which are given back when it is dropped.
#[must_use = "the permits are given back at once if this is not kept"]
pub struct Permits<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl Permits<'_> {
    /// How many these are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Does away with the permits: they are not given back, and [`Semaphore::add`] may make new ones for
    /// them.
    pub fn forget(mut self) {
        let count = std::mem::take(&mut self.count);
        self.semaphore.waiting.touch();
        self.semaphore.lent.set(self.semaphore.lent.get() - count);
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        let Semaphore { available, lent, .. } = self.semaphore;
        lent.set(lent.get() - self.count);
        available.set(available.get() + self.count);
        self.semaphore.serve();
    }
}

impl fmt::Debug for Permits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits").field("count", &self.count).finish_non_exhaustive()
    }
}
