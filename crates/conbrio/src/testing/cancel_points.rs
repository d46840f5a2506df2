//! Cancelling a piece of code at every point at which it can come to see a cancellation, one run each.
//!
//! A run counts the points that any task of its runtime passes while the trial is open, and cancels the
//! trial's scope at one of them. Runs follow each other until one ends before its point is reached; that
//! one was not cancelled. With one simulated worker the runs take the same course up to their point.

use std::any::Any;
use std::backtrace::Backtrace;
use std::convert::Infallible;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Builder, leaks, user_frames::user_frames};
use crate::run::Builder as RuntimeBuilder;
use crate::sched::{Moment, Observer};
use crate::scope::CancelHandle;
use crate::task::Cx;

/// Runs `body` again and again, and cancels what it does inside [`Trial::run`] at another point each time,
/// until every point had its run and one run was not cancelled. Returns how many points there were.
///
/// `body` makes what it needs, calls the code under test inside `trial.run`, and asserts what must hold
/// afterwards, whether the code was cancelled or not. Each run has a new runtime: a simulated one with one
/// worker, in which time jumps when nothing can run. [`CancelPoints`] has the options.
///
/// A *point* is every moment at which a cancellation may come to be seen: when a task passes a checkpoint,
/// when it is about to wait, and when it was woken and has not gone on yet (then what it waited for is
/// done, and must not be lost). Points of all tasks of the runtime count while the trial is open, so that
/// a task that waits is also cancelled after each thing that the others do meanwhile.
///
/// # Panics
///
/// If a run panics, or can never end: the message says at which point it was cancelled, and what the task
/// was doing there. If `body` does not call [`Trial::run`], or no point is passed in it. If there are more
/// points than [`CancelPoints::points_max`]. If it is called inside a task.
///
/// # Examples
///
/// Money must not vanish, whenever the transfer is cancelled:
///
/// ```
/// use conbrio::testing::cancel_at_every_checkpoint;
/// use conbrio::{Cancelled, Cx};
/// use std::cell::Cell;
/// use std::time::Duration;
///
/// type Account = Cell<i64>;
/// type Transfer = fn(&mut Cx, &Account, &Account, i64) -> Result<(), Cancelled>;
///
/// fn careless(cx: &mut Cx, from: &Account, to: &Account, sum: i64) -> Result<(), Cancelled> {
///     from.set(from.get() - sum);
///     cx.sleep(Duration::from_millis(10))?; // asks the other bank
///     to.set(to.get() + sum);
///     Ok(())
/// }
///
/// fn careful(cx: &mut Cx, from: &Account, to: &Account, sum: i64) -> Result<(), Cancelled> {
///     cx.sleep(Duration::from_millis(10))?;
///     from.set(from.get() - sum);
///     to.set(to.get() + sum);
///     Ok(())
/// }
///
/// fn check(transfer: Transfer) {
///     cancel_at_every_checkpoint(|cx, trial| {
///         let (from, to) = (Cell::new(100), Cell::new(0));
///         let outcome = trial.run(cx, |cx| transfer(cx, &from, &to, 30));
///         assert_eq!(from.get() + to.get(), 100, "money was lost");
///         // `Err` means that nothing has happened.
///         assert_eq!(to.get(), if outcome.is_ok() { 30 } else { 0 });
///     });
/// }
///
/// check(careful);
/// let failure = std::panic::catch_unwind(|| check(careless)).unwrap_err();
/// let message = failure.downcast_ref::<String>().unwrap();
/// assert!(message.contains("cancelled at point 1"), "{message}");
/// assert!(message.contains("money was lost"), "{message}");
/// ```
#[track_caller]
pub fn cancel_at_every_checkpoint(body: impl FnMut(&mut Cx, &Trial) + Send) -> usize {
    CancelPoints::new().run(body)
}

