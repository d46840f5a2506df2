//! Paths on their way to the system: as strings for a ring, or with a closure to a thread.
//!
//! Owns the rule that a path with a zero byte never gets there.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use conbrio_reactor::op::file::FileOperation;

use super::error::{failed, with_fd, with_path, with_paths};
use crate::io::Error;
use crate::lowlevel::perform_file;
use crate::task::Cx;

/// The path as the system takes it. It is any bytes but zero.
///
/// A checkpoint if it fails.
pub(super) fn c_path(cx: &mut Cx, operation: &'static str, path: &Path) -> Result<CString, Error> {
    match CString::new(path.as_os_str().as_bytes()) {
        Ok(path) => Ok(path),
        Err(error) => {
            cx.checkpoint()?;
            let message = format!(
                "the path has a zero byte at position {}, which the system would take for its end",
                error.nul_position()
            );
            let error = io::Error::new(io::ErrorKind::InvalidInput, message);
            Err(with_path(operation, path, error).into())
        }
    }
}

/// Performs an operation on a path, and says so if it fails.
pub(super) fn perform_at<O>(
    cx: &mut Cx,
    operation: &'static str,
    path: &Path,
    op: &mut O,
) -> Result<O::Output, Error>
where
    O: FileOperation + Send,
    O::Output: Send,
{
    perform_file(cx, op).map_err(|error| failed(error, |error| with_path(operation, path, error)))
}

/// The same with two paths.
pub(super) fn perform_with_two<O>(
    cx: &mut Cx,
    operation: &'static str,
    path: &Path,
    to: &Path,
    op: &mut O,
) -> Result<O::Output, Error>
where
    O: FileOperation + Send,
    O::Output: Send,
{
    perform_file(cx, op)
        .map_err(|error| failed(error, |error| with_paths(operation, path, to, error)))
}

/// Runs `f` on a thread, and says what it was to do if it fails.
pub(super) fn on_thread<R: Send>(
    cx: &mut Cx,
    operation: &'static str,
    path: &Path,
    f: impl FnOnce() -> io::Result<R> + Send,
) -> Result<R, Error> {
    Ok(cx.blocking(f)?.map_err(|error| with_path(operation, path, error))?)
}

/// The same with an open file.
pub(super) fn on_thread_with_fd<R: Send>(
    cx: &mut Cx,
    operation: &'static str,
    fd: impl AsFd,
    f: impl FnOnce() -> io::Result<R> + Send,
) -> Result<R, Error> {
    Ok(cx.blocking(f)?.map_err(|error| with_fd(operation, fd.as_fd(), error))?)
}
