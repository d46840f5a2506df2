//! Signals of the operating system, as something a task waits for.
//!
//! A signal handler may do almost nothing. Here it counts the signal and rings a bell, an eventfd; a task
//! hears the bell and looks at the counts. Signals of one kind that come before somebody looks count as one,
//! as they do in the system itself.
//!
//! # What there was before
//!
//! The first [`Signals`] for a signal puts its handler in the place of whatever was done with the signal
//! before; that is not done meanwhile. When the last of them is dropped, it comes back: most often the
//! default, which for `SIGINT` and `SIGTERM` ends the process. (If somebody has put another handler there
//! meanwhile, that one stays.) And a signal that came and that no task has taken until then is raised again,
//! for whoever was there before. So none is lost: somebody who presses Ctrl-C just when the program has
//! stopped waiting for it is heard.
//!
//! Therefore keep the [`Signals`] as long as the signals should do no harm.
//!
//! # In a simulated run
//!
//! There signals come from the test, by [`testing::raise`](crate::testing::raise), and the process begins with
//! the default action for each. [`Signals`] that are made in a task are those of the run; those that are made
//! elsewhere (on a thread of the program's own, in [`Cx::blocking`]) are of the system, and no task of the
//! run can wait for them.
//!
//! # Examples
//!
//! The first signal begins a shutdown, the second one cuts it short:
//!
//! ```no_run
//! use conbrio::prelude::*;
//! use conbrio::signal::shutdown_on_termination;
//! use std::time::Duration;
//!
//! fn work(cx: &mut Cx) -> std::io::Result<u64> {
//!     let mut rounds = 0;
//!     while !cx.shutdown_requested() {
//!         cx.sleep(Duration::from_secs(1))?;
//!         rounds += 1;
//!     }
//!     Ok(rounds)
//! }
//!
//! conbrio::run(|cx| -> std::io::Result<()> {
//!     match shutdown_on_termination(cx, Duration::from_secs(30), work)? {
//!         Some(rounds) => println!("{rounds} rounds"),
//!         None => println!("stopped in the middle of a round"),
//!     }
//!     Ok(())
//! })
//! .unwrap();
//! ```
//!
//! [`Signals`] is what it is made of, for other signals and other effects.

#![forbid(unsafe_code)]

mod number;
mod shutdown;
mod signals;

pub use number::Signal;
pub use shutdown::{cancel_on_ctrl_c, shutdown_on_termination};
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
    Signals::from_slice(signals)?.wait(cx)
}
