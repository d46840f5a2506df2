//! A locked parking lot: its state and its queue, changed together.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::cancel::OrCancelled;
use crate::sched::{Interrupt, Parked};
use crate::task::Cx;
use crate::util::abort::{AbortGuard, abort};
use crate::util::brief_lock::BriefGuard;

use super::ParkingLot;
use super::breaker::Broken;
use super::queue::{Fate, Node, Queue, Wakes};

/// A locked [`ParkingLot`]: gives access to the state, and to the queue. Made by [`ParkingLot::lock`].
///
/// Tasks that are unparked are woken when it is dropped, after the lock has been released.
#[must_use = "the parking lot is locked as long as this lives"]
pub struct LotGuard<'a, S, P> {
    lot: &'a ParkingLot<S, P>,
    // In this order: first the lock is released, then tasks are woken.
    queue: BriefGuard<'a, Queue>,
    wakes: Wakes,
    stays_on_its_thread: PhantomData<*mut ()>,
}

impl<'a, S, P> LotGuard<'a, S, P> {
    pub(super) fn new(lot: &'a ParkingLot<S, P>) -> LotGuard<'a, S, P> {
        LotGuard {
            queue: lot.home.0.lock(),
            lot,
            wakes: Wakes::new(),
            stays_on_its_thread: PhantomData,
        }
    }

    /// How many tasks wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether any task waits.
    pub fn has_waiters(&self) -> bool {
        self.queue.len() > 0
    }

    /// What the longest waiting task has brought.
    pub fn first_waiting(&self) -> Option<&P> {
        // SAFETY: a task in the queue does not touch its parcel, and all parcels in this lot are of type `P`
        // (`park_after` and `repark` see to that); the lock is held as long as the reference lives.
        self.queue.first_parcel().map(|parcel| unsafe { parcel.cast::<P>().as_ref() })
    }

    /// Unparks the `count` longest waiting tasks, or as many as there are. Returns how many that is.
    pub fn unpark(&mut self, count: usize) -> usize {
        let mut unparked = 0;
        while unparked < count && self.queue.pop(Fate::Unparked, &mut self.wakes) {
            unparked += 1;
        }
        unparked
    }

    /// Unparks all waiting tasks. Returns how many there were.
    pub fn unpark_all(&mut self) -> usize {
        self.unpark(usize::MAX)
    }

    /// Unparks the longest waiting task after `hand_over` has changed what it had brought. Returns what
    /// `hand_over` returns, or nothing if no task waits.
    ///
    /// The task gets it: a task that is cancelled at the same moment finds that it was unparked first.
    pub fn unpark_with<R>(&mut self, hand_over: impl FnOnce(&mut S, &mut P) -> R) -> Option<R> {
        let (state, parcel) = self.state_and_first()?;
        let result = hand_over(state, parcel);
        self.queue.pop(Fate::Unparked, &mut self.wakes);
        Some(result)
    }

    /// Unparks the longest waiting task again and again, as long as `hand_over` says `true` to it.
    /// Returns how many were unparked.
    pub fn unpark_while(&mut self, mut hand_over: impl FnMut(&mut S, &mut P) -> bool) -> usize {
        let mut unparked = 0;
        while let Some((state, parcel)) = self.state_and_first() {
            if !hand_over(state, parcel) {
                break;
            }
            self.queue.pop(Fate::Unparked, &mut self.wakes);
            unparked += 1;
        }
        unparked
    }

    fn state_and_first(&mut self) -> Option<(&mut S, &mut P)> {
        let parcel = self.queue.first_parcel()?;
        // SAFETY: as in `first_waiting`, and `&mut self` makes this the only reference made from the guard.
        let parcel = unsafe { parcel.cast::<P>().as_mut() };
        // SAFETY: the lock is held; as above.
        let state = unsafe { &mut *self.lot.state.get() };
        Some((state, parcel))
    }

    /// Releases the lock and waits at the end of the queue until this task is unparked.
    ///
    /// Nothing can come between what was seen under the lock and the wait. Whoever unparks the task may
    /// change `parcel`, which is what it brings and what it takes away.
    ///
    /// # Cancellation
    ///
    /// Fails if the caller is cancelled before it is unparked; nobody has changed `parcel` then, and
    /// nobody will unpark it any more. It does not give way before it waits: a function that need not
    /// always wait calls [`Cx::checkpoint`] before it takes the lock.
    ///
    /// # Errors
    ///
    /// [`Broken`] if the lot is broken, or becomes so.
    pub fn park(self, cx: &mut Cx, parcel: &mut P) -> Result<(), OrCancelled<Broken>> {
        self.park_after(cx, parcel, || ())
    }

    /// As [`park`](LotGuard::park), but calls `first` when the task is in the queue and the lock has been
    /// released, before it waits: to release something else that must not be released earlier, such as
    /// the mutex of a condition variable.
    ///
    /// If the lot is broken already, `first` is not called.
    ///
    /// # Cancellation
    ///
    /// As [`park`](LotGuard::park); `first` has been called then.
    ///
    /// # Errors
    ///
    /// [`Broken`] if the lot is broken, or becomes so.
    ///
    /// # Panics
    ///
    /// If `first` panics. The task has left the queue then; what it was given meanwhile stands in `parcel`.
    pub fn park_after(
        self,
        cx: &mut Cx,
        parcel: &mut P,
        first: impl FnOnce(),
    ) -> Result<(), OrCancelled<Broken>> {
        let LotGuard { lot, mut queue, wakes, stays_on_its_thread: _ } = self;
        if queue.is_broken() {
            let broken = queue.broken();
            // In this order: first the lock is released, then tasks are woken.
            drop(queue);
            drop(wakes);
            return Err(OrCancelled::Failed(broken));
        }
        // The node and the parcel are in frames that must not end before `wait` has.
        let guard = AbortGuard::new("a task that is parked began to unwind");
        let waiter = cx.begin_wait();
        let runtime = cx.anchor().worker().shared();
        let place = Arc::clone(&lot.home.0);
        let node = Node::new(waiter, runtime, NonNull::from(parcel).cast(), place);
        // SAFETY: `wait` returns when the node has a fate or was taken out, and nothing unwinds before.
        unsafe { queue.push(&node) };
        drop(queue);
        drop(wakes);
        let called = catch_unwind(AssertUnwindSafe(first));
        let result = match called {
            Ok(()) => Ok(wait(cx, &node, lot.what)),
            Err(payload) => {
                node.leave();
                Err(payload)
            }
        };
        guard.disarm();
        result.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

/// Waits until the node, which is in a queue, has a fate, or the task is cancelled and it was taken out.
fn wait(cx: &mut Cx, node: &Node, what: &'static str) -> Result<(), OrCancelled<Broken>> {
    let task = cx.anchor();
    task.set_blocker(Some(NonNull::from(node)));
    let parked = cx.park(Interrupt::OnCancel, what);
    task.set_blocker(None);
    let fate = match parked {
        Parked::Woken => node.fate(),
        Parked::Interrupted => match node.leave() {
            Fate::Waiting => return Err(cx.why_interrupted().into()),
            // It was unparked just now: that counts.
            fate => fate,
        },
    };
    match fate {
        Fate::Unparked => Ok(()),
        Fate::Broken => Err(OrCancelled::Failed(node.place().lock().broken())),
        Fate::Waiting => abort("a parked task was woken by somebody else"),
    }
}

impl<S, P> Deref for LotGuard<'_, S, P> {
    type Target = S;

    fn deref(&self) -> &S {
        // SAFETY: the lock that guards the state is held.
        unsafe { &*self.lot.state.get() }
    }
}

impl<S, P> DerefMut for LotGuard<'_, S, P> {
    fn deref_mut(&mut self) -> &mut S {
        // SAFETY: as above, and `&mut self` makes this the only reference made from the guard.
        unsafe { &mut *self.lot.state.get() }
    }
}

impl<S: fmt::Debug, P> fmt::Debug for LotGuard<'_, S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LotGuard")
            .field("state", &**self)
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
