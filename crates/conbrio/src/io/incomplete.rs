//! The error of a transfer that takes several steps: how far it came, and why it stopped there.

use std::fmt;
use std::io;

use super::Error;
use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};

/// A transfer of several steps stopped before its end: how many bytes it had moved, and why it stopped.
///
/// `?` turns it into [`io::Error`], whose kind is that of the cause (`Other` for a cancellation), and the
/// scope that was cancelled still recognises it. The `io::Error` carries this value as its payload.
///
/// After a cancelled write the peer has seen the first [`done`](Incomplete::done) bytes. If that may not
/// happen, shield the write: `cx.shield(|cx| stream.write_all(cx, message))`.
///
/// # Examples
///
/// ```
/// use conbrio::io::{Incomplete, Read};
///
/// conbrio::run(|cx| {
///     let mut four = [0; 4];
///     let error: Incomplete = (&b"abc"[..]).read_exact(cx, &mut four).unwrap_err();
///     assert_eq!(error.done(), 3);
///     assert_eq!(&four[..3], b"abc");
///     assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::UnexpectedEof);
/// });
/// ```
#[derive(Debug)]
#[must_use = "the error says how much was done, and may carry a cancellation"]
pub struct Incomplete {
    operation: &'static str,
    done: u64,
    leftover: Vec<u8>,
    cause: Error,
}

impl Incomplete {
    pub(crate) fn new(operation: &'static str, done: u64, cause: impl Into<Error>) -> Incomplete {
        Incomplete { operation, done, leftover: Vec::new(), cause: cause.into() }
    }

    /// Hands back bytes that were taken from the reader and have gone nowhere.
    pub(crate) fn with_leftover(mut self, leftover: Vec<u8>) -> Incomplete {
        self.leftover = leftover;
        self
    }

    /// How many bytes were moved to where they should go.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// The bytes that were taken from the reader but have not reached their goal. What can leave some
    /// behind says so; for all else it is empty.
    pub fn leftover(&self) -> &[u8] {
        &self.leftover
    }

    /// Takes the [`leftover`](Incomplete::leftover).
    pub fn into_leftover(self) -> Vec<u8> {
        self.leftover
    }

    /// Why it stopped.
    pub fn cause(&self) -> &Error {
        &self.cause
    }

    /// Why it stopped; the progress is forgotten.
    pub fn into_cause(self) -> Error {
        self.cause
    }

    /// Whether it stopped because a scope around the caller was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled().is_some()
    }

    /// What kind of failure stopped it; `None` if it was cancelled.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match &self.cause {
            OrCancelled::Failed(error) if !self.is_cancelled() => Some(error.kind()),
            _ => None,
        }
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.done == 1 { "" } else { "s" };
        write!(f, "{} stopped after {} byte{plural}: {}", self.operation, self.done, self.cause)
    }
}

impl std::error::Error for Incomplete {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match &self.cause {
            OrCancelled::Cancelled(cancelled) => cancelled,
            OrCancelled::Failed(error) => error,
        })
    }
}

impl MaybeCancelled for Incomplete {
    fn cancelled(&self) -> Option<&Cancelled> {
        self.cause.cancelled()
    }
}

impl From<Incomplete> for io::Error {
    /// Keeps the kind of the cause, and the whole value as the payload.
    fn from(error: Incomplete) -> io::Error {
        let kind = match error.kind() {
            // The standard library would try again for ever.
            None | Some(io::ErrorKind::Interrupted) => io::ErrorKind::Other,
            Some(kind) => kind,
        };
        io::Error::new(kind, error)
    }
}

impl From<Incomplete> for OrCancelled<io::Error> {
    /// Forgets the progress of a cancelled transfer; a failed one keeps it as the error's payload.
    fn from(error: Incomplete) -> OrCancelled<io::Error> {
        match error.cause {
            OrCancelled::Cancelled(cancelled) => OrCancelled::Cancelled(cancelled),
            OrCancelled::Failed(_) => OrCancelled::Failed(error.into()),
        }
    }
}
