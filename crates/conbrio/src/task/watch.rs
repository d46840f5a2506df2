//! Watching a task's checkpoints: for tests that ask whether there was one, and that cancel at each.
//!
//! A watched task has a bit set in its runnable's attention byte, which sends every look for a
//! cancellation to its slow path. So a task that nobody watches pays nothing for this at a checkpoint,
//! and one predictable branch where it has been stopped and goes on.

use std::sync::Arc;

use crate::sched::{Moment, Observer};

use super::cx::Cx;

/// What a task has passed. A checkpoint is both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// It looked whether it is cancelled.
    pub(crate) looked: bool,
    /// It let others run, or would have if its turn had been over.
    pub(crate) gave_way: bool,
}

impl Cx {
    /// Runs `f` and says what this task has passed in it.
    pub(crate) fn watch_checkpoints<R>(&mut self, f: impl FnOnce(&mut Cx) -> R) -> (R, Passed) {
        struct Restore<'a> {
            task: &'a super::Task,
            was_watched: bool,
            before: Passed,
        }
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.task.runnable().set_watched(self.was_watched);
                // Whoever watches around has seen what was passed here as well.
                let inside = self.task.passed().get();
                self.task.passed().set(Passed {
                    looked: self.before.looked | inside.looked,
                    gave_way: self.before.gave_way | inside.gave_way,
                });
            }
        }
        let task = self.anchor();
        let restore = Restore {
            task,
            was_watched: task.runnable().set_watched(true),
            before: task.passed().take(),
        };
        let value = f(self);
        let passed = task.passed().get();
        drop(restore);
        (value, passed)
    }

    /// Lets `observer` hear of what this task passes, and all tasks that start from now on in its runtime.
    /// Returns whether it is the runtime's first observer; it has no more than one.
    pub(crate) fn observe_runtime(&mut self, observer: Arc<dyn Observer>) -> bool {
        let task = self.task();
        task.runnable().set_watched(true);
        task.worker().shared().set_observer(observer)
    }

    /// The task is about to look whether it is cancelled.
    pub(super) fn note_look(&self, moment: Moment) {
        let task = self.task();
        if task.runnable().is_watched() {
            task.passed().set(Passed { looked: true, ..task.passed().get() });
            self.tell_observer(moment);
        }
    }

    /// The task has let others run.
    pub(super) fn note_gave_way(&self) {
        let passed = self.task().passed();
        passed.set(Passed { gave_way: true, ..passed.get() });
    }

    /// The task goes on after a wait.
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
