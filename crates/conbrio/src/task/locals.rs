//! Values that a task sees, and its children with it: bound for the time of a closure, by key.
//!
//! The bindings of a task are a list of frames on stacks, the innermost first. A child begins with the
//! list that was current where its nursery was opened, so that it goes on into the frames of the task
//! that opened it, perhaps on another thread:
//!
//! ```text
//! parent:  [b] -> [a] -> none          on its stack, below the nursery
//! child:   [d] -> [c] -> [b]           its own frames, then the parent's
//! ```
//!
//! Rules:
//! 1. A frame does not change once it is in the list, and lives until [`Cx::with_local`] returns.
//! 2. A nursery keeps the list that was current when it was opened. It lies in a closure of all those
//!    frames, and does not return while a child lives: so they outlive the children.
//! 3. A child that changes its nursery, as `Nursery::start` makes it do, begins with the list of the
//!    nursery that it goes to, because the frames of the caller end before it.
//! 4. The values are `Sync`: they are shared with children on other threads.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::sched::Worker;

use super::cell::Task;
use super::cx::Cx;

/// Names a value of type `T` that a task and its children can see. Make it a `static`.
///
/// [`Cx::with_local`] binds a value to it, [`Cx::local`] and [`Cx::use_local`] look at it.
///
/// # Examples
///
/// ```
/// use conbrio::LocalKey;
///
/// static REQUEST: LocalKey<u64> = LocalKey::new();
///
/// conbrio::run(|cx| {
///     assert_eq!(cx.local(&REQUEST), None);
///     cx.with_local(&REQUEST, &7, |cx| assert_eq!(cx.local(&REQUEST), Some(&7)));
/// });
/// ```
///
/// What it names is shared with children on other threads, so it must be `Sync`:
///
/// ```compile_fail,E0277
/// static COUNT: conbrio::LocalKey<std::cell::Cell<u32>> = conbrio::LocalKey::new();
/// ```
pub struct LocalKey<T> {
    /// Two keys of one type are told apart by their addresses, for which they must have a size.
    _has_a_size: u8,
    value: PhantomData<fn(T)>,
}

impl<T: Sync + 'static> LocalKey<T> {
    /// A key to which nothing is bound.
    #[must_use]
    pub const fn new() -> LocalKey<T> {
        LocalKey { _has_a_size: 0, value: PhantomData }
    }

    fn id(&'static self) -> KeyId {
        KeyId { address: std::ptr::from_ref(self).addr(), type_id: TypeId::of::<T>() }
    }
}

impl<T: Sync + 'static> Default for LocalKey<T> {
    fn default() -> LocalKey<T> {
        LocalKey::new()
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").field("of", &std::any::type_name::<T>()).finish_non_exhaustive()
    }
}

/// Which key a frame is for. With the type in it, a mix-up of addresses can never be one of types.
#[derive(Clone, Copy, PartialEq, Eq)]
struct KeyId {
    address: usize,
    type_id: TypeId,
}

/// One binding.
struct Frame {
    key: KeyId,
    value: NonNull<()>,
    outer: Locals,
}

/// The bindings that a task begins with, or has now.
#[derive(Clone, Copy, Default)]
pub(crate) struct Locals(Option<NonNull<Frame>>);

impl Locals {
    /// The value that is bound to a key.
    ///
    /// # Safety
    /// The frames of the list live for `'a`, and so do their values.
    pub(crate) unsafe fn find<'a, T: Sync + 'static>(
        self,
        key: &'static LocalKey<T>,
    ) -> Option<&'a T> {
        let id = key.id();
        let mut list = self;
        // Ends: each frame was there before the next inner one.
        while let Some(frame) = list.0 {
            // SAFETY: alive by contract; rule 1: nobody changes it.
            let frame = unsafe { frame.as_ref() };
            if frame.key == id {
                // SAFETY: the key's type is the value's, which lives as long as its frame; rule 4.
                return Some(unsafe { frame.value.cast::<T>().as_ref() });
            }
            list = frame.outer;
        }
        None
    }
}

/// The value that is bound to a key in the task that runs on this thread, for code that has no `cx`.
pub(crate) fn local_here<T: Copy + Sync + 'static>(key: &'static LocalKey<T>) -> Option<T> {
    let running = Worker::current()?.running()?;
    // SAFETY: only tasks run, and the one that runs now, which is the caller, is alive.
    let task = unsafe { running.cast::<Task>().as_ref() };
    let locals = task.locals().get();
    // SAFETY: as in `Cx::local`: the caller lies inside the `with_local` of each frame; the value is copied.
    unsafe { locals.find(key) }.copied()
}

