//! What the tests share: an error type, a run in virtual time, and a trace.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use conbrio::lowlevel::{Abort, Finish, Unparker, Wait};
use conbrio::prelude::*;
use conbrio::testing::MockClock;
use conbrio::{Builder, StartError};

/// The error of the tests: a cancellation, or something that can be told apart.
#[derive(Debug)]
pub(crate) enum Fault {
    Cancelled(Cancelled),
    Named(&'static str),
    /// Its address is its identity.
    Boxed(Box<u32>),
    /// An error with a source of its own.
    Caused(Box<Fault>),
    Group(Box<NurseryError<Fault>>),
    Start(Box<StartError<Fault>>),
}

impl Fault {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Fault::Named(name) => name,
            other => panic!("expected a named fault, not {other:?}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Cancelled(cancelled) => cancelled.fmt(f),
            Fault::Named(name) => f.write_str(name),
            Fault::Boxed(number) => number.fmt(f),
            Fault::Caused(_) => f.write_str("caused"),
            Fault::Group(group) => group.fmt(f),
            Fault::Start(start) => start.fmt(f),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Fault::Named(_) | Fault::Boxed(_) => None,
            Fault::Cancelled(cancelled) => Some(cancelled),
            Fault::Caused(cause) => Some(&**cause),
            Fault::Group(group) => Some(&**group),
            Fault::Start(start) => Some(&**start),
        }
    }
}

impl MaybeCancelled for Fault {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            Fault::Cancelled(cancelled) => Some(cancelled),
            Fault::Group(group) => group.cancelled(),
            Fault::Start(start) => start.cancelled(),
            Fault::Named(_) | Fault::Boxed(_) | Fault::Caused(_) => None,
        }
    }
}

impl From<Cancelled> for Fault {
    fn from(cancelled: Cancelled) -> Fault {
        Fault::Cancelled(cancelled)
    }
}

impl From<NurseryError<Fault>> for Fault {
    fn from(error: NurseryError<Fault>) -> Fault {
        Fault::Group(Box::new(error))
    }
}

impl From<StartError<Fault>> for Fault {
    fn from(error: StartError<Fault>) -> Fault {
        Fault::Start(Box::new(error))
    }
}

/// The names of the faults of a nursery that failed, in order of time.
pub(crate) fn names<R: fmt::Debug>(result: Result<R, NurseryError<Fault>>) -> Vec<&'static str> {
    match result {
        Err(NurseryError::Failed(errors)) => errors.iter().map(Fault::name).collect(),
        other => panic!("expected a nursery that failed, not {other:?}"),
    }
}

/// Runs `main` in virtual time that jumps on when everything waits.
pub(crate) fn in_virtual_time<R: Send>(
    workers: usize,
    main: impl FnOnce(&mut Cx) -> R + Send,
) -> R {
    // A wake-up may be on its way between two workers while both are idle.
    let threshold = if workers == 1 { Duration::ZERO } else { Duration::from_millis(2) };
    Builder::new()
        .workers(workers)
        .clock(MockClock::new().autojump(threshold))
        .run(main)
        .expect("the runtime starts")
}

/// Runs the test on one worker, in virtual time.
pub(crate) fn on_one_worker<R: Send>(main: impl FnOnce(&mut Cx) -> R + Send) -> R {
    in_virtual_time(1, main)
}

/// Runs the test on one, two and four workers, in virtual time.
pub(crate) fn on_all_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for workers in [1, 2, 4] {
        in_virtual_time(workers, &test);
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What happened, in order.
#[derive(Debug)]
pub(crate) struct Trace<T>(Mutex<Vec<T>>);

impl<T> Trace<T> {
    pub(crate) fn new() -> Trace<T> {
        Trace(Mutex::new(Vec::new()))
    }

    pub(crate) fn push(&self, event: T) {
        self.0.lock().unwrap().push(event);
    }

    /// The events since the last call.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// What `f` panics with, as text.
#[track_caller]
pub(crate) fn panic_text<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("expected a panic");
    };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("the payload is text")).to_owned(),
    }
}

/// A wait that others end with a value: the smallest primitive one can build on `lowlevel`.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    state: Mutex<MailboxState<T>>,
    /// What the wait answers to a cancellation.
    abort: Abort,
    /// What it says when it was unparked after that.
    finish: Finish,
}

#[derive(Debug)]
struct MailboxState<T> {
    value: Option<T>,
    unparker: Option<Unparker>,
    aborts: usize,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Mailbox<T> {
        Mailbox::with_abort(Abort::Succeeded, Finish::Completed)
    }

    pub(crate) fn with_abort(abort: Abort, finish: Finish) -> Mailbox<T> {
        let state = MailboxState { value: None, unparker: None, aborts: 0 };
        Mailbox { state: Mutex::new(state), abort, finish }
    }

    /// Waits until a value is there.
    pub(crate) fn receive(&self, cx: &mut Cx) -> Result<T, Cancelled> {
        cx.park_on(&mut &*self)?;
        Ok(self.state.lock().unwrap().value.take().expect("whoever unparks leaves a value"))
    }

    /// Leaves a value and wakes whoever waits.
    pub(crate) fn send(&self, value: T) {
        let mut state = self.state.lock().unwrap();
        state.value = Some(value);
        let unparker = state.unparker.take();
        drop(state);
        if let Some(unparker) = unparker {
            unparker.unpark();
        }
    }

    /// How often a wait was asked to end early.
    pub(crate) fn aborts(&self) -> usize {
        self.state.lock().unwrap().aborts
    }

    /// What would wake the waiting task.
    pub(crate) fn take_unparker(&self) -> Option<Unparker> {
        self.state.lock().unwrap().unparker.take()
    }
}

impl<T> Wait for &Mailbox<T> {
    fn arm(&mut self, unparker: Unparker) {
        let mut state = self.state.lock().unwrap();
        if state.value.is_some() {
            unparker.unpark();
        } else {
            state.unparker = Some(unparker);
        }
    }

    fn abort(&mut self) -> Abort {
        self.state.lock().unwrap().aborts += 1;
        self.abort
    }

    fn finish(&mut self) -> Finish {
        self.finish
    }
}
