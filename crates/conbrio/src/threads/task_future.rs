//! Tasks as futures of other runtimes.
//!
//! The two sides share a [`Place`]: the task puts its outcome there, the future takes it. The invariant: the
//! future only listens. Whether it is polled, dropped or forgotten, and by whom, changes nothing for the task,
//! which belongs to the portal and runs to its end.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::blocking::Request;
use crate::cancel::Cancelled;
use crate::scope::CancelHandle;
use crate::task::Cx;
use crate::util::footprint;

use super::dispatch::Entry;
use super::portal::{Portal, PortalClosed};

impl Portal {
    /// Starts a task for a program with another runtime. The future is its value.
    ///
    /// The task is a child of the [`Cx::portal`] that this was made by: it begins at once, whether or not the
    /// future is polled, and runs to its end. Unlike an async block it is never dropped half-way: if the
    /// future is dropped, as the loser of a `select!` is, or forgotten, or its executor ends, the task goes on,
    /// and the portal waits for it. [`TaskFuture::cancel`] cancels it, and so does the end of the portal.
    ///
    /// The future may be polled by any executor and on any thread. It can be called from everywhere and never
    /// waits. Costs a spawn, a wake-up of a worker, and two allocations.
    ///
    /// # Examples
    ///
    /// Here the async program is a future that another thread blocks on; the example `inside_tokio` has a real
    /// one.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// conbrio::run(|cx| {
    ///     cx.portal(|cx, portal| {
    ///         let task = portal.start(|cx| cx.sleep(Duration::from_millis(1)).map(|()| 3 + 4));
    ///         // Somebody's executor; this one is our own.
    ///         let sum = cx.wait(async { task.await }).unwrap();
    ///         assert_eq!(sum.unwrap().unwrap(), 7);
    ///     });
    /// });
    /// ```
    pub fn start<F, R>(&self, f: F) -> TaskFuture<R>
    where
        F: FnOnce(&mut Cx) -> R + Send + 'static,
        R: Send + 'static,
    {
        let place = Arc::new(Place(Mutex::new(State::default())));
        let teller = Teller(Arc::clone(&place));
        let request: Request = Box::new(move |cx| teller.run(cx, f));
        // If it is closed the request comes back and is dropped, which says so.
        drop(self.push(Entry::Run(request)));
        TaskFuture { place: Some(place), portal: self.clone() }
    }
}

/// The value of a task, as a future for other runtimes. Made by [`Portal::start`].
///
/// # Errors
///
/// It is [`PortalClosed`] if the portal had closed before the task began. Then the closure was dropped.
///
/// # Panics
///
/// A panic of the task goes on in whoever polls. If nobody does before the future is dropped, it is the panic
/// of the portal, as one of a closure of [`Portal::run_soon`]: nothing is lost. The future also panics if it is
/// polled after it has completed.
#[must_use = "the task runs whether or not it is polled; use `drop` to say that its value is not wanted"]
pub struct TaskFuture<R> {
    /// Nothing when it has completed.
    place: Option<Arc<Place<R>>>,
    portal: Portal,
}

struct Place<R>(Mutex<State<R>>);

struct State<R> {
    outcome: Option<Result<std::thread::Result<R>, PortalClosed>>,
    /// Who is to poll when there is an outcome.
    waker: Option<Waker>,
    /// Cancels the task, as long as it runs.
    handle: Option<CancelHandle>,
    /// Asked for before the task has begun.
    is_cancelled: bool,
    /// Nobody takes the outcome any more.
    is_abandoned: bool,
    /// There has been an outcome.
    is_over: bool,
}

impl<R> TaskFuture<R> {
    /// Cancels the task, which sees it at its next checkpoint, and still runs to its end. The future completes
    /// with what it returns.
    pub fn cancel(&self) {
        let Some(place) = &self.place else { return };
        let mut state = place.lock();
        state.is_cancelled = true;
        let handle = state.handle.clone();
        drop(state);
        if let Some(handle) = handle {
            handle.cancel_with("the future of the task asked for it");
        }
    }

    /// Whether the task has ended, so that the next poll completes.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.place.as_ref().is_none_or(|place| place.lock().outcome.is_some())
    }
}

impl<R> Future for TaskFuture<R> {
    type Output = Result<R, PortalClosed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let place = self.place.as_ref().expect("a future is not polled after it has completed");
        // Cloned and dropped outside of the lock: that is code of others.
        let new = context.waker().clone();
        let mut state = place.lock();
        let Some(outcome) = state.outcome.take() else {
            let old = state.waker.replace(new);
            drop(state);
            drop(old);
            return Poll::Pending;
        };
        drop(state);
        self.place = None;
        match outcome {
            Ok(Ok(value)) => Poll::Ready(Ok(value)),
            Ok(Err(payload)) => resume_unwind(payload),
            Err(closed) => Poll::Ready(Err(closed)),
        }
    }
}

impl<R> Drop for TaskFuture<R> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let mut state = place.lock();
        state.is_abandoned = true;
        let (unwanted, waker) = (state.outcome.take(), state.waker.take());
        drop(state);
        drop(waker);
        if let Some(Ok(Err(payload))) = unwanted {
            // If the portal has ended in the meantime, there is nobody left to tell.
            let panics = Box::new(|| resume_unwind(payload));
            drop(self.portal.push(Entry::Soon(None, panics)));
        }
    }
}

/// The side of the task. Says how it ended; if it is dropped before it has run, that the portal is closed.
struct Teller<R>(Arc<Place<R>>);

impl<R> Teller<R> {
    fn run(self, cx: &mut Cx, f: impl FnOnce(&mut Cx) -> R) {
        let scoped = cx.cancel_scope(|cx, scope| -> Result<_, Cancelled> {
            let mut state = self.0.lock();
            state.handle = Some(scope.handle());
            let is_cancelled = state.is_cancelled;
            drop(state);
            if is_cancelled {
                scope.handle().cancel_with("the future of the task asked for it");
            }
            Ok(catch_unwind(AssertUnwindSafe(|| f(cx))))
        });
        let Ok(Some(outcome)) = scoped else { unreachable!("the body of the scope does not fail") };
        match self.0.finish(Ok(outcome)) {
            // Nobody else is there to hear of it.
            Some(Ok(Err(payload))) => resume_unwind(payload),
            unwanted => drop(unwanted),
        }
    }
}

impl<R> Drop for Teller<R> {
    fn drop(&mut self) {
        let unused = self.0.finish(Err(PortalClosed::new()));
        drop(unused);
    }
}

impl<R> Place<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        footprint::touch(self);
        // Nothing panics under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first outcome counts. Handed back if nobody takes it.
    fn finish(
        &self,
        outcome: Result<std::thread::Result<R>, PortalClosed>,
    ) -> Option<Result<std::thread::Result<R>, PortalClosed>> {
        let mut state = self.lock();
        if state.is_over {
            return Some(outcome);
        }
        state.is_over = true;
        let handle = state.handle.take();
        if state.is_abandoned {
            drop(state);
            return Some(outcome);
        }
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        drop(handle);
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }
}

impl<R> Default for State<R> {
    fn default() -> State<R> {
        State {
            outcome: None,
            waker: None,
            handle: None,
            is_cancelled: false,
            is_abandoned: false,
            is_over: false,
        }
    }
}

impl<R> fmt::Debug for TaskFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFuture")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
