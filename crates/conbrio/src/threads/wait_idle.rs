//! Waiting until no thread is at work.

use std::sync::Arc;

use crate::cancel::Cancelled;
use crate::lowlevel::{Abort, Unparker, Wait};
use crate::sched::Shared;
use crate::task::Cx;

/// Waits until no call of [`Cx::blocking`] and its relatives is running or waiting for a thread, also none
/// that was left behind.
///
/// For tests, and for the end of a program that wants to know that what it has abandoned is over. Other tasks
/// may begin calls at once; this looks at one moment.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Examples
///
/// ```
/// use conbrio::threads::wait_all_ended;
///
/// conbrio::run(|cx| wait_all_ended(cx)).unwrap();
/// ```
pub fn wait_all_ended(cx: &mut Cx) -> Result<(), Cancelled> {
    let shared = Arc::clone(cx.task().worker().shared());
    if cx.task().worker().simulation().is_some() {
        cx.checkpoint()?;
        // The simulation knows nothing of threads: it stands still for them.
        let (sender, receiver) = std::sync::mpsc::channel();
        shared.pool().when_quiet(Box::new(move || drop(sender)));
        let _ = receiver.recv() as Result<(), _>;
        return Ok(());
    }
    cx.park_on_named(&mut Quiet { shared, registered: None }, "all threads to end")
}

struct Quiet {
    shared: Arc<Shared>,
    registered: Option<u64>,
}

impl Wait for Quiet {
    fn arm(&mut self, unparker: Unparker) {
        // The call may come at once, and on another thread.
        self.registered = self.shared.pool().when_quiet(Box::new(move || unparker.unpark()));
    }

    fn abort(&mut self) -> Abort {
        if let Some(number) = self.registered.take() {
            self.shared.pool().stop_waiting(number);
        }
        // If the moment has just come, nothing was handed over that could get lost.
        Abort::Succeeded
    }
}
