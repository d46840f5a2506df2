//! What the scheduler tells instruments, and when.
//!
//! Nothing of this runs as long as there is no instrument. Hooks are foreign code: they are called between
//! the steps of the scheduler, when nothing of it is borrowed and no lock is held. What becomes able to run
//! in the middle of a step is therefore noted, and told at its end.

use std::ptr::NonNull;
use std::time::Duration;

use conbrio_reactor::Timeout;

use crate::instrument::{Instrument, TaskInfo};

use super::runnable::{Identity, Runnable, RunnableRef};
use super::shared::Shared;
use super::worker::Worker;

impl Shared {
    /// Tells instruments of something that happens to a task.
    ///
    /// # Safety
    /// The runnable is alive. It has not been queued before, and the caller has just made it, or its home is
    /// the worker of this thread.
    pub(super) unsafe fn tell_of(
        &self,
        runnable: NonNull<Runnable>,
        hook: &str,
        call: impl Fn(&dyn Instrument, &TaskInfo<'_>),
    ) {
        // SAFETY: alive by contract.
        let task = unsafe { runnable.as_ref() };
        // SAFETY: the runtime is alive, and its `Remote`s with it.
        let worker = task.home().map(|home| unsafe { home.as_ref() }.index());
        let mut tell = |identity: Identity<'_>| {
            let info = TaskInfo {
                id: self.instruments().id_in(identity.id),
                parent: identity.parent.map(|parent| self.instruments().id_in(parent)),
                name: identity.name,
                worker,
                waits_for: identity.waits_for,
                is_cancelled: task.is_cancelled(),
            };
            self.instruments().tell(hook, |instrument| call(instrument, &info));
        };
        // SAFETY: by contract.
        unsafe { (task.vtable().identify)(runnable, &mut tell) };
    }

    /// A child was made that any worker may take; it is about to be queued.
    ///
    /// # Safety
    /// The caller has just made the runnable.
    #[cold]
    pub(super) unsafe fn tell_spawned(&self, child: NonNull<Runnable>) {
        // SAFETY: by contract.
        unsafe { self.tell_of(child, "task_spawned", |hooks, task| hooks.task_spawned(task)) };
    }

    /// As [`tell_spawned`](Shared::tell_spawned); told here, because soon it may be gone already.
    ///
    /// # Safety
    /// The caller has just made the runnable.
    #[cold]
    pub(super) unsafe fn tell_spawned_and_scheduled(&self, child: NonNull<Runnable>) {
        // SAFETY: by contract.
        unsafe { self.tell_spawned(child) };
        // SAFETY: by contract.
        unsafe { self.tell_of(child, "task_scheduled", |hooks, task| hooks.task_scheduled(task)) };
    }
}

impl Worker {
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.shared().instruments().is_observed()
    }

    /// Notes that something was queued here.
    #[cold]
    pub(super) fn note_scheduled(&self, runnable: NonNull<Runnable>) {
        // SAFETY: the queue holds a reference.
        let runnable = unsafe { RunnableRef::new(runnable) };
        self.scheduled.borrow_mut().push(runnable);
    }

    fn tell_scheduled(&self) {
        // A hook may make more of them.
        let mut scheduled = self.scheduled.take();
        for runnable in scheduled.drain(..) {
            // SAFETY: the reference keeps it alive, and it was queued here.
            unsafe {
                self.shared().tell_of(runnable.pointer(), "task_scheduled", |hooks, task| {
                    hooks.task_scheduled(task);
                });
            }
        }
        let more = self.scheduled.replace(scheduled);
        self.scheduled.borrow_mut().extend(more);
    }

    /// Gives a runnable its turn, and tells everything about it.
    #[cold]
    pub(super) fn run_observed(&self, runnable: NonNull<Runnable>) {
        self.tell_scheduled();
        // SAFETY: it comes from a queue of this worker. It may end in its turn, and is named afterwards.
        let kept = unsafe { RunnableRef::new(runnable) };
        self.current.set(Some(runnable));
        // SAFETY: kept.
        unsafe {
            self.shared().tell_of(runnable, "before_task_step", |hooks, task| {
                hooks.before_task_step(task);
            });
        }
        self.run_turn(runnable);
        self.current.set(Some(runnable));
        self.tell_scheduled();
        // SAFETY: kept.
        unsafe {
            self.shared().tell_of(runnable, "after_task_step", |hooks, task| {
                hooks.after_task_step(task);
            });
        }
        self.current.set(None);
        drop(kept);
    }

    /// A task has ended, and nobody knows it yet.
    ///
    /// # Safety
    /// The runnable is alive, and its home is this worker.
    pub(crate) unsafe fn tell_exited(&self, runnable: NonNull<Runnable>) {
        // SAFETY: by contract.
        unsafe {
            self.shared().tell_of(runnable, "task_exited", |hooks, task| hooks.task_exited(task));
        }
    }

    /// Before the reactor is polled. Returns with which timeout that is to be done, and what to tell
    /// [`tell_polled`](Worker::tell_polled).
    #[inline]
    pub(super) fn tell_before_poll(&self, timeout: Timeout) -> (Timeout, Option<Polled>) {
        if !self.is_observed() {
            return (timeout, None);
        }
        let polled = Polled(match timeout {
            Timeout::Now => Some(Duration::ZERO),
            Timeout::After(duration) => Some(duration),
            Timeout::Never => None,
        });
        self.shared().instruments().tell("before_io_wait", |hooks| hooks.before_io_wait(polled.0));
        // A hook that has woken a task of this worker, which has looked for work already.
        let timeout = if self.has_work() { Timeout::Now } else { timeout };
        (timeout, Some(polled))
    }

    #[inline]
    pub(super) fn tell_polled(&self, polled: Option<Polled>) {
        if let Some(Polled(timeout)) = polled {
            self.shared().instruments().tell("after_io_wait", |hooks| hooks.after_io_wait(timeout));
        }
    }
}

/// The timeout that instruments were told of.
pub(super) struct Polled(Option<Duration>);
