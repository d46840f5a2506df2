//! The queues of an exchange: nodes linked under its lock.
//!
//! ```text
//! Exchange ──► first ⇄ node ⇄ node ⇄ last      each node: in the frame of a task that waits,
//!                                               or in the heap, owned by a ticket
//! ```
//!
//! Rules:
//! 1. A node stays in place while it is linked: the frame of a task neither ends nor unwinds, and a ticket
//!    frees its node only after it has unlinked it. (A ticket that is forgotten leaks its node.)
//! 2. Links and parcel of a linked node are touched only under the lock of the exchange; the parcel of one
//!    that is not linked only by its owner.
//! 3. Whoever ends a wait unlinks the node, notes whom to wake, and marks the node as ended, all under the
//!    lock, and does not touch the node afterwards: its owner may take the lock before it has been woken,
//!    find that it has ended, and go.
//! 4. Wakes are made after the lock has been released.
//! 5. A node of a select or future is ended only by whoever has won its claim. If that is lost, it is
//!    unlinked without being ended: its owner will not look at its parcel.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::cancel::Waiter;
use crate::lowlevel::select::Claim;
use crate::sched::Shared;

/// Those who wait at one side, the longest waiting one first.
pub(super) struct Queue {
    first: Option<NonNull<Node>>,
    last: Option<NonNull<Node>>,
    len: usize,
}

// SAFETY: nodes are reached under the lock only (rule 2), and stay in place (rule 1).
unsafe impl Send for Queue {}

/// One waiting party.
pub(super) struct Node {
    who: Who,
    /// Names the handle that the party waits through.
    label: u64,
    parcel: NonNull<()>,
    previous: Cell<Option<NonNull<Node>>>,
    next: Cell<Option<NonNull<Node>>>,
    place: Cell<Place>,
}

/// Who waits.
pub(super) enum Who {
    /// A task for which this is all. The runtime is as its worker holds it, which outlives the wait.
    Task { waiter: Waiter, runtime: NonNull<Arc<Shared>> },
    /// An arm of a select, or a future.
    Claim(Claim),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a queue.
    Linked,
    /// Out of the queue, and nobody has changed the parcel.
    Out,
    /// Out of the queue, and the parcel says what has happened.
    Ended,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue { first: None, last: None, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds a node at the end.
    ///
    /// # Safety
    /// Rule 1 holds for the node, and it is in no queue.
    pub(super) unsafe fn push(&mut self, node: &Node) {
        let this = NonNull::from(node);
        node.previous.set(self.last);
        node.next.set(None);
        match self.last {
            // SAFETY: linked nodes are in place (rule 1), and the caller holds the lock.
            Some(last) => unsafe { last.as_ref() }.next.set(Some(this)),
            None => self.first = Some(this),
        }
        self.last = Some(this);
        self.len += 1;
        node.place.set(Place::Linked);
    }

    /// Takes out a node that is in this queue.
    pub(super) fn unlink(&mut self, node: &Node) {
        let (previous, next) = (node.previous.take(), node.next.take());
        match previous {
            // SAFETY: linked nodes are in place (rule 1), and the caller holds the lock.
            Some(previous) => unsafe { previous.as_ref() }.next.set(next),
            None => self.first = next,
        }
        match next {
            // SAFETY: as above.
            Some(next) => unsafe { next.as_ref() }.previous.set(previous),
            None => self.last = previous,
        }
        self.len -= 1;
        node.place.set(Place::Out);
    }

    /// Takes a node out for its owner. `false` if its wait has ended.
    pub(super) fn remove(&mut self, node: &Node) -> bool {
        if node.place.get() == Place::Linked {
            self.unlink(node);
        }
        node.place.get() == Place::Out
    }

    /// The longest waiting party, whose claim the caller has won now if it has one (rule 5).
    #[inline]
    pub(super) fn first_chosen(&mut self) -> Option<NonNull<Node>> {
        // Ends: each round takes a node out.
        loop {
            let first = self.first?;
            // SAFETY: linked nodes are in place (rule 1), and the caller holds the lock.
            let node = unsafe { first.as_ref() };
            if node.choose() {
                return Some(first);
            }
            self.unlink(node);
        }
    }

    /// As `first_chosen`, the first that has this label.
    pub(super) fn find_chosen(&mut self, label: Option<u64>) -> Option<NonNull<Node>> {
        let mut next = self.first;
        while let Some(this) = next {
            // SAFETY: linked nodes are in place (rule 1), and the caller holds the lock.
            let node = unsafe { this.as_ref() };
            next = node.next.get();
            if label.is_none_or(|label| node.label == label) {
                if node.choose() {
                    return Some(this);
                }
                self.unlink(node);
            }
        }
        None
    }

    /// Whether somebody waits who can still be chosen and is not of the select of `own`.
    pub(super) fn has_open(&self, own: &Claim) -> bool {
        let mut next = self.first;
        while let Some(this) = next {
            // SAFETY: linked nodes are in place (rule 1), and the caller holds the lock.
            let node = unsafe { this.as_ref() };
            match &node.who {
                Who::Task { .. } => return true,
                Who::Claim(claim) if claim.is_open() && !claim.is_of_same_select(own) => {
                    return true;
                }
                Who::Claim(_) => next = node.next.get(),
            }
        }
        false
    }
}

impl Node {
    pub(super) fn new(who: Who, label: u64, parcel: NonNull<()>) -> Node {
        Node {
            who,
            label,
            parcel,
            previous: Cell::new(None),
            next: Cell::new(None),
            place: Cell::new(Place::Out),
        }
    }

    pub(super) fn who(&self) -> &Who {
        &self.who
    }

    /// Before it is entered in a queue.
    pub(super) fn set_parcel(&mut self, parcel: NonNull<()>) {
        self.parcel = parcel;
    }

    pub(super) fn parcel(&self) -> NonNull<()> {
        self.parcel
    }

    #[inline]
    fn choose(&self) -> bool {
        match &self.who {
            Who::Task { .. } => true,
            Who::Claim(claim) => claim.choose(),
        }
    }

    /// Marks a node that was just unlinked.
    pub(super) fn end(&self) {
        self.place.set(Place::Ended);
    }

    /// Called with the lock.
    pub(super) fn has_ended(&self) -> bool {
        self.place.get() == Place::Ended
    }

    /// For its owner, when it has been woken.
    pub(super) fn is_linked(&self) -> bool {
        self.place.get() == Place::Linked
    }
}
