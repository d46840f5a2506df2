//! What the tests share.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::{MockClock, settle};

/// What tests fail with: every error of the crate becomes one by `?`.
pub(crate) type Fault = Box<dyn Error + Send + Sync>;

/// Runs `main` in virtual time that jumps on when everything waits.
pub(crate) fn in_virtual_time<R: Send>(
    workers: usize,
    main: impl FnOnce(&mut Cx) -> R + Send,
) -> R {
    // A wake-up may be on its way between two workers while both are idle.
    let threshold = if workers == 1 { Duration::ZERO } else { Duration::from_millis(2) };
    conbrio::Builder::new()
        .workers(workers)
        .clock(MockClock::new().autojump(threshold))
        // What is lost is waited for in vain: then the process ends, with a list of who waits for what.
        .deadlock_check(true)
        .run(main)
        .expect("the runtime starts")
}

/// Runs the test on one, two and four workers, in virtual time.
pub(crate) fn on_all_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for workers in [1, 2, 4] {
        in_virtual_time(workers, &test);
    }
}

/// Waits until every other task waits.
pub(crate) fn settled(cx: &mut Cx) -> Result<(), Cancelled> {
    settle(cx, Duration::ZERO)
}

/// The message of the panic in `f`.
#[track_caller]
pub(crate) fn message_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("expected a panic");
    };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("the payload is text")).to_owned(),
    }
}

/// Runs `f` in a scope that is cancelled already. It must fail with the cancellation.
#[track_caller]
pub(crate) fn assert_cancelled<R, E: MaybeCancelled>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> Result<R, E>,
) {
    let outcome = cx.cancel_scope(|cx, scope| {
        scope.cancel();
        f(cx)
    });
    assert!(matches!(outcome, Ok(None)), "it is no checkpoint");
}

/// What happened, in order.
#[derive(Debug, Default)]
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