/// The options of [`cancel_at_every_checkpoint`].
///
/// # Examples
///
/// With sockets of the system, which are not simulated:
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::testing::CancelPoints;
///
/// CancelPoints::new().real(conbrio::Builder::new().workers(1)).run(|cx, trial| {
///     let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
///     let address = listener.local_addr().unwrap();
///     let mut client = TcpStream::connect(cx, address).unwrap();
///     let accepted = trial.run(cx, |cx| listener.accept(cx));
///     // The connection is not lost: whoever accepts next gets it.
///     let (mut server, _) = accepted.or_else(|_| listener.accept(cx)).unwrap();
///     server.write_all(cx, b"hello").unwrap();
///     assert_eq!(client.read(cx, &mut [0; 8]).unwrap(), 5);
/// });
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is cancelled before `run` is called"]
pub struct CancelPoints {
    runtime: Runtime,
    only: Option<usize>,
    points_max: usize,
}

#[derive(Clone, Debug)]
enum Runtime {
    Simulated(Builder),
    Real(RuntimeBuilder),
}

impl CancelPoints {
    /// Every point, in simulated runtimes with one worker, and at most 10,000 of them.
    pub fn new() -> CancelPoints {
        CancelPoints {
            runtime: Runtime::Simulated(Builder::new().workers(1)),
            only: None,
            points_max: POINTS_MAX,
        }
    }

    /// Runs in simulated runtimes with these options: another seed, or more workers.
    pub fn simulated(mut self, builder: Builder) -> CancelPoints {
        self.runtime = Runtime::Simulated(builder);
        self
    }

    /// Runs in real runtimes with these options.
    ///
    /// For I/O of the system and for threads. With one worker the runs are alike as far as the outside is;
    /// a run that cannot end is found only if the builder has its
    /// [`deadlock_check`](crate::Builder::deadlock_check) on. Give it a
    /// [`MockClock`](super::MockClock), so that no time is waited for.
    pub fn real(mut self, builder: RuntimeBuilder) -> CancelPoints {
        self.runtime = Runtime::Real(builder);
        self
    }

    /// Makes one run alone, cancelled at this point, counted from 1: to look closer at a failure.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn only(mut self, point: usize) -> CancelPoints {
        assert!(point > 0, "points are counted from 1");
        self.only = Some(point);
        self
    }

    /// How many points there may be; 10,000 if not set. The number of runs is one more, and the time that
    /// they take grows with its square.
    pub fn points_max(mut self, points: usize) -> CancelPoints {
        self.points_max = points;
        self
    }

    /// Makes the runs. See [`cancel_at_every_checkpoint`].
    ///
    /// # Panics
    ///
    /// As [`cancel_at_every_checkpoint`].
    #[track_caller]
    pub fn run(self, mut body: impl FnMut(&mut Cx, &Trial) + Send) -> usize {
        if let Some(point) = self.only {
            return self.run_once(point, &mut body);
        }
        let mut point = 1;
        loop {
            let passed = self.run_once(point, &mut body);
            if passed < point {
                return passed;
            }
            assert!(
                point < self.points_max,
                "the trial has more than {} points; make it smaller, or allow more with \
                 `CancelPoints::points_max`",
                self.points_max
            );
            point += 1;
        }
    }

    /// One run that is cancelled at `point`. Returns how many points it has passed.
    #[track_caller]
    fn run_once(&self, point: usize, body: &mut (impl FnMut(&mut Cx, &Trial) + Send)) -> usize {
        let state = Arc::new(State { point, progress: Mutex::default() });
        let trial = Trial { state: Arc::clone(&state) };
        let main = |cx: &mut Cx| {
            let is_first = cx.observe_runtime(Arc::clone(&state) as Arc<dyn Observer>);
            assert!(is_first, "a runtime has one trial");
            body(cx, &trial);
            if let Some(left) = leaks::left_in_worker(cx) {
                panic!("the run has left something behind in its runtime: {left}");
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| match self.runtime.clone() {
            Runtime::Simulated(builder) => builder.run(main),
            Runtime::Real(builder) => builder.run(main).expect("a runtime for the trial"),
        }));
        let progress = state.lock();
        if let Err(payload) = outcome {
            panic!("{}", progress.describe_failure(point, payload.as_ref()));
        }
        assert!(
            progress.was_opened,
            "the body has not called `Trial::run`: nothing can be cancelled"
        );
        assert!(
            progress.passed > 0,
            "no point was passed inside `Trial::run`: nothing can be cancelled there"
        );
        progress.passed
    }
}

