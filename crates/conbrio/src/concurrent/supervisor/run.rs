//! Running a supervisor: one task that starts the others, hears how they end, and decides.
//!
//! Tasks tell their ends to a queue, and not to the nursery, which would cancel everything. When the
//! supervisor stops listening, the queue is closed: what is in it, and what comes later, goes to the
//! nursery after all. So no error and no panic is lost.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::lowlevel::ParkingLot;
use crate::nursery::{Child, Nursery, NurseryError};
use crate::task::Cx;

use super::super::schedule::Delays;
use super::{Ended, Restart, Strategy, Supervised, Supervisor, SupervisorError, TooManyRestarts};

impl<E: MaybeCancelled + Send + 'static> Supervisor<'_, E> {
    /// Starts the tasks, and returns when all of them are done.
    ///
    /// # Cancellation
    ///
    /// A checkpoint before each restart. On cancel nothing more is started; waits for the tasks, which see
    /// it.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::TooManyRestarts`] with the cause, [`SupervisorError::Failed`] if a task has failed
    /// that is not started again, [`SupervisorError::Cancelled`] if a scope outside was cancelled. In each
    /// case all tasks have been cancelled and have ended.
    ///
    /// # Panics
    ///
    /// A panic of a task goes on in the caller when all have ended; with
    /// [`restart_panics`](Supervisor::restart_panics) only that of one that has panicked too often.
    pub fn run(mut self, cx: &mut Cx) -> Result<(), SupervisorError<E>> {
        let tasks = std::mem::take(&mut self.tasks);
        let queue = Queue { told: VecDeque::new(), is_closed: false };
        let exits = ParkingLot::with_state(queue).named("a task to end");
        let mut limit = None;
        let ended = cx.nursery(|cx, n| {
            let mut shift = Shift {
                options: &mut self,
                n,
                tasks: &tasks,
                exits: &exits,
                live: tasks.iter().map(|_| None).collect(),
                delays: tasks.iter().map(|_| None).collect(),
                pending: VecDeque::new(),
                restarts: VecDeque::new(),
                kept: Vec::new(),
            };
            let stopped = catch_unwind(AssertUnwindSafe(|| shift.run(cx)));
            shift.close(cx);
            match stopped {
                Ok(Ok(())) | Ok(Err(Stop::Failed)) => Ok(None),
                Ok(Err(Stop::Cancelled(cancelled))) => Ok(Some(cancelled)),
                Ok(Err(Stop::TooMany(too_many))) => {
                    limit = Some(too_many);
                    n.cancel_with("a task was restarted too often");
                    Ok(None)
                }
                Err(payload) => resume_unwind(payload),
            }
        });
        match (ended, limit) {
            (Err(NurseryError::Failed(errors)), Some(limit)) => {
                Err(SupervisorError::TooManyRestarts { limit, errors: Some(errors) })
            }
            (Err(NurseryError::Failed(errors)), None) => Err(SupervisorError::Failed(errors)),
            (Err(NurseryError::Cancelled(cancelled)), _) | (Ok(Some(cancelled)), _) => {
                Err(SupervisorError::Cancelled(cancelled))
            }
            (Ok(None) | Err(NurseryError::Stopped(_)), Some(limit)) => {
                Err(SupervisorError::TooManyRestarts { limit, errors: None })
            }
            (Ok(None), None) => Ok(()),
            (Err(NurseryError::Stopped(_)), None) => unreachable!("the body returns a value"),
        }
    }
}

/// How a task has ended.
enum Exit<E> {
    Completed,
    Failed(E),
    Panicked(Box<dyn Any + Send>),
    /// The nursery has got the error, and knows whose cancellation it was.
    Cancelled,
}

/// What tasks have told, by their index.
struct Queue<E> {
    told: VecDeque<(usize, Exit<E>)>,
    is_closed: bool,
}

/// Why the supervisor does not go on.
enum Stop {
    Cancelled(Cancelled),
    TooMany(TooManyRestarts),
    /// The nursery has got the error.
    Failed,
}

impl From<Cancelled> for Stop {
    fn from(cancelled: Cancelled) -> Stop {
        Stop::Cancelled(cancelled)
    }
}

