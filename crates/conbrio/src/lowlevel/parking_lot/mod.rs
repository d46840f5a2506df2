//! Parking lots: queues of waiting tasks, to build primitives on in safe code.
//!
//! A primitive has a state (is it locked, how many permits are left, what is buffered) and a queue of
//! those who wait for it to change. Both must change in one step, so a parking lot keeps both under one
//! lock. What a task brings with it when it waits, its *parcel*, can be read and changed by whoever
//! unparks it: that is how permits and items are handed over without getting lost.
//!
//! `queue.rs` has the rules and the unsafe part of the waiting; here is what users see.

mod breaker;
mod guard;
mod queue;

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::cancel::OrCancelled;
use crate::task::Cx;

pub use breaker::{Breaker, Broken};
pub use guard::LotGuard;

use queue::Lot;

/// A queue of waiting tasks, first in first out, together with the state that they wait for.
///
/// `S` is the state; [`lock`](ParkingLot::lock) gives access to it and to the queue at once. `P` is what
/// each task brings when it waits, and takes away again when it is unparked. Both are nothing if not
/// asked for: [`ParkingLot::new`] is just a queue.
///
/// Tasks of any worker and of several runtimes may park in one lot; unparking also works from threads
/// without a runtime. A task that is unparked and cancelled at the same moment counts as unparked if that
/// came first, so what it was given is not lost: `Err` means that nothing was given.
///
/// Making one allocates; waiting in it does not, and unparking does only for more than four tasks at once.
///
/// # Examples
///
/// A fair mutex: whoever unlocks it hands it over to the one who waits longest.
///
/// ```
/// use conbrio::lowlevel::ParkingLot;
/// use conbrio::prelude::*;
///
/// struct Lock {
///     is_locked: ParkingLot<bool>,
/// }
///
/// impl Lock {
///     fn lock(&self, cx: &mut Cx) -> Result<(), Cancelled> {
///         cx.checkpoint()?;
///         let mut is_locked = self.is_locked.lock();
///         if !*is_locked {
///             *is_locked = true;
///             return Ok(());
///         }
///         is_locked.park(cx, &mut ()).map_err(|error| match error {
///             OrCancelled::Cancelled(cancelled) => cancelled,
///             OrCancelled::Failed(broken) => unreachable!("nobody breaks it: {broken}"),
///         })
///     }
///
///     fn unlock(&self) {
///         let mut is_locked = self.is_locked.lock();
///         // It stays locked if somebody gets it.
///         *is_locked = is_locked.unpark(1) == 1;
///     }
/// }
///
/// conbrio::run(|cx| {
///     let (lock, turns) = (Lock { is_locked: ParkingLot::with_state(false) }, std::sync::Mutex::new(0));
///     cx.nursery(|_, n| -> Result<(), Cancelled> {
///         for _ in 0..10 {
///             n.spawn(|cx| {
///                 lock.lock(cx)?;
///                 let seen = *turns.lock().unwrap();
///                 cx.yield_shielded();
///                 *turns.lock().unwrap() = seen + 1;
///                 lock.unlock();
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
///     assert_eq!(turns.into_inner().unwrap(), 10);
/// });
/// ```
///
/// A semaphore whose users ask for several permits at a time; each waits behind those who came before:
///
/// ```
/// use conbrio::lowlevel::{Broken, ParkingLot};
/// use conbrio::prelude::*;
///
/// struct Semaphore {
///     /// The permits that are left; a waiting task brings how many it wants.
///     permits: ParkingLot<usize, usize>,
/// }
///
/// impl Semaphore {
///     fn acquire(&self, cx: &mut Cx, mut count: usize) -> Result<(), OrCancelled<Broken>> {
///         cx.checkpoint()?;
///         let mut permits = self.permits.lock();
///         if !permits.has_waiters() && *permits >= count {
///             *permits -= count;
///             return Ok(());
///         }
///         permits.park(cx, &mut count)
///     }
///
///     fn release(&self, count: usize) {
///         let mut permits = self.permits.lock();
///         *permits += count;
///         permits.unpark_while(|left, wanted| {
///             let enough = *left >= *wanted;
///             if enough {
///                 *left -= *wanted;
///             }
///             enough
///         });
///     }
/// }
///
/// # conbrio::run(|cx| {
/// #     let semaphore = Semaphore { permits: ParkingLot::with_state(3) };
/// #     cx.nursery(|_, n| -> Result<(), OrCancelled<Broken>> {
/// #         for count in [1, 3, 2, 3, 1, 1] {
/// #             let semaphore = &semaphore;
/// #             n.spawn(move |cx| {
/// #                 semaphore.acquire(cx, count)?;
/// #                 cx.yield_shielded();
/// #                 semaphore.release(count);
/// #                 Ok(())
/// #             });
/// #         }
/// #         Ok(())
/// #     })
/// #     .unwrap();
/// #     assert_eq!(semaphore.permits.into_inner(), 3);
/// # });
/// ```
pub struct ParkingLot<S = (), P = ()> {
    home: Home,
    /// What reports call a wait in it.
    what: &'static str,
    /// Guarded by the lock of the queue.
    state: UnsafeCell<S>,
    /// Parcels of waiting tasks are reached through the queue.
    parcels: PhantomData<*mut P>,
}

