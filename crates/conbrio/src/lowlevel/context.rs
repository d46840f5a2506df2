//! Where the calling code runs.

use crate::sched::Worker;

/// Whether the calling thread runs a task of some runtime now.
///
/// For code that has no `cx` and would block its thread: in a task it had better say so. True in
/// everything that a task calls, also in [`Wait::abort`](super::Wait::abort); false on threads of
/// [`Cx::blocking`](crate::Cx::blocking) and on threads of the program's own.
///
/// # Examples
///
/// ```
/// use conbrio::lowlevel::in_task;
///
/// assert!(!in_task());
/// conbrio::run(|cx| {
///     assert!(in_task());
///     assert!(!cx.blocking(in_task).unwrap());
/// });
/// ```
#[must_use]
pub fn in_task() -> bool {
    Worker::current().is_some_and(|worker| worker.running().is_some())
}
