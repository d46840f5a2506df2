//! The task that waits for a blocking call, as the closure of the call sees it.

use std::fmt;
use std::sync::Arc;

use crate::cancel::Cancelled;
use crate::lowlevel::in_task;
use crate::task::{Cx, LocalKey, Locals};

use super::line::Line;
use super::request::hand_over;

/// The task that waits for a closure on a thread; handed to the closure of [`Cx::blocking_with`].
///
/// Through it the closure learns of cancellations, has the task run code that needs a `cx`, and sees the
/// task's [locals](Cx::with_local). It can be shared with further threads, such as those of a thread pool
/// on which the closure computes.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
///
/// let numbers: Vec<u64> = (0..1_000).collect();
/// let sum = conbrio::run(|cx| {
///     cx.blocking_with(|host| -> Result<u64, Cancelled> {
///         let mut sum = 0;
///         for chunk in numbers.chunks(100) {
///             host.check_cancelled()?;
///             sum += chunk.iter().sum::<u64>();
///         }
///         Ok(sum)
///     })?
/// });
/// assert_eq!(sum.unwrap(), 499_500);
/// ```
///
/// It belongs to its call, and does not leave it:
///
/// ```compile_fail
/// let mut kept = None;
/// conbrio::run(|cx| cx.blocking_with(|host| kept = Some(host))).unwrap();
/// kept.unwrap().check_cancelled().unwrap();
/// ```
pub struct Host {
    line: Arc<Line>,
    /// What the task sees. Nothing for a closure that may outlive the task.
    locals: Locals,
}

// SAFETY: `Line` locks; what `locals` leads to is `Sync` (rule 4 there), does not change (rule 1), and stays:
// the task does not leave the frames before the closure has ended, which does not end before its borrows do.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    /// # Safety
    /// The frames of `locals` live as long as this does.
    pub(super) unsafe fn new(line: Arc<Line>, locals: Locals) -> Host {
        Host { line, locals }
    }

    /// Fails if the task is cancelled.
    ///
    /// Call it now and then in a long computation. It costs a load. The task notices a cancellation while it
    /// waits, but its worker must find time for it, so that this may follow some microseconds later.
    ///
    /// # Errors
    ///
    /// The [`Cancelled`] that the task would get. Return it from the closure and pass it on with `?`, so that
    /// the cancelled scope takes it back.
    #[inline]
    pub fn check_cancelled(&self) -> Result<(), Cancelled> {
        match self.line.cancelled() {
            None => Ok(()),
            Some(cancelled) => Err(cancelled),
        }
    }

    /// Runs `f` in the task, and waits on this thread for its value.
    ///
    /// `f` gets the `cx` of the task, with its scopes, deadlines and locals: if the task is cancelled, `f`
    /// sees it at its first checkpoint. It may borrow from this thread, and wait as long as it likes. When
    /// several threads call this, the closures run one after the other.
    ///
    /// Costs two wake-ups of threads, some tens of microseconds.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the task has left before `f` ran, which only happens under
    /// [`Cx::blocking_or_abandon`]. Then `f` was dropped.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller. Panics if it is called in a task, which has a `cx` already and
    /// would block its worker; and on the thread of a call that was made inside of another closure of this
    /// function: the task is in that closure, which waits for the thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// let text = conbrio::run(|cx| {
    ///     cx.blocking_with(|host| {
    ///         let mut text = String::from("from a thread");
    ///         host.run(|cx| {
    ///             text.push_str(" and a task");
    ///             cx.sleep(Duration::from_micros(1))
    ///         })??;
    ///         Ok::<_, Cancelled>(text)
    ///     })?
    /// });
    /// assert_eq!(text.unwrap(), "from a thread and a task");
    /// ```
    #[track_caller]
    pub fn run<F, R>(&self, f: F) -> Result<R, Cancelled>
    where
        F: FnOnce(&mut Cx) -> R + Send,
        R: Send,
    {
        assert!(
            !in_task(),
            "`Host::run` was called in a task, which it would block: use the `cx` that is there"
        );
        assert!(
            !self.line.would_wait_for_itself(),
            "`Host::run` was called inside of a call that a closure of this `Host` waits for: the task would \
             wait for this thread, and this thread for the task; use the `Host` of the inner call"
        );
        let value = hand_over(f, |request| self.line.post(request));
        value.ok_or_else(|| {
            self.line
                .cancelled()
                .expect("a task leaves only after it has said that it is cancelled")
        })
    }

    /// The value that is bound to `key` in the task; see [`Cx::with_local`].
    ///
    /// Under [`Cx::blocking_or_abandon`] there is none: the closure may outlive what the task sees.
    pub fn local<T: Sync + 'static>(&self, key: &'static LocalKey<T>) -> Option<&T> {
        // SAFETY: the frames live as long as this, by the contract of `new`.
        unsafe { self.locals.find(key) }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("cancelled", &self.line.cancelled().is_some())
            .finish_non_exhaustive()
    }
}
