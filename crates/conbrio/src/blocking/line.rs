//! What connects a task that waits for a closure on another thread with that closure.
//!
//! One side is the task: it takes what comes over the line and parks in between. The other side is the
//! thread of the closure, and whatever threads the closure hands its [`Host`](super::Host) to.
//!
//! While the task runs a request, it does not look at the line. So a thread that the request waits for must
//! not post one: both would wait for ever. The line knows those threads, as far as they are those of calls
//! that began inside of the request (see [`Nested`]), so that the mistake is told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use crate::cancel::Cancelled;
use crate::lowlevel::Unparker;
use crate::task::{Cx, LocalKey};

use super::request::Request;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Line {
    state: Mutex<State>,
    /// For the one thread of a simulated run, which stands still instead of parking.
    changed: Condvar,
    /// Set when `State::cancelled` is, so that asking costs a load.
    is_cancelled: AtomicBool,
    /// The line whose request the call of this one was made in, if it was made in one.
    outer: Option<Arc<Line>>,
}

/// The line whose request runs around here.
static REQUESTED_OVER: LocalKey<Arc<Line>> = LocalKey::new();

#[derive(Default)]
struct State {
    /// Wakes the task, if it waits.
    task: Option<Unparker>,
    /// Oldest first.
    requests: VecDeque<Request>,
    /// The cancellation that the task has seen.
    cancelled: Option<Cancelled>,
    /// The closure has returned, for a task that is there.
    has_result: bool,
    /// The call has ended.
    has_ended: bool,
    /// The task does not wait any more.
    has_left: bool,
    /// Threads that run calls which were made inside of requests of this line.
    nested: Vec<ThreadId>,
}

/// What the task does next.
pub(super) enum Next {
    Run(Request),
    /// The call has ended.
    Return,
    Park,
}

impl Line {
    /// The line of a call that is made here.
    pub(super) fn new(cx: &Cx) -> Line {
        Line { outer: cx.local(&REQUESTED_OVER).cloned(), ..Line::default() }
    }

    /// *Task.* Runs what came over this line.
    pub(super) fn run(self: &Arc<Line>, cx: &mut Cx, request: Request) {
        cx.with_local(&REQUESTED_OVER, self, request);
    }

    /// *Thread.* Whether a request of this thread could not begin before the thread has ended its call.
    pub(super) fn would_wait_for_itself(&self) -> bool {
        self.lock().nested.contains(&std::thread::current().id())
    }

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
        self.publish_in(&mut self.lock(), cancelled);
    }

    /// *Task.* Leaves because it is cancelled, and lets the other side know both at once, with the requests that
    /// will not be answered. Nothing if there is a result: that counts.
    pub(super) fn leave(&self, cancelled: Cancelled) -> Option<VecDeque<Request>> {
        let mut state = self.lock();
        if state.has_result {
            return None;
        }
        state.has_left = true;
        self.publish_in(&mut state, cancelled);
        Some(std::mem::take(&mut state.requests))
    }

    fn publish_in(&self, state: &mut State, cancelled: Cancelled) {
        state.cancelled.get_or_insert(cancelled);
        self.is_cancelled.store(true, Ordering::Release);
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

    /// *Thread.* The closure has returned. `false` if the task has left, so that nobody takes the result; if not,
    /// the task stays until the call has ended.
    pub(super) fn has_taker(&self) -> bool {
        let mut state = self.lock();
        state.has_result = !state.has_left;
        state.has_result
    }

    /// *Thread.* The call has ended: nothing borrows from the task any more. `false` if it has left.
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

/// A thread that runs the call of a line. As long as it lives, the thread is known to the lines whose requests
/// the call was made in.
pub(super) struct Nested<'a>(&'a Line);

impl Nested<'_> {
    pub(super) fn enter(line: &Line) -> Nested<'_> {
        let thread = std::thread::current().id();
        line.each_outer(|outer| outer.lock().nested.push(thread));
        Nested(line)
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        let thread = std::thread::current().id();
        self.0.each_outer(|outer| {
            let nested = &mut outer.lock().nested;
            if let Some(at) = nested.iter().position(|other| *other == thread) {
                nested.swap_remove(at);
            }
        });
    }
}

impl Line {
    fn each_outer(&self, mut f: impl FnMut(&Line)) {
        let mut next = self.outer.as_deref();
        while let Some(line) = next {
            f(line);
            next = line.outer.as_deref();
        }
    }
}