// SAFETY: the state and the parcels may be sent; the queue is for any thread.
unsafe impl<S: Send, P: Send> Send for ParkingLot<S, P> {}
// SAFETY: the state and the parcels are reached under the lock only, by one thread at a time; `get_mut`
// and `into_inner` need the lot for themselves.
unsafe impl<S: Send, P: Send> Sync for ParkingLot<S, P> {}

/// The queue as the parking lot holds it. Tasks that were moved into it may outlive the parking lot.
struct Home(Arc<Lot>);

impl Drop for Home {
    fn drop(&mut self) {
        // Who has parked here borrows the lot, so only moved tasks can be left: nobody else could unpark
        // them any more.
        self.0.break_by(None);
    }
}

/// What a parking lot is doing. Returned by [`ParkingLot::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkingLotStatistics {
    /// Tasks that wait in it.
    pub tasks_waiting: usize,
}

impl ParkingLot {
    /// An empty queue without a state.
    pub fn new() -> ParkingLot {
        ParkingLot::with_state(())
    }
}

impl<S, P> ParkingLot<S, P> {
    /// An empty queue with a state.
    pub fn with_state(state: S) -> ParkingLot<S, P> {
        ParkingLot {
            home: Home(Lot::new()),
            what: "a parking lot",
            state: UnsafeCell::new(state),
            parcels: PhantomData,
        }
    }

    /// Says what tasks wait for here: reports write it after "waits for".
    pub fn named(mut self, what: &'static str) -> ParkingLot<S, P> {
        self.what = what;
        self
    }

