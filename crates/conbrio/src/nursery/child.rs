//! Child tasks: the cell that holds closure and result, and the handle.
//!
//! ```text
//! ChildCell = Head | core | payload: closure, later value        Head = Task | status | where the payload is
//! ```
//!
//! Rules:
//! 1. `payload` is the closure until the body takes it, at its start; then nothing; then the value, once
//!    `STORED` is set.
//! 2. The value belongs to the handle when `STORED` is set and `HANDLE_GONE` is not. If the handle is
//!    gone first, the body drops the value, before it counts itself down: the value may borrow from what
//!    ends with the nursery. If the handle goes later, it drops it; a forgotten handle leaks it.
//! 3. Two references are counted: the task's, and the handle's.
//! 4. `core` is the nursery that failures go to. The child itself changes it, in `Started::ready`.

use std::alloc::Layout;
use std::borrow::Cow;
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, offset_of};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::task::Waker;

use conbrio_fiber::StackError;

use crate::cancel::{CancelSource, Cancelled, Group, Joiner, MaybeCancelled};
use crate::sched::{Interrupt, Parked, Runnable, Worker};
use crate::scope::notice_here;
use crate::task::{Cx, Task, TaskKind, TaskOptions};
use crate::util::atomic::{AtomicU8, Ordering};
use crate::util::cell_cache::CellCache;

use super::core::NurseryCore;
use super::start::{StartError, Started};

/// The value is in the payload.
const STORED: u8 = 1;
/// Nobody will ask for the value.
const HANDLE_GONE: u8 = 2;
/// The handle has taken the value. Written by the handle, after `STORED`, when nobody else writes any more.
const TAKEN: u8 = 4;

/// What a handle reaches, which knows neither closure nor error.
///
/// So a handle is two words, which a call returns in registers. More would go through memory, and whoever
/// stores it away then waits for what was written a moment ago.
#[repr(C)]
struct Head {
    task: Task,
    status: AtomicU8,
    /// Where the payload begins, in bytes from here.
    payload_at: u32,
}

#[repr(C)]
struct ChildCell<F, T, E> {
    head: Head,
    core: Cell<NonNull<NurseryCore<E>>>,
    payload: UnsafeCell<Payload<F, T>>,
}

union Payload<F, T> {
    closure: ManuallyDrop<F>,
    value: ManuallyDrop<T>,
}

