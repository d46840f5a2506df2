//! Reading and writing bytes in tasks: the traits, what is built on them, and the way back to `std::io`.
//!
//! The traits [`Read`], [`Write`] and [`BufRead`] are those of the standard library with a `cx` in front
//! and with errors that say what a cancellation has left behind: a single step fails with
//! [`OrCancelled<std::io::Error>`](crate::OrCancelled) and has then had no effect, and what takes several
//! steps fails with [`Incomplete`], which counts the bytes that were moved.
//!
//! A library that knows only the traits of the standard library runs unchanged on a stream that
//! [`With`] has joined with `cx`.
//!
//! # Examples
//!
//! ```
//! use conbrio::io::{BufRead, BufReader, Write};
//! use conbrio::prelude::*;
//!
//! fn sum(cx: &mut Cx, numbers: &mut dyn BufRead) -> std::io::Result<u64> {
//!     let mut sum = 0;
//!     let mut line = String::new();
//!     while numbers.read_line(cx, &mut line)? > 0 {
//!         sum += line.trim().parse::<u64>().map_err(std::io::Error::other)?;
//!         line.clear();
//!     }
//!     Ok(sum)
//! }
//!
//! conbrio::run(|cx| {
//!     let mut numbers = BufReader::new(&b"1\n2\n39\n"[..]);
//!     assert_eq!(sum(cx, &mut numbers)?, 42);
//!     Ok::<(), std::io::Error>(())
//! })
//! .unwrap();
//! ```

#![forbid(unsafe_code)]

mod buf_read;
mod buf_reader;
mod buf_writer;
mod copy;
mod fd;
mod half_close;
mod incomplete;
mod joined;
mod memory;
mod pipe;
mod read;
mod seek;
mod split;
mod steps;
mod take;
mod with;
mod write;

pub use buf_read::{BufRead, Lines};
pub use buf_reader::BufReader;
pub use buf_writer::BufWriter;
pub use copy::copy;
pub use half_close::HalfClose;
pub use incomplete::Incomplete;
pub use joined::{EndByDrop, Joined, join};
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use read::Read;
pub use seek::Seek;
pub use split::Split;
pub use std::io::SeekFrom;
pub use take::Take;
pub use with::With;
pub use write::Write;

pub(crate) use steps::{read_exact, write_all};

/// The error of one step of reading or writing.
pub type Error = crate::cancel::OrCancelled<std::io::Error>;
