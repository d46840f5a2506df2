//! So many at a time.

use std::fmt;

use crate::cancel::{Cancelled, MaybeCancelled};
use crate::lowlevel::{Claim, LotGuard, ParkingLot, Registered};
use crate::task::Cx;

use super::arms::Claims;
use super::unbroken;

/// A number of permits, which tasks take and give back.
///
/// Permits belong to nobody: they may be given back by another task, or on another thread, and
/// [`add`](Semaphore::add) makes new ones. Where it matters who holds them, see
/// [`CapacityLimiter`](super::CapacityLimiter).
///
/// # Order
///
/// First come, first served, whatever the numbers: who asks for one permit waits behind a task that has
/// asked for ten before it, so that the ten are found in the end.
///
/// # Examples
///
/// At most two requests at a time. The permit is taken before the child is made, so that the loop waits, and
/// given back when the child ends:
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::Semaphore;
///
/// let slots = Semaphore::new(2);
/// conbrio::run(|cx| {
///     cx.nursery(|cx, n| -> Result<(), Cancelled> {
///         for _request in 0..5 {
///             let permit = slots.acquire(cx)?;
///             n.spawn(move |cx| {
///                 let _permit = permit;
///                 cx.yield_now()
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
/// });
/// assert_eq!(slots.available(), 2);
/// ```
pub struct Semaphore {
    /// A waiting task brings how many it wants.
    lot: ParkingLot<State, usize>,
    /// `available + lent <= max`
    max: usize,
}

struct State {
    available: usize,
    /// How many the `Permits` stand for that exist.
    lent: usize,
    /// They get what is left when nobody waits.
    selects: Claims,
}

/// What a semaphore is doing. Returned by [`Semaphore::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreStatistics {
    /// Permits that nobody holds. Some may be left although tasks wait, if the first of them wants more.
    pub available: usize,
    /// Permits that are held.
    pub lent: usize,
    /// Tasks that wait.
    pub tasks_waiting: usize,
}

impl Semaphore {
    /// A semaphore with this many permits; more can be added. Allocates.
    pub fn new(permits: usize) -> Semaphore {
        Semaphore::bounded(permits, usize::MAX)
    }

