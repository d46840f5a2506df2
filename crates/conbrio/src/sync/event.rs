//! Something that happens once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cancel::Cancelled;
use crate::lowlevel::{Claim, ParkingLot, Registered};
use crate::task::Cx;
use crate::util::footprint;

use super::arms::Claims;
use super::unbroken;

/// Something that happens once: tasks wait for it, and all go on when it is set.
///
/// An event cannot be taken back: "it has happened" stays true, so that nobody can miss it. Setting it may
/// be done from any thread.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::Event;
///
/// let ready = Event::new();
/// conbrio::run(|cx| {
///     cx.nursery(|_, n| -> Result<(), Cancelled> {
///         n.spawn(|cx| ready.wait(cx));
///         n.spawn(|_| Ok(ready.set()));
///         Ok(())
///     })
///     .unwrap();
/// });
/// assert!(ready.is_set());
/// ```
pub struct Event {
    /// Set under the lock of the lot, so that nobody parks when it has been. The release of the store is
    /// read by the acquire of `is_set`.
    is_set: AtomicBool,
    lot: ParkingLot<Claims>,
}

/// What an event is doing. Returned by [`Event::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventStatistics {
    /// Tasks that wait for it.
    pub tasks_waiting: usize,
}

impl Event {
    /// An event that has not happened yet. Allocates.
    pub fn new() -> Event {
        Event { is_set: AtomicBool::new(false), lot: ParkingLot::default().named("an event") }
    }

    /// Whether it has happened. What was done before [`set`](Event::set) is seen by whoever finds it set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        footprint::touch(&raw const self.is_set);
        self.is_set.load(Ordering::Acquire)
    }

    /// Lets it happen, and wakes all who wait for it, the longest waiting one first. Returns whether it had
    /// not happened before.
    pub fn set(&self) -> bool {
        if self.is_set() {
            return false;
        }
        let mut waiting = self.lot.lock();
        // Under the lock: one of several callers is the first.
        let is_first = !self.is_set();
        self.is_set.store(true, Ordering::Release);
        waiting.unpark_all();
        let selects = waiting.take();
        drop(waiting);
        selects.wake();
        is_first
    }

    /// Waits until it has happened.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also when it has happened already. Nothing is changed by a wait.
    pub fn wait(&self, cx: &mut Cx) -> Result<(), Cancelled> {
        cx.checkpoint()?;
        if self.is_set() {
            return Ok(());
        }
        let waiting = self.lot.lock();
        if self.is_set() {
            return Ok(());
        }
        unbroken(waiting.park(cx, &mut ()))
    }

    /// Wakes a select when it happens.
    pub(super) fn register(&self, claim: Claim) -> Registered {
        let mut selects = self.lot.lock();
        if self.is_set() {
            return Registered::Ready;
        }
        selects.add(claim);
        Registered::Waiting
    }

    pub(super) fn unregister(&self, claim: &Claim) {
        let claim = self.lot.lock().remove(claim);
        drop(claim);
    }

    /// A snapshot of what the event is doing.
    pub fn statistics(&self) -> EventStatistics {
        EventStatistics { tasks_waiting: self.lot.len() }
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish_non_exhaustive()
    }
}
