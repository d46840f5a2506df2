//! The queue of a parking lot: nodes in the frames of waiting tasks, linked under one short lock.
//!
//! ```text
//! ParkingLot ──► Arc<Lot> ──► first ⇄ node ⇄ node ⇄ last       each node: in a task's frame
//!                   ▲                   │
//!                   └────── place ──────┘
//! ```
//!
//! Rules:
//! 1. A node lies in the frame of the task that waits, and the frame neither ends nor unwinds between
//!    [`Queue::push`] and the moment in which the task has seen a fate or has unlinked the node itself.
//! 2. The links, the fate and the parcel of a node that waits are touched only under the lock of the lot
//!    that its `place` names. `place` changes only under the locks of both lots and its own, so that whoever
//!    holds the lock of a lot and finds it named there can rely on it.
//! 3. Whoever gives a node a fate unlinks it and copies out what is needed to wake the task, all under the
//!    lock, and does not touch the node afterwards: a task that is cancelled at that moment takes the lock,
//!    finds its fate and returns, before it has been woken.
//! 4. Wakes are made after the lock has been released. The fate and the parcel are visible to the task by
//!    the release and acquire of the wake, or of the lock.
//! 5. Two lots are locked in the order of their addresses; the lock of a `place` is the innermost.
//!
//! The atomics are those of `BriefLock` and of the wake protocol, which have loom models of their own.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::cancel::Waiter;
use crate::sched::{Runnable, Shared, Worker};
use crate::task::{Blocker, Held};
use crate::util::atomic::{AtomicPtr, Ordering};
use crate::util::brief_lock::{BriefGuard, BriefLock};
use crate::util::footprint;

use super::breaker::{Breaker, Broken};

/// What a parking lot and the nodes in it share.
pub(super) struct Lot {
    queue: BriefLock<Queue>,
    /// The task that was said to hold what is waited for here. It may have ended: it is only compared.
    holder: AtomicPtr<Runnable>,
}

/// The waiters, the longest waiting one first.
pub(super) struct Queue {
    first: Option<NonNull<Node>>,
    last: Option<NonNull<Node>>,
    len: usize,
    /// Whether parking fails. It never becomes usable again.
    is_broken: bool,
    /// Who broke it, one entry for each time. Empty also if it was dropped with waiters in it.
    broken_by: Vec<Breaker>,
}

// SAFETY: nodes are reached under the lock only (rule 2), and their tasks keep them in place (rule 1).
unsafe impl Send for Queue {}

/// What has become of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is in the queue of the lot that `place` names.
    Waiting,
    Unparked,
    /// The lot that `place` names was broken.
    Broken,
}

/// One waiting task.
pub(super) struct Node {
    waiter: Waiter,
    /// The runtime of the task, as its worker holds it, which outlives the wait.
    runtime: NonNull<Arc<Shared>>,
    /// What the task has brought. Its type is known to the parking lots that the node may be in.
    parcel: NonNull<()>,
    previous: Cell<Option<NonNull<Node>>>,
    next: Cell<Option<NonNull<Node>>>,
    fate: Cell<Fate>,
    place: BriefLock<Arc<Lot>>,
}

impl Lot {
    pub(super) fn new() -> Arc<Lot> {
        let queue =
            Queue { first: None, last: None, len: 0, is_broken: false, broken_by: Vec::new() };
        Arc::new(Lot { queue: BriefLock::new(queue), holder: AtomicPtr::new(std::ptr::null_mut()) })
    }

    /// What reports know the lot by.
    pub(super) fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Notes who holds what is waited for here.
    #[inline]
    pub(super) fn set_holder(&self, holder: *mut Runnable) {
        // Relaxed: a report reads it when all workers have stopped, which orders everything.
        self.holder.store(holder, Ordering::Relaxed);
    }

