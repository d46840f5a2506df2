//! A reference into what a lock of the standard library guards, kept beside the guard.
//!
//! The lock of the guard may have another type than the part that is referred to, and the type of the part is
//! all that shows. So the guard is in a box.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// # Safety
/// What the guard dereferences to is not in the guard. It stays in place, and is as accessible as by a
/// reference, as long as the guard lives, wherever that is moved.
pub(crate) unsafe trait Guard: Deref {}

// SAFETY: the value is in the lock, which is borrowed and locked as long as the guard lives.
unsafe impl<T: ?Sized> Guard for MutexGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized> Guard for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized> Guard for RwLockWriteGuard<'_, T> {}

/// Any guard, of which only the drop matters.
trait Held {}

impl<G> Held for G {}

/// A part that is read.
pub(crate) struct Shared<'a, U: ?Sized> {
    part: NonNull<U>,
    guard: Box<dyn Held + 'a>,
    reads: PhantomData<&'a U>,
}

/// A part that is read and changed.
pub(crate) struct Exclusive<'a, U: ?Sized> {
    part: NonNull<U>,
    guard: Box<dyn Held + 'a>,
    changes: PhantomData<&'a mut U>,
}

// SAFETY: through a shared projection only `&U` is reached; the guard is not touched.
unsafe impl<U: ?Sized + Sync> Sync for Shared<'_, U> {}
// SAFETY: as above.
unsafe impl<U: ?Sized + Sync> Sync for Exclusive<'_, U> {}

impl<'a, U: ?Sized> Shared<'a, U> {
    pub(crate) fn new<G>(guard: G, f: impl FnOnce(&G::Target) -> &U) -> Shared<'a, U>
    where
        G: Guard + 'a,
    {
        let part = NonNull::from(f(&*guard));
        Shared { part, guard: Box::new(guard), reads: PhantomData }
    }

    pub(crate) fn map<V: ?Sized>(self, f: impl FnOnce(&U) -> &V) -> Shared<'a, V> {
        let part = NonNull::from(f(&*self));
        Shared { part, guard: self.guard, reads: PhantomData }
    }
}

impl<'a, U: ?Sized> Exclusive<'a, U> {
    pub(crate) fn new<G>(mut guard: G, f: impl FnOnce(&mut G::Target) -> &mut U) -> Exclusive<'a, U>
    where
        G: Guard + DerefMut + 'a,
    {
        let part = NonNull::from(f(&mut *guard));
        Exclusive { part, guard: Box::new(guard), changes: PhantomData }
    }

    pub(crate) fn map<V: ?Sized>(mut self, f: impl FnOnce(&mut U) -> &mut V) -> Exclusive<'a, V> {
        let part = NonNull::from(f(&mut *self));
        Exclusive { part, guard: self.guard, changes: PhantomData }
    }
}

impl<U: ?Sized> Deref for Shared<'_, U> {
    type Target = U;

    #[inline]
    fn deref(&self) -> &U {
        // SAFETY: a part of what the guard gives shared access to (contract of `Guard`), and the guard lives.
        unsafe { self.part.as_ref() }
    }
}

impl<U: ?Sized> Deref for Exclusive<'_, U> {
    type Target = U;

    #[inline]
    fn deref(&self) -> &U {
        // SAFETY: a part of what the guard gives exclusive access to (contract of `Guard`), and the guard
        // lives; it is not used otherwise any more.
        unsafe { self.part.as_ref() }
    }
}

impl<U: ?Sized> DerefMut for Exclusive<'_, U> {
    #[inline]
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: as in `deref`; and `&mut self` makes this the only reference made from it.
        unsafe { self.part.as_mut() }
    }
}