/// The supervisor at work.
struct Shift<'s, 'scope, 'env, 'a, E> {
    options: &'s mut Supervisor<'a, E>,
    n: &'scope Nursery<'scope, 'env, E>,
    tasks: &'env [Supervised<'a, E>],
    exits: &'env ParkingLot<Queue<E>>,
    /// `None` for a task whose end was heard of.
    live: Vec<Option<Child<'scope, ()>>>,
    /// What is left of the schedule of a task, and when it was used last.
    delays: Vec<Option<(Delays, Instant)>>,
    /// Ends that were heard of while another one was waited for.
    pending: VecDeque<(usize, Exit<E>)>,
    /// When there were restarts, for as long as it matters.
    restarts: VecDeque<Instant>,
    /// Errors that are not made good because a shutdown was requested.
    kept: Vec<E>,
}

impl<E: MaybeCancelled + Send + 'static> Shift<'_, '_, '_, '_, E> {
    fn run(&mut self, cx: &mut Cx) -> Result<(), Stop> {
        for index in 0..self.tasks.len() {
            self.start(index);
        }
        // Ends when all are done; the number of restarts is bounded for each period, and each round is a
        // checkpoint.
        while !self.pending.is_empty() || self.live.iter().any(Option::is_some) {
            let (index, exit) = match self.pending.pop_front() {
                Some(pending) => pending,
                None => self.next(cx)?,
            };
            self.decide(cx, index, exit)?;
        }
        Ok(())
    }

    fn start(&mut self, index: usize) {
        let (exits, task) = (self.exits, &self.tasks[index]);
        let catches_panics = self.options.catches_panics;
        let child = self.n.task(task.name.clone()).spawn(move |cx| {
            let outcome = match catches_panics {
                true => catch_unwind(AssertUnwindSafe(|| (task.run)(cx))),
                false => Ok((task.run)(cx)),
            };
            tell(exits, index, outcome)
        });
        self.live[index] = Some(child);
    }

    /// Waits for the next end of a task.
    fn next(&mut self, cx: &mut Cx) -> Result<(usize, Exit<E>), Cancelled> {
        cx.checkpoint()?;
        loop {
            let mut exits = self.exits.lock();
            if let Some((index, exit)) = exits.told.pop_front() {
                self.live[index] = None;
                return Ok((index, exit));
            }
            match exits.park(cx, &mut ()) {
                Ok(()) => {}
                Err(OrCancelled::Cancelled(cancelled)) => return Err(cancelled),
                Err(OrCancelled::Failed(broken)) => unreachable!("nobody breaks it: {broken}"),
            }
        }
    }

    fn decide(&mut self, cx: &mut Cx, index: usize, exit: Exit<E>) -> Result<(), Stop> {
        let restart = self.tasks[index].restart;
        let drains = cx.shutdown_requested();
        match exit {
            // The nursery is being cancelled, unless it was the task itself that we cancelled.
            Exit::Cancelled => Ok(()),
            Exit::Completed if restart != Restart::Always || drains => Ok(()),
            Exit::Panicked(payload) if restart == Restart::Never || drains => {
                resume_unwind(payload)
            }
            Exit::Failed(error) if restart == Restart::Never => {
                self.n.fail(cx, error);
                Err(Stop::Failed)
            }
            Exit::Failed(error) if drains => {
                self.kept.push(error);
                Ok(())
            }
            exit => self.restart(cx, index, exit),
        }
    }

    fn restart(&mut self, cx: &mut Cx, index: usize, exit: Exit<E>) -> Result<(), Stop> {
        let now = cx.now();
        let delay = match self.allowance(cx, index, now) {
            Ok(delay) => delay,
            Err(too_many) => {
                match exit {
                    Exit::Failed(error) => self.n.fail(cx, error),
                    Exit::Panicked(payload) => resume_unwind(payload),
                    Exit::Completed | Exit::Cancelled => {}
                }
                return Err(Stop::TooMany(too_many));
            }
        };
        self.report(index, &exit);
        let affected = match self.options.strategy {
            Strategy::OneForOne => index..index + 1,
            Strategy::OneForAll => 0..self.tasks.len(),
            Strategy::RestForOne => index..self.tasks.len(),
        };
        for other in affected.clone().rev() {
            self.end(cx, other)?;
        }
        if let Some(delay) = delay {
            cx.sleep(delay)?;
        }
        cx.checkpoint_if_cancelled()?;
        if !cx.shutdown_requested() {
            for other in affected {
                if self.tasks[other].restart != Restart::Never {
                    self.start(other);
                }
            }
        }
        Ok(())
    }

    /// Counts a restart, and says how long to wait before it.
    fn allowance(
        &mut self,
        cx: &Cx,
        index: usize,
        now: Instant,
    ) -> Result<Option<Duration>, TooManyRestarts> {
        let Supervisor { restarts_max, period, ref delays, .. } = *self.options;
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < period;
        self.restarts.retain(is_recent);
        let too_many = |allowed| TooManyRestarts {
            task: self.tasks[index].name.clone().into_owned(),
            allowed,
        };
        if self.restarts.len() >= restarts_max {
            return Err(too_many(Some((restarts_max, period))));
        }
        self.restarts.push_back(now);
        let Some(schedule) = delays else { return Ok(None) };
        let left = &mut self.delays[index];
        if left.as_ref().is_none_or(|(_, used)| !is_recent(used)) {
            *left = Some((schedule.delays_or_seed(|| cx.jitter_seed()), now));
        }
        let (left, used) = left.as_mut().expect("it was just made");
        let delay = left.next().ok_or_else(|| too_many(None))?;
        *used = now + delay;
        Ok(Some(delay))
    }

    /// Cancels a task if it runs, and waits until it has ended.
    fn end(&mut self, cx: &mut Cx, index: usize) -> Result<(), Cancelled> {
        // Ends that are not decided yet are made good by this restart, too.
        while let Some(at) = self.pending.iter().position(|(other, _)| *other == index) {
            let (_, exit) = self.pending.remove(at).expect("it was just found");
            self.report(index, &exit);
        }
        let Some(child) = &self.live[index] else { return Ok(()) };
        child.cancel();
        while self.live[index].is_some() {
            let (other, exit) = self.next(cx)?;
            if other == index {
                self.report(index, &exit);
            } else {
                self.pending.push_back((other, exit));
            }
        }
        Ok(())
    }

    fn report(&mut self, index: usize, exit: &Exit<E>) {
        let ended = match exit {
            Exit::Completed => Ended::Completed,
            Exit::Failed(error) => Ended::Failed(error),
            Exit::Panicked(payload) => Ended::Panicked(payload.as_ref()),
            Exit::Cancelled => return,
        };
        if let Some(report) = &mut self.options.on_restart {
            report(&self.tasks[index].name, ended);
        }
    }

    /// Hands what was told and not decided to the nursery, and lets it have what comes from now on.
    fn close(&mut self, cx: &mut Cx) {
        let mut exits = self.exits.lock();
        exits.is_closed = true;
        let told = std::mem::take(&mut exits.told);
        drop(exits);
        for error in self.kept.drain(..) {
            self.n.fail(cx, error);
        }
        for (_, exit) in self.pending.drain(..).chain(told) {
            match exit {
                Exit::Completed | Exit::Cancelled => {}
                Exit::Failed(error) => self.n.fail(cx, error),
                Exit::Panicked(payload) => {
                    self.n.spawn(move |_| -> Result<(), E> { resume_unwind(payload) });
                }
            }
        }
    }
}

/// Tells the supervisor how a task has ended, or the nursery if the supervisor does not listen.
fn tell<E: MaybeCancelled>(
    exits: &ParkingLot<Queue<E>>,
    index: usize,
    outcome: std::thread::Result<Result<(), E>>,
) -> Result<(), E> {
    let (exit, cancelled) = match outcome {
        Ok(Ok(())) => (Exit::Completed, None),
        Ok(Err(error)) if error.cancelled().is_some() => (Exit::Cancelled, Some(error)),
        Ok(Err(error)) => (Exit::Failed(error), None),
        Err(payload) => (Exit::Panicked(payload), None),
    };
    let mut exits = exits.lock();
    if !exits.is_closed {
        exits.told.push_back((index, exit));
        exits.unpark_all();
        return cancelled.map_or(Ok(()), Err);
    }
    drop(exits);
    match exit {
        Exit::Completed => Ok(()),
        Exit::Failed(error) => Err(error),
        Exit::Panicked(payload) => resume_unwind(payload),
        Exit::Cancelled => cancelled.map_or(Ok(()), Err),
    }
}
