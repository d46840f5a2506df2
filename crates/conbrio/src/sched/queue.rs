//! The queues that only the thread of one worker sees.
//!
//! [`RunQueue`] is a ring of runnables. Every turn of every task goes through one, so it is made for
//! that: no borrow flags, no wrap-around but a mask. [`ChildQueue`] holds unstarted children: a deque
//! that thieves reach, or in a runtime of one worker, where there are none, such a ring.
//!
//! Rules:
//! 1. A queue is touched by one thread (it is not `Sync`), and no method calls foreign code: the
//!    reference that a method makes into `ring` is the only one while it exists.
//! 2. `slots` has a power of two of places, and `tail - head <= slots.len()`. Both count for ever and
//!    wrap around. The places from `head` to `tail` are `Some`.

use std::cell::UnsafeCell;
use std::ptr::NonNull;

use crossbeam_deque::{Steal, Stealer};

use super::runnable::Runnable;
use super::shared::{Children, Unstarted};

/// A queue of runnables; see the module's documentation.
pub(super) struct RunQueue {
    ring: UnsafeCell<Ring>,
}

struct Ring {
    slots: Box<[Option<NonNull<Runnable>>]>,
    head: usize,
    tail: usize,
}

impl RunQueue {
    pub(super) fn new() -> RunQueue {
        let slots = vec![None; SLOTS_MIN].into_boxed_slice();
        RunQueue { ring: UnsafeCell::new(Ring { slots, head: 0, tail: 0 }) }
    }

    /// The only reference into the ring (rule 1): private, and never held across a call of another
    /// method of the same queue.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "rule 1 makes it the only reference")]
    fn ring(&self) -> &mut Ring {
        // SAFETY: rule 1.
        unsafe { &mut *self.ring.get() }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.ring().len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        let ring = self.ring();
        ring.head == ring.tail
    }

    /// Adds the newest. Allocates only when there have never been so many.
    #[inline]
    pub(super) fn push(&self, runnable: NonNull<Runnable>) {
        let ring = self.ring();
        if ring.len() == ring.slots.len() {
            ring.grow();
        }
        *ring.slot(ring.tail) = Some(runnable);
        ring.tail = ring.tail.wrapping_add(1);
    }

    /// Takes the oldest.
    #[inline]
    pub(super) fn pop_oldest(&self) -> Option<NonNull<Runnable>> {
        let ring = self.ring();
        if ring.head == ring.tail {
            return None;
        }
        let oldest = *ring.slot(ring.head);
        ring.head = ring.head.wrapping_add(1);
        oldest
    }

    /// Takes the newest.
    #[inline]
    pub(super) fn pop_newest(&self) -> Option<NonNull<Runnable>> {
        let ring = self.ring();
        if ring.head == ring.tail {
            return None;
        }
        ring.tail = ring.tail.wrapping_sub(1);
        *ring.slot(ring.tail)
    }

    /// The one that comes `ahead` places after the oldest.
    #[inline]
    pub(super) fn peek(&self, ahead: usize) -> Option<NonNull<Runnable>> {
        let ring = self.ring();
        if ahead < ring.len() { *ring.slot(ring.head.wrapping_add(ahead)) } else { None }
    }

    /// Lets the oldest and the one that comes `ahead` places after it change places.
    pub(super) fn bring_forward(&self, ahead: usize) {
        let ring = self.ring();
        assert!(ahead < ring.len(), "there is no runnable {ahead} places ahead");
        let chosen = *ring.slot(ring.head.wrapping_add(ahead));
        let oldest = std::mem::replace(ring.slot(ring.head), chosen);
        *ring.slot(ring.head.wrapping_add(ahead)) = oldest;
    }

    /// Exchanges the contents of two queues. Both keep their memory.
    #[inline]
    pub(super) fn swap(&self, other: &RunQueue) {
        assert!(!std::ptr::eq(self, other), "two queues");
        std::mem::swap(self.ring(), other.ring());
    }

    /// Adds everything that `other` has, in its order.
    pub(super) fn append(&self, other: &RunQueue) {
        assert!(!std::ptr::eq(self, other), "two queues");
        while let Some(runnable) = other.pop_oldest() {
            self.push(runnable);
        }
    }
}