    /// Locks the state and the queue.
    ///
    /// Others spin meanwhile: hold it for a few instructions, never across a call that takes `cx`, and do
    /// not call functions of the same lot, which would wait for ever. Who locks two lots at once can wait
    /// for ever, too, where others do so in another order or move tasks between them.
    pub fn lock(&self) -> LotGuard<'_, S, P> {
        LotGuard::new(self)
    }

    /// Waits at the end of the queue until this task is unparked, which may change `parcel`.
    ///
    /// See [`LotGuard::park`] for waiting only if the state says so.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the task leaves the queue, and nobody has changed `parcel`.
    ///
    /// # Errors
    ///
    /// [`Broken`] if the lot is broken, or becomes so.
    pub fn park_with(&self, cx: &mut Cx, parcel: &mut P) -> Result<(), OrCancelled<Broken>> {
        cx.checkpoint()?;
        self.lock().park(cx, parcel)
    }

    /// Unparks the `count` longest waiting tasks, or as many as there are. Returns how many that is.
    ///
    /// Costs for each of them what [`Unparker::unpark`](super::Unparker::unpark) does.
    pub fn unpark(&self, count: usize) -> usize {
        self.lock().unpark(count)
    }

    /// Unparks all waiting tasks. Returns how many there were.
    pub fn unpark_all(&self) -> usize {
        self.lock().unpark_all()
    }

    /// Moves the `count` longest waiting tasks, or as many as there are, to the end of the queue of
    /// `other`. Returns how many that is.
    ///
    /// They stay in their order. Moving them to the same lot lets them queue up anew. If `other` is broken,
    /// they fail.
    pub fn repark<T>(&self, other: &ParkingLot<T, P>, count: usize) -> usize {
        self.home.0.repark(&other.home.0, count, |_| ())
    }

    /// As [`repark`](ParkingLot::repark), but shows each parcel that is moved to `moves`, in one step with
    /// the move: a task that is cancelled later sees by it that it had been moved.
    ///
    /// `moves` runs under the locks of both lots: as in [`lock`](ParkingLot::lock), it takes a few
    /// instructions and calls nothing of them.
    pub fn repark_with<T>(
        &self,
        other: &ParkingLot<T, P>,
        count: usize,
        mut moves: impl FnMut(&mut P),
    ) -> usize {
        self.home.0.repark(&other.home.0, count, |parcel| {
            // SAFETY: a task in the queue does not touch its parcel, and all parcels in this lot are of type
            // `P` (`park_after` and this signature see to that); the locks are held during the call.
            moves(unsafe { parcel.cast::<P>().as_mut() });
        })
    }

    /// Moves all waiting tasks. See [`repark`](ParkingLot::repark).
    pub fn repark_all<T>(&self, other: &ParkingLot<T, P>) -> usize {
        self.repark(other, usize::MAX)
    }

    /// How many tasks wait.
    pub fn len(&self) -> usize {
        self.home.0.lock().len()
    }

    /// Whether no task waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A snapshot of what the lot is doing.
    pub fn statistics(&self) -> ParkingLotStatistics {
        ParkingLotStatistics { tasks_waiting: self.len() }
    }

    /// Breaks the lot in the name of a task, which may have ended: those who wait in it, and those who want
    /// to, fail with [`Broken`].
    ///
    /// A lot stays broken for ever; breaking it again only adds the name.
    pub fn break_lot(&self, by: &Breaker) {
        self.home.0.break_by(Some(by.clone()));
    }

    /// Who has broken the lot, in order of time, each as often as it did.
    pub fn broken_by(&self) -> Vec<Breaker> {
        self.home.0.lock().broken_by().to_vec()
    }

    /// Lets the end of a task break the lot, however it ends: for a primitive that only this task can
    /// unpark others from.
    ///
    /// Registering twice needs two removals. A registration on a broken lot counts like any other.
    ///
    /// # Errors
    ///
    /// [`Broken`] if the task has ended. The lot is as before.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::lowlevel::{Broken, ParkingLot};
    /// use conbrio::prelude::*;
    ///
    /// let lot = ParkingLot::new();
    /// conbrio::run(|cx| {
    ///     cx.nursery(|cx, n| -> Result<(), OrCancelled<Broken>> {
    ///         n.task("producer").spawn(|cx| Ok(lot.add_breaker(&cx.breaker()).unwrap()));
    ///         let error = lot.park(cx).unwrap_err();
    ///         assert_eq!(error.to_string(), "the parking lot was broken by task 'producer'");
    ///         Ok(())
    ///     })
    ///     .unwrap();
    /// });
    /// ```
    pub fn add_breaker(&self, breaker: &Breaker) -> Result<(), Broken> {
        breaker.register(&self.home.0)
    }

    /// Takes one registration of a task back.
    ///
    /// # Errors
    ///
    /// [`Broken`] if the task has ended.
    ///
    /// # Panics
    ///
    /// If the task has not ended and is not registered.
    #[track_caller]
    pub fn remove_breaker(&self, breaker: &Breaker) -> Result<(), Broken> {
        breaker.unregister(&self.home.0)
    }

    /// Says that the running task holds what others wait for here, until somebody else says so. The report
    /// of a deadlock then names it.
    ///
    /// For primitives with one owner at a time: call it whenever a task has become the owner, whether it
    /// waited for that or not. Costs a store, and changes nothing else. It need not be taken back: nobody
    /// waits for what nobody holds.
    ///
    /// # Examples
    ///
    /// ```should_panic
    /// use conbrio::lowlevel::{Broken, ParkingLot};
    /// use conbrio::prelude::*;
    ///
    /// let lot = ParkingLot::new();
    /// // Fails with: 'main' waits for a parking lot, held by 'main', on worker 0
    /// conbrio::testing::run(|cx| -> Result<(), OrCancelled<Broken>> {
    ///     lot.set_holder(cx);
    ///     lot.park(cx)
    /// })
    /// .unwrap();
    /// ```
    #[inline]
    pub fn set_holder(&self, cx: &Cx) {
        self.home.0.set_holder(cx.task().pointer().as_ptr());
    }

    /// Says that no single task holds what others wait for here.
    #[inline]
    pub fn clear_holder(&self) {
        self.home.0.set_holder(std::ptr::null_mut());
    }

    /// The state, for the only owner of the lot.
    pub fn get_mut(&mut self) -> &mut S {
        self.state.get_mut()
    }

    /// The state. Tasks that were moved here and wait still fail with [`Broken`].
    pub fn into_inner(self) -> S {
        self.state.into_inner()
    }
}

impl<S> ParkingLot<S> {
    /// Waits at the end of the queue until this task is unparked.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the task leaves the queue.
    ///
    /// # Errors
    ///
    /// [`Broken`] if the lot is broken, or becomes so.
    pub fn park(&self, cx: &mut Cx) -> Result<(), OrCancelled<Broken>> {
        self.park_with(cx, &mut ())
    }
}

impl<S: Default, P> Default for ParkingLot<S, P> {
    fn default() -> ParkingLot<S, P> {
        ParkingLot::with_state(S::default())
    }
}

impl<S, P> fmt::Debug for ParkingLot<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the lock, which the caller may hold.
        f.debug_struct("ParkingLot").field("what", &self.what).finish_non_exhaustive()
    }
}
