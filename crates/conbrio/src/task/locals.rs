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
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::cx::Cx;

/// Names a value of type `T` that tasks can see. Make it a `static`.
pub(crate) struct LocalKey<T> {
    /// Two keys of one type are told apart by their addresses, for which they must have a size.
    _has_a_size: u8,
    value: PhantomData<fn(T)>,
}

impl<T: Sync + 'static> LocalKey<T> {
    pub(crate) const fn new() -> LocalKey<T> {
        LocalKey { _has_a_size: 0, value: PhantomData }
    }

    fn id(&'static self) -> KeyId {
        KeyId { address: std::ptr::from_ref(self).addr(), type_id: TypeId::of::<T>() }
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
    unsafe fn find<'a, T: Sync + 'static>(self, key: &'static LocalKey<T>) -> Option<&'a T> {
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

impl Cx {
    /// Runs `f`, in which [`local`](Cx::local) yields `value` for `key`: in this task, and in children of
    /// nurseries that are opened inside.
    pub(crate) fn with_local<T: Sync + 'static, R>(
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

    /// The value that is bound to a key here. The reference ends before the next wait.
    pub(crate) fn local<T: Sync + 'static>(&self, key: &'static LocalKey<T>) -> Option<&T> {
        let locals = self.task().locals().get();
        // SAFETY: the frames of this task live until their `with_local` returns, which needs the `Cx`
        // that is borrowed here; the others by rules 2 and 3.
        unsafe { locals.find(key) }
    }
}
