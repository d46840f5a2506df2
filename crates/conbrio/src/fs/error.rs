//! What the errors of this module say: what was tried, and with which file.
//!
//! The invariant: an error keeps the kind that the system gave it, and the system's own error is found inside
//! by [`PathError::of`].

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::cancel::OrCancelled;
use crate::io::Error;

/// What failed, with which file, and what the system said to it: the payload of the [`io::Error`]s of this
/// module.
///
/// # Examples
///
/// ```
/// use conbrio::fs::{File, PathError};
///
/// conbrio::run(|cx| {
///     let error = std::io::Error::from(File::open(cx, "/no/such/file").unwrap_err());
///     assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
///     assert!(error.to_string().starts_with("open \"/no/such/file\": "));
///     let inside = PathError::of(&error).unwrap();
///     assert_eq!(inside.path(), std::path::Path::new("/no/such/file"));
///     assert_eq!(inside.raw_os_error(), Some(2)); // ENOENT
/// });
/// ```
#[derive(Debug)]
pub struct PathError {
    operation: &'static str,
    path: PathBuf,
    /// The other path of an operation that has two.
    to: Option<PathBuf>,
    cause: io::Error,
}

impl PathError {
    /// The one inside of `error`, if it comes from this module.
    pub fn of(error: &io::Error) -> Option<&PathError> {
        let mut inner: &(dyn std::error::Error + 'static) = error.get_ref()?;
        // An error has finitely many causes.
        loop {
            if let Some(found) = inner.downcast_ref::<PathError>() {
                return Some(found);
            }
            inner = match inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(payload) => payload,
                None => inner.source()?,
            };
        }
    }

    /// What was tried, such as `open`.
    pub fn operation(&self) -> &str {
        self.operation
    }

    /// With which file. Where only the open file was known, it is the path that the system says it has.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the system's error, as `EMFILE`.
    pub fn raw_os_error(&self) -> Option<i32> {
        let inside = || PathError::of(&self.cause)?.raw_os_error();
        self.cause.raw_os_error().or_else(inside)
    }

    /// What the system said.
    pub fn cause(&self) -> &io::Error {
        &self.cause
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.operation, self.path)?;
        if let Some(to) = &self.to {
            write!(f, " to {to:?}")?;
        }
        write!(f, ": {}", self.cause)?;
        match self.raw_os_error() {
            Some(libc::EMFILE) => f.write_str(
                "; keep fewer files open at once, or raise the limit of this process (`ulimit -n`)",
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// An error of an operation with one path.
pub(super) fn with_path(operation: &'static str, path: &Path, cause: io::Error) -> io::Error {
    let kind = kind_of(&cause);
    io::Error::new(kind, PathError { operation, path: path.to_owned(), to: None, cause })
}

/// An error of an operation with two paths.
pub(super) fn with_paths(
    operation: &'static str,
    path: &Path,
    to: &Path,
    cause: io::Error,
) -> io::Error {
    let kind = kind_of(&cause);
    let to = Some(to.to_owned());
    io::Error::new(kind, PathError { operation, path: path.to_owned(), to, cause })
}

/// An error of an operation on an open file, whose path the system knows.
#[cold]
pub(super) fn with_fd(operation: &'static str, fd: BorrowedFd<'_>, cause: io::Error) -> io::Error {
    let number = fd.as_raw_fd();
    // It does not wait: the system keeps the path in its memory (proc_pid_fd(5)).
    let path = std::fs::read_link(format!("/proc/self/fd/{number}"))
        .unwrap_or_else(|_| format!("fd {number}").into());
    with_path(operation, &path, cause)
}

/// Adds to a failure, and leaves a cancellation as it is.
pub(super) fn failed(error: Error, add: impl FnOnce(io::Error) -> io::Error) -> Error {
    match error {
        OrCancelled::Failed(error) => OrCancelled::Failed(add(error)),
        cancelled => cancelled,
    }
}

/// The standard library tries again after `Interrupted`, which must not happen to what may not be done twice.
fn kind_of(cause: &io::Error) -> io::ErrorKind {
    match cause.kind() {
        io::ErrorKind::Interrupted => io::ErrorKind::Other,
        kind => kind,
    }
}