impl<F, T, E> ChildCell<F, T, E>
where
    F: FnOnce(&mut Cx) -> Result<T, E>,
    E: MaybeCancelled + Send + 'static,
{
    const KIND: TaskKind = TaskKind { body: Self::body, fail: Self::fail, free: Self::free };

    fn new(core: &NurseryCore<E>, options: TaskOptions, f: F) -> NonNull<Self> {
        let cells = Worker::current().map(Worker::cells);
        let cell = CellCache::allocate(cells, Layout::new::<Self>()).cast::<Self>();
        // SAFETY: fresh memory of the right layout.
        unsafe {
            cell.write(ChildCell {
                head: Head {
                    task: Task::new(const { &Self::KIND }, options, 2),
                    status: AtomicU8::new(0),
                    payload_at: const { offset_of!(Self, payload) as u32 },
                },
                core: Cell::new(NonNull::from(core)),
                payload: UnsafeCell::new(Payload { closure: ManuallyDrop::new(f) }),
            });
        }
        Task::attach(cell.cast());
        // SAFETY: just made, and nobody else has it.
        unsafe { cell.as_ref() }.head.task.locals().set(core.locals);
        cell
    }

    /// # Safety
    /// See `TaskKind::body`.
    unsafe fn body(task: NonNull<Task>, cx: &mut Cx) {
        // SAFETY: this function is in the kind of such cells only, which live until the task ends.
        let cell = unsafe { task.cast::<Self>().as_ref() };
        // SAFETY: rule 1: the payload is the closure, and is taken once.
        let f = unsafe { ManuallyDrop::take(&mut (*cell.payload.get()).closure) };
        let result = catch_unwind(AssertUnwindSafe(|| f(cx)));
        cell.keep(result);
        cell.head.task.closure_ended();
        cell.leave();
    }

    /// Stores or reports the outcome.
    ///
    /// It returns before the child counts itself down: to the compiler, what its argument borrows stays until
    /// then.
    fn keep(&self, result: std::thread::Result<Result<T, E>>) {
        // SAFETY: a nursery does not end before its children have counted themselves down (rule 4).
        let core = unsafe { self.core.get().as_ref() };
        let task = &self.head.task;
        // A destructor that panics here is a panic of the child like any other.
        let stored = catch_unwind(AssertUnwindSafe(|| match result {
            Ok(Ok(value)) => self.store(value),
            Ok(Err(error)) => {
                let own = core.group.child_notice(task.branch());
                let is_own = |c: &Cancelled| own.as_ref().is_some_and(|own| c.is(own));
                // A child that stopped because it was cancelled itself has not failed.
                if !error.cancelled().is_some_and(is_own) {
                    core.fail(error, task.name(), "the child");
                }
            }
            Err(payload) => core.panicked(payload, task.name(), "the child"),
        }));
        if let Err(payload) = stored {
            core.panicked(payload, task.name(), "dropping the result of the child");
        }
    }

    /// Tells of the end, and counts the child down.
    fn leave(&self) {
        // SAFETY: as in `keep`.
        let core = unsafe { self.core.get().as_ref() };
        self.head.task.tell_exited();
        core.group.count_down(self.head.task.branch());
    }

    fn store(&self, value: T) {
        if self.head.status.load(Ordering::Acquire) & HANDLE_GONE != 0 {
            drop(value);
            return;
        }
        // SAFETY: rule 1: the closure is gone and nobody looks before `STORED` is set.
        unsafe { (*self.payload.get()).value = ManuallyDrop::new(value) };
        // Release: the handle, which acquires, sees the value.
        if self.head.status.fetch_or(STORED, Ordering::AcqRel) & HANDLE_GONE != 0 {
            // SAFETY: rule 2: the handle was gone first, so the value is ours to drop.
            unsafe { ManuallyDrop::drop(&mut (*self.payload.get()).value) };
        }
    }

    /// # Safety
    /// See `TaskKind::fail`.
    unsafe fn fail(task: NonNull<Task>, error: StackError) {
        // SAFETY: as in `body`.
        let cell = unsafe { task.cast::<Self>().as_ref() };
        let message =
            format!("conbrio: the task '{}' cannot start: {error}", cell.head.task.name());
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: rule 1: the body did not run.
            unsafe { ManuallyDrop::drop(&mut (*cell.payload.get()).closure) };
        }));
        // SAFETY: as in `keep`.
        let core = unsafe { cell.core.get().as_ref() };
        if let Err(payload) = dropped {
            core.panicked(payload, cell.head.task.name(), "dropping the closure of the child");
        }
        cell.keep(Err(Box::new(message)));
        cell.leave();
    }

    /// # Safety
    /// See `TaskKind::free`.
    unsafe fn free(task: NonNull<Task>) {
        let cell = task.cast::<Self>();
        // SAFETY: written in `new`; the last reference is gone. The payload is not dropped here: it was
        // taken, dropped by rule 2, or leaked with its handle.
        unsafe { cell.drop_in_place() };
        let cells = Worker::current().map(Worker::cells);
        // SAFETY: allocated in `new` with this layout.
        unsafe { CellCache::free(cells, cell.cast(), Layout::new::<Self>()) };
    }
}

