//! The one way to park, for code outside the runtime.

use std::fmt;
use std::sync::Arc;

use crate::cancel::{Cancelled, Waiter};
use crate::sched::{Interrupt, Parked, Runnable, RunnableRef, Shared};
use crate::task::Cx;

/// The answer to a request to interrupt one wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// The wait is called off: the operation had no effect and nobody will end it any more.
    Succeeded,
    /// The operation cannot be called off, or not yet: the wait goes on until it is unparked.
    Pending,
}

/// How a wait ended whose [`abort`](Wait::abort) was [`Pending`](Abort::Pending).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The operation completed; the cancellation shows at the next checkpoint.
    Completed,
    /// The operation was called off and had no effect: report the cancellation now.
    Cancelled,
}

/// One kind of wait: how it is begun, called off, and ended. All methods run in the waiting task.
///
/// # Examples
///
/// A gate that another thread opens:
///
/// ```
/// use std::sync::Mutex;
/// use conbrio::lowlevel::{Abort, Unparker, Wait};
///
/// #[derive(Default)]
/// struct Gate(Mutex<(bool, Option<Unparker>)>);
///
/// impl Gate {
///     fn open(&self) {
///         let mut state = self.0.lock().unwrap();
///         state.0 = true;
///         if let Some(unparker) = state.1.take() {
///             unparker.unpark();
///         }
///     }
/// }
///
/// impl Wait for &Gate {
///     fn arm(&mut self, unparker: Unparker) {
///         let mut state = self.0.lock().unwrap();
///         if state.0 {
///             unparker.unpark();
///         } else {
///             state.1 = Some(unparker);
///         }
///     }
///
///     fn abort(&mut self) -> Abort {
///         self.0.lock().unwrap().1 = None;
///         Abort::Succeeded
///     }
/// }
///
/// let gate = Gate::default();
/// conbrio::run(|cx| {
///     std::thread::scope(|s| {
///         s.spawn(|| gate.open());
///         cx.park_on(&mut &gate)
///     })
/// })
/// .unwrap();
/// ```
pub trait Wait {
    /// Begins the operation. Whoever completes it calls [`Unparker::unpark`], once, from anywhere,
    /// possibly before this returns.
    ///
    /// A checkpoint lies between the call of [`Cx::park_on`] and this one, at which other tasks may have run:
    /// look here, not before the call, whether there is still something to wait for.
    fn arm(&mut self, unparker: Unparker);

    /// The caller was cancelled: calls the operation off if that is possible. Called at most once for a
    /// wait, and not at all if the operation has completed.
    fn abort(&mut self) -> Abort;

    /// After a pending abort, when the task has been unparked: says what became of the operation.
    fn finish(&mut self) -> Finish {
        Finish::Completed
    }
}

/// Ends one wait of one task, from any thread. If that wait is over already, it has no effect.
pub struct Unparker {
    task: RunnableRef,
    sequence: u64,
    /// Keeps the inbox that a wake goes through alive.
    _runtime: Arc<Shared>,
}

impl Unparker {
    /// Ends the wait.
    ///
    /// Costs a few nanoseconds on the task's own worker, an atomic push elsewhere, and a system call if
    /// that worker sleeps.
    pub fn unpark(self) {
        // SAFETY: the reference keeps the task alive, and the other one the runtime's shared state.
        unsafe { Runnable::wake(self.task.pointer(), self.sequence) };
    }

    /// The wait. Good until it is over.
    pub(super) fn waiter(&self) -> Waiter {
        Waiter { runnable: self.task.pointer(), sequence: self.sequence }
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unparker").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Cx {
    /// Begins a wait that anyone may end.
    pub(crate) fn begin_shared_wait(&mut self) -> Unparker {
        let waiter = self.begin_wait();
        Unparker {
            // SAFETY: the running task is alive.
            task: unsafe { RunnableRef::new(waiter.runnable) },
            sequence: waiter.sequence,
            _runtime: Arc::clone(self.task().worker().shared()),
        }
    }

    /// Stops the task until the operation that `wait` describes has completed.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, before the operation is begun. A cancellation during the wait calls
    /// [`Wait::abort`]; if that succeeds, the operation had no effect and this fails. If the operation
    /// completed first, or cannot be called off, this succeeds when it has completed, and the
    /// cancellation shows at the next checkpoint.
    pub fn park_on<W: Wait>(&mut self, wait: &mut W) -> Result<(), Cancelled> {
        // A report names the wait by its type: that is what whoever wrote it knows it by.
        self.park_on_named(wait, std::any::type_name::<W>())
    }

    /// As [`park_on`](Cx::park_on); `what` is what reports call the wait.
    pub(crate) fn park_on_named<W: Wait>(
        &mut self,
        wait: &mut W,
        what: &'static str,
    ) -> Result<(), Cancelled> {
        self.checkpoint()?;
        let unparker = self.begin_shared_wait();
        wait.arm(unparker);
        if self.park(Interrupt::OnCancel, what) == Parked::Woken {
            return Ok(());
        }
        // It is kept here: a shield may come up before the operation ends.
        let cancelled = self.why_interrupted();
        if wait.abort() == Abort::Succeeded {
            return Err(cancelled);
        }
        self.park(Interrupt::Never, what);
        match wait.finish() {
            Finish::Completed => Ok(()),
            Finish::Cancelled => Err(cancelled),
        }
    }
}
