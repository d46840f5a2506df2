//! One worker: the queues, the reactor, the timers and the stacks of one thread.
//!
//! The worker lives in a frame of its thread; the one thread-local of the crate points to it. Leaves
//! report to it (completions, expired timers, the inbox), and it maps what they report to runnables.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use conbrio_fiber::{PoolOptions, StackPool};
use conbrio_reactor::{Completion, Outcome, Reactor};

use crate::clock::{NEVER, Ticks};
use crate::timer::{TimerKey, Timers};
use crate::util::atomic::Ordering;
use crate::util::cell_cache::CellCache;
use crate::util::choices::Choices;
use crate::util::rng::Rng;

use super::runnable::Runnable;
use super::shared::{Remote, Shared, Unstarted};
use super::sim::Simulation;

/// See the module's documentation.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    index: usize,
    /// Children that have not started: newest first here, oldest first for thieves.
    pub(super) children: crossbeam_deque::Worker<Unstarted>,
    /// What was woken, oldest first, and local children.
    pub(super) woken: RefCell<VecDeque<NonNull<Runnable>>>,
    /// What gave way on its own: it comes after everything that waits to run now.
    pub(super) yielded: RefCell<VecDeque<NonNull<Runnable>>>,
    pub(super) reactor: Reactor,
    pub(super) timers: RefCell<Timers>,
    stacks: RefCell<StackPool>,
    cells: CellCache,
    pub(super) completions: RefCell<Vec<Completion>>,
    pub(super) expired: RefCell<Vec<u64>>,
    /// Counts what was picked; some choices are made every so many picks.
    pub(super) picks: Cell<u32>,
    /// Picks at which the reactor and the timers were last looked at.
    pub(super) polled_at: Cell<u32>,
    pub(super) seen_time_changes: Cell<u64>,
    /// How long this worker sleeps as the sentinel before it looks after the others.
    pub(super) watch: Cell<Duration>,
    /// Decides what is left open if the user gave a seed, or the run is simulated.
    pub(super) order: Option<Arc<Choices>>,
    /// In a simulated run: a task that was stopped in the middle of its turn, and goes on here.
    pub(super) preempted: Cell<Option<NonNull<Runnable>>>,
    pub(super) rng: Rng,
    fuel: u32,
    pub(super) current: Cell<Option<NonNull<Runnable>>>,
    /// Whether a task is resumed only to say where it has stopped.
    tracing: Cell<bool>,
    trace: Cell<Option<Backtrace>>,
}

/// A deadline that lives in a waiting frame. The first field of whatever the timer store points to.
#[repr(C)]
pub(crate) struct Alarm {
    /// Called on the home worker when the deadline has passed.
    pub(crate) fire: unsafe fn(NonNull<Alarm>, &Worker),
}

/// An I/O wait that lives in the waiting frame: what a reactor token points to.
pub(crate) struct IoWait {
    pub(crate) runnable: NonNull<Runnable>,
    pub(crate) sequence: u64,
    pub(crate) outcome: Cell<Option<Outcome>>,
}

thread_local! {
    /// The only thread-local of the crate: the worker that runs on this thread.
    static CURRENT: Cell<Option<NonNull<Worker>>> = const { Cell::new(None) };
}

impl Worker {
    /// Makes the worker of the calling thread. Its reactor and stacks belong to this thread.
    pub(crate) fn new(
        shared: Arc<Shared>,
        index: usize,
        children: crossbeam_deque::Worker<Unstarted>,
    ) -> std::io::Result<Worker> {
        let options = shared.options();
        let reactor = Reactor::new(options.reactor)?;
        let stacks = StackPool::new(PoolOptions::default()).map_err(std::io::Error::other)?;
        shared.remotes[index].set_notifier(reactor.notifier());
        let seed = options.seed;
        let timers = Timers::new(shared.timeline().now());
        Ok(Worker {
            index,
            children,
            woken: RefCell::default(),
            yielded: RefCell::default(),
            reactor,
            timers: RefCell::new(timers),
            stacks: RefCell::new(stacks),
            cells: CellCache::new(),
            completions: RefCell::default(),
            expired: RefCell::default(),
            picks: Cell::new(0),
            polled_at: Cell::new(0),
            seen_time_changes: Cell::new(0),
            watch: Cell::new(super::loop_::WATCH_MIN),
            order: match &options.simulation {
                Some(simulation) => Some(Arc::clone(&simulation.choices)),
                None => seed.map(|seed| Arc::new(Choices::seeded(seed.wrapping_add(index as u64)))),
            },
            preempted: Cell::new(None),
            rng: Rng::new(seed.unwrap_or(0x5EED).wrapping_mul(31).wrapping_add(index as u64)),
            // In a simulated run each checkpoint may stop its worker.
            fuel: if options.simulation.is_some() { 1 } else { FUEL },
            current: Cell::new(None),
            tracing: Cell::new(false),
            trace: Cell::new(None),
            shared,
        })
    }

