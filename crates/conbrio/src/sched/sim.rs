//! Simulated runs: all workers on one thread, one step after the other, with every decision drawn from
//! one source.
//!
//! The workers are the real ones: queues, inboxes, timers, the cancel tree. Only what makes a run differ
//! from the next is replaced: which worker goes on, what it picks, when it is stopped in the middle of a
//! turn, what chance decides, and time, which jumps when nothing can run.
//!
//! Invariant: at most one worker is entered at a time, and between two steps none is. So everything that
//! the rest of the scheduler says about "the thread of a worker" holds for the steps of that worker.

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use conbrio_reactor::{Reactor, Timeout};

use crate::clock::{Idle, NEVER, Ticks};
use crate::util::abort::{AbortGuard, abort};
use crate::util::atomic::Ordering;
use crate::util::choices::Choices;

use super::runnable::Runnable;
use super::shared::{Remote, Shared};
use super::worker::Worker;

mod signals;
mod tasks;
mod trace;

pub(crate) use signals::{Bell, SimulatedSignals};
use tasks::Tasks;
pub(crate) use tasks::WHICH_TASK;
use trace::Tracing;
pub(crate) use trace::{Keep, Step, Trace, Turn};

/// What makes a runtime a simulated one.
#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) choices: Arc<Choices>,
    pub(crate) scheduling: Scheduling,
    /// How many steps a run may take before it counts as one that does not end.
    pub(crate) steps_max: u64,
    /// One of this many checkpoints stops its worker in favour of the others; zero for none.
    pub(crate) preempt_one_in: usize,
    /// One of this many steps is taken after time has jumped, although tasks could run; zero for none.
    pub(crate) delay_one_in: usize,
    /// What happens outside of the program.
    pub(crate) world: Option<Arc<dyn World>>,
    /// The signals that processes of the run get.
    pub(crate) signals: SimulatedSignals,
    pub(crate) on_stuck: Box<dyn OnStuck>,
    /// What the run is doing, for others to see.
    pub(crate) trace: Arc<Trace>,
}

/// Between what the decisions of a run are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheduling {
    /// Workers, with the queues of the real ones: placement, theft, a worker that is stopped.
    Workers,
    /// Tasks: whichever can run may go on at each checkpoint. There is one worker. See `tasks.rs`.
    Tasks,
}

/// What happens outside of the program, such as a network.
pub(crate) trait World: Send + Sync + std::fmt::Debug {
    /// When something happens next, in ticks since the start of the runtime.
    fn next_event(&self) -> Option<Ticks>;

    /// Lets everything happen that is due.
    fn advance(&self, now: Ticks);

    /// What a worker performs its I/O with in worlds of this kind.
    fn reactor(&self) -> std::io::Result<Reactor>;

    /// Takes a reactor of a world of this kind, perhaps of an earlier one, into this world.
    fn adopt(&self, reactor: &mut Reactor);
}

/// Why a simulated run does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// Nothing can ever run again.
    Deadlock,
    /// The limit of steps is reached.
    TooManySteps,
    /// The signal of this number has ended a process.
    EndedBySignal(i32),
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stuck::Deadlock => f.write_str("deadlock: nothing can run any more"),
            Stuck::TooManySteps => f.write_str("the limit of steps is reached"),
            Stuck::EndedBySignal(number) => {
                let name = signals::name_of(*number);
                write!(f, "{name} ended the process: nobody listened to the signal")
            }
        }
    }
}

/// Hears that a run does not go on. It may cancel the main task, so that the run ends after all; a run
/// that is stuck once more ends the process.
pub(crate) trait OnStuck: Send + Sync + std::fmt::Debug {
    /// Called between two steps, with nothing running. `tasks` lists all tasks, a line each, which takes
    /// its time.
    fn stuck(&self, why: Stuck, tasks: &dyn Fn() -> String);
}

/// What becomes of a task that passes a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtCheckpoint {
    GoesOn,
    /// Its worker is stopped, as if the system had taken the processor away: others go on, and this
    /// worker continues with this very task.
    IsPreempted,
    /// Its turn is over, as it is after many checkpoints: other tasks of its worker go on.
    GivesWay,
}

impl Simulation {
    /// Another worker than this one for a new child, now and then: what placement does under load.
    pub(super) fn place_elsewhere<'a>(&self, worker: &'a Worker) -> Option<&'a Remote> {
        if !self.choices.rarely("a child is placed on another worker", PLACED_ONE_IN) {
            return None;
        }
        let remotes = &worker.shared().remotes;
        let step = 1 + self.choices.below("where a child is placed", remotes.len() - 1);
        Some(&remotes[(worker.index() + step) % remotes.len()])
    }

    pub(crate) fn at_checkpoint(&self, worker: &Worker) -> AtCheckpoint {
        if self.scheduling == Scheduling::Tasks {
            return AtCheckpoint::IsPreempted;
        }
        let stops = self.preempt_one_in > 0
            && self.choices.rarely("a checkpoint stops its task", self.preempt_one_in);
        if !stops {
            AtCheckpoint::GoesOn
        } else if worker.shared().workers() == 1
            || self.choices.rarely("in favour of tasks of its worker", 2)
        {
            AtCheckpoint::GivesWay
        } else {
            AtCheckpoint::IsPreempted
        }
    }
}