impl<E: MaybeCancelled + Send + 'static> NurseryCore<E> {
    pub(crate) fn spawn<'scope, F, T>(&'scope self, options: TaskOptions, f: F) -> Child<'scope, T>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        let (child, runnable) = self.make(options, f);
        if let Some(runnable) = runnable {
            let worker =
                Worker::current().filter(|w| std::ptr::eq(&raw const **w.shared(), self.shared()));
            // Before others can poke it, because then it costs nothing.
            if let Some(worker) = worker {
                worker.settle_if_alone(child.task().runnable());
            }
            self.group.add(child.task().branch());
            match worker {
                // SAFETY: unstarted, `Send`, and the task's own reference becomes the queue's.
                Some(worker) => unsafe { worker.push_child(runnable) },
                // SAFETY: as above.
                None => unsafe { self.shared().inject(runnable) },
            }
        }
        child
    }

    #[track_caller]
    pub(crate) fn spawn_local<'scope, F, T>(
        &'scope self,
        options: TaskOptions,
        cx: &Cx,
        f: F,
    ) -> LocalChild<'scope, T>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + 'scope,
        T: 'scope,
    {
        let worker = cx.task().worker();
        self.group.assert_same_runtime(worker);
        let (child, runnable) = self.make(options, f);
        if let Some(runnable) = runnable {
            worker.settle(child.task().runnable());
            self.group.add(child.task().branch());
            worker.push_local_child(runnable);
        }
        LocalChild { child, stays_here: PhantomData }
    }

    /// Makes a child and the reference that a queue will hold.
    ///
    /// While unwinding (rule U) the child is refused: its closure is dropped, it counts as ended, and
    /// there is nothing to queue.
    fn make<'scope, F, T>(
        &'scope self,
        options: TaskOptions,
        f: F,
    ) -> (Child<'scope, T>, Option<NonNull<Runnable>>)
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + 'scope,
        T: 'scope,
    {
        let cell = ChildCell::new(self, options, f);
        let child = Child { head: cell.cast(), group: &self.group, result: PhantomData };
        if std::thread::panicking() {
            // SAFETY: just made, and rule 1: the payload is the closure, and no body will take it.
            unsafe { ManuallyDrop::drop(&mut (*(*cell.as_ptr()).payload.get()).closure) };
            self.group.refuse(child.task().branch());
            // SAFETY: the reference of the task, which no queue gets.
            unsafe { Runnable::release(cell.cast()) };
            return (child, None);
        }
        (child, Some(cell.cast()))
    }

    #[track_caller]
    pub(crate) fn start<'scope, F, V>(
        &'scope self,
        options: TaskOptions,
        cx: &mut Cx,
        f: F,
    ) -> Result<V, StartError<E>>
    where
        F: FnOnce(&mut Cx, Started<'_, V, E>) -> Result<(), E> + Send + 'scope,
        V: Send + 'scope,
    {
        super::start::start(self, options, cx, f)
    }
}

/// Changes the nursery that a child reports to.
///
/// # Safety
/// `task` is the running task, a child made by this module with the error type `E`.
pub(super) unsafe fn set_core<E>(task: NonNull<Task>, core: &NurseryCore<E>) {
    let cell = task.cast::<ChildCell<(), (), E>>().as_ptr();
    // SAFETY: the place of `core` depends on `E` only: it comes before the payload (`repr(C)`).
    unsafe { (*cell).core.set(NonNull::from(core)) };
}

/// A child task. Dropping the handle changes nothing for the child: the nursery still owns it.
pub struct Child<'scope, T> {
    /// That of a cell whose value is a `T`; the pointer is for all of the cell.
    head: NonNull<Head>,
    group: &'scope Group,
    result: PhantomData<(&'scope mut &'scope (), T)>,
}

// SAFETY: the handle gives access to the value (`T: Send`), and to atomics and locks.
unsafe impl<T: Send> Send for Child<'_, T> {}
// SAFETY: through a shared handle only atomics and locks are reached.
unsafe impl<T: Send> Sync for Child<'_, T> {}

