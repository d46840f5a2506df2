//! Parties whose wait has ended under the lock, to be woken after it, unless that is a matter of this worker
//! alone.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::cancel::Waiter;
use crate::lowlevel::select::Claim;
use crate::sched::{Runnable, Shared, Worker};

use super::queue::{Node, Who};

/// Wakes those that were added when it is dropped.
///
/// A pointer only, so that those who wake nobody elsewhere, which is nearly everyone, pay nothing for it.
pub(super) struct Wakes(Option<Box<SmallVec<[Wake; 2]>>>);

enum Wake {
    Task(TaskWake),
    Claim(Claim),
}

impl Wakes {
    #[inline]
    pub(super) fn new() -> Wakes {
        Wakes(None)
    }

    /// Called under the lock that the party would have to take in order to leave (rule 3).
    #[inline(always)]
    pub(super) fn add(&mut self, node: &Node) {
        let Who::Task { waiter, .. } = node.who() else { return self.add_later(node) };
        // SAFETY: the task is alive: it cannot end before it has taken the lock.
        let runnable = unsafe { waiter.runnable.as_ref() };
        match runnable.home().and_then(Worker::current_if) {
            // It goes into a queue of this worker, which is nobody else's business; rule 4 is about wakes
            // that ring at other doors, or tell instruments.
            Some(worker) if !worker.shared().instruments().is_observed() => {
                runnable.wake_at_home(worker, waiter.sequence);
            }
            _ => self.add_later(node),
        }
    }

    #[cold]
    fn add_later(&mut self, node: &Node) {
        let wake = match node.who() {
            Who::Claim(claim) => Wake::Claim(claim.clone()),
            Who::Task { waiter, runtime } => {
                // SAFETY: the worker of a waiting task is in place, and this field of it never changes.
                let runtime = unsafe { runtime.as_ref() };
                Wake::Task(TaskWake::prepare(*waiter, runtime))
            }
        };
        self.0.get_or_insert_default().push(wake);
    }

    #[cold]
    fn wake_all(&mut self) {
        let mut panicked = None;
        for wake in self.0.take().into_iter().flat_map(|wakes| *wakes) {
            match wake {
                Wake::Task(task) => task.wake(),
                // A waker is code of others; one that panics does not keep the rest from being woken.
                Wake::Claim(claim) => {
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| claim.wake())) {
                        panicked.get_or_insert(payload);
                    }
                }
            }
        }
        if let Some(payload) = panicked
            && !std::thread::panicking()
        {
            resume_unwind(payload);
        }
    }
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_some() {
            self.wake_all();
        }
    }
}

struct TaskWake {
    waiter: Waiter,
    /// Whether the runnable has a reference here: its task might end before it has been woken.
    retained: bool,
    /// Kept for wakes from outside of the runtime, which could end meanwhile.
    _runtime: Option<Arc<Shared>>,
    /// `prepare` has looked at which thread this is.
    stays_on_its_thread: PhantomData<*mut ()>,
}

impl TaskWake {
    fn prepare(waiter: Waiter, runtime: &Arc<Shared>) -> TaskWake {
        let here = Worker::current().filter(|worker| Arc::ptr_eq(worker.shared(), runtime));
        // SAFETY: the task is alive: it cannot end before it has taken the lock.
        let home = unsafe { waiter.runnable.as_ref() }.home();
        let is_local =
            here.is_some_and(|worker| home == Some(std::ptr::NonNull::from(worker.remote())));
        if !is_local {
            // SAFETY: as above.
            unsafe { Runnable::retain(waiter.runnable) };
        }
        let runtime = here.is_none().then(|| Arc::clone(runtime));
        TaskWake {
            waiter,
            retained: !is_local,
            _runtime: runtime,
            stays_on_its_thread: PhantomData,
        }
    }

    fn wake(self) {
        // SAFETY: on its own worker the task cannot have run since `prepare`; elsewhere it was retained.
        // The runtime is the one we run in, or it is kept.
        unsafe { Runnable::wake(self.waiter.runnable, self.waiter.sequence) };
        // `drop` gives the references back.
    }
}

impl Drop for TaskWake {
    fn drop(&mut self) {
        if self.retained {
            // SAFETY: the reference taken in `prepare`.
            unsafe { Runnable::release(self.waiter.runnable) };
        }
    }
}
