//! A state with two queues of those who wait for it to change: tasks, futures, threads, and selects.
//!
//! Like a [`ParkingLot`](super::ParkingLot) it keeps state and queues under one short lock, and lets whoever
//! ends a wait change the *parcel* of the waiting party, so that items are handed over without getting lost.
//! Other than there, a party may be the arm of a select or a future, a party can be taken out of the
//! middle, and there is a queue for each side of an exchange.
//!
//! `queue.rs` has the rules and the nodes; here is what the layers above see, in safe code.

mod queue;
mod ticket;
mod wakes;

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::cancel::Cancelled;
use crate::sched::{Interrupt, Parked};
use crate::task::Cx;
use crate::util::abort::{AbortGuard, abort};
use crate::util::brief_lock::{BriefGuard, BriefLock};
use crate::util::footprint;

use super::select::Claim;

use queue::{Node, Queue, Who};
use wakes::Wakes;

pub(crate) use ticket::Ticket;

/// One of the two queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    First = 0,
    Second = 1,
}

/// See the module's documentation. `S` is the state, `P` a parcel.
pub(crate) struct Exchange<S, P> {
    queues: BriefLock<[Queue; 2]>,
    /// What reports call a wait at each side.
    what: [&'static str; 2],
    /// Guarded by the lock of the queues.
    state: UnsafeCell<S>,
    /// Parcels of waiting parties are reached through the queues.
    parcels: PhantomData<*mut P>,
}

// SAFETY: the state and the parcels may be sent; the queues are for any thread.
unsafe impl<S: Send, P: Send> Send for Exchange<S, P> {}
// SAFETY: the state and the parcels are reached under the lock only, by one thread at a time.
unsafe impl<S: Send, P: Send> Sync for Exchange<S, P> {}

impl<S, P> Exchange<S, P> {
    /// `what` follows "waits for" in reports, for each side.
    pub(crate) fn new(state: S, what: [&'static str; 2]) -> Exchange<S, P> {
        Exchange {
            queues: BriefLock::new([Queue::new(), Queue::new()]),
            what,
            state: UnsafeCell::new(state),
            parcels: PhantomData,
        }
    }

    /// Locks it. Others spin meanwhile: no user's code runs under it.
    #[inline]
    pub(crate) fn lock(&self) -> ExchangeGuard<'_, S, P> {
        ExchangeGuard {
            exchange: self,
            queues: self.lock_queues(),
            wakes: Wakes::new(),
            stays_on_its_thread: PhantomData,
        }
    }

    /// All locking goes this way, so that a footprint has it.
    #[inline]
    fn lock_queues(&self) -> BriefGuard<'_, [Queue; 2]> {
        footprint::touch(self);
        self.queues.lock()
    }
}

impl<S, P> fmt::Debug for Exchange<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the lock, which the caller may hold.
        f.debug_struct("Exchange").field("what", &self.what).finish_non_exhaustive()
    }
}

/// A locked [`Exchange`]. Those whose wait has ended are woken when it is dropped, after the lock.
#[must_use = "the exchange is locked as long as this lives"]
pub(crate) struct ExchangeGuard<'a, S, P> {
    exchange: &'a Exchange<S, P>,
    // In this order: first the lock is released, then parties are woken.
    queues: BriefGuard<'a, [Queue; 2]>,
    wakes: Wakes,
    stays_on_its_thread: PhantomData<*mut ()>,
}

impl<'a, S, P> ExchangeGuard<'a, S, P> {
    /// How many wait at a side. A select that has been chosen elsewhere may still count.
    pub(crate) fn waiting(&self, side: Side) -> usize {
        self.queues[side as usize].len()
    }

    #[inline]
    pub(crate) fn has_waiting(&self, side: Side) -> bool {
        !self.queues[side as usize].is_empty()
    }

    /// Whether [`hand_over`](ExchangeGuard::hand_over) would find somebody who is not the select of `own`.
    pub(crate) fn has_partner(&self, side: Side, own: &Claim) -> bool {
        self.queues[side as usize].has_open(own)
    }