    /// The worker of the calling thread.
    ///
    /// The reference is valid as long as the caller does not outlive the worker's loop, which holds for
    /// everything called from it: do not store it beyond the current task or thread.
    pub(crate) fn current<'a>() -> Option<&'a Worker> {
        // SAFETY: `enter` sets the pointer for the time in which the worker is borrowed by its loop.
        CURRENT.get().map(|worker| unsafe { &*worker.as_ptr() })
    }

    /// The worker of the calling thread if it is the one that `home` names.
    #[inline]
    pub(crate) fn current_if<'a>(home: NonNull<Remote>) -> Option<&'a Worker> {
        Worker::current().filter(|worker| std::ptr::eq(worker.remote(), home.as_ptr()))
    }

    /// Makes this the worker of the calling thread while `f` runs.
    pub(super) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.set(None);
            }
        }
        assert!(CURRENT.get().is_none(), "a thread runs one worker at a time");
        CURRENT.set(Some(NonNull::from(self)));
        let _leave = Leave;
        f()
    }

    /// Makes this thread look as if it ran no worker while `f` runs: in a simulated run, where what
    /// belongs on other threads runs on this one.
    pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
        struct Back(Option<NonNull<Worker>>);
        impl Drop for Back {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _back = Back(CURRENT.take());
        f()
    }

    /// How many checkpoints a task may pass in one turn.
    #[inline]
    pub(crate) fn fuel(&self) -> u32 {
        self.fuel
    }

    /// Resumes a task that has stopped, for the moment in which it says where; for reports only.
    pub(crate) fn trace(&self, task: NonNull<Runnable>) -> Option<Backtrace> {
        let before = self.current.replace(Some(task));
        self.tracing.set(true);
        // SAFETY: the caller knows that it is alive and has stopped. It stops again at once, so that no
        // reference passes on.
        unsafe { (task.as_ref().vtable().run)(task, self) };
        self.tracing.set(false);
        self.current.set(before);
        self.trace.take()
    }

    /// Whether the running task was resumed only for its trace.
    #[inline]
    pub(crate) fn is_tracing(&self) -> bool {
        self.tracing.get()
    }

    pub(crate) fn trace_taken(&self, trace: Backtrace) {
        self.trace.set(Some(trace));
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn remote(&self) -> &Remote {
        &self.shared.remotes[self.index]
    }

    /// What makes this a simulated run, if it is one.
    pub(crate) fn simulation(&self) -> Option<&Simulation> {
        self.shared.options().simulation.as_deref()
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    pub(crate) fn cells(&self) -> &CellCache {
        &self.cells
    }

    pub(crate) fn stacks(&self) -> &RefCell<StackPool> {
        &self.stacks
    }

    /// The runnable that runs now.
    #[inline]
    pub(crate) fn running(&self) -> Option<NonNull<Runnable>> {
        self.current.get()
    }

    /// Queues what was woken, or a local child.
    #[inline]
    pub(crate) fn push_woken(&self, runnable: NonNull<Runnable>) {
        self.woken.borrow_mut().push_back(runnable);
    }

    /// Queues what gave way on its own.
    #[inline]
    pub(crate) fn push_yielded(&self, runnable: NonNull<Runnable>) {
        self.yielded.borrow_mut().push_back(runnable);
    }

    /// Queues a child whose closure is `Send`: here, or on a worker that has far fewer tasks.
    ///
    /// # Safety
    /// The runnable has not started, its closure may be sent, and the queue's reference is handed over.
    #[inline]
    pub(crate) unsafe fn push_child(&self, runnable: NonNull<Runnable>) {
        if self.shared.workers() > 1 {
            if let Some(other) = self.lighter_worker() {
                other.placed.fetch_add(1, Ordering::Relaxed);
                other.deliver(runnable);
                return;
            }
            let backlog = !self.children.is_empty();
            self.children.push(Unstarted(runnable));
            // After a moment in which everybody slept there is no sentinel: the thief becomes it.
            if backlog || !self.shared.crew.sentinel.load(Ordering::Relaxed) {
                self.wake_a_thief();
            }
        } else {
            self.children.push(Unstarted(runnable));
        }
    }

    /// A worker with far fewer tasks than this one, or none.
    ///
    /// Started tasks never move, so the worker that accepts connections would keep them all. One other
    /// worker, drawn by chance, is compared (Mitzenmacher 2001, the power of two choices).
    fn lighter_worker(&self) -> Option<&Remote> {
        if let Some(simulation) = self.simulation() {
            return simulation.place_elsewhere(self);
        }
        let mine = self.remote().live.load(Ordering::Relaxed);
        if mine < PLACEMENT_SLACK {
            return None;
        }
        let step = 1 + self.rng.below(self.shared.workers() - 1);
        let other = &self.shared.remotes[(self.index + step) % self.shared.workers()];
        let theirs = other.load();
        (theirs + theirs / 8 + PLACEMENT_SLACK <= mine).then_some(other)
    }

    /// Takes in a child that another worker has placed here.
    pub(super) fn push_placed(&self, runnable: NonNull<Runnable>) {
        self.remote().placed.fetch_sub(1, Ordering::Relaxed);
        self.children.push(Unstarted(runnable));
    }

    /// Queues the main task, which runs here.
    pub(crate) fn adopt_main(&self, main: NonNull<Runnable>) {
        // SAFETY: just made, and its one reference is the queue's.
        unsafe { main.as_ref() }.settle_at(NonNull::from(self.remote()));
        self.push_woken(main);
    }

    /// Counts a task that starts here.
    pub(crate) fn task_started(&self) {
        // Only this worker writes it: no read-modify-write is needed.
        let live = &self.remote().live;
        live.store(live.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Counts a task that ends here.
    pub(crate) fn task_ended(&self) {
        let live = &self.remote().live;
        live.store(live.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Sets an alarm; `None` for [`NEVER`].
    ///
    /// # Safety
    /// The alarm stays in place until it has fired or was cancelled.
    pub(crate) unsafe fn set_alarm(&self, at: Ticks, alarm: NonNull<Alarm>) -> Option<TimerKey> {
        (at != NEVER)
            .then(|| self.timers.borrow_mut().insert(at, alarm.as_ptr().expose_provenance() as u64))
    }

    pub(crate) fn cancel_alarm(&self, key: TimerKey) {
        self.timers.borrow_mut().cancel(key);
    }

    /// How many alarms are set.
    pub(crate) fn alarms(&self) -> usize {
        self.timers.borrow().len()
    }

    /// Fires what has expired.
    pub(crate) fn fire_expired(&self) {
        if self.timers.borrow().is_empty() {
            return;
        }
        let now = self.shared.timeline().now();
        let mut expired = self.expired.take();
        self.timers.borrow_mut().expire(now, &mut expired);
        for payload in expired.drain(..) {
            let alarm: *mut Alarm = std::ptr::with_exposed_provenance_mut(payload as usize);
            if let Some(alarm) = NonNull::new(alarm) {
                // SAFETY: whoever set the alarm keeps it in place until it has fired; firing only marks
                // runnables, so no frame ends between the alarms of one batch.
                unsafe { (alarm.as_ref().fire)(alarm, self) };
            }
        }
        self.expired.replace(expired);
    }

    /// Takes in everything that other threads have left in the inbox.
    pub(crate) fn drain_inbox(&self) {
        while !self.remote().inbox.is_empty() {
            for runnable in self.remote().inbox.take_all() {
                // SAFETY: just unlinked from our inbox.
                unsafe { Runnable::receive(runnable, self) };
            }
        }
    }

    /// The earliest deadline of this worker's tasks.
    pub(crate) fn next_deadline(&self) -> Ticks {
        self.timers.borrow().earliest().unwrap_or(NEVER)
    }
}

const FUEL: u32 = 128;
/// How many more tasks a worker must have than another before children go there.
const PLACEMENT_SLACK: usize = 16;
