//! The options of a runtime, and what became of them.

use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::ptr::NonNull;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use conbrio_fiber::{AlternateStack, install_overflow_handler};
use conbrio_reactor::{Choice, RingOptions};

use crate::clock::{Clock, SystemClock};
use crate::instrument::Instrument;
use crate::sched::{
    Children, OnDeadlock, Shared, SharedOptions, Simulation, Worker, WorkerParts, run_simulated,
};
use crate::task::{Cx, TaskOptions};
use crate::util::abort::AbortGuard;

use super::deadlock::{describe, report};
use super::main_task::new_main;
use super::reactor::{self, Reactor};

type Hook = Arc<dyn Fn(usize) + Send + Sync>;
type Naming = Arc<dyn Fn(usize) -> String + Send + Sync>;

/// What one simulated run on a thread leaves for the next.
#[derive(Default)]
pub(crate) struct SpareParts {
    /// What the first worker will use is the last.
    of_workers: Vec<WorkerParts>,
    signal_stack: Option<AlternateStack>,
}

/// The options of a runtime.
///
/// # Examples
///
/// ```
/// let workers = conbrio::Builder::new()
///     .workers(2)
///     .stack_size(128 * 1024)
///     .run(|cx| cx.runtime().workers)?;
/// assert_eq!(workers, 2);
/// # Ok::<(), conbrio::RuntimeError>(())
/// ```
#[derive(Clone)]
#[must_use = "a runtime begins when `run` is called"]
pub struct Builder {
    workers: Option<usize>,
    stack_bytes: usize,
    thread_name: Naming,
    on_thread_start: Option<Hook>,
    on_thread_stop: Option<Hook>,
    clock: Arc<dyn Clock>,
    seed: Option<u64>,
    reactor: Reactor,
    blocking_threads_max: usize,
    blocking_idle: Duration,
    deadlock_check: bool,
    simulation: Option<Arc<Simulation>>,
    instruments: Vec<Arc<dyn Instrument>>,
}

impl Builder {
    /// The defaults: a worker for each processor the process may use, stacks of 64 KiB, real time.
    pub fn new() -> Builder {
        Builder {
            workers: None,
            stack_bytes: STACK_BYTES,
            thread_name: Arc::new(|index| format!("conbrio-{index}")),
            on_thread_start: None,
            on_thread_stop: None,
            clock: Arc::new(SystemClock),
            seed: None,
            reactor: Reactor::Auto,
            blocking_threads_max: BLOCKING_THREADS_MAX,
            blocking_idle: BLOCKING_IDLE,
            deadlock_check: false,
            simulation: None,
            instruments: Vec::new(),
        }
    }

