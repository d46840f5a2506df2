//! Why a supervisor has given up.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::cancel::{Cancelled, MaybeCancelled};
use crate::nursery::Errors;

/// Why a [`Supervisor`](super::Supervisor) has not run until all of its tasks were done.
#[derive(Debug)]
#[must_use = "a cancellation must be passed on to the scope that was cancelled"]
pub enum SupervisorError<E> {
    /// A task has ended too often.
    TooManyRestarts {
        /// Which one, and what was allowed.
        limit: TooManyRestarts,
        /// What it has failed with in the end, and after that what others have failed with as they were
        /// cancelled. `None` if nobody has failed: then the task has ended without an error each time.
        errors: Option<Errors<E>>,
    },
    /// A task has failed that is not started again, or a shutdown was requested.
    Failed(Errors<E>),
    /// A scope outside was cancelled.
    Cancelled(Cancelled),
}

impl<E> SupervisorError<E> {
    /// The errors of the tasks, if there are any.
    pub fn errors(&self) -> Option<&Errors<E>> {
        match self {
            SupervisorError::TooManyRestarts { errors, .. } => errors.as_ref(),
            SupervisorError::Failed(errors) => Some(errors),
            SupervisorError::Cancelled(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for SupervisorError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SupervisorError::TooManyRestarts { limit, errors: None } => limit.fmt(f),
            SupervisorError::TooManyRestarts { limit, errors: Some(errors) } => {
                write!(f, "{limit}: {errors}")
            }
            SupervisorError::Failed(errors) => errors.fmt(f),
            SupervisorError::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for SupervisorError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SupervisorError::Cancelled(cancelled) => Some(cancelled),
            other => other.errors().map(|errors| errors.first() as _),
        }
    }
}

impl<E> MaybeCancelled for SupervisorError<E> {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            SupervisorError::Cancelled(cancelled) => Some(cancelled),
            SupervisorError::TooManyRestarts { .. } | SupervisorError::Failed(_) => None,
        }
    }
}

impl From<SupervisorError<io::Error>> for io::Error {
    /// The kind is that of the first error, if there is one.
    fn from(error: SupervisorError<io::Error>) -> io::Error {
        match error {
            SupervisorError::Cancelled(cancelled) => cancelled.into(),
            error => {
                let kind = error.errors().map_or(io::ErrorKind::Other, |errors| errors.kind());
                io::Error::new(kind, error)
            }
        }
    }
}

/// A task has ended more often than its [`Supervisor`](super::Supervisor) allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooManyRestarts {
    pub(super) task: String,
    /// So many in this period; `None` if it was the schedule of delays that gave up.
    pub(super) allowed: Option<(usize, Duration)>,
}

impl TooManyRestarts {
    /// The name of the task that would have been started again.
    pub fn task(&self) -> &str {
        &self.task
    }
}

impl fmt::Display for TooManyRestarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task '{}' has ended again, ", self.task)?;
        match self.allowed {
            Some((restarts, period)) => write!(f, "after {restarts} restarts in {period:?}"),
            None => f.write_str("and its schedule allows no more restarts"),
        }
    }
}

impl std::error::Error for TooManyRestarts {}
