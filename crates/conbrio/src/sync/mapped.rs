//! Guards that show a part of what is locked.
//!
//! Owns what the types have in common. The lock is held, poisoned and given back exactly as by the guard that
//! was mapped: its turn goes over into the mapped one.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::util::projection::{Exclusive, Shared};

use super::mutex::{MutexGuard, Turn as MutexTurn};
use super::rwlock::{RwLockReadGuard, RwLockWriteGuard, Turn as RwLockTurn};

/// Access to a part of the value of a locked [`Mutex`](super::Mutex); unlocks it when dropped. Made by
/// [`MutexGuard::map`].
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
pub struct MappedMutexGuard<'a, T: ?Sized> {
    // In this order: the value is let go before the next one gets the turn.
    part: Exclusive<'a, T>,
    turn: MutexTurn<'a>,
}

/// Access for reading to a part of the value of a locked [`RwLock`](super::RwLock); unlocks it when dropped.
/// Made by [`RwLockReadGuard::map`].
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct MappedRwLockReadGuard<'a, T: ?Sized> {
    // In this order: the value is let go before others are let in.
    part: Shared<'a, T>,
    turn: RwLockTurn<'a>,
}

/// Access for changing to a part of the value of a locked [`RwLock`](super::RwLock); unlocks it when dropped.
/// Made by [`RwLockWriteGuard::map`].
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct MappedRwLockWriteGuard<'a, T: ?Sized> {
    // In this order: the value is let go before others are let in.
    part: Exclusive<'a, T>,
    turn: RwLockTurn<'a>,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Goes on with a part of the value. The lock stays held, and is poisoned and given back as before.
    ///
    /// An associated function, so that a method of the value is not hidden. Allocates once.
    ///
    /// # Panics
    ///
    /// If `f` does, which poisons the mutex. Also if the mutex was broken while this guard waited for a
    /// condition.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::sync::{MappedMutexGuard, Mutex, MutexGuard};
    ///
    /// struct Account {
    ///     owner: String,
    ///     cents: u64,
    /// }
    ///
    /// let account = Mutex::new(Account { owner: "Ada".to_owned(), cents: 100 });
    /// conbrio::run(|cx| {
    ///     let guard = account.lock(cx).unwrap();
    ///     let mut cents: MappedMutexGuard<'_, u64> = MutexGuard::map(guard, |it| &mut it.cents);
    ///     *cents += 1;
    ///     assert!(account.is_locked());
    ///     drop(cents);
    ///     let account = account.lock(cx).unwrap();
    ///     assert_eq!((&*account.owner, account.cents), ("Ada", 101));
    /// });
    /// ```
    pub fn map<U, F>(guard: MutexGuard<'a, T>, f: F) -> MappedMutexGuard<'a, U>
    where
        F: FnOnce(&mut T) -> &mut U,
        U: ?Sized,
    {
        // If `f` panics, the turn is dropped after the access, as it is with the guard.
        let (turn, access) = guard.into_parts();
        MappedMutexGuard { part: Exclusive::new(access, f), turn }
    }
}

impl<'a, T: ?Sized> MappedMutexGuard<'a, T> {
    /// Goes on with a part of the part. See [`MutexGuard::map`].
    ///
    /// # Panics
    ///
    /// If `f` does, which poisons the mutex.
    pub fn map<U, F>(guard: MappedMutexGuard<'a, T>, f: F) -> MappedMutexGuard<'a, U>
    where
        F: FnOnce(&mut T) -> &mut U,
        U: ?Sized,
    {
        let MappedMutexGuard { part, turn } = guard;
        MappedMutexGuard { part: part.map(f), turn }
    }
}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// Goes on with a part of the value. The lock stays held, and is given back as before.
    ///
    /// An associated function, so that a method of the value is not hidden. Allocates once.
    ///
    /// # Panics
    ///
    /// If `f` does.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::sync::{RwLock, RwLockReadGuard};
    ///
    /// let routes = RwLock::new(vec!["/", "/about"]);
    /// conbrio::run(|cx| {
    ///     let last = RwLockReadGuard::map(routes.read(cx).unwrap(), |all| all.last().unwrap());
    ///     assert_eq!((*last, routes.statistics().readers), ("/about", 1));
    /// });
    /// ```
    pub fn map<U, F>(guard: RwLockReadGuard<'a, T>, f: F) -> MappedRwLockReadGuard<'a, U>
    where
        F: FnOnce(&T) -> &U,
        U: ?Sized,
    {
        let (turn, access) = guard.into_parts();
        MappedRwLockReadGuard { part: Shared::new(access, f), turn }
    }
}

impl<'a, T: ?Sized> MappedRwLockReadGuard<'a, T> {
    /// Goes on with a part of the part. See [`RwLockReadGuard::map`].
    ///
    /// # Panics
    ///
    /// If `f` does.
    pub fn map<U, F>(guard: MappedRwLockReadGuard<'a, T>, f: F) -> MappedRwLockReadGuard<'a, U>
    where
        F: FnOnce(&T) -> &U,
        U: ?Sized,
    {
        let MappedRwLockReadGuard { part, turn } = guard;
        MappedRwLockReadGuard { part: part.map(f), turn }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on with a part of the value. The lock stays held, and is poisoned and given back as before.
    ///
    /// An associated function, so that a method of the value is not hidden. Allocates once. A mapped guard
    /// cannot go on as a reader: who reads next to it would not know which part had changed.
    ///
    /// # Panics
    ///
    /// If `f` does, which poisons the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let pair = RwLock::new((1, "one"));
    /// conbrio::run(|cx| {
    ///     let mut number = RwLockWriteGuard::map(pair.write(cx).unwrap(), |pair| &mut pair.0);
    ///     *number = 2;
    ///     drop(number);
    ///     assert_eq!(*pair.read(cx).unwrap(), (2, "one"));
    /// });
    /// ```
    pub fn map<U, F>(guard: RwLockWriteGuard<'a, T>, f: F) -> MappedRwLockWriteGuard<'a, U>
    where
        F: FnOnce(&mut T) -> &mut U,
        U: ?Sized,
    {
        let (turn, access) = guard.into_parts();
        MappedRwLockWriteGuard { part: Exclusive::new(access, f), turn }
    }
}

impl<'a, T: ?Sized> MappedRwLockWriteGuard<'a, T> {
    /// Goes on with a part of the part. See [`RwLockWriteGuard::map`].
    ///
    /// # Panics
    ///
    /// If `f` does, which poisons the lock.
    pub fn map<U, F>(guard: MappedRwLockWriteGuard<'a, T>, f: F) -> MappedRwLockWriteGuard<'a, U>
    where
        F: FnOnce(&mut T) -> &mut U,
        U: ?Sized,
    {
        let MappedRwLockWriteGuard { part, turn } = guard;
        MappedRwLockWriteGuard { part: part.map(f), turn }
    }
}

impl<T: ?Sized> Deref for MappedMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.part
    }
}

impl<T: ?Sized> DerefMut for MappedMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.part
    }
}

impl<T: ?Sized> Deref for MappedRwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.part
    }
}

impl<T: ?Sized> Deref for MappedRwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.part
    }
}

impl<T: ?Sized> DerefMut for MappedRwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.part
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MappedMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MappedRwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MappedRwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part.fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MappedMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