    /// How many workers run tasks, the calling thread among them.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn workers(mut self, workers: usize) -> Builder {
        assert!(workers > 0, "a runtime has at least one worker: `Builder::workers(0)` makes none");
        self.workers = Some(workers);
        self
    }

    /// The stack size of tasks in bytes, rounded up to a power of two; 64 KiB if not set
    /// (256 KiB with the feature `sanitizer`).
    ///
    /// Memory is used only where a stack is touched. A single task can get another size with
    /// [`Nursery::task`](crate::Nursery::task), and code with deep frames can run in
    /// [`Cx::on_thread_stack`].
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_bytes = bytes;
        self
    }

    /// Names the worker threads; `name` gets the number of the worker. The first worker is the calling
    /// thread, which keeps its name.
    pub fn thread_name(
        mut self,
        name: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Builder {
        self.thread_name = Arc::new(name);
        self
    }

    /// Called on each worker's thread before it runs tasks, with the number of the worker. A panic in it
    /// aborts the process.
    pub fn on_thread_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Builder {
        self.on_thread_start = Some(Arc::new(hook));
        self
    }

    /// Called on each worker's thread after its last task, with the number of the worker. A panic in it
    /// aborts the process.
    pub fn on_thread_stop(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Builder {
        self.on_thread_stop = Some(Arc::new(hook));
        self
    }

    /// The source of time.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Builder {
        self.clock = Arc::new(clock);
        self
    }

    /// Draws the order in which tasks run from `seed`.
    ///
    /// With one worker, and a program that depends on nothing but its tasks, one seed gives one run.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    /// Which reactor to use.
    pub fn reactor(mut self, reactor: Reactor) -> Builder {
        self.reactor = reactor;
        self
    }

    /// How many threads [`Cx::blocking`] may use at a time; 512 if not set.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn blocking_threads(mut self, threads_max: usize) -> Builder {
        assert!(threads_max > 0, "blocking calls need at least one thread");
        self.blocking_threads_max = threads_max;
        self
    }

    /// How long a thread of [`Cx::blocking`] stays when it has nothing to do; 10 seconds if not set.
    pub fn blocking_idle(mut self, idle: Duration) -> Builder {
        self.blocking_idle = idle;
        self
    }

    /// Whether the process ends with a report when every task waits and nothing in the runtime can ever
    /// make one run again; off if not set.
    ///
    /// That is so when all workers are idle, no deadline is pending, no I/O is waited for, no closure of
    /// [`Cx::blocking`] runs, and no clock jumps. The report goes to standard error: one line for each
    /// task, indented by its depth in the tree of nurseries, with its name, what it waits for (a wait of
    /// [`Cx::park_on`] is named by its type), who holds that if it is known
    /// ([`ParkingLot::set_holder`](crate::lowlevel::ParkingLot::set_holder),
    /// [`add_breaker`](crate::lowlevel::ParkingLot::add_breaker)), its worker, and whether it is cancelled.
    /// Tasks that wait for each other in a circle are named once more. Then the process aborts: a deadlock
    /// can be neither returned nor unwound from, since tasks that wait for each other do not end.
    ///
    /// What lies outside of the runtime is not seen: other threads, also those of another runtime, that
    /// hold an [`Unparker`](crate::lowlevel::Unparker), the waker of a future, a
    /// [`CancelHandle`](crate::CancelHandle) or the clock. Do not turn the check on where such a thread
    /// may still make a task run. Of a deadlock among some tasks it says nothing as long as any other
    /// task has something to come, be it only a timeout.
    ///
    /// Costs a look at the reactor and a few atomic operations each time that all workers become idle, and
    /// nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// // Everybody waits, but not for ever: no report.
    /// conbrio::Builder::new()
    ///     .deadlock_check(true)
    ///     .run(|cx| cx.sleep(Duration::from_millis(1)))?
    ///     .unwrap();
    /// # Ok::<(), conbrio::RuntimeError>(())
    /// ```
    pub fn deadlock_check(mut self, check: bool) -> Builder {
        self.deadlock_check = check;
        self
    }

    /// Lets an instrument hear of what happens in the runtime. It may be called several times; the same
    /// instrument counts once.
    ///
    /// See [`instrument`](crate::instrument) for an example. As long as there is no instrument, this costs
    /// a few branches for each turn of a task.
    pub fn instrument(mut self, instrument: Arc<dyn Instrument>) -> Builder {
        self.instruments.push(instrument);
        self
    }

    /// Runs `main` in a runtime with these options. See [`run`](crate::run()).
    ///
    /// # Errors
    ///
    /// If the system refuses what a runtime needs. `main` has not been called then.
    ///
    /// # Panics
    ///
    /// If it is called inside a task of a runtime. A panic of `main` goes on in the caller.
    #[track_caller]
    pub fn run<F, R>(self, main: F) -> Result<R, StartError>
    where
        F: FnOnce(&mut Cx) -> R + Send,
        R: Send,
    {
        assert_outside();
        let reactor = reactor::choice_of(self.reactor)?;
        let ring = reactor::ring_options()?;
        install_overflow_handler().map_err(|e| StartError::new("the overflow handler", e))?;
        let workers = match self.workers {
            Some(workers) => workers,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let options = self.shared_options(reactor, ring);
        let (shared, mut queues) = Shared::new(workers, Arc::clone(&self.clock), options);
        let first_queue = queues.remove(0);
        let (ready, readiness) = mpsc::channel();
        let outcome = std::thread::scope(|scope| {
            // Whatever happens from here on, workers that have begun are told to stop.
            let _stop = StopOnDrop(&shared);
            for (index, queue) in (1..).zip(queues) {
                let (shared, ready, options) = (Arc::clone(&shared), ready.clone(), &self);
                std::thread::Builder::new()
                    .name((self.thread_name)(index))
                    .stack_size(WORKER_STACK_BYTES)
                    .spawn_scoped(scope, move || {
                        block_signals();
                        let made = options.make_worker(shared, index, queue);
                        let (outcome, worker) = match made {
                            Ok(worker) => {
                                (Ok(worker.0.reactor().info().refused.clone()), Some(worker))
                            }
                            Err(error) => (Err(error), None),
                        };
                        if ready.send(outcome).is_ok()
                            && let Some(worker) = worker
                        {
                            options.work(&worker);
                        }
                    })
                    .map_err(|e| StartError::new("a worker thread", e))?;
            }
            drop(ready);
            let worker = self.make_worker(Arc::clone(&shared), 0, first_queue)?;
            let others = readiness.iter().take(workers - 1).collect::<Result<Vec<_>, _>>()?;
            let refused: Vec<String> = others.into_iter().flatten().collect();
            reactor::tell(self.reactor, worker.0.reactor().info(), &refused, workers);
            Ok(self.run_main(&worker.0, main, || self.work(&worker)))
        });
        shared.pool().join();
        shared.drop_run_values();
        let outcome = outcome?;
        shared.instruments().tell("after_run", |hooks| hooks.after_run());
        match outcome {
            Ok(value) => Ok(value),
            Err(payload) => resume_unwind(payload),
        }
    }

    fn shared_options(&self, reactor: Choice, ring: RingOptions) -> SharedOptions {
        SharedOptions {
            stack_bytes: self.stack_bytes,
            seed: self.seed,
            reactor,
            ring,
            blocking_threads_max: self.blocking_threads_max,
            blocking_idle: self.blocking_idle,
            deadlock_check: self.deadlock_check,
            simulation: self.simulation.clone(),
        }
    }

    /// Runs `main` with all workers on the calling thread, and every decision made by `simulation`.
    #[track_caller]
    pub(crate) fn run_simulated<F, R>(
        mut self,
        simulation: Arc<Simulation>,
        parts: &mut SpareParts,
        main: F,
    ) -> Result<std::thread::Result<R>, StartError>
    where
        F: FnOnce(&mut Cx) -> R,
    {
        assert_outside();
        if parts.signal_stack.is_none() {
            install_overflow_handler().map_err(|e| StartError::new("the overflow handler", e))?;
            let stack = AlternateStack::new();
            parts.signal_stack =
                Some(stack.map_err(|e| StartError::new("a stack for signals", e))?);
        }
        self.simulation = Some(Arc::clone(&simulation));
        let options = self.shared_options(Choice::Epoll, RingOptions::new());
        let (shared, queues) =
            Shared::new(self.workers.unwrap_or(1), Arc::clone(&self.clock), options);
        let workers = (0..)
            .zip(queues)
            .map(|(index, queue)| {
                let parts = match parts.of_workers.pop() {
                    Some(parts) => parts,
                    None => WorkerParts::new(shared.options())?,
                };
                Ok(Worker::from_parts(parts, Arc::clone(&shared), index, queue))
            })
            .collect::<io::Result<Vec<Worker>>>()
            .map_err(|e| StartError::new("the reactor or the stacks of a worker", e))?;
        let outcome = self.run_main(&workers[0], main, || run_simulated(&workers, &simulation));
        shared.pool().join();
        shared.drop_run_values();
        shared.instruments().tell("after_run", |hooks| hooks.after_run());
        parts.of_workers.extend(workers.into_iter().rev().map(Worker::into_parts));
        Ok(outcome)
    }

    fn make_worker(
        &self,
        shared: Arc<Shared>,
        index: usize,
        queue: Children,
    ) -> Result<(Worker, AlternateStack), StartError> {
        let signal_stack =
            AlternateStack::new().map_err(|e| StartError::new("a stack for signals", e))?;
        let worker = Worker::new(shared, index, queue)
            .map_err(|e| StartError::new("the reactor or the stacks of a worker", e))?;
        Ok((worker, signal_stack))
    }

    /// Runs a worker on the calling thread until the runtime stops.
    fn work(&self, (worker, _signal_stack): &(Worker, AlternateStack)) {
        call_hook(self.on_thread_start.as_ref(), worker.index());
        worker.run();
        call_hook(self.on_thread_stop.as_ref(), worker.index());
    }

    /// Runs the main task, and with it everything, on the calling thread.
    fn run_main<F, R>(
        &self,
        worker: &Worker,
        main: F,
        work: impl FnOnce(),
    ) -> std::thread::Result<R>
    where
        F: FnOnce(&mut Cx) -> R,
    {
        let instruments = worker.shared().instruments();
        for instrument in &self.instruments {
            instruments.add(Arc::clone(instrument));
        }
        instruments.tell("before_run", |hooks| hooks.before_run());
        let mut outcome = None;
        let options = TaskOptions { name: "main".into(), stack_bytes: self.stack_bytes };
        // From here on the task points into this frame.
        let guard = AbortGuard::new("the first worker left its loop early");
        // SAFETY: `outcome`, and what `main` borrows, stay until `work` has returned, when the task has
        // ended: the worker does not leave its loop before (it would abort).
        let task = unsafe { new_main(options, main, NonNull::from(&mut outcome)) };
        // SAFETY: it was just made, and ends on this worker.
        worker.settle(unsafe { task.as_ref() }.runnable());
        if self.deadlock_check || self.simulation.is_some() {
            let on_deadlock = OnDeadlock { main: task.cast(), describe, report };
            // SAFETY: the task's own reference stays until it has ended, on this worker; `describe` asks
            // for no more than it is promised.
            unsafe { worker.shared().set_on_deadlock(on_deadlock) };
        }
        worker.push_local_child(task.cast());
        work();
        guard.disarm();
        outcome.expect("the runtime stops when the main task has ended")
    }
}