impl<T> Child<'_, T> {
    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: the handle holds a reference, which keeps the cell alive.
        unsafe { self.head.as_ref() }
    }

    #[inline]
    fn task(&self) -> &Task {
        &self.head().task
    }

    #[inline]
    fn status(&self) -> &AtomicU8 {
        &self.head().status
    }

    /// Where the value is once `STORED` is set (rule 2).
    #[inline]
    fn value(&self) -> NonNull<T> {
        // SAFETY: the payload lies in the cell, which the pointer is for.
        unsafe { self.head.byte_add(self.head().payload_at as usize).cast() }
    }

    #[inline]
    #[track_caller]
    fn assert_not_taken(&self) {
        let is_taken = self.status().load(Ordering::Relaxed) & TAKEN != 0;
        assert!(!is_taken, "the value of this child was taken by an earlier `join`");
    }

    /// Waits until the child has ended and takes its value.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the child goes on; `join` may be called again.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] also if the child failed or panicked: then the nursery is being cancelled, and it
    /// is the nursery that reports the failure; or if the child was cancelled on its own and stopped.
    ///
    /// # Panics
    ///
    /// If the value was taken by an earlier `join`, or if the caller runs in another runtime.
    #[track_caller]
    #[inline(always)] // As `Task::suspend` says.
    pub fn join(&mut self, cx: &mut Cx) -> Result<T, Cancelled> {
        self.assert_not_taken();
        self.group.assert_same_runtime(cx.task().worker());
        cx.checkpoint()?;
        let waiter = cx.begin_wait();
        if !self.group.is_joined_or_wait(self.task().branch(), Joiner::Task(waiter))
            && cx.park(Interrupt::OnCancel, "a child (join)") == Parked::Interrupted
            && !self.group.stop_joining(self.task().branch())
        {
            return Err(cx.why_interrupted());
        }
        // It was joined already, or has woken this wait as it counted itself down, or ended before the
        // joiner could be taken back.
        self.take()
    }

    /// As [`join`](Child::join) if the child has ended.
    #[track_caller]
    pub(crate) fn take_if_finished(&mut self, cx: &Cx) -> Option<Result<T, Cancelled>> {
        self.assert_not_taken();
        self.group.assert_same_runtime(cx.task().worker());
        self.is_finished().then(|| self.take())
    }

    /// Whether the child has ended; otherwise `waker` is woken when it does, unless `stop_waiting` comes
    /// first.
    pub(crate) fn is_finished_or_wait(&self, waker: Waker) -> bool {
        self.is_finished()
            || self.group.is_joined_or_wait(self.task().branch(), Joiner::Other(waker))
    }

    pub(crate) fn stop_waiting(&self) {
        self.group.stop_joining(self.task().branch());
    }

    fn take(&mut self) -> Result<T, Cancelled> {
        if self.status().load(Ordering::Acquire) & STORED != 0 {
            self.status().store(STORED | TAKEN, Ordering::Relaxed);
            // SAFETY: rule 2: the value is ours, and `TAKEN` makes this the only time it is read.
            return Ok(unsafe { self.value().read() });
        }
        let notice = self.group.child_notice(self.task().branch()).map(Cancelled);
        Err(notice.or_else(|| self.group.cancellation()).unwrap_or_else(Cancelled::unwinding))
    }

    /// Whether the child has ended.
    pub fn is_finished(&self) -> bool {
        self.group.has_ended(self.task().branch())
    }

    /// Cancels this child alone. If it stops for it, that is no failure of the nursery.
    #[track_caller]
    pub fn cancel(&self) {
        let notice = notice_here(CancelSource::Explicit, None, Location::caller());
        self.group.cancel_child(self.task().branch(), notice);
    }

    /// The name of the child.
    pub fn name(&self) -> &str {
        self.task().name()
    }
}

impl<T> Drop for Child<'_, T> {
    fn drop(&mut self) {
        let mut old = self.status().load(Ordering::Acquire);
        if old & STORED == 0 {
            // The body may be about to store it.
            old = self.status().fetch_or(HANDLE_GONE, Ordering::AcqRel);
        }
        let is_ours = old & (STORED | TAKEN) == STORED;
        // Released even if the destructor of the value panics.
        struct Release(NonNull<Runnable>);
        impl Drop for Release {
            fn drop(&mut self) {
                // SAFETY: the handle's reference.
                unsafe { Runnable::release(self.0) };
            }
        }
        let _release = Release(self.head.cast());
        if is_ours {
            // SAFETY: rule 2: the value was stored before the handle went, and was not taken.
            unsafe { self.value().drop_in_place() };
        }
    }
}

