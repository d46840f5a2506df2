//! Moments in which nothing can run: what a virtual clock, `settle` and the deadlock check wait for.
//!
//! All workers sleep, and none has risen between two looks. Nothing of this costs anything while
//! nobody watches: a load before a worker sleeps.

use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::clock::{Idle, NEVER, Ticks};
use crate::util::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::util::footprint;

use super::idle::SLEEPING;
use super::runnable::{Runnable, RunnableRef};
use super::shared::{Remote, Shared};

/// Who waits for quiet, and how many reasons there are to look for it.
pub(super) struct Quiet {
    /// The virtual clock or the deadlock check, if there is one, and every task in `settle`.
    watchers: AtomicUsize,
    settlers: Mutex<Vec<Settler>>,
    /// Counts up: a ticket that was used again would let a late withdrawal take out somebody else.
    tickets: AtomicU64,
    on_deadlock: OnceLock<OnDeadlock>,
}

/// What to do when nothing can ever run again. The scheduler knows no tasks: a layer above reports.
pub(crate) struct OnDeadlock {
    /// The root of everything that waits.
    pub(crate) main: NonNull<Runnable>,
    /// Lists all tasks, a line each. Called with `main`, while all workers of the runtime are stopped and
    /// everything that they have done is visible.
    pub(crate) describe: unsafe fn(NonNull<Runnable>) -> TaskList,
    /// Reports what was described. Does not return.
    pub(crate) report: fn(TaskList) -> !,
}

/// All tasks of a runtime, in words.
#[derive(Debug, Default)]
pub(crate) struct TaskList {
    pub(crate) count: usize,
    /// A line each, with where it has stopped below if that is known.
    pub(crate) lines: String,
}

// SAFETY: the pointer is only handed to `describe`, whose caller has stopped all workers.
unsafe impl Send for OnDeadlock {}
// SAFETY: as above.
unsafe impl Sync for OnDeadlock {}

struct Settler {
    cushion: Duration,
    task: RunnableRef,
    sequence: u64,
    ticket: u64,
}

/// Names one registration of a task that waits for quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SettleTicket(u64);

/// A quiet moment that may come: nobody has risen since `awakenings` was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prospect {
    awakenings: u64,
    /// How much real time must pass before it counts.
    pub(super) cushion: Duration,
}

impl Quiet {
    /// `always_watched` if not only `settle` needs to know.
    pub(super) fn new(always_watched: bool) -> Quiet {
        Quiet {
            watchers: AtomicUsize::new(usize::from(always_watched)),
            settlers: Mutex::new(Vec::new()),
            tickets: AtomicU64::new(0),
            on_deadlock: OnceLock::new(),
        }
    }

    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::SeqCst) != 0
    }
}

impl Shared {
    /// Registers a task that waits until all workers have been idle for `cushion` of real time.
    pub(crate) fn watch_for_quiet(
        &self,
        task: RunnableRef,
        sequence: u64,
        cushion: Duration,
    ) -> SettleTicket {
        footprint::touch_everything();
        self.quiet.watchers.fetch_add(1, Ordering::SeqCst);
        let mut settlers = self.quiet.settlers.lock().expect("nothing panics under this lock");
        let ticket = self.quiet.tickets.fetch_add(1, Ordering::Relaxed);
        settlers.push(Settler { cushion, task, sequence, ticket });
        drop(settlers);
        // Workers that sleep already, before anybody watched, look again and publish their deadlines.
        for remote in &self.remotes {
            remote.wake();
        }
        SettleTicket(ticket)
    }

    /// In a simulated run, when nothing can run: wakes the tasks in `settle` that have the shortest
    /// cushion. `false` if there is none.
    pub(super) fn wake_settlers(&self) -> bool {
        let mut settlers = self.quiet.settlers.lock().expect("nothing panics under this lock");
        let ready = self.take_settlers(&mut settlers);
        drop(settlers);
        let any = !ready.is_empty();
        for settler in ready {
            // SAFETY: a task that waits in `settle` is alive, and so is its runtime, which is being run.
            unsafe { Runnable::wake(settler.task.pointer(), settler.sequence) };
        }
        any
    }

    /// Takes out those with the shortest cushion.
    fn take_settlers(&self, settlers: &mut Vec<Settler>) -> Vec<Settler> {
        let shortest = settlers.iter().map(|s| s.cushion).min();
        let ready: Vec<Settler> =
            settlers.extract_if(.., |s| Some(s.cushion) == shortest).collect();
        self.quiet.watchers.fetch_sub(ready.len(), Ordering::SeqCst);
        ready
    }

    /// Takes back a registration; `false` if the task has been woken for it.
    pub(crate) fn stop_watching(&self, ticket: SettleTicket) -> bool {
        let mut settlers = self.quiet.settlers.lock().expect("nothing panics under this lock");
        let found = settlers.iter().position(|s| s.ticket == ticket.0);
        if let Some(at) = found {
            settlers.remove(at);
            self.quiet.watchers.fetch_sub(1, Ordering::SeqCst);
        }
        found.is_some()
    }

