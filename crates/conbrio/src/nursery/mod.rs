//! Nurseries: blocks that own child tasks and end only after the last of them.

mod child;
mod core;
mod error;
mod shutdown;
mod start;

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::time::Duration;

pub use child::{Child, LocalChild, TaskBuilder};
pub use error::{Errors, NurseryError, NurseryPanic, Stopped};
pub use start::{StartError, Started};

use crate::cancel::{CancelSource, MaybeCancelled, Notice};
use crate::scope::{CancelHandle, notice_here};
use crate::task::Cx;

use self::core::NurseryCore;

/// Owns child tasks; handed to the closure of [`Cx::nursery`].
///
/// A child may borrow whatever outlives the nursery (`'env`), and the nursery itself (`'scope`), so that
/// children can spawn siblings. Children run on all workers, except those of
/// [`spawn_local`](Nursery::spawn_local).
///
/// There is no other way to start a task: nothing is detached, and when the call of `nursery` has
/// returned, every child has ended.
// `E: 'env` lets children borrow although `E` has regions of its own, as in `Box<dyn Error>`
// (`tests/ui/pass/boxed_errors_borrow.rs`).
pub struct Nursery<'scope, 'env: 'scope, E: 'env> {
    core: &'scope NurseryCore<E>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl Cx {
    /// Opens a nursery, runs `body` in it, waits for all children, and reports.
    ///
    /// The body and its children form one unit. The first of them that fails or panics cancels the
    /// others; all are joined, whatever happens; then the outcome is, in this order:
    ///
    /// 1. If there was a panic, it goes on in the caller, with its payload. (If there was more than one
    ///    failure, the payload is a [`NurseryPanic`] that holds all of them.)
    /// 2. If there was an error, `Err(NurseryError::Failed)` with every error, the first in time first.
    /// 3. If a scope outside was cancelled and the body or a child stopped for it,
    ///    `Err(NurseryError::Cancelled)`.
    /// 4. If the nursery was cancelled from inside and the body stopped for it,
    ///    `Err(NurseryError::Stopped)`.
    /// 5. Otherwise `Ok` with the body's value.
    ///
    /// `?` turns the error into [`std::io::Error`], `Box<dyn Error>`, `anyhow::Error`, or any type with
    /// `From<NurseryError<E>>`.
    ///
    /// A nursery costs a few dozen nanoseconds and allocates nothing.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself. At its end it waits for its children, however long they take: a
    /// cancellation reaches them and the wait goes on until they have ended.
    ///
    /// # Panics
    ///
    /// Panics of the body or of a child go on in the caller when all children have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// let numbers = vec![1_u64, 2, 3, 4];
    /// let sum = conbrio::run(|cx| {
    ///     let (left, right) = numbers.split_at(2);
    ///     cx.nursery(|cx, n| -> Result<u64, Cancelled> {
    ///         let mut left = n.spawn(|_| Ok(left.iter().sum::<u64>()));
    ///         let mut right = n.spawn(|_| Ok(right.iter().sum::<u64>()));
    ///         Ok(left.join(cx)? + right.join(cx)?)
    ///     })
    /// });
    /// assert_eq!(sum.unwrap(), 10);
    /// ```
    pub fn nursery<'env, F, R, E>(&mut self, body: F) -> Result<R, NurseryError<E>>
    where
        F: for<'scope> FnOnce(&mut Cx, &'scope Nursery<'scope, 'env, E>) -> Result<R, E>,
        E: MaybeCancelled + Send + 'static,
    {
        let task = self.anchor();
        let mut core = NurseryCore::new(task);
        // SAFETY: on the home worker; `core` is not moved before `leave` below, and nothing between
        // here and there unwinds: the body is caught, and the wait does not call foreign code.
        unsafe { core.node.enter(task.branch(), task.worker(), Some(&core.group)) };
        let nursery = Nursery { core: &core, scope: PhantomData, env: PhantomData };
        let body = catch_unwind(AssertUnwindSafe(|| body(self, &nursery)));
        let value = match body {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                core.fail(error, task.name(), "the body");
                None
            }
            Err(payload) => {
                core.panicked(payload, task.name(), "the body");
                None
            }
        };
        core.wait_for_children(self);
        // SAFETY: on the home worker, and no child is left.
        unsafe { core.node.leave(task.worker()) };
        core.result(value)
    }
}

