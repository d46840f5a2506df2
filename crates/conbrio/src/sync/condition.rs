//! Waiting for a change of a locked value.
//!
//! Who waits brings the same request as to the mutex, so that a notification moves it from the queue of the
//! condition to that of the mutex, without waking it: it is woken when it holds the lock.

use std::fmt;
use std::panic::Location;

use crate::cancel::OrCancelled;
use crate::lowlevel::{LotGuard, ParkingLot};
use crate::task::Cx;

use super::error::{LockError, Poisoned};
use super::mutex::MutexGuard;
use super::turns::{Request, Turns};

/// A queue of tasks that have a mutex locked and wait for its value to change.
///
/// Waiting gives the lock away, and takes it again before it returns, in any case. Notifying needs the lock,
/// too, so that no change can come between a look at the value and the wait.
///
/// A condition belongs to one mutex as long as somebody waits for it.
///
/// # Order
///
/// First come, first served. Who is notified queues up for the lock behind those who wait for that
/// already, and is not woken before it has it. There are no wake-ups without a notification; but another
/// task may have had the lock in between, so [`wait_while`](Condition::wait_while) looks again.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::{Condition, LockError, Mutex};
///
/// let (queue, not_empty) = (Mutex::new(Vec::new()), Condition::new());
/// conbrio::run(|cx| {
///     cx.nursery(|_, n| -> Result<(), OrCancelled<LockError>> {
///         n.spawn(|cx| {
///             let mut queue = queue.lock(cx)?;
///             not_empty.wait_while(cx, &mut queue, |queue| queue.is_empty())?;
///             assert_eq!(queue.pop(), Some("work"));
///             Ok(())
///         });
///         n.spawn(|cx| {
///             let mut queue = queue.lock(cx)?;
///             queue.push("work");
///             not_empty.notify_one(&queue);
///             Ok(())
///         });
///         Ok(())
///     })
///     .unwrap();
/// });
/// ```
pub struct Condition {
    lot: ParkingLot<Binding, Request>,
}

/// Which mutex it belongs to now.
#[derive(Default)]
struct Binding {
    /// The address of its queue; meaningless when nobody waits and nobody notifies.
    turns: usize,
    /// How many calls of `notify` have looked at it and have not moved anybody yet.
    notifying: usize,
}

/// What a condition is doing. Returned by [`Condition::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConditionStatistics {
    /// Tasks that wait for a notification. Those who were notified and wait for the lock are counted by the
    /// mutex.
    pub tasks_waiting: usize,
}

impl Condition {
    /// A condition that nobody waits for. Allocates.
    pub fn new() -> Condition {
        Condition { lot: ParkingLot::with_state(Binding::default()).named("a condition") }
    }

    /// Gives the lock away, waits to be notified, and takes the lock again.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel it has not been notified, and nobody's notification is lost. *The
    /// caller holds the lock again*, which it waits for although it is cancelled; others may have had it
    /// meanwhile. A task that was notified before it was cancelled returns normally.
    ///
    /// # Errors
    ///
    /// [`LockError::Poisoned`] if the mutex is poisoned when the lock is taken again. The caller holds it all
    /// the same. [`LockError::Broken`] if the lock can never be taken again: the guard has lost it, and
    /// panics when it is used.
    ///
    /// # Panics
    ///
    /// If tasks wait that have another mutex locked.
    #[track_caller]
    pub fn wait<T: ?Sized>(
        &self,
        cx: &mut Cx,
        guard: &mut MutexGuard<'_, T>,
    ) -> Result<(), OrCancelled<LockError>> {
        let at = Location::caller();
        drop(self.bind(guard));
        cx.checkpoint()?;
        let turns = guard.turns();
        let mut request = Turns::request(cx, at);
        let waiting = self.bind(guard);
        let parked = waiting.park_after(cx, &mut request, guard.suspend());
        let relocked = match parked {
            Ok(()) => {
                guard.resume();
                return poison_is_an_error(request.answer()?);
            }
            Err(OrCancelled::Failed(broken)) => return Err(LockError::Broken(broken).into()),
            Err(OrCancelled::Cancelled(cancelled)) => {
                let relocked = cx.shield(|cx| turns.acquire_at(cx, true, at));
                if relocked.is_ok() {
                    guard.resume();
                }
                if !request.notified && relocked.is_ok() {
                    return Err(cancelled.into());
                }
                relocked?
            }
        };
        // It was notified first, and that counts.
        poison_is_an_error(relocked)
    }

