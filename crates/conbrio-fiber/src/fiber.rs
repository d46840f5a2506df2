//! One computation on a stack of its own, and the handle it suspends itself with.
//!
//! Owns the coroutine and with it the stack until the computation has finished. Does not own a
//! pool, a queue or a name: whoever resumes fibers decides those.
//!
//! Invariants, cited by number below:
//!
//! 1. A fiber that has started and not finished is never dropped: its frames may be borrowed by
//!    other tasks and by the kernel. `Drop` aborts instead.
//! 2. A switch happens only while the fiber's own stack is the current one. Code that runs in
//!    [`Suspender::on_thread_stack`] is above the resumer's frames; suspending there would leave
//!    its frames to be overwritten, so `suspend` panics.
//! 3. No panic crosses the switch: the entry's ends in an abort, the closure's of
//!    `on_thread_stack` is carried over by hand.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::panic::{self, AssertUnwindSafe};

use corosensei::stack::StackPointer;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::fatal;
use crate::stack::Stack;

/// A computation with its own stack: fresh, suspended or finished.
///
/// Neither `Send` nor `Sync`: it is resumed on the thread that made it.
///
/// ```compile_fail,E0277
/// fn needs_send<T: Send>() {}
/// needs_send::<conbrio_fiber::Fiber>();
/// ```
#[must_use = "a fiber does nothing until it is resumed"]
pub struct Fiber {
    // `ManuallyDrop` because corosensei unwinds or aborts in its own `Drop`, depending on a feature
    // that any crate in the build may turn on; rule 1 needs the same answer every time.
    coroutine: ManuallyDrop<Coroutine<(), (), (), SwitchStack>>,
    /// `None` once it was taken. Here, because out of the coroutine it could only be moved with all the rest,
    /// which has just been written: the move would wait for that.
    stack: Option<Stack>,
    not_send: PhantomData<*mut ()>,
}

/// What a fiber did with the time it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a finished fiber holds a stack that should go back to its pool"]
pub enum Resumed {
    /// It called [`Suspender::suspend`] and waits to be resumed.
    Suspended,
    /// Its entry has returned; only [`Fiber::into_stack`] is left to call.
    Finished,
}

impl Fiber {
    /// Puts `entry` onto `stack`, ready for its first [`resume`](Fiber::resume).
    ///
    /// Small entries are stored on the stack itself, so this allocates nothing; an entry above
    /// 512 bytes is boxed. A panic that leaves `entry` aborts the process.
    #[inline]
    pub fn new<F>(stack: Stack, entry: F) -> Fiber
    where
        F: FnOnce(&Suspender) + 'static,
    {
        let switch_stack = SwitchStack(stack.alias());
        let fits = const { size_of::<F>() <= ENTRY_BYTES_MAX && align_of::<F>() <= 16 };
        let coroutine = if fits {
            Coroutine::with_stack(switch_stack, move |yielder, ()| run_entry(yielder, entry))
        } else {
            let entry = Box::new(entry);
            Coroutine::with_stack(switch_stack, move |yielder, ()| run_entry(yielder, *entry))
        };
        Fiber { coroutine: ManuallyDrop::new(coroutine), stack: Some(stack), not_send: PhantomData }
    }

    /// Runs the fiber until it suspends itself or finishes.
    ///
    /// # Panics
    ///
    /// When the fiber has already finished.
    #[inline]
    #[track_caller]
    pub fn resume(&mut self) -> Resumed {
        assert!(!self.coroutine.done(), "this fiber has finished; call into_stack instead");
        match self.coroutine.resume(()) {
            CoroutineResult::Yield(()) => Resumed::Suspended,
            CoroutineResult::Return(()) => Resumed::Finished,
        }
    }

    /// Whether the fiber has been resumed at least once.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.coroutine.started()
    }

    /// Whether the entry has returned.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.coroutine.done()
    }

    /// Gives the stack back, for [`StackPool::release`](crate::StackPool::release) or another
    /// fiber. An entry that never ran is dropped.
    ///
    /// # Panics
    ///
    /// When the fiber is suspended half-way. The fiber is then leaked, with its stack, because its
    /// frames may still be borrowed. Also when [`take_stack`](Fiber::take_stack) has taken the stack.
    #[track_caller]
    pub fn into_stack(self) -> Stack {
        // Taken out of `self` first, so that the panic below leaks instead of aborting in `Drop`.
        let mut this = ManuallyDrop::new(self);
        assert!(
            !this.is_suspended(),
            "this fiber is suspended; resume it until it has finished before taking its stack"
        );
        if !this.coroutine.done() {
            // It never started: this only drops the entry.
            this.coroutine.force_unwind();
        }
        this.take_stack()
    }

    /// As [`into_stack`](Fiber::into_stack), from a fiber that has finished, where it is.
    ///
    /// # Panics
    ///
    /// When the fiber has not finished, or the stack was taken already.
    #[inline]
    #[track_caller]
    pub fn take_stack(&mut self) -> Stack {
        assert!(self.coroutine.done(), "this fiber has not finished; its stack is in use");
        self.stack.take().expect("the stack of this fiber was taken already")
    }

    #[inline]
    fn is_suspended(&self) -> bool {
        self.coroutine.started() && !self.coroutine.done()
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        if self.is_suspended() {
            // Rule 1. `tests/it/fiber.rs: dropping_a_suspended_fiber_aborts`.
            fatal::abort_with(
                "conbrio: a suspended fiber was dropped; its frames may be borrowed, so it has to \
                 be resumed until it has finished; aborting\n",
            );
        }
        // SAFETY: dropped once, here, and never used afterwards. It is fresh or finished, so this
        // drops an entry that never ran at most and does not unwind.
        unsafe { ManuallyDrop::drop(&mut self.coroutine) }
    }
}

