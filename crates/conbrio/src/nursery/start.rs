//! Starting a child and waiting until it says that it is ready.
//!
//! Until then the child belongs to a nursery of its own, inside the call of `start`: so the cancellations
//! of the caller reach it, and its failures come out of the call. `ready` moves it over.

use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::cancel::{Cancelled, MaybeCancelled};
use crate::sched::Worker;
use crate::task::{Cx, Task, TaskOptions};

use super::child::set_core;
use super::core::NurseryCore;

/// Given to a child that was begun with [`Nursery::start`](super::Nursery::start): it says when the
/// child is ready.
///
/// Dropping it says nothing; if the child ends without having been ready, `start` fails.
#[must_use = "the caller of `start` waits until the child is ready"]
pub struct Started<'a, V, E> {
    slot: &'a Slot<V>,
    target: &'a NurseryCore<E>,
    private: &'a NurseryCore<E>,
    /// Only the child itself can move itself over.
    stays_in_the_child: PhantomData<*mut ()>,
}

/// Where the value goes; it lies in the frame of `start`, which waits for the child to leave the private
/// nursery, and looks only then.
struct Slot<V> {
    value: UnsafeCell<Option<V>>,
    child: UnsafeCell<Option<NonNull<Task>>>,
    /// Whether the child belongs to the target now, and has taken the reserved place there.
    moved: UnsafeCell<bool>,
}

// SAFETY: the child writes before it leaves the private nursery, under whose lock it does so, and the
// caller reads after it has seen that under the same lock.
unsafe impl<V: Send> Sync for Slot<V> {}

impl<V, E: MaybeCancelled + Send + 'static> Started<'_, V, E> {
    /// Tells the caller of `start` that the child is ready, and hands it `value`.
    ///
    /// From now on the child belongs to the nursery it was started in. If the caller has been cancelled
    /// meanwhile, the child stays where it is and is cancelled with it.
    ///
    /// Never waits.
    ///
    /// # Panics
    ///
    /// If it is called by another task than the child.
    #[track_caller]
    pub fn ready(self, value: V) {
        let worker = Worker::current();
        let running = worker.and_then(Worker::running);
        // SAFETY: written by the child before anything else; only its own worker can be here, as
        // `Started` is not `Send`.
        let child = unsafe { *self.slot.child.get() };
        let (Some(worker), Some(child)) = (worker, child) else {
            panic!("`Started::ready` is called by the child itself, inside its task");
        };
        assert!(
            running == Some(child.cast()),
            "`Started::ready` is called by the child itself, not by another task"
        );
        // SAFETY: the caller of `start` looks only after the child has left the private nursery.
        unsafe { *self.slot.value.get() = Some(value) };
        // SAFETY: it is the running task.
        let task = unsafe { child.as_ref() };
        // From `adopt` on the frame of `start` may be gone, and `self` is not used any more.
        let (target, slot) = (self.target, self.slot);
        target.group.adopt(&self.private.group, task.branch(), worker, || {
            // SAFETY: the running task, made by `child.rs` with this error type.
            unsafe { set_core(child, target) };
            // SAFETY: still under the lock of the private nursery, so that the caller does not look yet.
            unsafe { *slot.moved.get() = true };
        });
    }
}

impl<V, E> fmt::Debug for Started<'_, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").finish_non_exhaustive()
    }
}

/// Why a child did not start.
#[derive(Debug)]
#[must_use = "a cancellation must be passed on to the scope that was cancelled"]
pub enum StartError<E> {
    /// The child failed before it was ready.
    Failed(E),
    /// A scope around the caller was cancelled, and the child stopped for it.
    Cancelled(Cancelled),
    /// The child returned without having called [`Started::ready`].
    NeverReady,
}

impl<E: fmt::Display> fmt::Display for StartError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Failed(error) => error.fmt(f),
            StartError::Cancelled(cancelled) => cancelled.fmt(f),
            StartError::NeverReady => {
                f.write_str("the child returned without having called `Started::ready`")
            }
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for StartError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Failed(error) => Some(error),
            StartError::Cancelled(cancelled) => Some(cancelled),
            StartError::NeverReady => None,
        }
    }
}

impl<E: MaybeCancelled> MaybeCancelled for StartError<E> {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            StartError::Failed(error) => error.cancelled(),
            StartError::Cancelled(cancelled) => Some(cancelled),
            StartError::NeverReady => None,
        }
    }
}

impl From<StartError<io::Error>> for io::Error {
    fn from(error: StartError<io::Error>) -> io::Error {
        match error {
            StartError::Failed(error) => error,
            StartError::Cancelled(cancelled) => cancelled.into(),
            StartError::NeverReady => io::Error::other(StartError::<io::Error>::NeverReady),
        }
    }
}

#[track_caller]
pub(super) fn start<'scope, F, V, E>(
    target: &'scope NurseryCore<E>,
    options: TaskOptions,
    cx: &mut Cx,
    f: F,
) -> Result<V, StartError<E>>
where
    F: FnOnce(&mut Cx, Started<'_, V, E>) -> Result<(), E> + Send + 'scope,
    V: Send + 'scope,
    E: MaybeCancelled + Send + 'static,
{
    if std::thread::panicking() {
        return Err(StartError::Cancelled(Cancelled::unwinding()));
    }
    let task = cx.anchor();
    let worker = task.worker();
    target.group.assert_same_runtime(worker);
    let mut private = NurseryCore::<E>::new(task);
    // The child goes on in the target, when the values bound around this call may be gone.
    private.locals = target.locals;
    let slot = Slot {
        value: UnsafeCell::new(None),
        child: UnsafeCell::new(None),
        moved: UnsafeCell::new(false),
    };
    // The target stays open for a child that may come.
    target.group.reserve();
    // SAFETY: on the home worker; `private` does not move before `leave`, and nothing between unwinds:
    // spawning and waiting call no foreign code.
    unsafe { private.node.enter(task.branch(), worker, Some(&private.group)) };
    let (slot_ref, private_ref) = (&slot, &private);
    drop(private.spawn(options, move |cx: &mut Cx| {
        // SAFETY: this frame waits until the child has left the private nursery, which it has not yet.
        unsafe { *slot_ref.child.get() = Some(NonNull::from(cx.task())) };
        let started = Started {
            slot: slot_ref,
            target,
            private: private_ref,
            stays_in_the_child: PhantomData,
        };
        f(cx, started)
    }));
    private.wait_for_children(cx);
    // SAFETY: on the home worker, and the child has left.
    unsafe { private.node.leave(worker) };
    let value = slot.value.into_inner();
    // First of all, because the user's code below may panic.
    if !slot.moved.into_inner() {
        target.group.release_reserved();
    }
    let mut sorted = private.sort();
    sorted.resume_panic();
    match (sorted.errors.into_iter().next(), sorted.cancelled, value) {
        (Some(error), _, _) => Err(StartError::Failed(error)),
        (None, Some(cancelled), _) => Err(StartError::Cancelled(cancelled)),
        (None, None, Some(value)) => Ok(value),
        (None, None, None) => Err(StartError::NeverReady),
    }
}
