//! What a panic does in a build with `panic = "abort"`: it ends the process, and everything else works.
//!
//! Run: `cargo run --profile abort --example abort_panics -- child`
//! Expect: the message of the panic, and SIGABRT; with `quiet`, nothing and status 0.
//!
//! smoke-abort: quiet
//! smoke-abort: child
//! smoke-abort-expect: the child broke its word
//! smoke-abort: body
//! smoke-abort-expect: the body broke its word

use conbrio::prelude::*;
use std::time::Duration;

// spec: S45, N4
fn main() -> Result<(), NurseryError<Cancelled>> {
    let who = std::env::args().nth(1).unwrap_or_default();
    conbrio::run(|cx| {
        cx.nursery(|cx, n| {
            n.spawn(|cx| {
                let timed_out =
                    cx.move_on_after(Duration::from_millis(1), |cx| cx.sleep_forever())?;
                assert_eq!(timed_out, None);
                cx.blocking(|| ())
            });
            let mut last = n.spawn(|cx| {
                assert_ne!(who, "child", "the child broke its word");
                cx.yield_now()
            });
            assert_ne!(who, "body", "the body broke its word");
            last.join(cx)
        })
    })
}
