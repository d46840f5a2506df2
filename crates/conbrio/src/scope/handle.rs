//! Handles that cancel a scope or a nursery from anywhere.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cancel::{CancelSource, ScopeShared};
use crate::clock::{NEVER, Timeline};

use super::notice_here;

/// Cancels a scope or a nursery from anywhere: other tasks, other threads, a thread that takes
/// signals (not a signal handler: it locks and allocates).
///
/// It may outlive the scope. Nobody is cancelled then; what is asked of it is only kept in mind, so that
/// [`is_cancelled`](CancelHandle::is_cancelled) says whether anybody has ever asked.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
///
/// conbrio::run(|cx| {
///     let outcome = cx.cancel_scope(|cx, scope| {
///         let handle = scope.handle();
///         let thread = std::thread::spawn(move || handle.cancel());
///         let result = cx.sleep_forever();
///         thread.join().unwrap();
///         result
///     });
///     assert!(matches!(outcome, Ok(None)));
/// });
/// ```
#[derive(Clone)]
pub struct CancelHandle {
    shared: Arc<ScopeShared>,
    timeline: Timeline,
}

impl CancelHandle {
    pub(crate) fn new(shared: Arc<ScopeShared>, timeline: &Timeline) -> CancelHandle {
        CancelHandle { shared, timeline: timeline.clone() }
    }

    /// Cancels the scope. Repeating it has no effect.
    #[track_caller]
    pub fn cancel(&self) {
        self.shared.cancel(notice_here(CancelSource::Explicit, None, Location::caller()));
    }

    /// As [`cancel`](CancelHandle::cancel), with a reason that whoever is cancelled can read.
    #[track_caller]
    pub fn cancel_with(&self, reason: impl Into<String>) {
        let reason = Some(reason.into());
        self.shared.cancel(notice_here(CancelSource::Explicit, reason, Location::caller()));
    }

    /// Asks the code in the scope to end gracefully, and cancels it when `grace` is over.
    #[track_caller]
    pub fn shutdown(&self, grace: Duration) {
        let notice = notice_here(CancelSource::Explicit, None, Location::caller());
        self.shared.shut_down(notice, self.timeline.after(grace));
    }

    /// Moves the scope's deadline, or takes it away. A scope that is cancelled already stays so.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.shared.set_deadline(deadline.map_or(NEVER, |at| self.timeline.ticks(at)));
    }

    /// Hides cancellations outside the scope from its inside, or shows them again.
    pub fn set_shield(&self, shield: bool) {
        self.shared.set_shield(shield);
    }

    /// Whether the scope was cancelled: by anybody, or by its deadline. Also if that was after the scope had
    /// been left, when it had no effect.
    pub fn is_cancelled(&self) -> bool {
        self.shared.notice().is_some()
    }

    /// Whether the scope has not been left yet.
    pub fn is_open(&self) -> bool {
        self.shared.is_open()
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle")
            .field("cancelled", &self.is_cancelled())
            .field("open", &self.is_open())
            .finish()
    }
}
