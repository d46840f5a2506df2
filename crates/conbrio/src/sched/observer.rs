//! Who hears of every moment at which a task of a runtime may come to see a cancellation.
//!
//! A test that cancels at each of them is told here. It owns nothing of the scheduler and decides nothing.

/// A moment at which a cancellation may come to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A task looks whether it is cancelled.
    Checkpoint,
    /// A task is about to stop for what the words say ("waits for ..."), and looks once more.
    Wait(&'static str),
    /// Such a wait is over, and the task has not done anything about it yet.
    Woken(&'static str),
}

/// See the module's documentation.
pub(crate) trait Observer: Send + Sync {
    /// Called in the task, before it looks. What the observer cancels on this worker is in force when
    /// this returns.
    fn passed(&self, task: &str, moment: Moment);
}
