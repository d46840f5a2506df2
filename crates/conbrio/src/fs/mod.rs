//! Files, directories, and what happens to them: [`std::fs`] for tasks.
//!
//! The functions and types have the names and shapes of the standard library, with `cx` in front. Nothing blocks
//! but the task.
//!
//! * What is in the memory of the system is read at once, on the worker.
//! * A runtime on io_uring ([`Reactor::Uring`](crate::Reactor)) lets the kernel do the rest, in memory that the
//!   task has lent to it, and threads do what the kernel has no operation for.
//! * On epoll threads do it, as with [`Cx::blocking`](crate::Cx::blocking).
//!
//! All three keep the same promise: an operation completes, or fails, or is cancelled and has had no effect;
//! and when it has returned, nothing of it is pending. A transfer that takes several steps says how far it
//! came ([`Incomplete`](crate::io::Incomplete)). A device cannot be stopped in the middle of a step, so that a
//! cancellation waits for one: a mebibyte at most.
//!
//! Errors name the file ([`PathError`]). A path is any bytes but zero; one with a zero byte fails with
//! `InvalidInput`.
//!
//! **In a simulated run** (see [`testing`](crate::testing)) files are real ones, and threads do all of the work
//! while everything else stands still. What a test does with files is as repeatable as the files are; give each
//! run a [`TempDir`] of its own. [`Watch`] does not work there.
//!
//! # Examples
//!
//! ```
//! use conbrio::fs::{self, TempDir};
//!
//! conbrio::run(|cx| -> std::io::Result<()> {
//!     let folder = TempDir::new(cx)?; // removed at the end
//!     let config = folder.path().join("config");
//!     fs::write_atomic(cx, &config, "colour = red\n")?; // old or new, never half
//!     assert_eq!(fs::read_to_string(cx, &config)?, "colour = red\n");
//!     Ok(())
//! })
//! .unwrap();
//! ```

#![forbid(unsafe_code)]

mod atomic;
mod data;
mod dir;
mod error;
mod file;
mod lock;
mod metadata;
mod names;
mod options;
mod path;
mod temp;
mod tree;
mod walk;
mod watch;
mod whole;

pub use atomic::write_atomic;
pub use dir::{DirEntry, ReadDir, read_dir};
pub use error::PathError;
pub use file::File;
pub use metadata::{FileType, Metadata, exists, metadata, symlink_metadata};
pub use names::{
    canonicalize, create_dir, create_dir_all, hard_link, read_link, remove_dir, remove_file,
    rename, set_permissions, symlink,
};
pub use options::OpenOptions;
pub use std::fs::{FileTimes, Permissions};
pub use temp::{TempDir, TempFile};
pub use tree::remove_dir_all;
pub use walk::{Walk, WalkEntry, walk};
pub use watch::{Change, Watch, WatchEvent};
pub use whole::{copy, read, read_to_string, write};
