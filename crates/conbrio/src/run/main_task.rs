//! The main task: the root of the tree, whose end is the end of the runtime.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use conbrio_fiber::StackError;

use crate::task::{Cx, Task, TaskKind, TaskOptions};

/// The value, or the payload of the panic.
type Outcome<R> = Result<R, Box<dyn Any + Send>>;

#[repr(C)]
struct MainCell<F, R> {
    task: Task,
    closure: UnsafeCell<Option<F>>,
    /// Where the outcome goes; it lies in the frame of `run`.
    outcome: NonNull<Option<Outcome<R>>>,
}

impl<F, R> MainCell<F, R>
where
    F: FnOnce(&mut Cx) -> R,
{
    const KIND: TaskKind = TaskKind { body: Self::body, fail: Self::fail, free: Self::free };

    /// # Safety
    /// See `TaskKind::body`.
    unsafe fn body(task: NonNull<Task>, cx: &mut Cx) {
        // SAFETY: this function is in the kind of such cells only.
        let cell = unsafe { task.cast::<Self>().as_ref() };
        // SAFETY: the body runs once, and nobody else touches the closure.
        let f = unsafe { (*cell.closure.get()).take() }.expect("a task runs once");
        let outcome = catch_unwind(AssertUnwindSafe(|| f(cx)));
        cell.task.closure_ended();
        cell.task.tell_exited();
        // SAFETY: `run` waits for the end of the runtime before it looks.
        unsafe { cell.outcome.write(Some(outcome)) };
        cx.task().worker().shared().stop();
    }

    /// # Safety
    /// See `TaskKind::fail`.
    unsafe fn fail(task: NonNull<Task>, error: StackError) {
        // SAFETY: as in `body`.
        let cell = unsafe { task.cast::<Self>().as_ref() };
        // SAFETY: as in `body`.
        drop(unsafe { (*cell.closure.get()).take() });
        cell.task.tell_exited();
        let message: Box<dyn Any + Send> =
            Box::new(format!("conbrio: the main task cannot start: {error}"));
        // SAFETY: as in `body`.
        unsafe { cell.outcome.write(Some(Err(message))) };
        cell.task.worker().shared().stop();
    }

    /// # Safety
    /// See `TaskKind::free`.
    unsafe fn free(task: NonNull<Task>) {
        // SAFETY: made by `Box::leak` below; the last reference is gone.
        drop(unsafe { Box::from_raw(task.cast::<Self>().as_ptr()) });
    }
}

/// Makes the main task, unstarted, with one reference for the queue.
///
/// # Safety
/// `outcome` is valid until the task has ended, and so is everything that `f` borrows.
pub(super) unsafe fn new_main<F, R>(
    options: TaskOptions,
    f: F,
    outcome: NonNull<Option<Outcome<R>>>,
) -> NonNull<Task>
where
    F: FnOnce(&mut Cx) -> R,
{
    let cell = Box::new(MainCell {
        task: Task::new(const { &MainCell::<F, R>::KIND }, options, 1),
        closure: UnsafeCell::new(Some(f)),
        outcome,
    });
    let task = NonNull::from(Box::leak(cell)).cast::<Task>();
    Task::attach(task);
    task
}
