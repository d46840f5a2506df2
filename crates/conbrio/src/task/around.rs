//! What a task wants around each of its turns: state of the thread that is to be there while it runs.
//!
//! A task runs in turns, between which other tasks run on the same thread. A function that installs
//! something for the time of a closure, such as a dynamically scoped thread local, must not be called in the
//! task, around code that waits: its beginning and its end would not nest with those of other tasks. Here it
//! is called by the worker, around the switch to the task and back, once for each turn:
//!
//! ```text
//! worker:  outer( inner( resume the fiber … it suspends ) )      then another task
//! ```
//!
//! So what it installs is gone whenever another task runs, and calls nest by construction.
//!
//! Rules:
//! 1. A frame lives on the task's stack, in [`Cx::around_turns`], as long as it is in the list.
//! 2. The list is changed by the task, which then switches to its worker at once. The worker sees that it is
//!    another list, and resumes the task within that.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use conbrio_fiber::{Fiber, Resumed};

use crate::util::abort::{AbortGuard, abort};

use super::cell::Task;
use super::cx::Cx;

/// One turn of a task; handed to the closure of [`Cx::around_turns`], which runs it.
#[must_use = "the task has its turn in `run`; without it the process is aborted"]
pub struct Turn<'a> {
    run: &'a mut dyn FnMut(),
    /// The task belongs to this thread.
    stays_here: PhantomData<*mut ()>,
}

impl Turn<'_> {
    /// Runs the task until it waits, or leaves [`Cx::around_turns`].
    pub fn run(self) {
        (self.run)();
    }
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

/// One closure that is called around turns.
pub(super) struct Frame {
    closure: NonNull<()>,
    call: unsafe fn(NonNull<()>, Turn<'_>),
    outer: Around,
}

/// The list of closures, the innermost first.
pub(super) type Around = Option<NonNull<Frame>>;

impl Cx {
    /// Runs `f`, and calls `around` around each turn that the task has meanwhile.
    ///
    /// A task runs in turns; whenever it waits, other tasks may run on its thread. `around` gets the
    /// [`Turn`], runs it, and can set up before and take down afterwards what `f` needs of the thread. It is
    /// called again and again, on the stack of the worker's thread, and what it sets up is never there when
    /// another task runs. This makes sound what the [contract on thread locals](crate) forbids: a function
    /// that installs a dynamically scoped thread local for the time of a closure. It also keeps state of
    /// libraries right that is safe but would leak into other tasks, such as entered `tracing` spans,
    /// `tokio::runtime::Handle::enter`, or a rounding mode.
    ///
    /// It can be nested; then the outer closure is called around the inner one. Children do not inherit it:
    /// call it in the child as well; what is installed can be borrowed from the parent.
    ///
    /// In a destructor that runs while the task unwinds, nothing waits, so that `f` has one turn. `around` is
    /// called then while [`std::thread::panicking`] says `true`.
    ///
    /// Costs two switches and two calls of `around`, some 40 ns; and then a call of `around` for each turn.
    /// It allocates nothing.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself: no other task runs when `f` begins or ends.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller. If `around` panics, or does not run the turn, the process is
    /// aborted: the task could not go on, and others borrow from it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use conbrio::prelude::*;
    ///
    /// // What a library might do: what is deep is known to the thread.
    /// thread_local!(static DEPTH: Cell<u32> = const { Cell::new(0) });
    ///
    /// fn deeper(f: impl FnOnce()) {
    ///     DEPTH.set(DEPTH.get() + 1);
    ///     f();
    ///     DEPTH.set(DEPTH.get() - 1);
    /// }
    ///
    /// conbrio::Builder::new().workers(1).run(|cx| {
    ///     cx.nursery(|_, n| -> Result<(), Cancelled> {
    ///         for _ in 0..3 {
    ///             n.spawn(|cx| {
    ///                 assert_eq!(DEPTH.get(), 0);
    ///                 cx.around_turns(|turn| deeper(|| turn.run()), |cx| {
    ///                     assert_eq!(DEPTH.get(), 1);
    ///                     cx.yield_now()?; // Others run here, and see nothing of it.
    ///                     assert_eq!(DEPTH.get(), 1);
    ///                     Ok(())
    ///                 })
    ///             });
    ///         }
    ///         Ok(())
    ///     })
    /// })?
    /// .unwrap();
    /// # Ok::<(), conbrio::RuntimeError>(())
    /// ```
    ///
    /// A turn does not leave its thread, nor the call that it is for:
    ///
    /// ```compile_fail,E0277
    /// conbrio::run(|cx| {
    ///     let elsewhere = |turn: conbrio::Turn<'_>| {
    ///         std::thread::scope(|s| {
    ///             s.spawn(move || turn.run());
    ///         });
    ///     };
    ///     cx.around_turns(elsewhere, |_| ());
    /// });
    /// ```
    pub fn around_turns<W, R>(&mut self, around: W, f: impl FnOnce(&mut Cx) -> R) -> R
    where
        W: Fn(Turn<'_>),
    {
        let task = self.anchor();
        let outer = task.around().get();
        let frame = Frame { closure: NonNull::from(&around).cast(), call: call::<W>, outer };
        task.enter_around(NonNull::from(&frame));
        let result = catch_unwind(AssertUnwindSafe(|| f(self)));
        // Nothing between the two changes unwinds, so the frame leaves the list before it ends (rule 1).
        task.change_around(outer);
        result.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

/// # Safety
/// `closure` points to a `W` that lives.
unsafe fn call<W: Fn(Turn<'_>)>(closure: NonNull<()>, turn: Turn<'_>) {
    // SAFETY: by contract.
    let closure = unsafe { closure.cast::<W>().as_ref() };
    closure(turn);
}

impl Task {
    /// *Home, running.* Puts a frame at the head of the list. If it cannot, it unwinds, and has not.
    fn enter_around(&self, frame: NonNull<Frame>) {
        /// Rule 1, also if the switch refuses and this unwinds.
        struct Restore<'a>(&'a Task, Around);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.around().set(self.1);
            }
        }
        let restore = Restore(self, self.around().get());
        self.change_around(Some(frame));
        std::mem::forget(restore);
    }

