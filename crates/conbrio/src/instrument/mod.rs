//! Observers of a runtime: what happens to its tasks and workers, told as it happens.
//!
//! This module knows no tasks, only their ids and names; the scheduler calls. Invariants: no lock is held
//! while a hook runs, a hook that panics is never called again, and as long as there is no instrument the
//! scheduler only reads one flag.
//!
//! # Examples
//!
//! Counting the turns of tasks:
//!
//! ```
//! use conbrio::instrument::{Instrument, TaskInfo};
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
//!
//! #[derive(Debug, Default)]
//! struct Turns(AtomicUsize);
//!
//! impl Instrument for Turns {
//!     fn before_task_step(&self, task: &TaskInfo<'_>) {
//!         assert_eq!(task.name(), "main");
//!         self.0.fetch_add(1, Relaxed);
//!     }
//! }
//!
//! let turns = Arc::new(Turns::default());
//! conbrio::Builder::new()
//!     .instrument(turns.clone())
//!     .run(|cx| cx.yield_now())?
//!     .unwrap();
//! assert_eq!(turns.0.load(Relaxed), 2);
//! # Ok::<(), conbrio::RuntimeError>(())
//! ```

mod tree;

use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::util::atomic::{AtomicBool, AtomicU64, Ordering};

pub use tree::{TaskRecord, TaskState, TaskTree};

/// Hears of what happens in a runtime. All hooks do nothing unless they are written.
///
/// Hooks are called by the workers, by several of them at the same time, in the middle of their work: they
/// note something and return. They cannot wait, and what they do to tasks (waking, cancelling) has its
/// effect after the event that they hear of. The events of one worker come in their order.
///
/// A hook that panics is told so on standard error, and its instrument is removed; the others go on.
pub trait Instrument: Send + Sync + fmt::Debug {
    /// The runtime begins; there is no task yet. Called on the thread of the first worker.
    fn before_run(&self) {}

    /// The runtime has ended, and all of its tasks have. Called on the thread of the first worker.
    fn after_run(&self) {}

    /// A task was made. It has no worker unless it was made for a certain one.
    fn task_spawned(&self, task: &TaskInfo<'_>) {
        let _ = task;
    }

    /// A task can run and was queued. Called at the end of the turn in which that happened, or before the
    /// next, but always before the task runs.
    fn task_scheduled(&self, task: &TaskInfo<'_>) {
        let _ = task;
    }

    /// A task gets its turn.
    fn before_task_step(&self, task: &TaskInfo<'_>) {
        let _ = task;
    }

    /// The turn of a task is over: it waits, gave way, or has ended.
    fn after_task_step(&self, task: &TaskInfo<'_>) {
        let _ = task;
    }

    /// A task has ended, in the turn that is going on. Called before anybody can know of it: before the task
    /// is joined, and before its nursery ends.
    fn task_exited(&self, task: &TaskInfo<'_>) {
        let _ = task;
    }

    /// A worker is about to ask the system for I/O, and sleeps for `timeout` at most if there is none;
    /// for as long as it takes if there is no timeout.
    fn before_io_wait(&self, timeout: Option<Duration>) {
        let _ = timeout;
    }

    /// A worker has asked the system for I/O.
    fn after_io_wait(&self, timeout: Option<Duration>) {
        let _ = timeout;
    }
}

/// Names a task among all tasks of its runtime, also those that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an instrument learns of a task.
#[derive(Clone, Copy, Debug)]
pub struct TaskInfo<'a> {
    pub(crate) id: TaskId,
    pub(crate) parent: Option<TaskId>,
    pub(crate) name: &'a str,
    pub(crate) worker: Option<usize>,
    pub(crate) waits_for: &'static str,
    pub(crate) is_cancelled: bool,
}

impl<'a> TaskInfo<'a> {
    /// Its id. Tasks get theirs in the order in which instruments first hear of them.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The task that opened the nursery it is a child of; the main task has none, and neither has a task in
    /// `after_task_step` of its last turn, which is no child any more.
    pub fn parent(&self) -> Option<TaskId> {
        self.parent
    }

    /// Its name: the one it was given, or the path of its closure.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The number of the worker that it runs on, if it has one yet.
    pub fn worker(&self) -> Option<usize> {
        self.worker
    }

