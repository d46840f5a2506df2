//! What connects a task that waits for a closure on another thread with that closure.
//!
//! One side is the task: it takes what comes over the line and parks in between. The other side is the
//! thread of the closure, and whatever threads the closure hands its [`Host`](super::Host) to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::cancel::Cancelled;
use crate::lowlevel::Unparker;

use super::request::Request;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Line {
    state: Mutex<State>,
    /// For the one thread of a simulated run, which stands still instead of parking.
    changed: Condvar,
    /// Set when `State::cancelled` is, so that asking costs a load.
    is_cancelled: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Wakes the task, if it waits.
    task: Option<Unparker>,
    /// Oldest first.
    requests: VecDeque<Request>,
    /// The cancellation that the task has seen.
    cancelled: Option<Cancelled>,
    /// The closure has ended.
    has_ended: bool,
    /// The task does not wait any more.
    has_left: bool,
}

/// What the task does next.
pub(super) enum Next {
    Run(Request),
    /// The closure has ended.
    Return,
    Park,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// *Task.* What there is to do. If it is nothing, `unparker` ends the wait that follows.
    pub(super) fn next(&self, unparker: Unparker) -> Next {
        let mut state = self.lock();
        let next = state.next();
        if matches!(next, Next::Park) {
            state.task = Some(unparker);
        }
        next
    }

    /// *Task, in a simulated run.* As [`next`](Line::next); keeps the thread until there is something.
    pub(super) fn stand_still(&self) -> Next {
        let mut state = self.lock();
        loop {
            match state.next() {
                Next::Park => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                next => return next,
            }
        }
    }

    /// *Task.* Lets the other side know that it is cancelled.
    pub(super) fn publish(&self, cancelled: Cancelled) {
        self.lock().cancelled.get_or_insert(cancelled);
        self.is_cancelled.store(true, Ordering::Release);
    }

    /// *Task.* Leaves because of a cancellation that was published, with the requests that will not be
    /// answered. Nothing if the closure has ended.
    pub(super) fn leave(&self) -> Option<VecDeque<Request>> {
        let mut state = self.lock();
        if state.has_ended {
            return None;
        }
        state.has_left = true;
        Some(std::mem::take(&mut state.requests))
    }

    /// *Thread.* Hands a request to the task. It is dropped if the task has left.
    pub(super) fn post(&self, request: Request) {
        let mut state = self.lock();
        if state.has_left {
            drop(state);
            drop(request);
            return;
        }
        state.requests.push_back(request);
        self.wake(state);
    }

    /// *Thread.* The closure has ended: nothing borrows from the task any more. `false` if it has left.
    pub(super) fn end(&self) -> bool {
        let mut state = self.lock();
        state.has_ended = true;
        let is_awaited = !state.has_left;
        self.wake(state);
        is_awaited
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let task = state.task.take();
        drop(state);
        self.changed.notify_one();
        if let Some(task) = task {
            task.unpark();
        }
    }

    /// *Thread.* The cancellation that the task has seen.
    #[inline]
    pub(super) fn cancelled(&self) -> Option<Cancelled> {
        // Pairs with the store in `publish`.
        if !self.is_cancelled.load(Ordering::Acquire) {
            return None;
        }
        self.lock().cancelled.as_ref().map(|cancelled| Cancelled(cancelled.0.clone()))
    }
}

impl State {
    fn next(&mut self) -> Next {
        match self.requests.pop_front() {
            Some(request) => Next::Run(request),
            None if self.has_ended => Next::Return,
            None => Next::Park,
        }
    }
}
