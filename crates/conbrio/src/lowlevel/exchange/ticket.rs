//! A place in a queue of an exchange for whoever has no frame that stays: a future, an arm of a select.

use std::cell::UnsafeCell;
use std::fmt;
use std::ptr::NonNull;

use crate::lowlevel::select::Claim;

use super::queue::{Node, Who};
use super::{Exchange, ExchangeGuard, Side};

/// A wait that its owner may leave at any time, and finds ended or not. Leaves the queue when dropped.
///
/// Allocates its place in the heap, and leaks it if it is forgotten.
pub(crate) struct Ticket<'a, S, P> {
    exchange: &'a Exchange<S, P>,
    side: Side,
    place: NonNull<HeapNode<P>>,
}

struct HeapNode<P> {
    node: Node,
    parcel: UnsafeCell<P>,
}

// SAFETY: the node is reached under the lock, and the parcel too, or by the owner when it has left.
unsafe impl<S: Send, P: Send> Send for Ticket<'_, S, P> {}
// SAFETY: a shared ticket gives access to nothing but a look under the lock.
unsafe impl<S: Send, P: Send> Sync for Ticket<'_, S, P> {}

impl<'a, S, P> ExchangeGuard<'a, S, P> {
    /// Enters a queue at its end, in the name of `claim`.
    pub(crate) fn queue_up(
        &mut self,
        side: Side,
        label: u64,
        claim: Claim,
        parcel: P,
    ) -> Ticket<'a, S, P> {
        let place = Box::new(HeapNode {
            node: Node::new(Who::Claim(claim), label, NonNull::dangling()),
            parcel: UnsafeCell::new(parcel),
        });
        let place = NonNull::from(Box::leak(place));
        // SAFETY: just made, and nobody else has it.
        let node = unsafe { &mut (*place.as_ptr()).node };
        // SAFETY: as above; only the address is taken.
        let parcel = unsafe { &raw mut (*place.as_ptr()).parcel };
        node.set_parcel(NonNull::new(parcel.cast()).expect("a field has an address"));
        // SAFETY: freed by the ticket, after it was unlinked, or never.
        unsafe { self.queues[side as usize].push(node) };
        Ticket { exchange: self.exchange, side, place }
    }
}

impl<S, P> Ticket<'_, S, P> {
    /// Leaves the queue, if the wait has not ended. `Ok` is the parcel of a wait that has ended, `Err` of
    /// one that has not: nobody has changed it.
    pub(crate) fn leave(self) -> Result<P, P> {
        let has_ended = self.unlink();
        let ticket = std::mem::ManuallyDrop::new(self);
        // SAFETY: unlinked, so that it is ours alone; the box is not used again.
        let place = unsafe { Box::from_raw(ticket.place.as_ptr()) };
        let parcel = place.parcel.into_inner();
        if has_ended { Ok(parcel) } else { Err(parcel) }
    }

    /// Whether the wait has ended.
    pub(crate) fn has_ended(&self) -> bool {
        let _queues = self.exchange.lock_queues();
        // SAFETY: the ticket owns it.
        unsafe { self.place.as_ref() }.node.has_ended()
    }

    /// Returns whether the wait had ended.
    fn unlink(&self) -> bool {
        // SAFETY: the ticket owns it.
        let node = &unsafe { self.place.as_ref() }.node;
        !self.exchange.lock_queues()[self.side as usize].remove(node)
    }
}

impl<S, P> Drop for Ticket<'_, S, P> {
    fn drop(&mut self) {
        self.unlink();
        // SAFETY: unlinked, so that it is ours alone, and made by `Box`.
        drop(unsafe { Box::from_raw(self.place.as_ptr()) });
    }
}

impl<S, P> fmt::Debug for Ticket<'_, S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("side", &self.side).finish_non_exhaustive()
    }
}