    /// Waits as long as `condition` says so; it looks at the value whenever the caller has the lock, the
    /// first time before waiting.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also if it need not wait. See [`wait`](Condition::wait): the caller holds the
    /// lock in any case.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condition::wait).
    ///
    /// # Panics
    ///
    /// As [`wait`](Condition::wait), and if `condition` panics, which poisons the mutex.
    #[track_caller]
    pub fn wait_while<T: ?Sized>(
        &self,
        cx: &mut Cx,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<(), OrCancelled<LockError>> {
        drop(self.bind(guard));
        cx.checkpoint()?;
        while condition(guard) {
            self.wait(cx, guard)?;
        }
        Ok(())
    }

    /// Notifies the task that waits longest. Returns whether there was one.
    ///
    /// # Panics
    ///
    /// If tasks wait that have another mutex locked.
    #[track_caller]
    pub fn notify_one<T: ?Sized>(&self, guard: &MutexGuard<'_, T>) -> bool {
        self.notify(guard, 1) == 1
    }

    /// Notifies the `count` tasks that wait longest, or as many as there are. Returns how many that is.
    ///
    /// # Panics
    ///
    /// If tasks wait that have another mutex locked.
    #[track_caller]
    pub fn notify<T: ?Sized>(&self, guard: &MutexGuard<'_, T>, count: usize) -> usize {
        let mut binding = self.bind(guard);
        if !binding.has_waiters() {
            return 0;
        }
        // Until they are moved nobody comes with another mutex.
        binding.notifying += 1;
        drop(binding);
        let notified = guard.turns().take_over(&self.lot, count);
        self.lot.lock().notifying -= 1;
        notified
    }

    /// Notifies all tasks that wait. Returns how many there were.
    ///
    /// # Panics
    ///
    /// If tasks wait that have another mutex locked.
    #[track_caller]
    pub fn notify_all<T: ?Sized>(&self, guard: &MutexGuard<'_, T>) -> usize {
        self.notify(guard, usize::MAX)
    }

    /// A snapshot of what the condition is doing.
    pub fn statistics(&self) -> ConditionStatistics {
        ConditionStatistics { tasks_waiting: self.lot.len() }
    }

    /// Makes it belong to the mutex of the guard, which must have it locked.
    #[track_caller]
    fn bind<T: ?Sized>(&self, guard: &MutexGuard<'_, T>) -> LotGuard<'_, Binding, Request> {
        assert!(guard.is_locked(), "the guard has lost its lock, which an error has said");
        let turns = std::ptr::from_ref(guard.turns()).addr();
        let mut binding = self.lot.lock();
        let is_bound = binding.has_waiters() || binding.notifying > 0;
        if is_bound && binding.turns != turns {
            drop(binding);
            panic!(
                "the guard of one mutex was used with a condition for which tasks wait that have another \
                 mutex locked; make a condition for each mutex"
            );
        }
        binding.turns = turns;
        binding
    }
}

/// A wait that ends with a poisoned mutex says so.
fn poison_is_an_error(poisoned: Option<Poisoned>) -> Result<(), OrCancelled<LockError>> {
    match poisoned {
        None => Ok(()),
        Some(poisoned) => Err(LockError::Poisoned(poisoned).into()),
    }
}

impl Default for Condition {
    fn default() -> Condition {
        Condition::new()
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("tasks_waiting", &self.lot.len()).finish_non_exhaustive()
    }
}