impl<T> std::fmt::Debug for Child<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child")
            .field("name", &self.name())
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// A child task that stays on the worker that spawned it. Its handle does so too.
///
/// ```compile_fail,E0277
/// use conbrio::prelude::*;
///
/// conbrio::run(|cx| {
///     cx.nursery(|cx, n| -> Result<(), Cancelled> {
///         let mut child = n.spawn_local(cx, |_| Ok(1));
///         n.spawn(move |cx| child.join(cx).map(|_| ())); // a `LocalChild` is not `Send`
///         Ok(())
///     })
/// });
/// ```
pub struct LocalChild<'scope, T> {
    child: Child<'scope, T>,
    stays_here: PhantomData<*mut ()>,
}

impl<'scope, T> std::ops::Deref for LocalChild<'scope, T> {
    type Target = Child<'scope, T>;

    fn deref(&self) -> &Child<'scope, T> {
        &self.child
    }
}

impl<'scope, T> LocalChild<'scope, T> {
    pub(crate) fn child_mut(&mut self) -> &mut Child<'scope, T> {
        &mut self.child
    }

    /// Waits until the child has ended and takes its value. See [`Child::join`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the child goes on; `join` may be called again.
    #[track_caller]
    pub fn join(&mut self, cx: &mut Cx) -> Result<T, Cancelled> {
        self.child.join(cx)
    }
}

impl<T> std::fmt::Debug for LocalChild<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.child.fmt(f)
    }
}

/// A child about to be spawned, with a name and options. Made by [`Nursery::task`](super::Nursery::task).
#[must_use = "a task begins when one of the spawn functions is called"]
pub struct TaskBuilder<'scope, E> {
    core: &'scope NurseryCore<E>,
    options: TaskOptions,
    /// As in the nursery: if the scope could be shortened, a child could borrow from what ends before the
    /// nursery (`tests/ui/fail/builder_scope_shortened.rs`).
    scope: PhantomData<&'scope mut &'scope ()>,
}

impl<'scope, E: MaybeCancelled + Send + 'static> TaskBuilder<'scope, E> {
    pub(super) fn new(core: &'scope NurseryCore<E>, name: Cow<'static, str>) -> Self {
        let stack_bytes = core.shared().options().stack_bytes;
        TaskBuilder { core, options: TaskOptions { name, stack_bytes }, scope: PhantomData }
    }

    /// The size of the task's stack in bytes, rounded up to a power of two.
    ///
    /// Memory is used only where the stack is touched; what counts here is address space.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_bytes = bytes;
        self
    }

    /// See [`Nursery::spawn`](super::Nursery::spawn).
    pub fn spawn<F, T>(self, f: F) -> Child<'scope, T>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        self.core.spawn(self.options, f)
    }

    /// See [`Nursery::spawn_local`](super::Nursery::spawn_local).
    #[track_caller]
    pub fn spawn_local<F, T>(self, cx: &Cx, f: F) -> LocalChild<'scope, T>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + 'scope,
        T: 'scope,
    {
        self.core.spawn_local(self.options, cx, f)
    }

    /// See [`Nursery::start`](super::Nursery::start).
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself; waits for the child, which sees the cancellations of the caller.
    #[track_caller]
    pub fn start<F, V>(self, cx: &mut Cx, f: F) -> Result<V, StartError<E>>
    where
        F: FnOnce(&mut Cx, Started<'_, V, E>) -> Result<(), E> + Send + 'scope,
        V: Send + 'scope,
    {
        self.core.start(self.options, cx, f)
    }
}

impl<E> std::fmt::Debug for TaskBuilder<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
