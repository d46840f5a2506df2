//! What a report of a deadlock learns from a task: what it waits for that others may hold.
//!
//! Owns the two ends only; who is to be named is worked out in `run/holders.rs`. Nothing here costs more
//! than the stores that note where a task waits.

use std::ptr::NonNull;

use crate::sched::Runnable;

use super::cell::Task;

/// What a task waits in, if that is something that others hold.
pub(crate) trait Blocker {
    /// What is held, unless the wait is over already.
    fn held(&self) -> Option<Held>;
}

/// Something that tasks hold and wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Whoever holds the same names the same key: see [`OnExit::visit_held`](super::OnExit::visit_held).
    pub(crate) key: usize,
    /// Who has said that it holds it. It may have ended since: good for comparing only.
    pub(crate) holder: Option<NonNull<Runnable>>,
}

/// What reports call the wait for the end of a nursery.
pub(crate) const ITS_CHILDREN: &str = "its children";

impl Task {
    /// *Home, running.* Notes what the task is about to wait in, or that it does so no more.
    #[inline]
    pub(crate) fn set_blocker(&self, blocker: Option<NonNull<dyn Blocker>>) {
        self.blocker().set(blocker);
    }

    /// What the task waits for that others may hold.
    ///
    /// # Safety
    /// The task does not run meanwhile, and what it has written is visible to the caller.
    pub(crate) unsafe fn waits_for_held(&self) -> Option<Held> {
        // SAFETY: whoever sets it takes it away before it goes, in the task, which does not run.
        self.blocker().get().and_then(|blocker| unsafe { blocker.as_ref() }.held())
    }

    /// What the task holds, by its keys.
    ///
    /// # Safety
    /// As [`waits_for_held`](Task::waits_for_held).
    pub(crate) unsafe fn visit_held(&self, visit: &mut dyn FnMut(usize)) {
        if let Some(on_exit) = self.on_exit().get() {
            on_exit.visit_held(visit);
        }
    }
}
