//! Watching a task's checkpoints: for tests that ask whether there was one, and that cancel at each.
//!
//! A watched task has a bit set in its runnable's attention byte, which sends every look for a
//! cancellation to its slow path; what it has passed is kept in two more bits there. So a task that
//! nobody watches pays nothing for this at a checkpoint, and one predictable branch where it has been
//! stopped and goes on.

use std::sync::Arc;

use crate::sched::{GAVE_WAY, LOOKED, Moment, Observer, Runnable, WATCHED};

use super::cx::Cx;

/// What a task has passed. A checkpoint is both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// It looked whether it is cancelled.
    pub(crate) looked: bool,
    /// It let others run, or would have if its turn had been over.
    pub(crate) gave_way: bool,
}

/// Ends the watching, also when what was watched panics.
struct Watching<'a> {
    runnable: &'a Runnable,
    before: u8,
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        // Whoever watches around has seen what was passed here as well.
        let inside = self.runnable.watching() & !WATCHED;
        let is_watched_around = self.before & WATCHED != 0;
        self.runnable.set_watching(if is_watched_around { self.before | inside } else { 0 });
    }
}

impl Cx {
    /// Runs `f` and says what this task has passed in it.
    pub(crate) fn watch_checkpoints<R>(&mut self, f: impl FnOnce(&mut Cx) -> R) -> (R, Passed) {
        let runnable = self.anchor().runnable();
        let watching = Watching { runnable, before: runnable.watching() };
        runnable.set_watching(WATCHED);
        let value = f(self);
        let bits = runnable.watching();
        drop(watching);
        (value, Passed { looked: bits & LOOKED != 0, gave_way: bits & GAVE_WAY != 0 })
    }

    /// Lets `observer` hear of what this task passes, and all tasks that start from now on in its runtime.
    /// Returns whether it is the runtime's first observer; it has no more than one.
    pub(crate) fn observe_runtime(&mut self, observer: Arc<dyn Observer>) -> bool {
        let task = self.task();
        task.runnable().set_watching(WATCHED);
        task.worker().shared().set_observer(observer)
    }

    /// The task is about to look whether it is cancelled.
    pub(super) fn note_look(&self, moment: Moment) {
        let runnable = self.task().runnable();
        if runnable.is_watched() {
            runnable.set_watching(runnable.watching() | LOOKED);
            self.tell_observer(moment);
        }
    }

    /// The task, which is watched, has let others run.
    pub(super) fn note_gave_way(&self) {
        let runnable = self.task().runnable();
        runnable.set_watching(runnable.watching() | GAVE_WAY);
    }

    /// The task, which is watched, goes on after a wait.
    #[cold]
    pub(super) fn note_resumed(&self) {
        self.note_gave_way();
        self.tell_observer(Moment::Woken(self.task().waits_for()));
    }

    /// A task that unwinds is told of no cancellation, so its looks are none.
    fn tell_observer(&self, moment: Moment) {
        let task = self.task();
        if let Some(observer) = task.worker().shared().observer()
            && !std::thread::panicking()
        {
            observer.passed(task.name(), moment);
        }
    }
}
