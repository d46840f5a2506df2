//! What the suites share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::ThreadId;

use conbrio::prelude::*;

/// Runs `main` on so many workers.
#[track_caller]
pub(crate) fn on_workers<R: Send>(workers: usize, main: impl FnOnce(&mut Cx) -> R + Send) -> R {
    conbrio::Builder::new().workers(workers).run(main).expect("the runtime starts")
}

/// Runs `test` on one, two and four workers.
#[track_caller]
pub(crate) fn on_all_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for workers in [1, 2, 4] {
        on_workers(workers, &test);
    }
}

/// The message of the panic of `f`, which must panic.
#[track_caller]
pub(crate) fn message_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it was to panic") };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().expect("the message is text")).to_owned(),
    }
}

pub(crate) fn this_thread() -> ThreadId {
    std::thread::current().id()
}

/// What the system calls the calling thread.
pub(crate) fn system_name() -> String {
    let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    name.trim_end().to_owned()
}

/// Waits, as a task, until `done`.
pub(crate) fn wait_until(cx: &mut Cx, done: impl Fn(&mut Cx) -> bool) {
    while !done(cx) {
        cx.yield_shielded();
    }
}
