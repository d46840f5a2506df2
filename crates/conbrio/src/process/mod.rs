//! Running other programs.
//!
//! [`Command`] says what to run, as in [`std::process`]. A program is part of what starts it: it ends before
//! the call that runs it returns, or, after [`Command::spawn`], when its [`Child`] is dropped; and it is
//! always reaped. What is cancelled meanwhile, by a deadline or otherwise, ends the program: first with
//! `SIGTERM`, and with `SIGKILL` if that has no effect within five seconds, which
//! [`Command::grace`] changes and [`Command::on_cancel`] replaces.
//!
//! # Examples
//!
//! ```
//! use conbrio::prelude::*;
//! use conbrio::process::Command;
//! use std::time::Duration;
//!
//! conbrio::run(|cx| -> std::io::Result<()> {
//!     let limit = Duration::from_secs(60);
//!     let output = cx.fail_after(limit, |cx| {
//!         Command::new("sort").input("pear\napple\n").output(cx)
//!     })?;
//!     assert_eq!(output.check()?.stdout, b"apple\npear\n");
//!     Ok(())
//! })
//! .unwrap();
//! ```

#![forbid(unsafe_code)]

mod child;
mod command;
mod ending;
mod handle;
mod output;
mod run;
mod stdio;

pub use child::Child;
pub use command::Command;
pub use handle::Process;
pub use output::{ExitError, Output};
pub use std::process::ExitStatus;
pub use stdio::Stdio;