impl Cx {
    /// Runs `f`, in which [`local`](Cx::local) yields `value` for `key`.
    ///
    /// So it does in this task, and in the children of nurseries that are opened inside, on whatever thread
    /// they run, and in theirs. What was bound to the key before is back when this returns. Nothing else
    /// changes it: a child that binds the key anew does that for itself and its own children only.
    ///
    /// For what would otherwise be an argument of every function on the way: the number of a request, a
    /// pool of connections, a limit. Children see the values that were bound where their *nursery* was
    /// opened, because that is how long these certainly live.
    ///
    /// Costs a few nanoseconds and allocates nothing; so does spawning with values bound. Looking one up
    /// takes a step for each binding further in.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// static REQUEST: conbrio::LocalKey<String> = conbrio::LocalKey::new();
    ///
    /// fn log(cx: &Cx, what: &str) -> String {
    ///     format!("{}: {what}", cx.local(&REQUEST).map_or("-", String::as_str))
    /// }
    ///
    /// conbrio::run(|cx| {
    ///     let request = format!("request {}", 17);
    ///     cx.with_local(&REQUEST, &request, |cx| {
    ///         cx.nursery(|cx, n| -> Result<(), Cancelled> {
    ///             let mut child = n.spawn(|cx| Ok(log(cx, "in a child")));
    ///             assert_eq!(child.join(cx)?, "request 17: in a child");
    ///             Ok(())
    ///         })
    ///     })
    ///     .unwrap();
    ///     assert_eq!(log(cx, "outside"), "-: outside");
    /// });
    /// ```
    pub fn with_local<T: Sync + 'static, R>(
        &mut self,
        key: &'static LocalKey<T>,
        value: &T,
        f: impl FnOnce(&mut Cx) -> R,
    ) -> R {
        let locals = self.anchor().locals();
        let frame =
            Frame { key: key.id(), value: NonNull::from(value).cast(), outer: locals.get() };
        /// Takes the frame off the list, also when `f` unwinds.
        struct Restore<'a>(&'a std::cell::Cell<Locals>, Locals);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _restore = Restore(locals, frame.outer);
        locals.set(Locals(Some(NonNull::from(&frame))));
        f(self)
    }

    /// The value that is bound to a key here. The reference ends before the next wait: see
    /// [`use_local`](Cx::use_local) for more.
    pub fn local<T: Sync + 'static>(&self, key: &'static LocalKey<T>) -> Option<&T> {
        let locals = self.task().locals().get();
        // SAFETY: the frames of this task live until their `with_local` returns, which needs the `Cx`
        // that is borrowed here; the others by rules 2 and 3.
        unsafe { locals.find(key) }
    }

    /// Runs `f` with the value that is bound to a key here, which it may use while it waits.
    ///
    /// Returns nothing, and does not call `f`, if nothing is bound.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use conbrio::lowlevel::ParkingLot;
    ///
    /// static GATE: conbrio::LocalKey<ParkingLot> = conbrio::LocalKey::new();
    ///
    /// conbrio::run(|cx| {
    ///     let gate = ParkingLot::new();
    ///     cx.with_local(&GATE, &gate, |cx| {
    ///         cx.nursery(|cx, n| -> Result<(), Cancelled> {
    ///             n.spawn(|cx| {
    ///                 // `cx` is free inside, although the gate is borrowed.
    ///                 let passed = cx.use_local(&GATE, |cx, gate| gate.park_with(cx, &mut ()).is_ok());
    ///                 assert_eq!(passed, Some(true));
    ///                 Ok(())
    ///             });
    ///             while gate.unpark(1) == 0 {
    ///                 cx.yield_now()?;
    ///             }
    ///             Ok(())
    ///         })
    ///     })
    ///     .unwrap();
    /// });
    /// ```
    pub fn use_local<T: Sync + 'static, R>(
        &mut self,
        key: &'static LocalKey<T>,
        f: impl FnOnce(&mut Cx, &T) -> R,
    ) -> Option<R> {
        let locals = self.task().locals().get();
        // SAFETY: as in `local`, for the time of this call: it lies inside the `with_local` of each frame of
        // this task, and inside the nurseries that the others belong to.
        let value = unsafe { locals.find(key) }?;
        Some(f(self, value))
    }
}
