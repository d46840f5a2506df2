//! Futures inside tasks, and libraries that keep state of the thread.

#[cfg(feature = "tracing")]
mod spans;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::cancel::Cancelled;
use crate::lowlevel::{Abort, Unparker, Wait};
use crate::task::Cx;
use crate::util::footprint;

impl Cx {
    /// Drives a future to its end and returns its output.
    ///
    /// The future may borrow from the task's frames, and is polled on this worker only. It cannot use
    /// `cx`, so that a poll never stops the task. Costs one allocation.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, before the first poll. On cancel the future is dropped, with whatever that
    /// means for it, before this returns.
    ///
    /// # Panics
    ///
    /// A panic of the future goes on in the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// let text = String::from("borrowed");
    /// let length = conbrio::run(|cx| cx.wait(async { text.len() })).unwrap();
    /// assert_eq!(length, 8);
    /// ```
    pub fn wait<F: Future>(&mut self, future: F) -> Result<F::Output, Cancelled> {
        self.checkpoint()?;
        let mut future = pin!(future);
        let alarm = Arc::new(FutureWaker::default());
        let waker = Waker::from(Arc::clone(&alarm));
        let mut context = Context::from_waker(&waker);
        loop {
            // What a future shares with others is its own business.
            footprint::touch_everything();
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            self.park_on_named(&mut Woken(&alarm), "a future")?;
        }
    }
}

/// What wakers of one waiting task share; it may outlive the task.
#[derive(Default)]
struct FutureWaker(Mutex<WakerState>);

#[derive(Default)]
struct WakerState {
    woken: bool,
    unparker: Option<Unparker>,
}

impl Wake for FutureWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let unparker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.woken = true;
            state.unparker.take()
        };
        if let Some(unparker) = unparker {
            unparker.unpark();
        }
    }
}

/// The wait for a waker to be called since the last poll.
struct Woken<'a>(&'a FutureWaker);

impl Wait for Woken<'_> {
    fn arm(&mut self, unparker: Unparker) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.woken) {
            unparker.unpark();
        } else {
            state.unparker = Some(unparker);
        }
    }

    fn abort(&mut self) -> Abort {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).unparker = None;
        Abort::Succeeded
    }
}

impl Drop for Woken<'_> {
    fn drop(&mut self) {
        // The wake that ended this wait is used up: the poll that follows sees its cause.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).woken = false;
    }
}
