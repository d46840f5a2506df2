//! What the workers of one runtime share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use conbrio_reactor::Notifier;
use crossbeam_deque::{Injector, Stealer};

use crate::clock::{Clock, NEVER, Timeline};
use crate::instrument::Instruments;
use crate::util::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::util::footprint;
use crate::util::thread_pool::ThreadPool;

use super::idle::Crew;
use super::inbox::Inbox;
use super::observer::Observer;
use super::quiet::Quiet;
use super::runnable::Runnable;
use super::sim::{Simulation, World};
use super::worker::Worker;

/// A runnable that no worker has started: it may still go anywhere.
pub(crate) struct Unstarted(pub(super) NonNull<Runnable>);

// SAFETY: only runnables whose closure is `Send` are put into deques and the injector, and nothing of
// them has run yet (rule 2 of `runnable.rs`).
unsafe impl Send for Unstarted {}

/// The side of a worker that other threads see. Aligned so that two of them share no cache lines.
#[repr(align(128))]
pub(crate) struct Remote {
    index: usize,
    pub(super) inbox: Inbox,
    pub(super) status: AtomicU32,
    pub(super) stealer: Stealer<Unstarted>,
    /// Set once, before any task runs.
    notifier: OnceLock<Notifier>,
    /// Started tasks that have not ended. Written by its own worker only.
    pub(super) live: AtomicUsize,
    /// Children placed here that the worker has not taken in yet.
    pub(super) placed: AtomicUsize,
    /// The earliest deadline, published before sleeping while somebody watches for quiet.
    pub(super) earliest: AtomicU64,
    /// I/O waits that have not ended, published as `earliest` is.
    pub(super) in_flight: AtomicUsize,
    crew: Arc<Crew>,
}

