//! The cancel state of one task.

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::cancel::cancelled::{Cancelled, Notice};
use crate::clock::{NEVER, Ticks};
use crate::sched::{Interrupt, Runnable, Worker};
use crate::util::atomic::{AtomicBool, Ordering};

use super::group::{Group, Joiner};
use super::node::ScopeNode;
use super::{Effective, Requested};

/// The chain of scopes of one task, and what is in force in the innermost.
///
/// What every turn looks at comes first: the lines of a cell up to here are fetched ahead (`runnable.rs`).
#[repr(C)]
pub(crate) struct Branch {
    /// The earliest deadline in force.
    pub(super) deadline: Cell<Ticks>,
    /// The task's runnable; set when the task has its final address.
    runnable: Cell<Option<NonNull<Runnable>>>,
    /// The nursery that the task is a child of; `None` for the main task.
    pub(super) group: Cell<Option<NonNull<Group>>>,
    pub(super) outermost: Cell<Option<NonNull<ScopeNode>>>,
    pub(super) innermost: Cell<Option<NonNull<ScopeNode>>>,
    /// Whether `requested` is more than nothing: what the fast paths ask.
    pub(super) is_requested: Cell<bool>,
    requested: Cell<Requested>,
    /// See `is_done`. Set under the group's lock; whoever sees it without the lock
    /// sees all that the task has done.
    done: AtomicBool,
    /// Guarded by the group's lock.
    pub(super) links: UnsafeCell<Links>,
}

#[derive(Default)]
pub(super) struct Links {
    pub(super) next: Option<NonNull<Branch>>,
    pub(super) previous: Option<NonNull<Branch>>,
    pub(super) joiner: Option<Joiner>,
    /// The cancellation of this child alone.
    pub(super) request: Option<Arc<Notice>>,
}

impl Branch {
    pub(crate) fn new() -> Branch {
        Branch {
            runnable: Cell::new(None),
            group: Cell::new(None),
            outermost: Cell::new(None),
            innermost: Cell::new(None),
            deadline: Cell::new(NEVER),
            is_requested: Cell::new(false),
            requested: Cell::default(),
            done: AtomicBool::new(false),
            links: UnsafeCell::default(),
        }
    }

