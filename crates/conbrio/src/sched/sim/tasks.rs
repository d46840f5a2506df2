//! Scheduling by tasks: one worker, and at each checkpoint any task that can run may go on.
//!
//! This has every course that any number of workers can take, seen from the tasks. A task that is stopped
//! at a checkpoint while others go on is a task whose worker lost its processor there; two tasks in turn
//! are tasks of two workers. What more workers add are steps in which no code of the program runs:
//!
//! * A child is placed or stolen, a wake-up waits in an inbox: it does nothing but bring a task to where it
//!   can run. That is the same as letting the task come later, so it is no decision here.
//! * A request to cancel waits in the inbox of the worker that has to pass it on to the children of a
//!   task, or a worker is late to see that a deadline has passed. Until then the children do not hear of
//!   it, so this is a decision here, as far as the task has children; otherwise it is again the same as
//!   letting the task come later.
//!
//! What a task can ask of its worker, such as its number, is left out.
//! (`tests/sim/generated.rs` compares the two on programs drawn by chance.)
//!
//! Invariant: between two steps, everything that can run is in one of the three places of [`Tasks`].

use std::collections::VecDeque;
use std::ptr::NonNull;

use conbrio_reactor::Timeout;

use crate::util::footprint;

use super::{Run, Runnable, Scheduling, Worker};

/// What is decided here.
pub(crate) const WHICH_TASK: &str = "which task goes on";

/// Everything that can run.
#[derive(Default)]
pub(super) struct Tasks {
    /// Whoever was stopped at a checkpoint in the last step.
    stopped: Option<NonNull<Runnable>>,
    /// What was woken, what is new, and what was stopped earlier: the first came first.
    ready: VecDeque<NonNull<Runnable>>,
    /// What gave way on its own, and is to let all others go first.
    yielded: VecDeque<NonNull<Runnable>>,
}

impl Tasks {
    /// Takes over what can run on `worker`. `false` if there is nothing.
    pub(super) fn collect(&mut self, worker: &Worker, run: &Run<'_>) -> bool {
        // What yielded, first: to fire timers moves it to what was woken.
        while let Some(task) = worker.yielded.pop_oldest() {
            run.simulation.choices.gave_way(run.tracing.number(task));
            self.yielded.push_back(task);
        }
        if let Some(task) = worker.preempted.take() {
            debug_assert!(self.stopped.is_none(), "one task runs in a step");
            self.stopped = Some(task);
        }
        worker.enter(|| {
            if worker.time_was_changed() || !worker.shared().injector.is_empty() {
                // What it finds is not always for the sake of the last step.
                footprint::touch_everything();
                worker.look_around();
            }
            if worker.reactor.in_flight() > 0 {
                worker.poll(Timeout::Now);
            }
        });
        worker.enter(|| worker.drain_inbox());
        self.take_queued(worker);
        if self.len() == 0 {
            worker.enter(|| worker.drain_inbox_in_part(|| false));
            self.take_queued(worker);
        }
        self.len() > 0
    }

    fn len(&self) -> usize {
        usize::from(self.stopped.is_some()) + self.ready.len() + self.yielded.len()
    }

    fn take_queued(&mut self, worker: &Worker) {
        self.ready.extend(std::iter::from_fn(|| worker.woken.pop_oldest()));
        self.ready.extend(std::iter::from_fn(|| worker.children.pop_oldest()));
    }

    /// Runs one of them for one turn.
    pub(super) fn step(&mut self, worker: &Worker, run: &Run<'_>) {
        let mut chosen = 0;
        if self.len() > 1 {
            // To go on after a checkpoint is ordinary, and so is every order of those that come next. That
            // one which gave way comes before its turn is not: a task that waits for another by giving
            // way again and again would have endless courses.
            let ordinary = match (self.stopped, self.ready.len()) {
                (Some(_), _) | (None, 0) => 1,
                (None, ready) => ready,
            };
            chosen = run.simulation.choices.task(WHICH_TASK, ordinary, self.candidates(run));
        }
        run.tracing.chose(run.simulation, self.candidates(run), chosen);
        let task = self.take(chosen);
        worker.enter(|| {
            run.tracing.runs(worker, task);
            // Its worker looks into its inbox before it goes on with it.
            worker.receive_first(task);
            worker.run_one(task);
            run.tracing.ran();
        });
    }