impl Remote {
    pub(super) fn new(index: usize, stealer: Stealer<Unstarted>, crew: Arc<Crew>) -> Remote {
        Remote {
            index,
            inbox: Inbox::new(),
            status: AtomicU32::new(super::idle::AWAKE),
            stealer,
            notifier: OnceLock::new(),
            live: AtomicUsize::new(0),
            placed: AtomicUsize::new(0),
            earliest: AtomicU64::new(NEVER),
            in_flight: AtomicUsize::new(0),
            crew,
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Whether both belong to the same runtime.
    pub(crate) fn is_beside(&self, other: &Remote) -> bool {
        Arc::ptr_eq(&self.crew, &other.crew)
    }

    /// Takes a runnable into the inbox and wakes the worker if it sleeps.
    pub(super) fn deliver(&self, runnable: NonNull<Runnable>) {
        // SAFETY: the caller has set `in_inbox`, or hands over an unstarted runnable that is in no
        // other place, and in both cases a reference.
        unsafe { self.inbox.push(runnable) };
        self.wake();
    }

    /// Wakes the worker if it sleeps. Whoever makes something visible to it calls this afterwards.
    pub(super) fn wake(&self) -> bool {
        let woken = self.crew.wake(&self.status);
        if woken && let Some(notifier) = self.notifier.get() {
            notifier.notify();
        }
        woken
    }

    pub(super) fn set_notifier(&self, notifier: Notifier) {
        assert!(self.notifier.set(notifier).is_ok(), "a worker enters its place once");
    }

    /// How many children it has or is about to have: what placement compares.
    pub(super) fn load(&self) -> usize {
        self.live.load(Ordering::Relaxed) + self.placed.load(Ordering::Relaxed)
    }
}

/// Choices that concern every worker.
#[derive(Clone, Debug)]
pub(crate) struct SharedOptions {
    pub(crate) stack_bytes: usize,
    pub(crate) seed: Option<u64>,
    pub(crate) reactor: conbrio_reactor::Choice,
    pub(crate) ring: conbrio_reactor::RingOptions,
    pub(crate) blocking_threads_max: usize,
    pub(crate) blocking_idle: Duration,
    /// Whether a moment in which nothing can ever run again ends the process.
    pub(crate) deadlock_check: bool,
    pub(crate) simulation: Option<Arc<Simulation>>,
}

impl SharedOptions {
    /// What happens outside of the program, if that is simulated.
    pub(super) fn world(&self) -> Option<&dyn World> {
        self.simulation.as_ref()?.world.as_deref()
    }
}

/// The queue of children of one worker.
pub(crate) type Children = crossbeam_deque::Worker<Unstarted>;

/// What the workers of one runtime share.
pub(crate) struct Shared {
    pub(super) remotes: Box<[Remote]>,
    pub(super) injector: Injector<Unstarted>,
    pub(super) crew: Arc<Crew>,
    pub(super) quiet: Quiet,
    /// Closures that run on threads of the blocking pool now: virtual time stands still for them.
    pub(super) jobs: AtomicUsize,
    /// Counts the changes of the clock by other means than the passing of time.
    pub(super) time_changes: AtomicU64,
    stopping: AtomicBool,
    timeline: Timeline,
    pool: ThreadPool,
    options: SharedOptions,
    observer: OnceLock<Arc<dyn Observer>>,
    instruments: Instruments,
    run_values: Mutex<RunValues>,
}

/// Values of which each runtime has one, by their type and the address of their key.
pub(crate) type RunValues = HashMap<(TypeId, usize), Arc<dyn Any + Send + Sync>>;

impl Shared {
    /// The shared state, and a queue for each worker.
    pub(crate) fn new(
        workers: usize,
        clock: Arc<dyn Clock>,
        options: SharedOptions,
    ) -> (Arc<Shared>, Vec<Children>) {
        let crew = Arc::new(Crew::new());
        let queues: Vec<Children> = (0..workers).map(|_| Children::new_lifo()).collect();
        let remotes = queues
            .iter()
            .map(Children::stealer)
            .enumerate()
            .map(|(index, stealer)| Remote::new(index, stealer, Arc::clone(&crew)))
            .collect();
        let shared = Arc::new(Shared {
            remotes,
            injector: Injector::new(),
            crew,
            quiet: Quiet::new(clock.is_virtual() || options.deadlock_check),
            jobs: AtomicUsize::new(0),
            time_changes: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            timeline: Timeline::new(clock),
            pool: ThreadPool::new(options.blocking_threads_max, options.blocking_idle),
            options,
            observer: OnceLock::new(),
            instruments: Instruments::new(),
            run_values: Mutex::default(),
        });
        let weak: Weak<Shared> = Arc::downgrade(&shared);
        shared.timeline.clock().on_change(Arc::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.time_changed();
            }
        }));
        (shared, queues)
    }

    /// Who hears of the checkpoints of all tasks, if somebody does.
    #[inline]
    pub(crate) fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.observer.get()
    }

    /// Lets `observer` hear of the checkpoints of the tasks that start from now on. Returns whether it is
    /// the first one; there is one for a runtime.
    pub(crate) fn set_observer(&self, observer: Arc<dyn Observer>) -> bool {
        self.observer.set(observer).is_ok()
    }

    /// Who hears of what the scheduler does.
    #[inline]
    pub(crate) fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// The values that belong to the runtime as a whole.
    pub(crate) fn run_values(&self) -> &Mutex<RunValues> {
        footprint::touch(&raw const self.run_values);
        &self.run_values
    }

    /// Called when the last task has ended: a value may hold on to the runtime, which then held itself.
    pub(crate) fn drop_run_values(&self) {
        let values = std::mem::take(
            &mut *self.run_values.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        drop(values);
    }

    /// The threads on which blocking calls run.
    pub(crate) fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(crate) fn options(&self) -> &SharedOptions {
        &self.options
    }

    pub(crate) fn workers(&self) -> usize {
        self.remotes.len()
    }

    /// Tells every worker to leave its loop. Called when no task is left.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The clock was moved: every worker looks at its deadlines.
    pub(super) fn time_changed(&self) {
        self.time_changes.fetch_add(1, Ordering::SeqCst);
        self.wake_all();
        // Whoever moved the clock from inside sees the effect at once.
        if let Some(worker) =
            Worker::current().filter(|w| std::ptr::eq(&raw const **w.shared(), self))
        {
            worker.fire_expired();
        }
    }

    fn wake_all(&self) {
        for remote in &self.remotes {
            remote.wake();
        }
    }

    /// Takes an unstarted runnable from a thread that is no worker of this runtime.
    ///
    /// # Safety
    /// The runnable is unstarted, its closure `Send`, and the reference of the queue is handed over.
    pub(crate) unsafe fn inject(&self, runnable: NonNull<Runnable>) {
        if self.instruments.is_observed() {
            // SAFETY: the caller holds the reference of the queue.
            unsafe { self.tell_spawned_and_scheduled(runnable) };
        }
        self.injector.push(Unstarted(runnable));
        for remote in &self.remotes {
            if remote.wake() {
                break;
            }
        }
    }

    /// How many tasks have started and not ended, as seen by each worker in turn.
    pub(crate) fn live_tasks(&self) -> usize {
        self.remotes.iter().map(|remote| remote.live.load(Ordering::Relaxed)).sum()
    }

    /// How many children wait for any worker to take them.
    pub(crate) fn injected(&self) -> usize {
        self.injector.len()
    }

    /// How many workers sleep.
    pub(crate) fn sleeping_workers(&self) -> usize {
        self.crew.sleeping.load(Ordering::Relaxed)
    }

    /// Counts a job of the blocking pool that begins or ends.
    pub(crate) fn job_began(&self) {
        self.jobs.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn job_ended(&self) {
        if self.jobs.fetch_sub(1, Ordering::SeqCst) == 1 && self.quiet.is_watched() {
            // The task that the job woke may wait again already, and whoever was the last to lie down
            // then gave up because of the job: a worker lies down anew and looks once more.
            self.remotes[0].wake();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("workers", &self.workers())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
