//! What the suites share.

pub(crate) use crate::alone::in_a_process_of_its_own;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`, which must panic, and returns the message.
#[track_caller]
pub(crate) fn message_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it was to panic");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().expect("the message is text")).to_owned(),
    }
}
