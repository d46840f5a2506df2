//! What a simulated run does: for a watchdog on another thread, and for a report in words.
//!
//! Owns the numbers of tasks: each gets the next one at its first turn, or when it is first a candidate
//! for one, so that with the same choices a task has the same number.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::util::atomic::{AtomicU64, Ordering};
use crate::util::footprint::{self, Footprint, Recording};

use super::{Runnable, Simulation, Worker};

/// What the simulated run, or one after the other, is doing. Shared with those who want to know.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Which step is being taken, by whom: see [`Running`]. Zero between two steps. Read by a watchdog,
    /// which only compares; nothing is published with it.
    running: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What is being run: a seed, say.
    what: String,
    /// By number, which begins with 1.
    names: Vec<String>,
    steps: u64,
    log: Option<Vec<Step>>,
    turns: Option<Vec<Turn>>,
}

/// What is kept of the steps of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// How many there were.
    Number,
    /// Who took them.
    Steps,
    /// What each of them touched.
    Turns,
}

/// One turn of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The number of the task.
    pub(crate) task: u32,
    /// Which worker, and of how many.
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    /// How many decisions had been made before that of who takes this step.
    pub(crate) begun: usize,
    /// How many when the task went on.
    pub(crate) decisions_before: usize,
}

/// One turn of one task where tasks are scheduled: from the decision about who takes it to the next one.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// The number of the task.
    pub(crate) task: u32,
    /// The numbers of all that could have taken it, in the order of the decision.
    pub(crate) candidates: Vec<u32>,
    /// How many decisions had been made before that one.
    pub(crate) decision: usize,
    /// Whether something happened before it that no task did, such as the passing of time.
    pub(crate) after_break: bool,
    pub(crate) footprint: Footprint,
}

/// A step that is being taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    step: u64,
    pub(crate) worker: u64,
    /// The number of the task.
    pub(crate) task: u64,
}

/// The step, the worker, the task: so many bits each, the lowest last.
const STEP_BITS: u32 = 24;
const WORKER_BITS: u32 = 8;
const TASK_BITS: u32 = 32;

impl Running {
    fn pack(self) -> u64 {
        let low = |value: u64, bits: u32| value & ((1 << bits) - 1);
        low(self.step, STEP_BITS) << (WORKER_BITS + TASK_BITS)
            | low(self.worker, WORKER_BITS) << TASK_BITS
            | low(self.task, TASK_BITS)
    }

    fn unpack(word: u64) -> Running {
        Running {
            step: word >> (WORKER_BITS + TASK_BITS),
            worker: (word >> TASK_BITS) & ((1 << WORKER_BITS) - 1),
            task: word & ((1 << TASK_BITS) - 1),
        }
    }
}

impl Trace {
    /// Says what runs from now on.
    pub(crate) fn begin(&self, what: String, keep: Keep) {
        let mut inner = self.lock();
        inner.what = what;
        inner.steps = 0;
        inner.names.clear();
        inner.log = (keep == Keep::Steps).then(Vec::new);
        inner.turns = (keep == Keep::Turns).then(Vec::new);
    }

    /// What is being run.
    pub(crate) fn what(&self) -> String {
        self.lock().what.clone()
    }

    /// The step that is being taken, if one is.
    pub(crate) fn running(&self) -> Option<Running> {
        match self.running.load(Ordering::Relaxed) {
            0 => None,
            word => Some(Running::unpack(word)),
        }
    }

    /// The name of a task.
    pub(crate) fn name(&self, task: u64) -> String {
        let index = usize::try_from(task).ok().and_then(|task| task.checked_sub(1));
        let inner = self.lock();
        index.and_then(|index| inner.names.get(index)).cloned().unwrap_or_default()
    }

    /// How many steps the last run took.
    pub(crate) fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Takes out the log, and the names of all tasks in the order of their numbers.
    pub(crate) fn take_log(&self) -> (Vec<Step>, Vec<String>) {
        let mut inner = self.lock();
        (inner.log.take().unwrap_or_default(), std::mem::take(&mut inner.names))
    }