    /// Ends the longest wait at a side after `change` has changed its parcel. Returns what that returns, or
    /// nothing if nobody waits. A select that has been chosen elsewhere is passed over.
    #[inline]
    pub(crate) fn hand_over<R>(
        &mut self,
        side: Side,
        change: impl FnOnce(&mut S, &mut P) -> R,
    ) -> Option<R> {
        let node = self.queues[side as usize].first_chosen()?;
        Some(self.end(side, node, change))
    }

    /// Ends all waits at a side whose party has this label, or all if there is none, after `change` has
    /// changed their parcels.
    pub(crate) fn end_all(
        &mut self,
        side: Side,
        label: Option<u64>,
        mut change: impl FnMut(&mut S, &mut P),
    ) {
        // Ends: each party that is found leaves the queue.
        while let Some(node) = self.queues[side as usize].find_chosen(label) {
            self.end(side, node, &mut change);
        }
    }

    /// Ends the wait of a node that was chosen.
    #[inline]
    fn end<R>(
        &mut self,
        side: Side,
        node: NonNull<Node>,
        change: impl FnOnce(&mut S, &mut P) -> R,
    ) -> R {
        // SAFETY: linked nodes are in place (rule 1), and we hold the lock.
        let node = unsafe { node.as_ref() };
        // SAFETY: the party of a linked node does not touch its parcel (rule 2), and all parcels here are
        // of the type `P`.
        let parcel = unsafe { node.parcel().cast::<P>().as_mut() };
        // SAFETY: the lock is held, and `&mut self` makes this the only reference made from the guard.
        let state = unsafe { &mut *self.exchange.state.get() };
        let result = change(state, parcel);
        self.queues[side as usize].unlink(node);
        self.wakes.add(node);
        // Last of all (rule 3).
        node.end();
        result
    }

    /// Releases the lock and waits at the end of a queue. Whoever ends the wait has changed the parcel.
    ///
    /// The caller has passed a checkpoint before it took the lock. `Err` means that nobody has changed the
    /// parcel, and nobody will.
    ///
    /// Always inlined: each frame between a switch of stacks and the code that goes on costs (see
    /// `Task::suspend`).
    #[inline(always)]
    pub(crate) fn park(
        self,
        cx: &mut Cx,
        side: Side,
        label: u64,
        parcel: &mut P,
    ) -> Result<(), Cancelled> {
        let ExchangeGuard { exchange, mut queues, wakes, stays_on_its_thread: _ } = self;
        // The node and the parcel are in frames that must not end before the wait has.
        let guard = AbortGuard::new("a task that waits at an exchange began to unwind");
        let runtime = NonNull::from(cx.anchor().worker().shared());
        let who = Who::Task { waiter: cx.begin_wait(), runtime };
        let node = Node::new(who, label, NonNull::from(parcel).cast());
        // SAFETY: we leave this frame when the node has been unlinked, and not by unwinding.
        unsafe { queues[side as usize].push(&node) };
        drop(queues);
        drop(wakes);
        let parked = cx.park(Interrupt::OnCancel, exchange.what[side as usize]);
        let has_ended = match parked {
            Parked::Woken if node.is_linked() => {
                abort("a task at an exchange was woken by somebody else")
            }
            Parked::Woken => true,
            // If it has ended just now, that counts.
            Parked::Interrupted => !exchange.lock_queues()[side as usize].remove(&node),
        };
        guard.disarm();
        if has_ended { Ok(()) } else { Err(cx.why_interrupted()) }
    }
}

impl<S, P> Deref for ExchangeGuard<'_, S, P> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        // SAFETY: the lock that guards the state is held.
        unsafe { &*self.exchange.state.get() }
    }
}

impl<S, P> DerefMut for ExchangeGuard<'_, S, P> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        // SAFETY: as above, and `&mut self` makes this the only reference made from the guard.
        unsafe { &mut *self.exchange.state.get() }
    }
}