    /// *Home, running.* Puts another list in place (rule 2).
    fn change_around(&self, around: Around) {
        self.around().set(around);
        self.switch();
    }
}

/// *Home.* Gives the fiber of a task a turn, within what the task wants around it.
#[inline]
pub(super) fn resume(task: &Task, fiber: &mut Fiber) -> Resumed {
    let mut around = task.around().get();
    loop {
        let resumed = match around {
            None => fiber.resume(),
            Some(frame) => resume_within(task, frame, fiber),
        };
        let now = task.around().get();
        if now == around {
            return resumed;
        }
        // It did not stop to wait, but to go on within another list. Ends: each time the task has entered or
        // left a call.
        around = now;
    }
}

#[cold]
#[inline(never)]
fn resume_within(task: &Task, frame: NonNull<Frame>, fiber: &mut Fiber) -> Resumed {
    if task.worker().is_tracing() {
        // None of its code runs.
        return fiber.resume();
    }
    let mut resumed = None;
    let guard = AbortGuard::new("a closure given to `Cx::around_turns` panicked");
    run_within(Some(frame), &mut || resumed = Some(fiber.resume()));
    guard.disarm();
    resumed.unwrap_or_else(|| abort("a closure given to `Cx::around_turns` did not run the turn"))
}

/// Calls the closures of a list, the outermost first, and `turn` in the middle.
fn run_within(around: Around, turn: &mut dyn FnMut()) {
    let Some(frame) = around else { return turn() };
    // SAFETY: the task has not left the frame: it does so in its turn, and in the turn in which it does, it
    // leaves the list first and is resumed within another one (rules 1 and 2).
    let frame = unsafe { frame.as_ref() };
    run_within(frame.outer, &mut || {
        let turn = Turn { run: &mut *turn, stays_here: PhantomData };
        // SAFETY: the closure lives as long as its frame.
        unsafe { (frame.call)(frame.closure, turn) };
    });
}