    /// Takes out the turns of the last run, if they were to be kept.
    pub(crate) fn take_turns(&self) -> Vec<Turn> {
        self.lock().turns.take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side of the run.
pub(super) struct Tracing<'a> {
    trace: &'a Trace,
    steps: Cell<u64>,
    /// How many decisions had been made before this step.
    begun: Cell<usize>,
    is_logged: bool,
    /// While turns are kept.
    recording: Option<Recording>,
    after_break: Cell<bool>,
}

impl<'a> Tracing<'a> {
    pub(super) fn new(trace: &'a Trace) -> Tracing<'a> {
        let inner = trace.lock();
        Tracing {
            trace,
            steps: Cell::new(0),
            begun: Cell::new(0),
            is_logged: inner.log.is_some(),
            recording: inner.turns.is_some().then(Recording::start),
            after_break: Cell::new(false),
        }
    }

    /// The number of a task in this run.
    pub(super) fn number(&self, task: NonNull<Runnable>) -> u32 {
        // SAFETY: whoever asks has the task in a queue, which holds a reference.
        let runnable = unsafe { task.as_ref() };
        let number = runnable.number();
        if number.get() == 0 {
            let mut inner = self.trace.lock();
            // SAFETY: alive, as above.
            unsafe {
                (runnable.vtable().identify)(task, &mut |it| inner.names.push(it.name.to_owned()));
            }
            number.set(u32::try_from(inner.names.len()).unwrap_or(u32::MAX));
        }
        number.get()
    }

    /// From here on it is decided who takes the next step.
    pub(super) fn begins(&self, simulation: &Simulation) {
        if self.is_logged {
            self.begun.set(simulation.choices.made());
        }
    }

    /// It was just decided who takes the next turn.
    pub(super) fn chose(
        &self,
        simulation: &Simulation,
        candidates: impl ExactSizeIterator<Item = u32>,
        chosen: usize,
    ) {
        let Some(recording) = &self.recording else { return };
        let footprint = recording.take();
        // Before the lock, which is taken to give numbers.
        let candidates: Vec<u32> = candidates.collect();
        let was_decided = candidates.len() > 1;
        let mut inner = self.trace.lock();
        let Some(turns) = &mut inner.turns else { return };
        let after_break = self.after_break.replace(false);
        // What has happened since a break was done by no turn.
        if !after_break && let Some(last) = turns.last_mut() {
            last.footprint.add(footprint);
        }
        turns.push(Turn {
            task: candidates[chosen],
            candidates,
            decision: simulation.choices.made() - usize::from(was_decided),
            after_break,
            footprint: Footprint::default(),
        });
    }

    /// Something happens that no task does.
    pub(super) fn breaks(&self) {
        let Some(recording) = &self.recording else { return };
        let footprint = recording.take();
        if !self.after_break.replace(true)
            && let Some(last) = self.trace.lock().turns.as_mut().and_then(|turns| turns.last_mut())
        {
            last.footprint.add(footprint);
        }
    }

    /// A turn begins.
    pub(super) fn runs(&self, worker: &Worker, task: NonNull<Runnable>) {
        let number = self.number(task);
        // What it finds may depend on who has woken it: see `Runnable::wake_at_home`.
        footprint::touch(task.as_ptr());
        let step = self.steps.get() + 1;
        self.steps.set(step);
        let running = Running { step, worker: worker.index() as u64, task: number.into() };
        self.trace.running.store(running.pack(), Ordering::Relaxed);
        if self.is_logged
            && let Some(simulation) = worker.simulation()
            && let Some(log) = &mut self.trace.lock().log
        {
            log.push(Step {
                task: number,
                worker: worker.index(),
                workers: worker.shared().workers(),
                begun: self.begun.get(),
                decisions_before: simulation.choices.made(),
            });
        }
    }

    /// It is over.
    pub(super) fn ran(&self) {
        self.trace.running.store(0, Ordering::Relaxed);
    }
}

impl Drop for Tracing<'_> {
    fn drop(&mut self) {
        self.breaks();
        self.trace.lock().steps = self.steps.get();
    }
}

#[cfg(test)]
mod tests {
    use super::Running;

    #[test]
    fn what_runs_fits_into_a_word() {
        let running = Running { step: 1 << 20, worker: 3, task: u64::from(u32::MAX) };
        assert_eq!(Running::unpack(running.pack()), running);
    }
}