/// A hook that panics would leave the runtime without a worker that others count on.
fn call_hook(hook: Option<&Hook>, index: usize) {
    if let Some(hook) = hook {
        let guard = AbortGuard::new("a thread hook of the `Builder` panicked");
        hook(index);
        guard.disarm();
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("stack_bytes", &self.stack_bytes)
            .field("clock", &self.clock)
            .field("seed", &self.seed)
            .field("reactor", &self.reactor)
            .finish_non_exhaustive()
    }
}

struct StopOnDrop<'a>(&'a Shared);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Why a runtime could not start: what was refused, and the system's error as the source.
#[derive(Debug)]
pub struct StartError {
    what: &'static str,
    error: io::Error,
}

impl StartError {
    pub(super) fn new(what: &'static str, error: io::Error) -> StartError {
        StartError { what, error }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot make {}: {}", self.what, self.error)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> io::Error {
        io::Error::new(error.error.kind(), error)
    }
}

#[track_caller]
pub(super) fn assert_outside() {
    assert!(
        Worker::current().is_none(),
        "`run` was called from inside a task: open a nursery with `cx.nursery` for more concurrency, or \
         start the second runtime on a thread of its own"
    );
}

/// Keeps asynchronous signals away from the stacks of tasks, which are small: the first worker's thread
/// and foreign threads take them.
fn block_signals() {
    // SAFETY: plain C calls on a local set; the synchronous signals stay unblocked.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        for signal in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGTRAP,
            libc::SIGABRT,
            libc::SIGSYS,
            libc::SIGPROF,
        ] {
            libc::sigdelset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Room for a backtrace, a sort, a call of `getaddrinfo`; a smaller one would turn a panic into a crash. Under
/// AddressSanitizer frames are several times as large.
const STACK_BYTES: usize = if cfg!(feature = "sanitizer") { 256 * 1024 } else { 64 * 1024 };
/// The stack of a worker's thread, where `on_thread_stack` runs.
const WORKER_STACK_BYTES: usize = 8 * 1024 * 1024;
const BLOCKING_THREADS_MAX: usize = 512;
const BLOCKING_IDLE: Duration = Duration::from_secs(10);