    /// A semaphore with this many permits, which will never have more than `max`.
    ///
    /// # Panics
    ///
    /// If `max` is less than `permits`.
    #[track_caller]
    pub fn bounded(permits: usize, max: usize) -> Semaphore {
        assert!(
            permits <= max,
            "a semaphore of {permits} permits has more than its maximum of {max}; raise the maximum"
        );
        let state = State { available: permits, lent: 0, selects: Claims::default() };
        Semaphore { lot: ParkingLot::with_state(state).named("a semaphore"), max }
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
    ///
    /// # Panics
    ///
    /// If the semaphore is bounded and will never have as many.
    #[track_caller]
    pub fn acquire_many(&self, cx: &mut Cx, count: usize) -> Result<Permits<'_>, Cancelled> {
        self.check(count);
        cx.checkpoint()?;
        let mut state = self.lot.lock();
        if !state.has_waiters() && state.take(count) {
            return Ok(Permits { semaphore: self, count });
        }
        let mut wanted = count;
        match unbroken(state.park(cx, &mut wanted)) {
            Ok(()) => Ok(Permits { semaphore: self, count }),
            Err(cancelled) => {
                // Those behind it may want less.
                serve(self.lot.lock());
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
    ///
    /// # Panics
    ///
    /// If the semaphore is bounded and will never have as many.
    #[track_caller]
    pub fn try_acquire_many(&self, count: usize) -> Result<Permits<'_>, NoPermits> {
        self.check(count);
        let mut state = self.lot.lock();
        if !state.has_waiters() && state.take(count) {
            return Ok(Permits { semaphore: self, count });
        }
        Err(NoPermits::new(count, state.available))
    }

    /// Adds new permits, which go to those who wait.
    ///
    /// # Errors
    ///
    /// [`TooManyPermits`] if there would be more than the maximum, those that are held counted. None is
    /// added then.
    pub fn add(&self, count: usize) -> Result<(), TooManyPermits> {
        let mut state = self.lot.lock();
        let exist = state.available + state.lent;
        match exist.checked_add(count) {
            Some(sum) if sum <= self.max => {
                state.available += count;
                serve(state);
                Ok(())
            }
            _ => Err(TooManyPermits { count, exist, max: self.max }),
        }
    }

    /// How many permits nobody holds. It may have changed before the caller looks at the answer.
    #[must_use]
    pub fn available(&self) -> usize {
        self.lot.lock().available
    }

    /// How many there can be at most, if it is bounded.
    #[must_use]
    pub fn max(&self) -> Option<usize> {
        (self.max < usize::MAX).then_some(self.max)
    }

    /// A snapshot of what the semaphore is doing.
    pub fn statistics(&self) -> SemaphoreStatistics {
        let state = self.lot.lock();
        SemaphoreStatistics {
            available: state.available,
            lent: state.lent,
            tasks_waiting: state.waiting(),
        }
    }

    /// Wakes a select when there may be as many permits for it.
    pub(super) fn register(&self, count: usize, claim: Claim) -> Registered {
        let mut state = self.lot.lock();
        if state.available >= count && !state.has_waiters() {
            return Registered::Ready;
        }
        state.selects.add(claim);
        Registered::Waiting
    }

    pub(super) fn unregister(&self, claim: &Claim) {
        let claim = self.lot.lock().selects.remove(claim);
        drop(claim);
    }

    #[track_caller]
    pub(super) fn check(&self, count: usize) {
        assert!(
            count <= self.max,
            "{count} permits were asked of a semaphore that has {} at most: they would never come",
            self.max
        );
    }
}

impl State {
    fn take(&mut self, count: usize) -> bool {
        let enough = self.available >= count;
        if enough {
            self.available -= count;
            self.lent += count;
        }
        enough
    }
}

/// Gives those who wait longest what they want, as far as it goes.
fn serve(mut state: LotGuard<'_, State, usize>) {
    state.unpark_while(|state, wanted| state.take(*wanted));
    if !state.has_waiters() {
        let selects = state.selects.take();
        drop(state);
        selects.wake();
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`], which are given back when it is dropped, by any task on any thread.
#[must_use = "the permits are given back at once if this is not kept"]
pub struct Permits<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl<'a> Permits<'a> {
    /// How many these are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes `count` of these off, to be given back on their own. `None` if these are fewer.
    pub fn split(&mut self, count: usize) -> Option<Permits<'a>> {
        self.count = self.count.checked_sub(count)?;
        Some(Permits { semaphore: self.semaphore, count })
    }

    /// Puts permits of the same semaphore to these.
    ///
    /// # Panics
    ///
    /// If they are of another semaphore.
    #[track_caller]
    pub fn merge(&mut self, mut other: Permits<'a>) {
        assert!(
            std::ptr::eq(self.semaphore, other.semaphore),
            "the permits of two semaphores cannot be put together"
        );
        self.count += std::mem::take(&mut other.count);
    }

    /// Does away with the permits: they are not given back, and [`Semaphore::add`] may make new ones for
    /// them.
    pub fn forget(mut self) {
        self.semaphore.lot.lock().lent -= std::mem::take(&mut self.count);
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            let mut state = self.semaphore.lot.lock();
            state.lent -= self.count;
            state.available += self.count;
            serve(state);
        }
    }
}

impl fmt::Debug for Permits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits").field("count", &self.count).finish_non_exhaustive()
    }
}

/// The permits that were asked for are not there, or others wait for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPermits {
    wanted: usize,
    available: usize,
}

impl NoPermits {
    pub(super) fn new(wanted: usize, available: usize) -> NoPermits {
        NoPermits { wanted, available }
    }
}

impl fmt::Display for NoPermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoPermits { wanted, available } = self;
        if wanted <= available {
            return write!(f, "{wanted} permits of a semaphore: others wait for them");
        }
        write!(f, "{wanted} permits of a semaphore: only {available} are there")
    }
}

impl std::error::Error for NoPermits {}

impl MaybeCancelled for NoPermits {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}

/// A semaphore would have had more permits than its maximum. None was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooManyPermits {
    count: usize,
    exist: usize,
    max: usize,
}

impl fmt::Display for TooManyPermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooManyPermits { count, exist, max } = self;
        write!(f, "add {count} permits to a semaphore: it has {exist}, and {max} at most")
    }
}

impl std::error::Error for TooManyPermits {}

impl MaybeCancelled for TooManyPermits {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}
