//! Cancel scopes, as a task uses them: enter, cancel, shield, move the deadline.

mod handle;

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

pub use handle::CancelHandle;

use crate::cancel::{
    CancelSource, Cancelled, MaybeCancelled, Notice, OrTimedOut, ScopeNode, TimedOut,
};
use crate::clock::{NEVER, Ticks};
use crate::sched::{Interrupt, Parked, Worker};
use crate::task::{Cx, Task};

/// A notice that names the running task, if there is one.
pub(crate) fn notice_here(
    source: CancelSource,
    reason: Option<String>,
    location: &'static Location<'static>,
) -> Notice {
    let running = Worker::current().and_then(Worker::running);
    // SAFETY: only tasks are run by workers of this crate, and the running one is alive.
    let task = running.map(|r| unsafe { r.cast::<Task>().as_ref() }.name().to_owned());
    Notice { reason, task, location: Some(location), ..Notice::new(source) }
}

/// A region of code that is cancelled as one; handed to the closure of [`Cx::cancel_scope`].
///
/// It stays in its task. To cancel from elsewhere, take a [`handle`](CancelScope::handle).
pub struct CancelScope<'a> {
    node: &'a ScopeNode,
    task: &'a Task,
    stays_in_its_task: PhantomData<*mut ()>,
}

impl CancelScope<'_> {
    /// Cancels the scope: whoever waits in it, from now on, fails with [`Cancelled`]. Repeating it has
    /// no effect.
    #[track_caller]
    pub fn cancel(&self) {
        let notice = notice_here(CancelSource::Explicit, None, Location::caller());
        self.node.cancel(self.task.worker(), notice);
    }

    /// As [`cancel`](CancelScope::cancel), with a reason that whoever is cancelled can read.
    #[track_caller]
    pub fn cancel_with(&self, reason: impl Into<String>) {
        let notice = notice_here(CancelSource::Explicit, Some(reason.into()), Location::caller());
        self.node.cancel(self.task.worker(), notice);
    }

    /// Asks the code in the scope to end gracefully, and cancels it when `grace` is over.
    ///
    /// [`Cx::shutdown_requested`] becomes true inside, and [`Cx::wait_shutdown`] returns.
    #[track_caller]
    pub fn shutdown(&self, grace: Duration) {
        let worker = self.task.worker();
        let notice = notice_here(CancelSource::Explicit, None, Location::caller());
        self.node.shut_down(worker, notice, worker.shared().timeline().after(grace));
    }

    /// Whether the scope was cancelled: by request, or because its deadline passed.
    pub fn is_cancelled(&self) -> bool {
        self.node.cancel_called()
    }

    /// The deadline of this scope itself.
    pub fn deadline(&self) -> Option<Instant> {
        self.task.worker().shared().timeline().instant(self.node.deadline())
    }

    /// Moves the deadline, or takes it away. A scope that is cancelled already stays so.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        let worker = self.task.worker();
        let ticks = deadline.map_or(NEVER, |at| worker.shared().timeline().ticks(at));
        self.node.set_deadline(worker, ticks);
    }

    /// Moves the deadline to `timeout` from now.
    pub fn set_timeout(&self, timeout: Duration) {
        let worker = self.task.worker();
        self.node.set_deadline(worker, worker.shared().timeline().after(timeout));
    }

    /// Whether cancellations of scopes outside are hidden inside this one.
    pub fn is_shielded(&self) -> bool {
        self.node.is_shielded()
    }

    /// Hides cancellations of scopes outside, or shows them again. The scope's own cancellation is never
    /// hidden.
    pub fn set_shield(&self, shield: bool) {
        self.node.set_shield(self.task.worker(), shield);
    }

    /// A handle that cancels this scope from anywhere. It may outlive the scope.
    pub fn handle(&self) -> CancelHandle {
        let shared = self.node.share(self.task.pointer());
        CancelHandle::new(shared, self.task.worker().shared().timeline())
    }
}

impl std::fmt::Debug for CancelScope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelScope")
            .field("cancelled", &self.is_cancelled())
            .field("shielded", &self.is_shielded())
            .field("deadline", &describe_deadline(self.task, self.node.deadline()))
            .finish()
    }
}

fn describe_deadline(task: &Task, deadline: Ticks) -> String {
    if deadline == NEVER {
        return "none".to_owned();
    }
    let now = task.worker().shared().timeline().now();
    if deadline >= now {
        format!("{:?} from now", Duration::from_nanos(deadline - now))
    } else {
        format!("{:?} ago", Duration::from_nanos(now - deadline))
    }
}