impl fmt::Debug for Fiber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fiber")
            .field("started", &self.is_started())
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// What a running fiber suspends itself with.
///
/// It lives on the fiber's stack, at an address that does not change, from the first resume until
/// the entry has returned.
pub struct Suspender {
    yielder: *const Yielder<(), ()>,
    /// Whether the fiber is inside `on_thread_stack` (rule 2).
    is_away: Cell<bool>,
}

impl Suspender {
    /// Switches back to whoever resumed the fiber and returns at the next
    /// [`Fiber::resume`].
    ///
    /// # Panics
    ///
    /// Inside [`on_thread_stack`](Suspender::on_thread_stack).
    #[inline]
    #[track_caller]
    pub fn suspend(&self) {
        if self.is_away.get() {
            suspended_away();
        }
        // SAFETY: the yielder lives on this fiber's stack for as long as the entry runs, and
        // `self` is only reachable from the entry. Rule 2 holds: the flag says that the fiber is
        // on its own stack.
        unsafe { (*self.yielder).suspend(()) }
    }

    /// Runs `f` on the stack of whoever resumed the fiber, which is large, and returns its value.
    ///
    /// For code with frames that a small stack has no room for. `f` may not suspend. Inside
    /// another `on_thread_stack` it is simply called.
    ///
    /// # Panics
    ///
    /// A panic in `f` is carried over and goes on here with its payload.
    pub fn on_thread_stack<R>(&self, f: impl FnOnce() -> R) -> R {
        if self.is_away.get() {
            // Already there. Asking corosensei again would start at the same address and
            // overwrite the frames of the outer call.
            return call(f);
        }
        let job = AssertSend(move || panic::catch_unwind(AssertUnwindSafe(f)));
        self.is_away.set(true);
        // SAFETY: as in `suspend`; the flag was false, so the fiber is on its own stack and the
        // resumer's frames end where corosensei's parent link says.
        let outcome = unsafe { (*self.yielder).on_parent_stack(move || job.call()) };
        self.is_away.set(false);
        // Rule 3: without its feature `unwind` corosensei would have aborted at the switch.
        outcome.unwrap_or_else(|payload| panic::resume_unwind(payload))
    }
}

impl fmt::Debug for Suspender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspender").field("is_away", &self.is_away.get()).finish_non_exhaustive()
    }
}

/// The root frame of every fiber.
#[inline]
fn run_entry<F: FnOnce(&Suspender)>(yielder: &Yielder<(), ()>, entry: F) {
    let suspender = Suspender { yielder, is_away: Cell::new(false) };
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| entry(&suspender)));
    if let Err(payload) = outcome {
        // Rule 3. The payload's own destructor could panic again, and nobody will look at it.
        mem::forget(payload);
        fatal::abort_with(
            "conbrio: a panic left the entry of a fiber; whoever starts fibers has to catch \
             panics inside; aborting\n",
        );
    }
}

/// Calls `f` in a frame of its own. Inlined, its large frame would become part of
/// `on_thread_stack`'s, which is on the small stack.
#[inline(never)]
fn call<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[cold]
#[inline(never)]
#[track_caller]
fn suspended_away() -> ! {
    panic!("cannot suspend inside on_thread_stack; leave it first");
}

/// Carries a closure past the `Send` bound of corosensei's `on_parent_stack`.
struct AssertSend<F>(F);

// SAFETY: no other thread is involved. The bound is there so that the closure cannot hold a
// reference to the yielder and suspend with it; `Suspender::is_away` refuses that at run time.
unsafe impl<F> Send for AssertSend<F> {}

impl<F: FnOnce() -> R, R> AssertSend<F> {
    /// A method, so that the calling closure captures the whole wrapper and not the field in it.
    fn call(self) -> R {
        (self.0)()
    }
}

/// Our stack as corosensei sees it; a type of its own keeps its trait out of our public API.
struct SwitchStack(Stack);

// SAFETY: it is made from the `Stack` that the fiber holds until it has finished, the only handle to its
// slot, which is mapped readable and writable with at least 32 KiB above a guard of one page or more, and is
// not unmapped while the handle exists. `base` is aligned to 64 bytes, `limit` to a page.
unsafe impl corosensei::stack::Stack for SwitchStack {
    #[inline]
    fn base(&self) -> StackPointer {
        self.0.base_pointer()
    }

    #[inline]
    fn limit(&self) -> StackPointer {
        self.0.guard_pointer()
    }
}

/// Entries above this many bytes are boxed. corosensei refuses more than 1024.
const ENTRY_BYTES_MAX: usize = 512;
