//! What the tests share: an error type, times, and a count of what is alive.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use conbrio::prelude::*;

/// The error of the tests: a cancellation, or something that can be told apart.
#[derive(Debug)]
pub(crate) enum Fault {
    Cancelled(Cancelled),
    Named(&'static str),
    Group(Box<NurseryError<Fault>>),
}

impl MaybeCancelled for Fault {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            Fault::Cancelled(cancelled) => Some(cancelled),
            Fault::Group(group) => group.cancelled(),
            Fault::Named(_) => None,
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

/// The names of the faults of something that failed, in order of time.
#[track_caller]
pub(crate) fn names<R: std::fmt::Debug>(
    result: Result<R, NurseryError<Fault>>,
) -> Vec<&'static str> {
    let name = |fault: &Fault| match fault {
        Fault::Named(name) => *name,
        Fault::Cancelled(_) => "cancelled",
        Fault::Group(_) => "group",
    };
    match result {
        Err(NurseryError::Failed(errors)) => errors.iter().map(name).collect(),
        other => panic!("expected a failure, not {other:?}"),
    }
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Counts what runs, by guards.
#[derive(Debug, Default)]
pub(crate) struct Running {
    now: AtomicUsize,
    most: AtomicUsize,
    ever: AtomicUsize,
}

pub(crate) struct Guard<'a>(&'a Running);

impl Running {
    pub(crate) fn enter(&self) -> Guard<'_> {
        self.ever.fetch_add(1, SeqCst);
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        Guard(self)
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(SeqCst)
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(SeqCst)
    }

    pub(crate) fn ever(&self) -> usize {
        self.ever.load(SeqCst)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, SeqCst);
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

/// On real workers, where arms run at the same time.
pub(crate) fn on_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for workers in [1, 2, 4] {
        conbrio::Builder::new().workers(workers).run(&test).expect("the runtime starts");
    }
}