impl Cx {
    /// A scope that ends `timeout` from now.
    fn node_after(&self, shield: bool, timeout: Duration) -> ScopeNode {
        let deadline = self.task().worker().shared().timeline().after(timeout);
        if timeout.is_zero() {
            ScopeNode::expired(shield, deadline)
        } else {
            ScopeNode::new(shield, deadline)
        }
    }

    /// Enters a scope, runs `f` in it, and leaves the scope, whatever `f` does.
    fn in_scope<R>(
        &mut self,
        node: &ScopeNode,
        f: impl FnOnce(&mut Cx, &CancelScope<'_>) -> R,
    ) -> R {
        let task = self.anchor();
        let worker = task.worker();
        // SAFETY: on the home worker; the caller's `node` is left below, also if `f` panics.
        unsafe { node.enter(task.branch(), worker, None) };
        let scope = CancelScope { node, task, stays_in_its_task: PhantomData };
        let result = catch_unwind(AssertUnwindSafe(|| f(self, &scope)));
        // SAFETY: entered above; scopes nest, as they are closures.
        unsafe { node.leave(worker) };
        match result {
            Ok(result) => result,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// As `in_scope`; takes back the scope's own cancellation.
    fn in_absorbing_scope<R, E: MaybeCancelled>(
        &mut self,
        node: &ScopeNode,
        f: impl FnOnce(&mut Cx, &CancelScope<'_>) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        match self.in_scope(node, f) {
            Ok(value) => Ok(Some(value)),
            Err(error) => match error.cancelled() {
                Some(cancelled) if node.owns(cancelled) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Runs `f` in a cancel scope.
    ///
    /// `Ok(None)` if the scope was cancelled and `f` stopped for it. If `f` completes although the scope
    /// was cancelled, its value counts. A cancellation of a scope outside, and every other error, is
    /// passed on.
    ///
    /// Costs a few nanoseconds and allocates nothing, like all scopes.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| -> Result<(), Cancelled> {
    ///     let outcome = cx.cancel_scope(|cx, scope| -> Result<u32, Cancelled> {
    ///         scope.cancel();
    ///         cx.sleep_forever()?;
    ///         Ok(1)
    ///     })?;
    ///     assert_eq!(outcome, None);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn cancel_scope<R, E: MaybeCancelled>(
        &mut self,
        f: impl FnOnce(&mut Cx, &CancelScope<'_>) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        self.in_absorbing_scope(&ScopeNode::new(false, NEVER), f)
    }

    /// Runs `f`, and cancels it when `timeout` has passed: then the result is `Ok(None)`.
    ///
    /// The timeout counts from this call.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// conbrio::run(|cx| -> Result<(), Cancelled> {
    ///     let slow = cx.move_on_after(Duration::from_millis(1), |cx| cx.sleep_forever())?;
    ///     assert_eq!(slow, None);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn move_on_after<R, E: MaybeCancelled>(
        &mut self,
        timeout: Duration,
        f: impl FnOnce(&mut Cx) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        self.in_absorbing_scope(&self.node_after(false, timeout), |cx, _| f(cx))
    }

    /// Runs `f`, and cancels it at `deadline`: then the result is `Ok(None)`.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    pub fn move_on_at<R, E: MaybeCancelled>(
        &mut self,
        deadline: Instant,
        f: impl FnOnce(&mut Cx) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        let timeline = self.task().worker().shared().timeline();
        let deadline = timeline.ticks(deadline);
        let node = if deadline <= timeline.now() {
            ScopeNode::expired(false, deadline)
        } else {
            ScopeNode::new(false, deadline)
        };
        self.in_absorbing_scope(&node, |cx, _| f(cx))
    }

    /// Runs `f`, and fails with [`TimedOut`] if it has not completed when `timeout` has passed.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    ///
    /// # Errors
    ///
    /// [`OrTimedOut::TimedOut`] if `f` was cancelled by this deadline, [`OrTimedOut::Failed`] with any
    /// other error of `f`, such as the cancellation of a scope outside.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::{io, time::Duration};
    ///
    /// fn patient(cx: &mut Cx) -> io::Result<()> {
    ///     cx.fail_after(Duration::from_millis(1), |cx| cx.sleep_forever())?;
    ///     Ok(())
    /// }
    ///
    /// let error = conbrio::run(patient).unwrap_err();
    /// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    /// ```
    pub fn fail_after<R, E: MaybeCancelled>(
        &mut self,
        timeout: Duration,
        f: impl FnOnce(&mut Cx) -> Result<R, E>,
    ) -> Result<R, OrTimedOut<E>> {
        or_timed_out(self.move_on_after(timeout, f))
    }

    /// Runs `f`, and fails with [`TimedOut`] if it has not completed at `deadline`.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    ///
    /// # Errors
    ///
    /// As [`fail_after`](Cx::fail_after).
    pub fn fail_at<R, E: MaybeCancelled>(
        &mut self,
        deadline: Instant,
        f: impl FnOnce(&mut Cx) -> Result<R, E>,
    ) -> Result<R, OrTimedOut<E>> {
        or_timed_out(self.move_on_at(deadline, f))
    }

    /// Runs `f` with cancellations of all scopes outside hidden; they show again afterwards.
    ///
    /// For what must not be torn apart. Give it a limit with [`cleanup`](Cx::cleanup), so that it cannot
    /// hold up a cancellation for ever.
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| {
    ///     let _ = cx.cancel_scope(|cx, scope| {
    ///         scope.cancel();
    ///         assert!(cx.checkpoint().is_err());
    ///         cx.shield(|cx| assert!(cx.checkpoint().is_ok()));
    ///         cx.checkpoint()
    ///     });
    /// });
    /// ```
    pub fn shield<R>(&mut self, f: impl FnOnce(&mut Cx) -> R) -> R {
        self.in_scope(&ScopeNode::new(true, NEVER), |cx, _| f(cx))
    }

    /// Runs `f` shielded from cancellations outside, but for `limit` at most: `Ok(None)` if it took
    /// longer.
    ///
    /// The way to write cleanup that waits: say goodbye to a peer, flush, roll back.
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// fn work(cx: &mut Cx) -> Result<(), Cancelled> {
    ///     let result = cx.sleep_forever();
    ///     // Also when cancelled: half a second for the goodbye.
    ///     cx.cleanup(Duration::from_millis(500), |cx| cx.sleep(Duration::from_millis(1)))?;
    ///     result
    /// }
    /// # conbrio::run(|cx| cx.move_on_after(Duration::from_millis(1), work)).unwrap();
    /// ```
    pub fn cleanup<R, E: MaybeCancelled>(
        &mut self,
        limit: Duration,
        f: impl FnOnce(&mut Cx) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        self.in_absorbing_scope(&self.node_after(true, limit), |cx, _| f(cx))
    }

    /// The earliest deadline that is in force here, over all scopes and nurseries up to a shield.
    ///
    /// A cancelled scope counts as a deadline that has passed long ago.
    pub fn deadline(&self) -> Option<Instant> {
        self.look_up();
        self.task().worker().shared().timeline().instant(self.task().branch().deadline())
    }

    /// Whether a scope or nursery around the caller was asked to end gracefully, or is cancelled.
    ///
    /// Ask it where a loop could begin another round.
    pub fn shutdown_requested(&self) -> bool {
        self.look_up();
        self.task().branch().shutdown_requested()
    }

    /// Waits until a scope or nursery around the caller is asked to end gracefully.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// conbrio::run(|cx| -> Result<(), NurseryError<Cancelled>> {
    ///     cx.nursery(|_, n| {
    ///         n.spawn(|cx| {
    ///             cx.wait_shutdown()?;
    ///             cx.sleep(Duration::from_millis(1)) // say goodbye
    ///         });
    ///         n.shutdown(Duration::from_secs(5));
    ///         Ok(())
    ///     })
    /// })
    /// .unwrap();
    /// ```
    pub fn wait_shutdown(&mut self) -> Result<(), Cancelled> {
        self.checkpoint()?;
        loop {
            if self.shutdown_requested() {
                return self.checkpoint_if_cancelled();
            }
            self.begin_wait();
            let parked = self.park(Interrupt::OnShutdown, "a shutdown request");
            debug_assert_eq!(parked, Parked::Interrupted, "nobody wakes this wait");
        }
    }
}

fn or_timed_out<R, E>(result: Result<Option<R>, E>) -> Result<R, OrTimedOut<E>> {
    match result {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(OrTimedOut::TimedOut(TimedOut(()))),
        Err(error) => Err(OrTimedOut::Failed(error)),
    }
}
