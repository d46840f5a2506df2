//! Nurseries with a limit: spawning waits until one of a number of places is free.
//!
//! Invariant: the free places, and those that children or `Place`s hold, are as many as the limit says. A
//! place that is given back goes to whoever waits longest.

use std::fmt;
use std::sync::Arc;

use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::lowlevel::ParkingLot;
use crate::nursery::{Child, Nursery};
use crate::task::Cx;

/// A nursery in which only so many children run at a time. Made by [`Nursery::limit`].
///
/// Clones share the limit. Other children of the nursery do not count.
pub struct Limited<'scope, 'env, E> {
    nursery: &'scope Nursery<'scope, 'env, E>,
    places: Arc<Places>,
}

impl<'scope, 'env, E> Nursery<'scope, 'env, E>
where
    E: MaybeCancelled + Send + 'static,
{
    /// Lets only `limit` children run at a time that are spawned through what this returns.
    ///
    /// # Panics
    ///
    /// If `limit` is zero: nothing could ever be spawned.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    ///
    /// let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    /// conbrio::run(|cx| {
    ///     cx.nursery(|cx, n| -> Result<(), Cancelled> {
    ///         let limited = n.limit(2);
    ///         for _ in 0..10 {
    ///             limited.spawn(cx, |cx| {
    ///                 most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
    ///                 cx.yield_shielded();
    ///                 now.fetch_sub(1, SeqCst);
    ///                 Ok(())
    ///             })?;
    ///         }
    ///         Ok(())
    ///     })
    /// })
    /// .unwrap();
    /// assert!(most.into_inner() <= 2);
    /// ```
    #[track_caller]
    pub fn limit(&'scope self, limit: usize) -> Limited<'scope, 'env, E> {
        Limited { nursery: self, places: Arc::new(Places::new(limit)) }
    }
}

impl<'scope, 'env, E> Limited<'scope, 'env, E>
where
    E: MaybeCancelled + Send + 'static,
{
    /// Waits for a free place and starts a child in it. See [`Nursery::spawn`].
    ///
    /// The place is free again when the child has ended. Who waits longest gets it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was spawned, `f` is dropped, and no place is lost; see
    /// [`place`](Limited::place) for keeping `f`.
    pub fn spawn<F, T>(&self, cx: &mut Cx, f: F) -> Result<Child<'scope, T>, Cancelled>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        Ok(self.place(cx)?.spawn(f))
    }

    /// Starts a child if a place is free, and hands `f` back if not.
    ///
    /// A place that others wait for is not free.
    pub fn try_spawn<F, T>(&self, f: F) -> Result<Child<'scope, T>, F>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        match self.places.try_take() {
            true => Ok(self.claim().spawn(f)),
            false => Err(f),
        }
    }

    /// Waits for a free place, and holds it until something is spawned in it or it is dropped.
    ///
    /// For what should be fetched only when there is a place for it: take a place first, then accept the
    /// connection.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no place was taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| {
    ///     cx.nursery(|cx, n| -> Result<(), Cancelled> {
    ///         let limited = n.limit(1);
    ///         let place = limited.place(cx)?;
    ///         assert!(limited.try_spawn(|_| Ok(())).is_err());
    ///         place.spawn(|cx| cx.yield_now());
    ///         limited.spawn(cx, |_| Ok(()))?;
    ///         Ok(())
    ///     })
    /// })
    /// .unwrap();
    /// ```
    pub fn place(&self, cx: &mut Cx) -> Result<Place<'scope, 'env, E>, Cancelled> {
        self.places.take(cx)?;
        Ok(self.claim())
    }

    /// How many children could be spawned now without waiting.
    pub fn free(&self) -> usize {
        self.places.free()
    }

    /// The place that was just taken.
    fn claim(&self) -> Place<'scope, 'env, E> {
        Place { nursery: self.nursery, held: Held(Arc::clone(&self.places)) }
    }
}

impl<E> Clone for Limited<'_, '_, E> {
    fn clone(&self) -> Self {
        Limited { nursery: self.nursery, places: Arc::clone(&self.places) }
    }
}

impl<E> fmt::Debug for Limited<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited").field("free", &self.places.free()).finish_non_exhaustive()
    }
}

/// A place for one child of a nursery with a limit. Made by [`Limited::place`]; given back when dropped.
#[must_use = "the place is given back when this is dropped"]
pub struct Place<'scope, 'env, E> {
    nursery: &'scope Nursery<'scope, 'env, E>,
    held: Held,
}

impl<'scope, E> Place<'scope, '_, E>
where
    E: MaybeCancelled + Send + 'static,
{
    /// Starts a child in this place, which is free again when the child has ended. Never waits.
    pub fn spawn<F, T>(self, f: F) -> Child<'scope, T>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        let Place { nursery, held } = self;
        nursery.task(std::any::type_name::<F>()).spawn(move |cx| {
            let _held = held;
            f(cx)
        })
    }
}

impl<E> fmt::Debug for Place<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

/// Gives a place back at its end.
struct Held(Arc<Places>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A number of places, and those who wait for one.
#[derive(Debug)]
pub(super) struct Places {
    free: ParkingLot<usize>,
}

impl Places {
    #[track_caller]
    pub(super) fn new(limit: usize) -> Places {
        assert!(limit > 0, "a limit of zero lets nothing run: it is at least one");
        Places { free: ParkingLot::with_state(limit).named("a free place") }
    }

    /// Waits for a place, first come first served.
    pub(super) fn take(&self, cx: &mut Cx) -> Result<(), Cancelled> {
        cx.checkpoint()?;
        let mut free = self.free.lock();
        if *free > 0 {
            *free -= 1;
            return Ok(());
        }
        free.park(cx, &mut ()).map_err(|error| match error {
            OrCancelled::Cancelled(cancelled) => cancelled,
            OrCancelled::Failed(broken) => unreachable!("nobody breaks it: {broken}"),
        })
    }

    fn try_take(&self) -> bool {
        let mut free = self.free.lock();
        let is_free = *free > 0;
        *free -= usize::from(is_free);
        is_free
    }

    /// Hands a place to whoever waits longest, or keeps it for whoever comes next. So somebody waits only
    /// while no place is free.
    pub(super) fn give_back(&self) {
        let mut free = self.free.lock();
        if free.unpark(1) == 0 {
            *free += 1;
        }
    }

    fn free(&self) -> usize {
        *self.free.lock()
    }
}