    fn candidates<'a>(&'a self, run: &'a Run<'a>) -> Candidates<'a> {
        Candidates { tasks: self, next: 0, run }
    }

    fn get(&self, index: usize) -> Option<NonNull<Runnable>> {
        let index = match (self.stopped, index) {
            (Some(stopped), 0) => return Some(stopped),
            (Some(_), index) => index - 1,
            (None, index) => index,
        };
        let late = || self.yielded.get(index - self.ready.len());
        self.ready.get(index).or_else(late).copied()
    }

    /// Takes one out. A stopped task that was not chosen waits like the others.
    fn take(&mut self, index: usize) -> NonNull<Runnable> {
        let stopped = self.stopped.take();
        if index == 0
            && let Some(stopped) = stopped
        {
            return stopped;
        }
        let index = index - usize::from(stopped.is_some());
        let taken = match index.checked_sub(self.ready.len()) {
            None => self.ready.remove(index),
            Some(late) => self.yielded.remove(late),
        };
        self.ready.extend(stopped);
        taken.expect("one of those that were counted was chosen")
    }
}

/// The numbers of all that can run, in the order of `Tasks::get`.
struct Candidates<'a> {
    tasks: &'a Tasks,
    next: usize,
    run: &'a Run<'a>,
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let task = self.tasks.get(self.next)?;
        self.next += 1;
        Some(self.run.tracing.number(task))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.tasks.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Candidates<'_> {}

impl Worker {
    /// Whether the tasks here stand for those of many workers, of which any may be late.
    pub(crate) fn may_be_late(&self) -> bool {
        self.simulation().is_some_and(|it| it.scheduling == Scheduling::Tasks)
    }

    /// As `drain_inbox`, but keeps some back for now.
    pub(in crate::sched) fn drain_inbox_of_the_late(&self) {
        let choices = self.simulation().map(|simulation| &simulation.choices);
        self.drain_inbox_in_part(|| {
            choices.is_some_and(|it| it.rarely("a cancellation spreads later", LATE_ONE_IN))
        });
    }

    /// Takes in what others have left in the inbox, but for what `is_kept` says of tasks with children.
    fn drain_inbox_in_part(&self, mut is_kept: impl FnMut() -> bool) {
        let inbox = &self.remote().inbox;
        let mut kept = Vec::new();
        while !inbox.is_empty() {
            for task in inbox.take_all() {
                // SAFETY: in the inbox it had a reference. Nobody changes its chain of scopes now: it does
                // not run, or has called this itself.
                if unsafe { (task.as_ref().vtable().has_children)(task) } && is_kept() {
                    kept.push(task);
                } else {
                    // SAFETY: just unlinked from the inbox of this worker.
                    unsafe { Runnable::receive(task, self) };
                }
            }
        }
        for task in kept {
            // SAFETY: it was not received, so `in_inbox` is set, and the reference is still there.
            unsafe { inbox.push(task) };
        }
    }

    /// Takes in what was left in the inbox for `first`, and nothing else.
    fn receive_first(&self, first: NonNull<Runnable>) {
        let inbox = &self.remote().inbox;
        if inbox.is_empty() {
            return;
        }
        for task in inbox.take_all() {
            if task == first {
                // SAFETY: just unlinked from the inbox of this worker.
                unsafe { Runnable::receive(task, self) };
            } else {
                // SAFETY: as in `drain_inbox_in_part`.
                unsafe { inbox.push(task) };
            }
        }
    }
}

/// What is left in the inbox for a task with children is kept back once in so many times.
const LATE_ONE_IN: usize = 4;
