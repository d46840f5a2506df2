//! Supervisors: tasks that are started again when they have ended.
//!
//! Here is what users see; `run.rs` does it, `error.rs` says why it was given up.

mod error;
mod run;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::cancel::MaybeCancelled;
use crate::task::Cx;

use super::schedule::Schedule;

pub use error::{SupervisorError, TooManyRestarts};

/// When a task of a [`Supervisor`] is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Whenever it has ended, also without an error.
    Always,
    /// When it has failed. If it ends without an error, it is done.
    OnFailure,
    /// Never. If it fails, so does the supervisor.
    Never,
}

/// How a task of a [`Supervisor`] has ended that is started again. Given to
/// [`on_restart`](Supervisor::on_restart).
#[derive(Debug)]
#[non_exhaustive]
pub enum Ended<'a, E> {
    /// Without an error.
    Completed,
    /// With this error, which is dropped afterwards.
    Failed(&'a E),
    /// With a panic that had this payload. Only with [`restart_panics`](Supervisor::restart_panics).
    Panicked(&'a (dyn Any + Send)),
}

/// Starts tasks, and starts them again when they have failed, but not too often.
///
/// A task is a closure that can be called again and again; it may borrow. Which others are started again
/// with it is the *strategy*, after Erlang's supervisors: [`one_for_one`](Supervisor::one_for_one),
/// [`one_for_all`](Supervisor::one_for_all), [`rest_for_one`](Supervisor::rest_for_one).
///
/// All tasks are children of one nursery, which is inside [`run`](Supervisor::run). Whoever cancels the scope
/// around that ends them all. Nothing is started again when a shutdown is requested.
///
/// # Examples
///
/// ```
/// use conbrio::concurrent::{Restart, Supervisor};
/// use conbrio::prelude::*;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use std::{io, time::Duration};
///
/// let tries = AtomicU32::new(0);
/// conbrio::run(|cx| {
///     Supervisor::one_for_one()
///         .restarts_max(5, Duration::from_secs(10))
///         .task("flaky", Restart::OnFailure, |cx| -> io::Result<()> {
///             cx.checkpoint()?;
///             match tries.fetch_add(1, Relaxed) {
///                 0..3 => Err(io::ErrorKind::ConnectionReset.into()),
///                 _ => Ok(()),
///             }
///         })
///         .run(cx)
/// })
/// .unwrap();
/// assert_eq!(tries.into_inner(), 4);
/// ```
#[must_use = "nothing is started before `run` is called"]
pub struct Supervisor<'a, E> {
    strategy: Strategy,
    restarts_max: usize,
    period: Duration,
    delays: Option<Schedule>,
    catches_panics: bool,
    on_restart: Option<Report<'a, E>>,
    tasks: Vec<Supervised<'a, E>>,
}

type Report<'a, E> = Box<dyn FnMut(&str, Ended<'_, E>) + 'a>;

type Run<'a, E> = Box<dyn Fn(&mut Cx) -> Result<(), E> + Send + Sync + 'a>;

struct Supervised<'a, E> {
    name: Cow<'static, str>,
    restart: Restart,
    run: Run<'a, E>,
}

#[derive(Clone, Copy, Debug)]
enum Strategy {
    OneForOne,
    OneForAll,
    RestForOne,
}

impl<'a, E: MaybeCancelled + Send + 'static> Supervisor<'a, E> {
    /// Only the task that has ended is started again.
    pub fn one_for_one() -> Supervisor<'a, E> {
        Supervisor::new(Strategy::OneForOne)
    }

    /// All tasks are started again: the others are cancelled before, the last one first, each when the one
    /// after it has ended.
    ///
    /// For tasks that cannot do without each other's state.
    pub fn one_for_all() -> Supervisor<'a, E> {
        Supervisor::new(Strategy::OneForAll)
    }

    /// The task that has ended and those that were given after it are started again: these are cancelled
    /// before, the last one first, each when the one after it has ended.
    ///
    /// For tasks each of which needs those before it.
    pub fn rest_for_one() -> Supervisor<'a, E> {
        Supervisor::new(Strategy::RestForOne)
    }

    fn new(strategy: Strategy) -> Supervisor<'a, E> {
        Supervisor {
            strategy,
            restarts_max: RESTARTS_MAX,
            period: PERIOD,
            delays: None,
            catches_panics: false,
            on_restart: None,
            tasks: Vec::new(),
        }
    }

    /// Gives up when more restarts than this would be made in a period; 3 in 5 seconds if not set.
    ///
    /// A restart of several tasks for the sake of one counts once.
    pub fn restarts_max(mut self, restarts: usize, period: Duration) -> Self {
        self.restarts_max = restarts;
        self.period = period;
        self
    }

    /// Waits before each restart as the schedule says, and gives up when it does. Without it a restart
    /// follows at once.
    ///
    /// The schedule begins anew for a task that has run for the period of
    /// [`restarts_max`](Supervisor::restarts_max) since its last restart.
    pub fn delays(mut self, schedule: Schedule) -> Self {
        self.delays = Some(schedule);
        self
    }

    /// Also starts tasks again that have panicked. Without it a panic cancels all, and goes on in the caller.
    ///
    /// What a panic has left half done in values that tasks share is not undone; a lock of `std` that was
    /// held is poisoned.
    pub fn restart_panics(mut self) -> Self {
        self.catches_panics = true;
        self
    }

    /// Calls `f` with the name of each task that has ended and is started again, and how it has ended: to
    /// report it. It runs in the task that called [`run`](Supervisor::run).
    pub fn on_restart(mut self, f: impl FnMut(&str, Ended<'_, E>) + 'a) -> Self {
        self.on_restart = Some(Box::new(f));
        self
    }

    /// Adds a task. They are started in the order in which they are added.
    pub fn task(
        mut self,
        name: impl Into<Cow<'static, str>>,
        restart: Restart,
        f: impl Fn(&mut Cx) -> Result<(), E> + Send + Sync + 'a,
    ) -> Self {
        self.tasks.push(Supervised { name: name.into(), restart, run: Box::new(f) });
        self
    }
}

/// As in Erlang, but for a little more patience.
const RESTARTS_MAX: usize = 3;
const PERIOD: Duration = Duration::from_secs(5);

impl<E> fmt::Debug for Supervisor<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: Vec<_> = self.tasks.iter().map(|task| (&task.name, task.restart)).collect();
        f.debug_struct("Supervisor")
            .field("strategy", &self.strategy)
            .field("restarts_max", &self.restarts_max)
            .field("period", &self.period)
            .field("tasks", &tasks)
            .finish_non_exhaustive()
    }
}
