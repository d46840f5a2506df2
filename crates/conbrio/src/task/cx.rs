//! The capability to wait.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::cell::Task;

/// Proof that the code holding it runs in a task, and the handle through which it waits.
///
/// Every function that may wait takes `cx: &mut Cx`, and is called like any other function. Nobody can
/// make a `Cx`: it is handed to the closure of [`run`](crate::run), of a child, and of a scope, and
/// only such code can call functions that wait. It cannot be stored, sent, or exchanged for another.
///
/// The operations that belong to no object are its methods: complete on `cx.` to see them.
///
/// # Thread locals
///
/// A call that takes `cx` is a point at which other tasks may run on this thread. Do not make such a
/// call inside a closure that was given to a function which installs a *dynamically scoped* thread local
/// around it (`scoped_tls::ScopedKey::set` and its relatives): those rely on closures returning in
/// last-in-first-out order, which tasks do not. See the guarantees in the
/// [crate documentation](crate).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use conbrio::{Cancelled, Cx};
///
/// fn tick(cx: &mut Cx, times: u32) -> Result<(), Cancelled> {
///     for _ in 0..times {
///         cx.sleep(Duration::from_micros(10))?;
///     }
///     Ok(())
/// }
///
/// conbrio::run(|cx| tick(cx, 3)).unwrap();
/// ```
///
/// It does not leave its task:
///
/// ```compile_fail,E0277
/// conbrio::run(|cx| {
///     std::thread::scope(|s| {
///         s.spawn(|| cx.checkpoint());
///     });
/// });
/// ```
#[repr(transparent)]
pub struct Cx(Head<[()]>);

/// A sized head and an unsized tail: `&mut Cx` can then be neither swapped, replaced, nor assigned,
/// which would let two tasks exchange their capabilities. Only a pointer is inside: the scheduler
/// changes what it points to while the `&mut Cx` exists.
#[repr(C)]
struct Head<T: ?Sized> {
    task: NonNull<Task>,
    /// A pointer is neither `Send` nor `Sync`, and neither is what leads to a task.
    stays_in_its_task: PhantomData<*mut ()>,
    tail: T,
}

impl Cx {
    /// Runs `f` with the capability of the task.
    pub(super) fn with<R>(task: NonNull<Task>, f: impl FnOnce(&mut Cx) -> R) -> R {
        let mut head = Head { task, stays_in_its_task: PhantomData, tail: [(); 0] };
        let head: &mut Head<[()]> = &mut head;
        // SAFETY: `Cx` is a transparent wrapper of `Head<[()]>`, so that the pointers have the same
        // layout and metadata.
        let cx = unsafe { &mut *(std::ptr::from_mut(head) as *mut Cx) };
        f(cx)
    }

    #[inline]
    pub(crate) fn task(&self) -> &Task {
        // SAFETY: the task outlives the closure that was given this `Cx`.
        unsafe { self.0.task.as_ref() }
    }

    /// As [`task`](Cx::task), without borrowing the `Cx`: for functions that also hand it on.
    ///
    /// The reference must not leave the frame of the caller, which runs in the task.
    #[inline]
    pub(crate) fn anchor<'a>(&self) -> &'a Task {
        // SAFETY: as in `task`: a frame of the task does not outlive it.
        unsafe { self.0.task.as_ref() }
    }
}

impl std::fmt::Debug for Cx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx").field("task", &self.task().name()).finish_non_exhaustive()
    }
}