    /// Whether the task has counted itself down.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn set_done(&self) {
        self.done.store(true, Ordering::Release);
    }

    /// Tells the branch where its task lives. Called once, before anything else.
    pub(crate) fn attach(&self, runnable: NonNull<Runnable>) {
        self.runnable.set(Some(runnable));
    }

    pub(super) fn runnable(&self) -> &Runnable {
        let runnable = self.runnable.get().expect("a branch is attached before it is used");
        // SAFETY: the branch is part of the task that the runnable heads.
        unsafe { runnable.as_ref() }
    }

    /// The task that opened the nursery it is a child of. Called on the home worker, or by whoever made the
    /// task before it is queued.
    pub(crate) fn parent(&self) -> Option<NonNull<Runnable>> {
        // SAFETY: the group outlives its children (rule 4), and `count_down` clears the field.
        self.group.get().map(|group| unsafe { group.as_ref() }.owner())
    }

    /// The cancellation in force, if there is one.
    pub(crate) fn cancellation(&self) -> Option<Cancelled> {
        self.requested().cancel.map(Cancelled)
    }

    pub(crate) fn shutdown_requested(&self) -> bool {
        self.is_requested.get()
    }

    /// The earliest deadline in force; zero if cancelled already.
    pub(crate) fn deadline(&self) -> Ticks {
        if self.is_requested.get() && self.requested().cancel.is_some() {
            0
        } else {
            self.deadline.get()
        }
    }

    /// Whether a deadline is in force that has not been seen to pass.
    #[inline]
    pub(crate) fn has_deadline(&self) -> bool {
        self.deadline.get() != NEVER
    }

    pub(super) fn requested(&self) -> Requested {
        if !self.is_requested.get() {
            return Requested::default();
        }
        let requested = self.requested.take();
        let clone = requested.clone();
        self.requested.set(requested);
        clone
    }

    /// Records what is requested in the innermost scope, for the task's checkpoints.
    pub(super) fn set_requested(&self, requested: Requested) {
        self.runnable().set_cancelled(requested.cancel.is_some());
        self.is_requested.set(!requested.is_nothing());
        self.requested.set(requested);
    }

    pub(super) fn effective(&self) -> Effective {
        Effective { requested: self.requested(), deadline: self.deadline.get() }
    }

    pub(super) fn set_effective(&self, effective: Effective) {
        self.deadline.set(effective.deadline);
        self.set_requested(effective.requested);
    }

    /// Visits the children of every nursery that the task is in, outermost nursery first, and in each
    /// the youngest child first.
    ///
    /// # Safety
    /// Called on the home worker of the branch, or while all workers of the runtime are stopped, and what
    /// they have done so far is visible.
    pub(crate) unsafe fn visit_children(&self, visit: &mut dyn FnMut(NonNull<Runnable>)) {
        let mut next = self.outermost.get();
        while let Some(node) = next {
            // SAFETY: linked nodes are in place (rule 1), and by contract nobody changes the chain now.
            let node = unsafe { node.as_ref() };
            if let Some(group) = node.group() {
                group.visit_children(visit);
            }
            next = node.inner.get();
        }
    }

    /// As [`visit_children`](Branch::visit_children), those of the innermost nursery alone.
    ///
    /// # Safety
    /// As there.
    pub(crate) unsafe fn visit_innermost(&self, visit: &mut dyn FnMut(NonNull<Runnable>)) {
        // SAFETY: linked nodes are in place (rule 1), and by contract nobody changes the chain now.
        let group = self.innermost.get().and_then(|node| unsafe { node.as_ref() }.group());
        if let Some(group) = group {
            group.visit_children(visit);
        }
    }

    /// The task that waits in `join` for this one.
    ///
    /// # Safety
    /// The task is not counted down meanwhile.
    pub(crate) unsafe fn joiner(&self) -> Option<NonNull<Runnable>> {
        // SAFETY: the group outlives its children (rule 4).
        let group = unsafe { self.group.get()?.as_ref() };
        group.joiner(self)
    }

    /// *Home.* The deadline of a scope of this task has passed.
    pub(super) fn deadline_passed(&self, worker: &Worker) {
        if worker.may_be_late() {
            // By way of the inbox, which is where a simulated run keeps back what children hear from others:
            // a worker may come late to look at its timers.
            // SAFETY: on its home worker, with a task that is in a scope: both are alive.
            unsafe { Runnable::poke(NonNull::from(self.runnable())) };
        } else {
            self.refresh(worker);
        }
    }

    /// *Home.* Carries requests over, computes anew what is in force, and passes changes on (rule 5).
    pub(crate) fn refresh(&self, worker: &Worker) {
        let mut force = match self.group.get() {
            // SAFETY: the group outlives its children (rule 4).
            Some(group) => unsafe { group.as_ref() }.effective_for(self),
            None => Effective::default(),
        };
        let mut next = self.outermost.get();
        while let Some(node) = next {
            // SAFETY: linked nodes live in frames of this task, which do not end while we look (rule 1).
            let node = unsafe { node.as_ref() };
            node.set_outside(&force);
            node.take_requests(worker);
            node.apply(&mut force);
            if let Some(group) = node.group() {
                group.set_effective(&force);
            }
            next = node.inner.get();
        }
        let cancelled = force.requested.cancel.is_some();
        let shutdown = force.requested.shutdown.is_some();
        self.set_effective(force);
        let runnable = self.runnable();
        if cancelled {
            runnable.interrupt(worker, Interrupt::OnCancel);
        } else if shutdown {
            runnable.interrupt(worker, Interrupt::OnShutdown);
        }
    }
}