impl<'scope, E> Nursery<'scope, '_, E>
where
    E: MaybeCancelled + Send + 'static,
{
    /// Starts a child that may run on any worker.
    ///
    /// The child begins when a worker has time for it; it stays on the worker that begins it. It always
    /// begins, also in a cancelled nursery, where it sees the cancellation at its first checkpoint. If
    /// it fails or panics, the nursery is cancelled and reports it, whatever happens to the handle.
    ///
    /// Allocates once. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let hits = AtomicU32::new(0);
    /// conbrio::run(|cx| {
    ///     cx.nursery(|_, n| -> Result<(), Cancelled> {
    ///         for _ in 0..10 {
    ///             n.spawn(|cx| {
    ///                 hits.fetch_add(1, Ordering::Relaxed);
    ///                 cx.checkpoint()
    ///             });
    ///         }
    ///         Ok(())
    ///     })
    /// })
    /// .unwrap();
    /// assert_eq!(hits.into_inner(), 10);
    /// ```
    pub fn spawn<F, T>(&'scope self, f: F) -> Child<'scope, T>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        self.core.spawn(self.core.default_options::<F>(), f)
    }

    /// Starts a child on the calling worker, where it stays: its closure and result need not be `Send`.
    ///
    /// `cx` is the proof of where the caller runs.
    ///
    /// # Panics
    ///
    /// If the caller runs in another runtime than the nursery.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| {
    ///     let count = Rc::new(Cell::new(0));
    ///     cx.nursery(|cx, n| -> Result<(), Cancelled> {
    ///         for _ in 0..3 {
    ///             let count = count.clone();
    ///             n.spawn_local(cx, move |cx| {
    ///                 count.set(count.get() + 1);
    ///                 cx.checkpoint()
    ///             });
    ///         }
    ///         Ok(())
    ///     })
    ///     .unwrap();
    ///     assert_eq!(count.get(), 3);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_local<F, T>(&'scope self, cx: &Cx, f: F) -> LocalChild<'scope, T>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + 'scope,
        T: 'scope,
    {
        self.core.spawn_local(self.core.default_options::<F>(), cx, f)
    }

    /// Names a child before it is spawned, or gives it another stack.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| {
    ///     cx.nursery(|_, n| -> Result<(), Cancelled> {
    ///         n.task("parser").stack_size(256 * 1024).spawn(|cx| {
    ///             assert_eq!(cx.task_name(), "parser");
    ///             Ok(())
    ///         });
    ///         Ok(())
    ///     })
    /// })
    /// .unwrap();
    /// ```
    pub fn task(
        &'scope self,
        name: impl Into<std::borrow::Cow<'static, str>>,
    ) -> TaskBuilder<'scope, E> {
        TaskBuilder::new(self.core, name.into())
    }

    /// Starts a child and waits until it says that it is ready.
    ///
    /// `f` gets a [`Started`]; the value given to [`Started::ready`] is returned here, and from then on
    /// the child belongs to this nursery. Before that it is inside this call: a cancellation of the
    /// caller reaches it, and what it fails with comes out here and does not harm the nursery.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself; waits for the child, which sees the cancellations of the caller.
    ///
    /// # Errors
    ///
    /// [`StartError::Failed`] with the child's error, [`StartError::Cancelled`] if it stopped for a
    /// cancellation of the caller, [`StartError::NeverReady`] if it returned without having said that it
    /// is ready.
    ///
    /// # Panics
    ///
    /// A panic of the child before it was ready goes on in the caller. Panics if the caller runs in
    /// another runtime than the nursery.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     cx.nursery(|cx, n| {
    ///         let address = n.start(cx, |cx, started| {
    ///             let mut listener = TcpListener::bind(cx, "127.0.0.1:0")?;
    ///             started.ready(listener.local_addr()?);
    ///             listener.accept(cx)?;
    ///             Ok(())
    ///         })?;
    ///         TcpStream::connect(cx, address)?;
    ///         Ok(())
    ///     })?;
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn start<F, V>(&'scope self, cx: &mut Cx, f: F) -> Result<V, StartError<E>>
    where
        F: FnOnce(&mut Cx, Started<'_, V, E>) -> Result<(), E> + Send + 'scope,
        V: Send + 'scope,
    {
        self.core.start(self.core.default_options::<F>(), cx, f)
    }

    /// Cancels the body and all children. Level-triggered: whoever waits in the nursery from now on
    /// fails with [`Cancelled`](crate::Cancelled). Repeating it has no effect.
    #[track_caller]
    pub fn cancel(&self) {
        self.core.group.cancel(notice_here(CancelSource::Explicit, None, Location::caller()));
    }

    /// As [`cancel`](Nursery::cancel), with a reason that whoever is cancelled can read.
    #[track_caller]
    pub fn cancel_with(&self, reason: impl Into<String>) {
        let reason = Some(reason.into());
        self.core.group.cancel(notice_here(CancelSource::Explicit, reason, Location::caller()));
    }

    /// Asks body and children to end gracefully, and cancels them when `grace` is over.
    ///
    /// [`Cx::shutdown_requested`] becomes true inside, and [`Cx::wait_shutdown`] returns. Nothing fails
    /// before the grace period is over.
    #[track_caller]
    pub fn shutdown(&self, grace: Duration) {
        let deadline = self.core.shared().timeline().after(grace);
        self.core
            .group
            .shut_down(notice_here(CancelSource::Explicit, None, Location::caller()), deadline);
    }

    /// A handle that cancels the nursery from anywhere, and may outlive it.
    pub fn handle(&self) -> CancelHandle {
        self.core.handle()
    }

    /// Keeps an error as if the body had returned it, and cancels the nursery.
    pub(crate) fn fail(&self, cx: &Cx, error: E) {
        self.core.fail(error, cx.task_name(), "the body");
    }

    /// How many children have not ended.
    pub fn child_count(&self) -> usize {
        self.core.group.live()
    }

    /// Whether the nursery itself was cancelled, by request, by a failure, or by a shutdown whose grace
    /// is over. Cancellations of scopes outside do not count.
    pub fn is_cancelled(&self) -> bool {
        self.core.group.is_cancelled()
    }
}

impl<'env, E: 'env> std::fmt::Debug for Nursery<'_, 'env, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nursery")
            .field("children", &self.core.group.live())
            .field("cancelled", &self.core.group.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// Used by the source notices of failures.
pub(crate) fn failure_notice(source: CancelSource, what: &str, verb: &str, task: &str) -> Notice {
    Notice {
        reason: Some(format!("{what} {verb}")),
        task: Some(task.to_owned()),
        ..Notice::new(source)
    }
}
