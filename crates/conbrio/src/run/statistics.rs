//! What a runtime is made of, and what it is doing.

use std::sync::Arc;
use std::time::Instant;

use crate::clock::Clock;
use crate::task::Cx;

/// What a runtime has become. Returned by [`Cx::runtime`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuntimeInfo {
    /// How many workers run tasks.
    pub workers: usize,
    /// The worker that the calling task runs on.
    pub worker: usize,
    /// The name of the reactor, such as `epoll`.
    pub reactor: &'static str,
    /// Why this reactor was chosen.
    pub reactor_reason: String,
    /// The stack size of tasks that do not ask for another, in bytes.
    pub stack_bytes: usize,
    /// How the stacks are guarded.
    pub stack_guard: String,
    /// The seed of the run order, if one was given.
    pub seed: Option<u64>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// A snapshot of what a runtime is doing. Returned by [`Cx::statistics`].
///
/// The workers are asked one after the other while they go on working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeStatistics {
    /// Tasks that have started and not ended, the caller among them.
    pub tasks: usize,
    /// Tasks that can run and wait for their turn on the calling task's worker.
    pub runnable: usize,
    /// Children that threads which are no workers have spawned, and that no worker has taken yet.
    pub injected: usize,
    /// Workers that sleep.
    pub sleeping_workers: usize,
    /// Threads that run calls of [`Cx::blocking`], or wait for one.
    pub blocking_threads: usize,
    /// Those of them that wait.
    pub blocking_idle: usize,
    /// Calls of [`Cx::blocking`] that wait for a thread.
    pub blocking_waiting: usize,
    /// Threads whose call was left behind by [`Cx::blocking_or_abandon`], and has not ended.
    pub blocking_abandoned: usize,
    /// Stacks in use on the calling task's worker.
    pub stacks: usize,
    /// I/O waits in flight on the calling task's worker.
    pub io_waits: usize,
    /// Deadlines of sleeping tasks and of scopes that are pending on the calling task's worker.
    pub timers: usize,
    /// The earliest of these deadlines. It may have passed already.
    pub next_deadline: Option<Instant>,
}

impl Cx {
    /// What the runtime consists of, and why.
    ///
    /// # Examples
    ///
    /// ```
    /// conbrio::run(|cx| {
    ///     let runtime = cx.runtime();
    ///     println!("{} workers on {}: {}", runtime.workers, runtime.reactor, runtime.reactor_reason);
    /// });
    /// ```
    pub fn runtime(&self) -> RuntimeInfo {
        let worker = self.task().worker();
        let options = worker.shared().options();
        let reactor = worker.reactor().info();
        RuntimeInfo {
            workers: worker.shared().workers(),
            worker: worker.index(),
            reactor: reactor.backend,
            reactor_reason: reactor.reason.clone(),
            stack_bytes: options.stack_bytes,
            stack_guard: format!("{:?}", worker.stacks().borrow().statistics().guard_kind),
            seed: options.seed,
            clock: Arc::clone(worker.shared().timeline().clock()),
        }
    }

    /// What the runtime is doing.
    ///
    /// # Examples
    ///
    /// ```
    /// conbrio::run(|cx| assert_eq!(cx.statistics().tasks, 1));
    /// ```
    pub fn statistics(&self) -> RuntimeStatistics {
        let worker = self.task().worker();
        let shared = worker.shared();
        let pool = shared.pool().statistics();
        RuntimeStatistics {
            tasks: shared.live_tasks(),
            runnable: worker.queued(),
            injected: shared.injected(),
            sleeping_workers: shared.sleeping_workers(),
            blocking_threads: pool.threads,
            blocking_idle: pool.idle,
            blocking_waiting: pool.waiting,
            blocking_abandoned: pool.abandoned,
            stacks: worker.stacks().borrow().statistics().in_use,
            io_waits: worker.reactor().in_flight(),
            timers: worker.alarms(),
            next_deadline: shared.timeline().instant(worker.next_deadline()),
        }
    }

    /// The name of the running task: the one it was given, or the path of its closure.
    pub fn task_name(&self) -> &str {
        self.task().name()
    }
}
