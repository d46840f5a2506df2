//! A queue of waiting tasks of one worker.
//!
//! Invariant: an entry is in the queue from the moment in which its task stops until it is unparked or calls
//! its wait off. No code of users runs while the queue is borrowed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::cancel::Cancelled;
use crate::lowlevel::{Abort, Unparker, Wait};
use crate::task::Cx;
use crate::util::footprint;

/// The longest waiting task first. `P` is what each of them wants.
pub(super) struct Queue<P> {
    entries: RefCell<VecDeque<Entry<P>>>,
    /// The number of the next entry.
    next: Cell<u64>,
}

struct Entry<P> {
    number: u64,
    wants: P,
    unparker: Unparker,
}

impl<P: Copy> Queue<P> {
    pub(super) fn new() -> Queue<P> {
        Queue { entries: RefCell::new(VecDeque::new()), next: Cell::new(0) }
    }

    /// Called before the state that belongs to the queue is looked at or changed.
    #[inline]
    pub(super) fn touch(&self) {
        footprint::touch(self);
    }

    pub(super) fn len(&self) -> usize {
        self.touch();
        self.entries.borrow().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.touch();
        self.entries.borrow().is_empty()
    }

    /// What the longest waiting task wants.
    pub(super) fn first(&self) -> Option<P> {
        self.touch();
        self.entries.borrow().front().map(|entry| entry.wants)
    }

    /// Unparks the longest waiting task. It counts as unparked even if it is cancelled before it runs.
    pub(super) fn unpark_first(&self) -> bool {
        self.touch();
        let first = self.entries.borrow_mut().pop_front();
        first.map(|entry| entry.unparker.unpark()).is_some()
    }

    /// Waits at the end of the queue until the task is unparked. A checkpoint always, which may let other
    /// tasks run; so `try_now` is asked after it, and does not wait if it says `true`.
    pub(super) fn park(
        &self,
        cx: &mut Cx,
        wants: P,
        try_now: impl FnMut() -> bool,
    ) -> Result<(), Cancelled> {
        cx.park_on(&mut Place { queue: self, number: 0, wants, try_now })
    }
}

/// The place of one task.
struct Place<'a, P, F> {
    queue: &'a Queue<P>,
    /// Given when it enters the queue.
    number: u64,
    wants: P,
    try_now: F,
}

impl<P: Copy, F: FnMut() -> bool> Wait for Place<'_, P, F> {
    fn arm(&mut self, unparker: Unparker) {
        self.queue.touch();
        if (self.try_now)() {
            return unparker.unpark();
        }
        self.number = self.queue.next.get();
        self.queue.next.set(self.number + 1);
        let entry = Entry { number: self.number, wants: self.wants, unparker };
        self.queue.entries.borrow_mut().push_back(entry);
    }

    fn abort(&mut self) -> Abort {
        self.queue.touch();
        let mut entries = self.queue.entries.borrow_mut();
        // Numbers rise along the queue.
        let place = entries.binary_search_by_key(&self.number, |entry| entry.number);
        place.ok().and_then(|place| entries.remove(place));
        Abort::Succeeded
    }
}
