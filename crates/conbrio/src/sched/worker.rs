//! One worker: the queues, the reactor, the timers and the stacks of one thread.
//!
//! The worker lives in a frame of its thread; the one thread-local of the crate points to it. Leaves
//! report to it (completions, expired timers, the inbox), and it maps what they report to runnables.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conbrio_fiber::{PoolOptions, StackPool};
use conbrio_reactor::{Completion, Outcome, Reactor};

use crate::clock::{NEVER, Ticks};
use crate::timer::Timers;
use crate::util::atomic::Ordering;
use crate::util::cell_cache::CellCache;
use crate::util::choices::Choices;
use crate::util::footprint;
use crate::util::rng::Rng;

use super::alarm::NewAlarm;
use super::patience::Patience;
use super::queue::{ChildQueue, RunQueue};
use super::runnable::{Runnable, RunnableRef};
use super::shared::{Children, Remote, Shared, SharedOptions, Unstarted};
use super::sim::Simulation;

/// See the module's documentation.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    index: usize,
    /// The side that others see: one of those in `shared`.
    remote: NonNull<Remote>,
    /// Children that have not started: newest first here, oldest first for thieves.
    pub(super) children: ChildQueue,
    /// What was woken, oldest first, and local children.
    pub(super) woken: RunQueue,
    /// What gave way on its own: it comes after everything that waits to run now.
    pub(super) yielded: RunQueue,
    pub(super) reactor: Reactor,
    /// See `alarm.rs` for these two.
    pub(super) timers: RefCell<Timers>,
    pub(super) new_alarms: RefCell<Vec<NewAlarm>>,
    stacks: RefCell<StackPool>,
    cells: CellCache,
    pub(super) completions: RefCell<Vec<Completion>>,
    pub(super) expired: RefCell<Vec<u64>>,
    /// Counts what was picked; some choices are made every so many picks.
    pub(super) picks: Cell<u32>,
    /// Picks at which the reactor and the timers were last looked at.
    pub(super) polled_at: Cell<u32>,
    /// From this pick on, what has yielded is put behind what was woken, although that has not run dry.
    pub(super) yield_due: Cell<u32>,
    pub(super) seen_time_changes: Cell<u64>,
    /// How long this worker sleeps as the sentinel before it looks after the others.
    pub(super) watch: Cell<Duration>,
    pub(super) patience: Patience,
    /// When the stacks were last looked through for memory to give back.
    pub(super) tidied_up_at: Cell<Instant>,
    /// How many sleeps had ended, this worker's own included, when it last ended a nap as the sentinel.
    pub(super) seen_awakenings: Cell<u64>,
    /// Decides what is left open if the user gave a seed, or the run is simulated.
    pub(super) order: Option<Arc<Choices>>,
    /// In a simulated run: a task that was stopped in the middle of its turn, and goes on here.
    pub(super) preempted: Cell<Option<NonNull<Runnable>>>,
    pub(super) rng: Rng,
    fuel: u32,
    pub(super) current: Cell<Option<NonNull<Runnable>>>,
    /// What was queued and instruments have not been told of.
    pub(super) scheduled: RefCell<Vec<RunnableRef>>,
    /// Whether a task is resumed only to say where it has stopped.
    tracing: Cell<bool>,
    trace: Cell<Option<Backtrace>>,
}

/// What a worker leaves behind for one that comes after it on the same thread.
pub(crate) struct WorkerParts {
    reactor: Reactor,
    stacks: StackPool,
    cells: CellCache,
}

impl WorkerParts {
    /// Makes them for the calling thread.
    pub(crate) fn new(options: &SharedOptions) -> std::io::Result<WorkerParts> {
        Ok(WorkerParts {
            reactor: match options.world() {
                Some(world) => world.reactor()?,
                None => Reactor::with_ring(options.reactor, options.ring)?,
            },
            stacks: StackPool::new(PoolOptions::default()).map_err(std::io::Error::other)?,
            cells: CellCache::new(),
        })
    }
}

/// An I/O wait that lives in the waiting frame: what a reactor token points to.
pub(crate) struct IoWait {
    pub(crate) runnable: NonNull<Runnable>,
    pub(crate) sequence: u64,
    pub(crate) outcome: Cell<Option<Outcome>>,
}

thread_local! {
    /// The worker that runs on this thread. (Besides, `testing/panics.rs` has a thread-local that nothing
    /// but a panic hook reads. There are no others in the crate.)
    static CURRENT: Cell<Option<NonNull<Worker>>> = const { Cell::new(None) };
}

impl Worker {
    /// Makes the worker of the calling thread. Its reactor and stacks belong to this thread.
    pub(crate) fn new(
        shared: Arc<Shared>,
        index: usize,
        children: Children,
    ) -> std::io::Result<Worker> {
        let parts = WorkerParts::new(shared.options())?;
        Ok(Worker::from_parts(parts, shared, index, children))
    }