    /// What it waits for, or waited for last, as words that follow "waits for". Of interest after a step.
    pub fn waits_for(&self) -> &'static str {
        self.waits_for
    }

    /// Whether its innermost scope was cancelled when its worker last looked.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }
}

/// The instruments of a runtime, to be changed while it runs. Returned by
/// [`Cx::instruments`](crate::Cx::instruments).
#[derive(Clone)]
pub struct Instruments(Arc<Registry>);

struct Registry {
    /// Whether there is any. A hint for the scheduler: the list is what counts.
    any: AtomicBool,
    /// Copied whenever it changes, so that hooks run without the lock.
    list: Mutex<Arc<[Arc<dyn Instrument>]>>,
    /// The greatest id that was given out.
    ids: AtomicU64,
}

impl Instruments {
    pub(crate) fn new() -> Instruments {
        let registry = Registry {
            any: AtomicBool::new(false),
            list: Mutex::new(Arc::default()),
            ids: AtomicU64::new(0),
        };
        Instruments(Arc::new(registry))
    }

    /// Adds an instrument; `false` if it is there already. It hears of everything from now on, except for
    /// the rest of turns that are going on while there is no other instrument.
    pub fn add(&self, instrument: Arc<dyn Instrument>) -> bool {
        let mut list = self.list();
        let is_new = position(&list, &instrument).is_none();
        if is_new {
            *list = list.iter().cloned().chain([instrument]).collect();
            self.0.any.store(true, Ordering::Relaxed);
        }
        is_new
    }

    /// Removes an instrument; `false` if it is not there, perhaps because it has panicked. A hook of it
    /// that runs on another worker may still be running when this returns.
    pub fn remove<I: Instrument + ?Sized>(&self, instrument: &Arc<I>) -> bool {
        let mut list = self.list();
        let found = position(&list, instrument);
        if let Some(at) = found {
            let mut left = list.to_vec();
            let removed = left.remove(at);
            let old = std::mem::replace(&mut *list, left.into());
            self.0.any.store(!list.is_empty(), Ordering::Relaxed);
            drop(list);
            // Only here, because it may be the last reference, whose destructor is foreign code.
            drop((removed, old));
        }
        found.is_some()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// Whether anybody wants to hear of anything. One load; what was added on another worker may be seen a
    /// moment later.
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.0.any.load(Ordering::Relaxed)
    }

    /// The id that is kept in `slot`. It is given out here if nobody has asked for it before.
    pub(crate) fn id_in(&self, slot: &AtomicU64) -> TaskId {
        let id = slot.load(Ordering::Relaxed);
        if id != 0 {
            return TaskId(id);
        }
        // Two that ask at once: one of the new ids stays unused.
        let new = self.0.ids.fetch_add(1, Ordering::Relaxed) + 1;
        match slot.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => TaskId(new),
            Err(id) => TaskId(id),
        }
    }

    /// Calls a hook of every instrument. `hook` is its name.
    #[cold]
    pub(crate) fn tell(&self, hook: &str, call: impl Fn(&dyn Instrument)) {
        let list = Arc::clone(&self.list());
        for instrument in list.iter() {
            let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(&**instrument))) else {
                continue;
            };
            // Foreign code again: formatting it and dropping the payload may panic, too.
            let told = catch_unwind(AssertUnwindSafe(|| {
                drop(payload);
                format!("{instrument:?}")
            }));
            let name = told.unwrap_or_else(|_| "(without a name)".to_owned());
            // If nobody reads it, so be it.
            let _ = writeln!(
                std::io::stderr(),
                "conbrio: the instrument {name} panicked in `{hook}` and has been disabled"
            );
            self.remove(instrument);
        }
    }

    fn list(&self) -> MutexGuard<'_, Arc<[Arc<dyn Instrument>]>> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Instruments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = Arc::clone(&self.list());
        f.debug_tuple("Instruments").field(&list).finish()
    }
}

/// Instruments are told apart by their addresses.
fn position<I: Instrument + ?Sized>(
    list: &[Arc<dyn Instrument>],
    instrument: &Arc<I>,
) -> Option<usize> {
    let address = Arc::as_ptr(instrument).cast::<()>();
    list.iter().position(|other| Arc::as_ptr(other).cast::<()>() == address)
}