impl Ring {
    #[inline]
    fn len(&self) -> usize {
        self.tail.wrapping_sub(self.head)
    }

    #[inline]
    fn slot(&mut self, position: usize) -> &mut Option<NonNull<Runnable>> {
        let mask = self.slots.len() - 1;
        // SAFETY: rule 2: a power of two, so that what the mask leaves is less.
        unsafe { self.slots.get_unchecked_mut(position & mask) }
    }

    /// Makes room for as many again. The oldest moves to the first place.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let len = self.len();
        let mut slots = vec![None; self.slots.len() * 2].into_boxed_slice();
        for (ahead, slot) in slots[..len].iter_mut().enumerate() {
            *slot = *self.slot(self.head.wrapping_add(ahead));
        }
        *self = Ring { slots, head: 0, tail: len };
    }
}

/// The unstarted children of one worker.
pub(super) enum ChildQueue {
    /// There are other workers, which may steal.
    Shared { deque: Children, own_end: Stealer<Unstarted> },
    /// There are none: neither fences nor a second end are needed.
    Alone(RunQueue),
}

impl ChildQueue {
    pub(super) fn new(deque: Children, workers: usize) -> ChildQueue {
        if workers == 1 {
            return ChildQueue::Alone(RunQueue::new());
        }
        ChildQueue::Shared { own_end: deque.stealer(), deque }
    }

    /// The part that thieves reach; `None` if there are no thieves.
    #[inline]
    pub(super) fn deque(&self) -> Option<&Children> {
        match self {
            ChildQueue::Shared { deque, .. } => Some(deque),
            ChildQueue::Alone(_) => None,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        match self {
            ChildQueue::Shared { deque, .. } => deque.is_empty(),
            ChildQueue::Alone(queue) => queue.is_empty(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            ChildQueue::Shared { deque, .. } => deque.len(),
            ChildQueue::Alone(queue) => queue.len(),
        }
    }

    #[inline]
    pub(super) fn push(&self, child: Unstarted) {
        match self {
            ChildQueue::Shared { deque, .. } => deque.push(child),
            ChildQueue::Alone(queue) => queue.push(child.0),
        }
    }

    #[inline]
    pub(super) fn pop_newest(&self) -> Option<NonNull<Runnable>> {
        match self {
            ChildQueue::Shared { deque, .. } => deque.pop().map(|child| child.0),
            ChildQueue::Alone(queue) => queue.pop_newest(),
        }
    }

    /// `None` also if a thief got in between.
    pub(super) fn pop_oldest(&self) -> Option<NonNull<Runnable>> {
        match self {
            ChildQueue::Shared { own_end, .. } => match own_end.steal() {
                Steal::Success(child) => Some(child.0),
                Steal::Empty | Steal::Retry => None,
            },
            ChildQueue::Alone(queue) => queue.pop_oldest(),
        }
    }
}

/// A power of two.
const SLOTS_MIN: usize = 32;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Pointers that are compared and never followed.
    fn named(name: usize) -> NonNull<Runnable> {
        NonNull::new(std::ptr::without_provenance_mut(name * align_of::<Runnable>())).unwrap()
    }

    #[test]
    fn a_run_queue_does_what_a_deque_does() {
        let rng = crate::util::rng::Rng::new(7);
        let queue = RunQueue::new();
        let other = RunQueue::new();
        let mut model = std::collections::VecDeque::new();
        let mut other_model = std::collections::VecDeque::new();
        for step in 1..20_000 {
            match rng.below(12) {
                0..6 => {
                    queue.push(named(step));
                    model.push_back(named(step));
                }
                6..8 => assert_eq!(queue.pop_oldest(), model.pop_front()),
                8 => assert_eq!(queue.pop_newest(), model.pop_back()),
                9 if !model.is_empty() => {
                    let ahead = rng.below(model.len());
                    queue.bring_forward(ahead);
                    model.swap(0, ahead);
                }
                10 => {
                    queue.swap(&other);
                    std::mem::swap(&mut model, &mut other_model);
                }
                11 if rng.below(50) == 0 => {
                    queue.append(&other);
                    model.append(&mut other_model);
                }
                _ => {}
            }
            assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
            let ahead = rng.below(model.len() + 2);
            assert_eq!(queue.peek(ahead), model.get(ahead).copied());
        }
    }
}