    pub(super) fn lock(&self) -> BriefGuard<'_, Queue> {
        footprint::touch(self);
        self.queue.lock()
    }

    /// Breaks the lot: whoever waits or will wait in it fails.
    pub(super) fn break_by(&self, breaker: Option<Breaker>) {
        let mut wakes = Wakes::new();
        let mut queue = self.lock();
        queue.is_broken = true;
        queue.broken_by.extend(breaker);
        while queue.pop(Fate::Broken, &mut wakes) {}
        drop(queue);
        // `wakes` go out here, after the lock (rule 4).
    }

    /// Moves the `count` longest waiting tasks to the end of the queue of `to`, and shows the parcel of each
    /// to `moves`, under the locks. Returns how many there were.
    pub(super) fn repark(
        self: &Arc<Lot>,
        to: &Arc<Lot>,
        count: usize,
        mut moves: impl FnMut(NonNull<()>),
    ) -> usize {
        let mut wakes = Wakes::new();
        if Arc::ptr_eq(self, to) {
            return self.lock().rotate(count, moves);
        }
        let (mut from_queue, mut to_queue);
        // Rule 5.
        if Arc::as_ptr(self) < Arc::as_ptr(to) {
            from_queue = self.lock();
            to_queue = to.lock();
        } else {
            to_queue = to.lock();
            from_queue = self.lock();
        }
        let moved = count.min(from_queue.len);
        for _ in 0..moved {
            let Some(node) = from_queue.first else { break };
            // SAFETY: linked here, and we hold the lock (rules 1 and 2).
            let node = unsafe { node.as_ref() };
            // Before anything has changed: it might panic.
            moves(node.parcel);
            from_queue.unlink(node);
            // `self` is not freed by this: the caller holds it.
            *node.place.lock() = Arc::clone(to);
            // SAFETY: its frame stays while it waits (rule 1), and its place names the queue.
            unsafe { to_queue.push(node) };
        }
        if to_queue.is_broken {
            while to_queue.pop(Fate::Broken, &mut wakes) {}
        }
        drop(from_queue);
        drop(to_queue);
        moved
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub(super) fn broken_by(&self) -> &[Breaker] {
        &self.broken_by
    }

    /// The error of those who wait in a broken lot.
    pub(super) fn broken(&self) -> Broken {
        Broken::new(self.broken_by.clone())
    }

    /// The parcel of the longest waiting task.
    pub(super) fn first_parcel(&self) -> Option<NonNull<()>> {
        // SAFETY: linked nodes are in place (rule 1), and the caller holds the lock.
        self.first.map(|node| unsafe { node.as_ref() }.parcel)
    }

    /// Adds a node at the end.
    ///
    /// # Safety
    /// Rule 1 holds for the node, its place names the lot of this queue, and it is in no queue.
    pub(super) unsafe fn push(&mut self, node: &Node) {
        debug_assert!(node.fate.get() == Fate::Waiting);
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
    }

    /// Takes the longest waiting task out, and notes that it is to be woken. `false` if there is none.
    pub(super) fn pop(&mut self, fate: Fate, wakes: &mut Wakes) -> bool {
        let Some(node) = self.first else { return false };
        // SAFETY: linked nodes are in place (rule 1), and the caller holds the lock.
        let node = unsafe { node.as_ref() };
        self.unlink(node);
        wakes.add(node);
        // Last of all (rule 3).
        node.fate.set(fate);
        true
    }

    /// Takes out a node that is in this queue.
    fn unlink(&mut self, node: &Node) {
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
    }

    /// Lets the `count` longest waiting tasks queue up anew.
    fn rotate(&mut self, count: usize, mut moves: impl FnMut(NonNull<()>)) -> usize {
        let moved = count.min(self.len);
        for _ in 0..moved {
            let Some(node) = self.first else { break };
            // SAFETY: linked nodes are in place (rule 1), and the caller holds the lock.
            let node = unsafe { node.as_ref() };
            moves(node.parcel);
            self.unlink(node);
            // SAFETY: as above; its place names this lot still.
            unsafe { self.push(node) };
        }
        moved
    }
}

impl Node {
    pub(super) fn new(
        waiter: Waiter,
        runtime: &Arc<Shared>,
        parcel: NonNull<()>,
        place: Arc<Lot>,
    ) -> Node {
        Node {
            waiter,
            runtime: NonNull::from(runtime),
            parcel,
            previous: Cell::new(None),
            next: Cell::new(None),
            fate: Cell::new(Fate::Waiting),
            place: BriefLock::new(place),
        }
    }

    /// What has become of it. Called by the task when it has been woken, or with the lock.
    pub(super) fn fate(&self) -> Fate {
        self.fate.get()
    }

    pub(super) fn place(&self) -> Arc<Lot> {
        Arc::clone(&self.place.lock())
    }

    /// The task was interrupted: takes its node out, unless it has a fate already.
    pub(super) fn leave(&self) -> Fate {
        // Ends: each further round means that somebody has moved the node to yet another lot.
        loop {
            let lot = self.place();
            let mut queue = lot.lock();
            if !Arc::ptr_eq(&lot, &self.place.lock()) {
                continue;
            }
            if self.fate.get() == Fate::Waiting {
                queue.unlink(self);
            }
            return self.fate.get();
        }
    }
}

impl Blocker for Node {
    fn held(&self) -> Option<Held> {
        let lot = self.place();
        let _queue = lot.lock();
        let waits = self.fate.get() == Fate::Waiting;
        let holder = NonNull::new(lot.holder.load(Ordering::Relaxed));
        waits.then(|| Held { key: lot.key(), holder })
    }
}

/// Tasks that have been given a fate under the lock and are woken when this is dropped, after it.
pub(super) struct Wakes(SmallVec<[Wake; 4]>);

impl Wakes {
    pub(super) fn new() -> Wakes {
        Wakes(SmallVec::new())
    }

    /// Called under the lock that the task would have to take in order to leave (rule 3).
    fn add(&mut self, node: &Node) {
        let runnable = node.waiter.runnable;
        // SAFETY: the worker of a waiting task is in place, and this field of it never changes.
        let runtime = unsafe { node.runtime.as_ref() };
        let here = Worker::current().filter(|worker| Arc::ptr_eq(worker.shared(), runtime));
        // SAFETY: the task is alive: it cannot end before it has taken the lock.
        let home = unsafe { runnable.as_ref() }.home();
        let is_local = here.is_some_and(|worker| home == Some(NonNull::from(worker.remote())));
        if !is_local {
            // SAFETY: as above.
            unsafe { Runnable::retain(runnable) };
        }
        let runtime = here.is_none().then(|| Arc::clone(runtime));
        self.0.push(Wake {
            waiter: node.waiter,
            retained: !is_local,
            _runtime: runtime,
            stays_on_its_thread: PhantomData,
        });
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        for wake in &self.0 {
            // SAFETY: on its own worker the task cannot have run since `add`; elsewhere it was retained.
            // The runtime is the one we run in, or it is kept.
            unsafe { Runnable::wake(wake.waiter.runnable, wake.waiter.sequence) };
        }
        // Only then are references given back: the last one to a runtime drops the user's clock.
    }
}

struct Wake {
    waiter: Waiter,
    /// Whether the runnable has a reference here: its task might end before it has been woken.
    retained: bool,
    /// Kept for wakes from outside of the runtime, which could end meanwhile.
    _runtime: Option<Arc<Shared>>,
    /// `add` has looked at which thread this is.
    stays_on_its_thread: PhantomData<*mut ()>,
}

impl Drop for Wake {
    fn drop(&mut self) {
        if self.retained {
            // SAFETY: the reference taken in `add`.
            unsafe { Runnable::release(self.waiter.runnable) };
        }
    }
}