    /// As [`new`](Worker::new), of what an earlier worker has left.
    pub(crate) fn from_parts(
        parts: WorkerParts,
        shared: Arc<Shared>,
        index: usize,
        children: crossbeam_deque::Worker<Unstarted>,
    ) -> Worker {
        let WorkerParts { mut reactor, stacks, cells } = parts;
        let options = shared.options();
        if let Some(world) = options.world() {
            world.adopt(&mut reactor);
        }
        shared.remotes[index].set_notifier(reactor.notifier());
        let seed = options.seed;
        let timers = Timers::new(shared.timeline().now());
        Worker {
            index,
            remote: NonNull::from(&shared.remotes[index]),
            children: ChildQueue::new(children, shared.workers()),
            woken: RunQueue::new(),
            yielded: RunQueue::new(),
            reactor,
            timers: RefCell::new(timers),
            new_alarms: RefCell::default(),
            stacks: RefCell::new(stacks),
            cells,
            completions: RefCell::default(),
            expired: RefCell::default(),
            picks: Cell::new(0),
            polled_at: Cell::new(0),
            yield_due: Cell::new(0),
            seen_time_changes: Cell::new(0),
            watch: Cell::new(super::loop_::WATCH_MIN),
            patience: Patience::new(),
            tidied_up_at: Cell::new(Instant::now()),
            seen_awakenings: Cell::new(0),
            order: match &options.simulation {
                Some(simulation) => Some(Arc::clone(&simulation.choices)),
                None => seed.map(|seed| Arc::new(Choices::seeded(seed.wrapping_add(index as u64)))),
            },
            preempted: Cell::new(None),
            rng: Rng::new(seed.unwrap_or(0x5EED).wrapping_mul(31).wrapping_add(index as u64)),
            // In a simulated run each checkpoint may stop its worker.
            fuel: if options.simulation.is_some() { 1 } else { FUEL },
            current: Cell::new(None),
            scheduled: RefCell::default(),
            tracing: Cell::new(false),
            trace: Cell::new(None),
            shared,
        }
    }

    /// What the next worker on this thread may use. Called when no task is left.
    pub(crate) fn into_parts(self) -> WorkerParts {
        WorkerParts { reactor: self.reactor, stacks: self.stacks.into_inner(), cells: self.cells }
    }

    /// The worker of the calling thread.
    ///
    /// The reference is valid as long as the caller does not outlive the worker's loop, which holds for
    /// everything called from it: do not store it beyond the current task or thread.
    #[inline]
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

    #[inline]
    pub(crate) fn remote(&self) -> &Remote {
        // SAFETY: it lies in the boxed slice of `shared`, which is never replaced and lives as long as
        // this worker holds it.
        unsafe { self.remote.as_ref() }
    }

    /// What makes this a simulated run, if it is one.
    pub(crate) fn simulation(&self) -> Option<&Simulation> {
        self.shared.options().simulation.as_deref()
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        // Sockets and files affect each other in more ways than can be said, also when they are dropped.
        footprint::touch_everything_from_now_on();
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

    /// Queues what was woken.
    #[inline]
    pub(crate) fn push_woken(&self, runnable: NonNull<Runnable>) {
        if self.shared.instruments().is_observed() {
            self.note_scheduled(runnable);
        }
        self.woken.push(runnable);
    }

    /// Queues what gave way on its own.
    #[inline]
    pub(crate) fn push_yielded(&self, runnable: NonNull<Runnable>) {
        if self.shared.instruments().is_observed() {
            self.note_scheduled(runnable);
        }
        self.yielded.push(runnable);
    }

    /// Gives this worker to a task that nobody else knows of yet.
    #[inline]
    pub(crate) fn settle(&self, task: &Runnable) {
        task.settle_unseen_at(NonNull::from(self.remote()));
    }

    /// As `settle`, if there is no other worker that might run it.
    #[inline]
    pub(crate) fn settle_if_alone(&self, task: &Runnable) {
        if self.children.deque().is_none() {
            self.settle(task);
        }
    }

    /// Queues a child that starts here, or the main task: its home is this worker already.
    pub(crate) fn push_local_child(&self, runnable: NonNull<Runnable>) {
        if self.shared.instruments().is_observed() {
            // SAFETY: as above.
            unsafe { self.shared.tell_spawned(runnable) };
        }
        self.push_woken(runnable);
    }

    /// Queues a child whose closure is `Send`: here, or on a worker that has far fewer tasks.
    ///
    /// # Safety
    /// The runnable has not started, its closure may be sent, and the queue's reference is handed over.
    #[inline]
    pub(crate) unsafe fn push_child(&self, runnable: NonNull<Runnable>) {
        if self.shared.instruments().is_observed() {
            // SAFETY: the caller hands over a reference.
            unsafe { self.shared.tell_spawned_and_scheduled(runnable) };
        }
        if self.children.deque().is_some() {
            self.share_child(runnable);
        } else {
            self.children.push(Unstarted(runnable));
        }
    }

    /// As `push_child`, where there are other workers.
    fn share_child(&self, runnable: NonNull<Runnable>) {
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

    /// Counts a task that starts here.
    pub(crate) fn task_started(&self) {
        // Only this worker writes it: no read-modify-write is needed.
        let live = &self.remote().live;
        let tasks = live.load(Ordering::Relaxed) + 1;
        live.store(tasks, Ordering::Relaxed);
        self.cells.expect(tasks);
    }

    /// Counts a task that ends here.
    pub(crate) fn task_ended(&self) {
        let live = &self.remote().live;
        live.store(live.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Takes in everything that other threads have left in the inbox.
    pub(crate) fn drain_inbox(&self) {
        while !self.remote().inbox.is_empty() {
            if self.may_be_late() {
                self.drain_inbox_of_the_late();
                return;
            }
            for runnable in self.remote().inbox.take_all() {
                // SAFETY: just unlinked from our inbox.
                unsafe { Runnable::receive(runnable, self) };
            }
        }
    }

    /// How many tasks wait for their turn here, those in the inbox not counted.
    pub(crate) fn queued(&self) -> usize {
        self.woken.len() + self.children.len() + self.yielded.len()
    }

    /// The earliest deadline of this worker's tasks.
    pub(crate) fn next_deadline(&self) -> Ticks {
        self.timers().earliest().unwrap_or(NEVER)
    }
}

const FUEL: u32 = 128;
/// How many more tasks a worker must have than another before children go there.
const PLACEMENT_SLACK: usize = 16;
