//! The value that reports a cancellation.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// What asked for a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelSource {
    /// `cancel` was called on a scope, a nursery, a child or a handle.
    Explicit,
    /// The deadline of a scope passed.
    Deadline,
    /// The grace period of a shutdown was over.
    ShutdownGrace,
    /// A child of the nursery, or its body, returned an error.
    ChildFailed,
    /// A child of the nursery, or its body, panicked.
    ChildPanicked,
    /// The task is unwinding from a panic: nothing may wait then, so every wait fails at once.
    Unwinding,
}

/// Why and where a cancellation was requested. One is made per request, and shared by everything that
/// reports it; its address is the identity of the scope's cancellation.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) source: CancelSource,
    pub(crate) reason: Option<String>,
    /// The name of the task that asked, if a task did.
    pub(crate) task: Option<String>,
    pub(crate) location: Option<&'static Location<'static>>,
    /// For the request of one child alone: the address of the group it is in. Whoever joins the child
    /// gets it, and the nursery takes it back.
    pub(crate) child_of: Option<usize>,
}

impl Notice {
    pub(crate) fn new(source: CancelSource) -> Notice {
        Notice { source, reason: None, task: None, location: None, child_of: None }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            CancelSource::Explicit => "on request",
            CancelSource::Deadline => "because a deadline passed",
            CancelSource::ShutdownGrace => "because the grace period of a shutdown was over",
            CancelSource::ChildFailed => "because a sibling failed",
            CancelSource::ChildPanicked => "because a sibling panicked",
            CancelSource::Unwinding => "because the task is unwinding and may not wait",
        })?;
        if let Some(task) = &self.task {
            write!(f, " from task '{task}'")?;
        }
        if let Some(location) = self.location {
            write!(f, " at {location}")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        Ok(())
    }
}

/// A scope around the caller was cancelled: stop, clean up, and pass this on.
///
/// Every function of this crate that waits can return it. It is a request, not an event: as long as the
/// scope is cancelled, every further wait inside it fails with it at once. The scope that was cancelled
/// takes it back when it reaches it; code in between only passes it outwards with `?`.
///
/// When an operation fails with `Cancelled`, it had no effect.
///
/// Values of this type are made by the library only, and say who cancelled, why, and where.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
///
/// conbrio::run(|cx| {
///     let ended = cx.cancel_scope(|cx, scope| {
///         scope.cancel_with("no longer needed");
///         let cancelled = cx.checkpoint().unwrap_err();
///         assert_eq!(cancelled.reason(), Some("no longer needed"));
///         Err::<(), _>(cancelled)
///     });
///     assert!(matches!(ended, Ok(None)));
/// });
/// ```
#[must_use = "a cancellation must be passed on to the scope that was cancelled"]
pub struct Cancelled(pub(crate) Arc<Notice>);

impl Cancelled {
    /// The value for a task that wants to wait while it unwinds.
    pub(crate) fn unwinding() -> Cancelled {
        Cancelled(Arc::new(Notice::new(CancelSource::Unwinding)))
    }

    /// What asked for it.
    pub fn source(&self) -> CancelSource {
        self.0.source
    }

    /// The reason given with the request. The first request of a scope wins.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The name of the task that asked for it, if it was a task.
    pub fn source_task(&self) -> Option<&str> {
        self.0.task.as_deref()
    }

    /// Where in the source code it was asked for, if code did.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.location
    }

    /// Whether this reports the request that `notice` describes.
    pub(crate) fn is(&self, notice: &Arc<Notice>) -> bool {
        Arc::ptr_eq(&self.0, notice)
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("source", &self.0.source)
            .field("reason", &self.0.reason)
            .field("source_task", &self.0.task)
            .field("location", &self.0.location)
            .finish()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled {}", self.0)
    }
}

impl std::error::Error for Cancelled {}

/// An error that may be, or carry, a [`Cancelled`].
///
/// Scopes and nurseries ask it of the errors that reach them: they take back their own cancellation and
/// pass on that of others. Implement it for your own error type so that a cancellation that travels in
/// it is recognised; return `None` for errors that cannot carry one.
///
/// # Examples
///
/// ```
/// use conbrio::{Cancelled, MaybeCancelled};
///
/// enum FetchError {
///     Cancelled(Cancelled),
///     NotFound(String),
/// }
///
/// impl MaybeCancelled for FetchError {
///     fn cancelled(&self) -> Option<&Cancelled> {
///         match self {
///             FetchError::Cancelled(cancelled) => Some(cancelled),
///             FetchError::NotFound(_) => None,
///         }
///     }
/// }
/// ```
pub trait MaybeCancelled {
    /// The cancellation that this error reports, if it does.
    fn cancelled(&self) -> Option<&Cancelled>;
}

impl MaybeCancelled for Cancelled {
    fn cancelled(&self) -> Option<&Cancelled> {
        Some(self)
    }
}

impl MaybeCancelled for std::convert::Infallible {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}

impl MaybeCancelled for std::io::Error {
    fn cancelled(&self) -> Option<&Cancelled> {
        self.get_ref().and_then(|inner| find(inner))
    }
}

impl MaybeCancelled for Box<dyn std::error::Error + Send + Sync> {
    fn cancelled(&self) -> Option<&Cancelled> {
        find(self.as_ref())
    }
}

#[cfg(feature = "anyhow")]
impl MaybeCancelled for anyhow::Error {
    fn cancelled(&self) -> Option<&Cancelled> {
        find(self.as_ref())
    }
}

/// Looks for a cancellation in an error and its sources.
pub(crate) fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Cancelled> {
    let mut next = Some(error);
    // A chain of sources is finite unless an error is its own source; this bounds that mistake.
    for _ in 0..SOURCES_MAX {
        let error = next?;
        if let Some(cancelled) = error.downcast_ref::<Cancelled>() {
            return Some(cancelled);
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(inner) = io.get_ref()
        {
            // `io::Error::source` is the source of its payload: the payload itself would be skipped.
            next = Some(inner);
            continue;
        }
        next = error.source();
    }
    None
}

const SOURCES_MAX: usize = 64;
