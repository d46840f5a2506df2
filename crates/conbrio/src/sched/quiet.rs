//! Moments in which nothing can run: what a virtual clock and `settle` wait for.
//!
//! All workers sleep, and none has risen between two looks. Nothing of this costs anything while
//! nobody watches: one relaxed load before a worker sleeps.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::{Idle, NEVER, Ticks};
use crate::util::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::runnable::{Runnable, RunnableRef};
use super::shared::Shared;

/// Who waits for quiet, and how many reasons there are to look for it.
pub(super) struct Quiet {
    /// The virtual clock, if there is one, and every task in `settle`.
    watchers: AtomicUsize,
    settlers: Mutex<Vec<Settler>>,
    /// Counts up: a ticket that was used again would let a late withdrawal take out somebody else.
    tickets: AtomicU64,
}

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
    pub(super) fn new(clock_is_virtual: bool) -> Quiet {
        Quiet {
            watchers: AtomicUsize::new(usize::from(clock_is_virtual)),
            settlers: Mutex::new(Vec::new()),
            tickets: AtomicU64::new(0),
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
        self.quiet.watchers.fetch_add(1, Ordering::SeqCst);
        let mut settlers = self
            .quiet
            .settlers
            .lock()
            .expect("nothing panics under this lock");
        let ticket = self.quiet.tickets.fetch_add(1, Ordering::Relaxed);
        settlers.push(Settler {
            cushion,
            task,
            sequence,
            ticket,
        });
        drop(settlers);
        // Workers that sleep already, before anybody watched, look again and publish their deadlines.
        for remote in &self.remotes {
            remote.wake();
        }
        SettleTicket(ticket)
    }

    /// Takes back a registration; `false` if the task has been woken for it.
    pub(crate) fn stop_watching(&self, ticket: SettleTicket) -> bool {
        let mut settlers = self
            .quiet
            .settlers
            .lock()
            .expect("nothing panics under this lock");
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
        let settlers = self
            .quiet
            .settlers
            .lock()
            .expect("nothing panics under this lock");
        if let Some(cushion) = settlers.iter().map(|s| s.cushion).min() {
            return Some(Prospect {
                awakenings,
                cushion,
            });
        }
        drop(settlers);
        self.timeline().clock().is_virtual().then_some(Prospect {
            awakenings,
            cushion: Duration::ZERO,
        })
    }

    /// Called after the cushion has passed without anything for the caller, which still lies.
    /// Makes the quiet moment count if it is one. Returns for how long to wait before asking again.
    pub(super) fn quiet_came(&self, prospect: Prospect) -> Option<Prospect> {
        // Held until the moment has counted: two workers that lay down last together must not both make
        // it count. Whoever is second finds `awakenings` changed.
        let mut settlers = self
            .quiet
            .settlers
            .lock()
            .expect("nothing panics under this lock");
        // In this order: whatever leaves an inbox or ends a job has raised `awakenings` before.
        let jobs = self.jobs.load(Ordering::SeqCst);
        // A worker may have lain down with something in its inbox that it has not looked for again yet.
        let undelivered =
            !self.injector.is_empty() || self.remotes.iter().any(|r| !r.inbox.is_empty());
        let undisturbed = self.crew.sleeping.load(Ordering::SeqCst) == self.workers()
            && self.crew.awakenings.load(Ordering::SeqCst) == prospect.awakenings;
        if undelivered || !undisturbed {
            return None;
        }
        // Tasks in `settle` come before the clock: time stands still while somebody waits for quiet.
        if let Some(shortest) = settlers.iter().map(|s| s.cushion).min() {
            if shortest > prospect.cushion {
                return Some(Prospect {
                    cushion: shortest,
                    ..prospect
                });
            }
            let mut ready = Vec::new();
            settlers.retain_mut(|s| {
                if s.cushion == shortest {
                    // SAFETY: the settler holds a reference, so the runnable is alive.
                    let task = unsafe { RunnableRef::new(s.task.pointer()) };
                    ready.push((task, s.sequence));
                }
                s.cushion != shortest
            });
            self.quiet.watchers.fetch_sub(ready.len(), Ordering::SeqCst);
            // A task woken at home raises it only when this worker rises, and the lock is free before.
            self.crew.awakenings.fetch_add(1, Ordering::SeqCst);
            drop(settlers);
            for (task, sequence) in ready {
                // SAFETY: a task that waits in `settle` is alive, and so is its runtime: we run in it.
                unsafe { Runnable::wake(task.pointer(), sequence) };
            }
            return None;
        }
        if jobs != 0 {
            return None;
        }
        let next = self.earliest();
        let next = (next != NEVER)
            .then(|| self.timeline().instant(next))
            .flatten();
        // If the clock jumps it wakes every worker, and that raises `awakenings`, before this returns.
        match self.timeline().clock().on_idle(next, prospect.cushion) {
            Idle::Sleep | Idle::Jumped => None,
            Idle::AskAgainAfter(cushion) => Some(Prospect {
                cushion,
                ..prospect
            }),
        }
    }

    fn earliest(&self) -> Ticks {
        self.remotes
            .iter()
            .map(|remote| remote.earliest.load(Ordering::SeqCst))
            .min()
            .unwrap_or(NEVER)
    }
}