/// Runs all workers of a simulated runtime on the calling thread until it stops.
pub(crate) fn run_simulated(workers: &[Worker], simulation: &Simulation) {
    let guard = AbortGuard::new("the simulator panicked");
    let tracing = Tracing::new(&simulation.trace);
    let run = Run { workers, simulation, shared: workers[0].shared(), tracing };
    run.until_stopped();
    for worker in workers {
        if worker.has_tasks() {
            abort("a simulated run ended with tasks alive");
        }
    }
    guard.disarm();
}

/// Placement must happen with few tasks, or a simulation of a small program would never see it.
const PLACED_ONE_IN: usize = 8;

struct Run<'a> {
    workers: &'a [Worker],
    simulation: &'a Simulation,
    shared: &'a Shared,
    tracing: Tracing<'a>,
}

impl Run<'_> {
    fn until_stopped(&self) {
        let mut ready = Vec::with_capacity(self.workers.len());
        let mut tasks = Tasks::default();
        let mut steps = 0;
        let mut stuck = None;
        loop {
            self.tracing.begins(self.simulation);
            // What has ended a process when the main task had ended is for whoever began the run.
            if !self.shared.is_stopping()
                && stuck.is_none()
                && let Some(number) = self.simulation.signals.take_end()
            {
                self.report(&mut stuck, Stuck::EndedBySignal(number));
            }
            let any = match self.simulation.scheduling {
                Scheduling::Workers => {
                    ready.clear();
                    ready.extend(self.workers.iter().filter(|worker| worker.is_ready()));
                    !ready.is_empty()
                }
                Scheduling::Tasks => tasks.collect(&self.workers[0], self),
            };
            if !any {
                if self.shared.is_stopping() {
                    return;
                }
                self.tracing.breaks();
                if !self.shared.wake_settlers() && !self.pass_time() {
                    self.report(&mut stuck, Stuck::Deadlock);
                }
                continue;
            }
            steps += 1;
            if steps == self.simulation.steps_max {
                self.report(&mut stuck, Stuck::TooManySteps);
                // What was cancelled gets as many steps again to come to its end.
                steps = 0;
            }
            self.delay();
            match self.simulation.scheduling {
                Scheduling::Workers => {
                    let choices = &self.simulation.choices;
                    let worker = ready[choices.below("which worker goes on", ready.len())];
                    worker.enter(|| worker.step(&self.tracing));
                }
                Scheduling::Tasks => tasks.step(&self.workers[0], self),
            }
        }
    }

    /// Now and then time passes although something could run.
    fn delay(&self) {
        let one_in = self.simulation.delay_one_in;
        if one_in > 0
            && self.next_event() != NEVER
            && self.simulation.choices.rarely("time passes meanwhile", one_in)
        {
            self.tracing.breaks();
            self.pass_time();
        }
    }

    /// When something happens that no task does.
    fn next_event(&self) -> Ticks {
        let timers = self.workers.iter().map(Worker::next_deadline).min().unwrap_or(NEVER);
        let world = self.simulation.world.as_ref().and_then(|world| world.next_event());
        timers.min(world.unwrap_or(NEVER)).min(self.simulation.signals.next_arrival())
    }

    /// Lets time jump to the next thing that happens. `false` if nothing ever will.
    fn pass_time(&self) -> bool {
        let next = self.next_event();
        let timeline = self.shared.timeline();
        if next == NEVER {
            return false;
        }
        if next > timeline.now() {
            let jumped = timeline.clock().on_idle(timeline.instant(next), Duration::MAX);
            if jumped != Idle::Jumped {
                return false;
            }
        } else {
            // It was due when it was set (a scope without time), and no worker has looked since.
            self.shared.time_changed();
        }
        if let Some(world) = &self.simulation.world {
            world.advance(timeline.now());
        }
        self.simulation.signals.advance(timeline.now());
        true
    }

    fn report(&self, before: &mut Option<Stuck>, why: Stuck) {
        let tasks = || self.shared.describe_tasks().lines;
        if let Some(before) = before {
            let what = self.simulation.trace.what();
            let tasks = tasks();
            abort(&format!(
                "{what}: {before}; the main task was cancelled, but some task does not end: {why}\n{tasks}"
            ));
        }
        *before = Some(why);
        self.simulation.on_stuck.stuck(why, &tasks);
    }
}

impl Worker {
    /// Whether a step of this worker would do anything.
    fn is_ready(&self) -> bool {
        self.preempted.get().is_some()
            || self.has_work()
            || self.time_was_changed()
            || (self.reactor.in_flight() > 0 && self.poll(Timeout::Now))
            || self.could_steal()
    }

    fn could_steal(&self) -> bool {
        !self.shared().injector.is_empty()
            || self.shared().remotes.iter().any(|remote| !remote.stealer.is_empty())
    }

    /// Takes one step: what came from outside, and one turn of one task, or a theft.
    fn step(&self, tracing: &Tracing<'_>) {
        self.drain_inbox();
        let preempted = self.preempted.take();
        if preempted.is_none() && self.time_was_changed() {
            self.look_around();
        }
        match preempted.or_else(|| self.pick()) {
            Some(task) => {
                tracing.runs(self, task);
                self.run_one(task);
                tracing.ran();
            }
            None => {
                self.steal();
            }
        }
    }

    /// Called by a task that stops in the middle of its turn.
    pub(crate) fn preempt(&self, task: NonNull<Runnable>) {
        debug_assert!(self.preempted.get().is_none());
        self.preempted.set(Some(task));
    }

    fn has_tasks(&self) -> bool {
        self.remote().live.load(Ordering::Relaxed) != 0 || self.reactor.in_flight() != 0
    }
}