impl Default for CancelPoints {
    fn default() -> CancelPoints {
        CancelPoints::new()
    }
}

/// One run of [`cancel_at_every_checkpoint`], which cancels what happens inside [`run`](Trial::run).
pub struct Trial {
    state: Arc<State>,
}

impl Trial {
    /// Runs `f` in a cancel scope, which is cancelled at the point that this run is for.
    ///
    /// Returns what `f` returns, as it is. A `Cancelled` in it belongs to a scope that has ended: look at
    /// it, and do not pass it on. What comes after this is not cancelled. It may be called several times in
    /// one run, one after the other, and by any task; what is not inside plays the other party.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    ///
    /// # Panics
    ///
    /// If another call has not returned yet.
    #[track_caller]
    pub fn run<T>(&self, cx: &mut Cx, f: impl FnOnce(&mut Cx) -> T) -> T {
        struct Close<'a>(&'a State);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                self.0.lock().open = None;
            }
        }
        assert!(
            self.state.lock().open.is_none(),
            "`Trial::run` was called while another call of it has not returned: a run cancels one scope"
        );
        let outcome: Result<Option<T>, Infallible> = cx.cancel_scope(|cx, scope| {
            let mut progress = self.state.lock();
            progress.was_opened = true;
            progress.open = Some(scope.handle());
            drop(progress);
            let _close = Close(&self.state);
            Ok(f(cx))
        });
        match outcome {
            Ok(Some(value)) => value,
            Ok(None) => unreachable!("only an error is taken back by a scope"),
        }
    }

    /// The point that this run is for, counted from 1. The last run does not reach it.
    #[must_use]
    pub fn point(&self) -> usize {
        self.state.point
    }

    /// Whether this run has come to its point, and what is inside [`run`](Trial::run) is cancelled, or was.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state.lock().cancelled_at.is_some()
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = self.state.lock();
        f.debug_struct("Trial")
            .field("point", &self.state.point)
            .field("passed", &progress.passed)
            .field("cancelled", &progress.cancelled_at.is_some())
            .finish_non_exhaustive()
    }
}

/// What a trial and the tasks of its runtime share.
struct State {
    /// The point at which the scope is cancelled.
    point: usize,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// How many points were passed inside the trial.
    passed: usize,
    was_opened: bool,
    /// The scope of the call of `Trial::run` that has not returned.
    open: Option<CancelHandle>,
    cancelled_at: Option<Place>,
}

/// Where a run was cancelled.
struct Place {
    task: String,
    moment: Moment,
    /// Its symbols are looked up only if the run fails.
    backtrace: Backtrace,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for State {
    fn passed(&self, task: &str, moment: Moment) {
        let mut progress = self.lock();
        let Some(open) = progress.open.clone() else { return };
        progress.passed += 1;
        if progress.passed != self.point {
            return;
        }
        let backtrace = Backtrace::force_capture();
        progress.cancelled_at = Some(Place { task: task.to_owned(), moment, backtrace });
        drop(progress);
        open.cancel_with(format!("the trial is cancelled at its point {}", self.point));
    }
}

impl Progress {
    fn describe_failure(&self, point: usize, payload: &(dyn Any + Send)) -> String {
        let cause = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("a panic whose payload is no text; its message stands above");
        match &self.cancelled_at {
            None => format!("not cancelled, before point {point}: {cause}"),
            Some(place) => format!(
                "cancelled at point {point}, where {place}\n\
                 this run alone: `CancelPoints::new().only({point})`\n\
                 it failed: {cause}"
            ),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task '{}' ", self.task)?;
        match self.moment {
            Moment::Checkpoint => f.write_str("passed a checkpoint")?,
            Moment::Wait(what) => write!(f, "was about to wait for {what}")?,
            Moment::Woken(what) => write!(f, "was woken from a wait for {what}")?,
        }
        for frame in user_frames(&self.backtrace) {
            write!(f, "\n  in {frame}")?;
        }
        Ok(())
    }
}

const POINTS_MAX: usize = 10_000;
