//! The errors of operations that can be cancelled or can time out.

use std::fmt;
use std::io;

use super::cancelled::{Cancelled, MaybeCancelled};

/// An operation was cancelled before it had an effect, or it failed.
///
/// `?` turns `OrCancelled<io::Error>` into [`io::Error`] and into `Box<dyn Error + Send + Sync>`; the
/// cancellation travels inside and is still recognised by the scope it belongs to.
///
/// The two arms are all there are: a `match` that forgets the cancellation does not compile.
#[derive(Debug)]
#[must_use = "a cancellation must be passed on to the scope that was cancelled"]
pub enum OrCancelled<E> {
    /// A scope around the caller was cancelled. The operation had no effect.
    Cancelled(Cancelled),
    /// The operation failed.
    Failed(E),
}

impl<E> OrCancelled<E> {
    /// The failure, if it is one; a cancellation is handed back as the error.
    pub fn into_failed(self) -> Result<E, Cancelled> {
        match self {
            OrCancelled::Cancelled(cancelled) => Err(cancelled),
            OrCancelled::Failed(error) => Ok(error),
        }
    }
}

impl<E: fmt::Display> fmt::Display for OrCancelled<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrCancelled::Cancelled(cancelled) => cancelled.fmt(f),
            OrCancelled::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for OrCancelled<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            OrCancelled::Cancelled(cancelled) => cancelled,
            OrCancelled::Failed(error) => error,
        })
    }
}

impl<E> From<Cancelled> for OrCancelled<E> {
    fn from(cancelled: Cancelled) -> Self {
        OrCancelled::Cancelled(cancelled)
    }
}

impl From<io::Error> for OrCancelled<io::Error> {
    fn from(error: io::Error) -> Self {
        OrCancelled::Failed(error)
    }
}

impl<E: MaybeCancelled> MaybeCancelled for OrCancelled<E> {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            OrCancelled::Cancelled(cancelled) => Some(cancelled),
            OrCancelled::Failed(error) => error.cancelled(),
        }
    }
}

impl From<Cancelled> for io::Error {
    /// The kind is `Other`, never `Interrupted`: the standard library would retry for ever.
    fn from(cancelled: Cancelled) -> io::Error {
        io::Error::other(cancelled)
    }
}

impl From<OrCancelled<io::Error>> for io::Error {
    fn from(error: OrCancelled<io::Error>) -> io::Error {
        match error {
            OrCancelled::Cancelled(cancelled) => cancelled.into(),
            OrCancelled::Failed(error) => error,
        }
    }
}

/// The deadline of a scope passed before its code was done. Made by `fail_after` and `fail_at`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TimedOut(pub(crate) ());

impl fmt::Debug for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimedOut")
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline passed")
    }
}

impl std::error::Error for TimedOut {}

impl From<TimedOut> for io::Error {
    fn from(timed_out: TimedOut) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, timed_out)
    }
}

/// Code in a scope with a deadline was too slow, or it failed.
///
/// A timeout is never a [`Cancelled`]: it is an error like any other, and no scope takes it back.
#[derive(Debug)]
#[must_use = "a cancellation must be passed on to the scope that was cancelled"]
pub enum OrTimedOut<E> {
    /// The deadline passed.
    TimedOut(TimedOut),
    /// The code failed.
    Failed(E),
}

impl<E: fmt::Display> fmt::Display for OrTimedOut<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrTimedOut::TimedOut(timed_out) => timed_out.fmt(f),
            OrTimedOut::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for OrTimedOut<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            OrTimedOut::TimedOut(timed_out) => timed_out,
            OrTimedOut::Failed(error) => error,
        })
    }
}

impl<E> From<TimedOut> for OrTimedOut<E> {
    fn from(timed_out: TimedOut) -> Self {
        OrTimedOut::TimedOut(timed_out)
    }
}

impl<E: MaybeCancelled> MaybeCancelled for OrTimedOut<E> {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            OrTimedOut::TimedOut(_) => None,
            OrTimedOut::Failed(error) => error.cancelled(),
        }
    }
}

impl<E: Into<io::Error>> From<OrTimedOut<E>> for io::Error {
    fn from(error: OrTimedOut<E>) -> io::Error {
        match error {
            OrTimedOut::TimedOut(timed_out) => timed_out.into(),
            OrTimedOut::Failed(error) => error.into(),
        }
    }
}