    /// Called by a worker that has lain down: if all have, says how long it must stay so.
    pub(super) fn quiet_prospect(&self) -> Option<Prospect> {
        let awakenings = self.crew.awakenings.load(Ordering::SeqCst);
        if self.crew.sleeping.load(Ordering::SeqCst) != self.workers() {
            return None;
        }
        let settlers = self.quiet.settlers.lock().expect("nothing panics under this lock");
        if let Some(cushion) = settlers.iter().map(|s| s.cushion).min() {
            return Some(Prospect { awakenings, cushion });
        }
        drop(settlers);
        let others_watch = self.timeline().clock().is_virtual() || self.options().deadlock_check;
        others_watch.then_some(Prospect { awakenings, cushion: Duration::ZERO })
    }

    /// Called after the cushion has passed without anything for the caller, which still lies.
    /// Makes the quiet moment count if it is one. Returns for how long to wait before asking again.
    pub(super) fn quiet_came(&self, prospect: Prospect, caller: &Remote) -> Option<Prospect> {
        // Held until the moment has counted: two workers that lay down last together must not both make
        // it count. Whoever is second finds `awakenings` changed.
        let mut settlers = self.quiet.settlers.lock().expect("nothing panics under this lock");
        // In this order: whatever leaves an inbox or ends a job has raised `awakenings` before.
        let jobs = self.jobs.load(Ordering::SeqCst);
        // A worker may have lain down with something in its inbox that it has not looked for again yet.
        let undelivered =
            !self.injector.is_empty() || self.remotes.iter().any(|r| !r.inbox.is_empty());
        let undisturbed = self.crew.sleeping.load(Ordering::SeqCst) == self.workers()
            && self.crew.awakenings.load(Ordering::SeqCst) == prospect.awakenings
            && self.all_lie();
        if undelivered || !undisturbed {
            return None;
        }
        // Tasks in `settle` come before the clock: time stands still while somebody waits for quiet.
        if let Some(shortest) = settlers.iter().map(|s| s.cushion).min() {
            if shortest > prospect.cushion {
                return Some(Prospect { cushion: shortest, ..prospect });
            }
            let ready = self.take_settlers(&mut settlers);
            // This worker rises before the lock is free, so that until it lies again nobody takes a
            // moment for quiet in which these tasks have not been woken yet.
            self.crew.rise(&caller.status);
            drop(settlers);
            for settler in ready {
                // SAFETY: a task that waits in `settle` is alive, and so is its runtime: we run in it.
                unsafe { Runnable::wake(settler.task.pointer(), settler.sequence) };
            }
            return None;
        }
        if jobs != 0 {
            return None;
        }
        let next = self.earliest();
        let next = (next != NEVER).then(|| self.timeline().instant(next)).flatten();
        // If the clock jumps it wakes every worker, and that raises `awakenings`, before this returns.
        match self.timeline().clock().on_idle(next, prospect.cushion) {
            Idle::Sleep => {
                self.report_deadlock(prospect);
                None
            }
            Idle::Jumped => None,
            Idle::AskAgainAfter(cushion) => Some(Prospect { cushion, ..prospect }),
        }
    }

    /// Ends the process with a report if nothing inside the runtime can ever make a task run again.
    /// Called under the lock of the settlers, of whom there is none. See `README.md`.
    fn report_deadlock(&self, prospect: Prospect) {
        let Some(on_deadlock) = self.quiet.on_deadlock.get() else {
            return;
        };
        self.crew.freeze();
        // In this order: who lies now stays where it is, so that what it has published and what is left
        // in its inbox is the last word.
        let for_ever = self.all_lie()
            && self.crew.awakenings.load(Ordering::SeqCst) == prospect.awakenings
            && self.jobs.load(Ordering::SeqCst) == 0
            && self.injector.is_empty()
            && self.remotes.iter().all(|r| r.inbox.is_empty())
            && self.remotes.iter().all(|r| r.in_flight.load(Ordering::SeqCst) == 0)
            && self.earliest() == NEVER
            && !self.is_stopping();
        if for_ever {
            // SAFETY: frozen, and all workers lie; the main task has not ended, or its worker would not
            // lie.
            let tasks = unsafe { (on_deadlock.describe)(on_deadlock.main) };
            (on_deadlock.report)(tasks);
        }
        self.crew.thaw();
    }

    /// Between two steps of a simulated run: lists all tasks.
    pub(super) fn describe_tasks(&self) -> TaskList {
        // SAFETY: no worker of a simulated run is entered now, they all belong to this thread, and the
        // main task has not ended, or the run would have.
        let describe = |on: &OnDeadlock| unsafe { (on.describe)(on.main) };
        self.quiet.on_deadlock.get().map(describe).unwrap_or_default()
    }

    /// Says what to do when nothing can ever run again. Called once, before the main task is queued.
    ///
    /// # Safety
    /// `main` stays alive until its worker has left its loop; `describe` may be called as it says.
    pub(crate) unsafe fn set_on_deadlock(&self, on_deadlock: OnDeadlock) {
        let first = self.quiet.on_deadlock.set(on_deadlock).is_ok();
        debug_assert!(first, "a runtime has one main task");
    }

    /// Whether every worker has lain down, by the word of each: the counts lag behind for a moment.
    fn all_lie(&self) -> bool {
        self.remotes.iter().all(|remote| remote.status.load(Ordering::SeqCst) == SLEEPING)
    }

    fn earliest(&self) -> Ticks {
        self.remotes
            .iter()
            .map(|remote| remote.earliest.load(Ordering::SeqCst))
            .min()
            .unwrap_or(NEVER)
    }
}
