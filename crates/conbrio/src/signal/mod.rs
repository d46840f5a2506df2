//! Signals of the operating system, as something a task waits for.
//!
//! A signal handler may do almost nothing. Here it sets a flag and writes a byte to a pipe; a task reads
//! the pipe and looks at the flags. Signals of one kind that come before somebody looks count as one, as
//! they do in the system itself.
//!
//! # What stays behind
//!
//! The first [`Signals`] for a signal installs a handler for the whole process, and the handler stays when
//! the last of them is dropped: *the signal is then ignored, and its default effect, such as ending the
//! process, does not come back*. A handler that was there before is still called, each time. So a second
//! Ctrl-C during a shutdown has no effect unless somebody waits for it: keep the [`Signals`], as the
//! example does.
//!
//! # Examples
//!
//! The first signal begins a shutdown, the second one cuts it short:
//!
//! ```
//! use conbrio::prelude::*;
//! use conbrio::signal::{Signal, Signals};
//! use std::time::Duration;
//!
//! fn stop_on_signals(cx: &mut Cx, server: conbrio::CancelHandle) -> std::io::Result<()> {
//!     let mut signals = Signals::new(&[Signal::INTERRUPT, Signal::TERMINATE])?;
//!     signals.wait(cx)?;
//!     server.shutdown(Duration::from_secs(30));
//!     let second = signals.wait(cx)?;
//!     server.cancel_with(format!("stopped by {second}"));
//!     Ok(())
//! }
//! # conbrio::run(|cx| {
//! #     cx.nursery(|cx, n| -> std::io::Result<()> {
//! #         n.spawn(|cx| stop_on_signals(cx, n.handle()));
//! #         conbrio::testing::settle(cx, Duration::from_millis(2))?;
//! #         n.cancel();
//! #         Ok(())
//! #     })
//! #     .unwrap();
//! # });
//! ```

#![forbid(unsafe_code)]

mod number;
mod signals;

pub use number::Signal;
pub use signals::Signals;

use crate::io::Error;
use crate::task::Cx;

/// Waits for Ctrl-C: the next `SIGINT` after this call. See [`Signals`] to wait for more than one.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Errors
///
/// As [`Signals::new`].
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
///
/// fn until_ctrl_c(cx: &mut Cx) -> std::io::Result<()> {
///     cx.nursery(|cx, n| {
///         n.spawn(|cx| Ok(cx.sleep_forever()?));
///         conbrio::signal::wait_ctrl_c(cx)?;
///         n.cancel();
///         Ok(())
///     })?;
///     Ok(())
/// }
/// # conbrio::run(|cx| {
/// #     let early = cx.move_on_after(std::time::Duration::from_millis(1), until_ctrl_c);
/// #     assert!(early.unwrap().is_none());
/// # });
/// ```
pub fn wait_ctrl_c(cx: &mut Cx) -> Result<(), Error> {
    wait_one(cx, &[Signal::INTERRUPT]).map(drop)
}

/// Waits until somebody wants the process to end: the next `SIGINT` (Ctrl-C) or `SIGTERM` (`kill`, service
/// managers, container runtimes) after this call. Says which.
///
/// # Cancellation
///
/// Always a checkpoint.
///
/// # Errors
///
/// As [`Signals::new`].
pub fn wait_termination(cx: &mut Cx) -> Result<Signal, Error> {
    wait_one(cx, &[Signal::INTERRUPT, Signal::TERMINATE])
}

fn wait_one(cx: &mut Cx, signals: &[Signal]) -> Result<Signal, Error> {
    // Before the handler is installed: whoever is cancelled already should leave no trace.
    cx.checkpoint()?;
    Signals::new(signals)?.wait(cx)
}
