//! A value that many tasks read, or one changes.
//!
//! `Queue` says who may come in. The value itself is in a lock of the standard library, which is only ever
//! tried, when the queue has let somebody in.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::{
    PoisonError, RwLock as Place, RwLockReadGuard as ReadAccess, RwLockWriteGuard as WriteAccess,
    TryLockError as Refused,
};
use std::thread::panicking;

use crate::cancel::OrCancelled;
use crate::task::Cx;

use super::error::{LockError, Poisoned, TryLockError};
use super::rwlock_queue::{Key, Kind, Queue};

/// A value that many tasks read at a time, or one changes.
///
/// # Order
///
/// First come, first served, for readers and writers alike: a reader waits behind a writer that has come
/// before it, also if others read now, so that neither kind can keep the other out. Readers that wait next
/// to each other are let in together.
///
/// # Poison, and the holders
///
/// As of a [`Mutex`](super::Mutex): a writer that panics poisons it (a reader does not: it has changed
/// nothing); a holder that ends without giving it back breaks it.
///
/// A task that reads and comes to read once more would wait for itself when a writer has come in between; it
/// panics then. It also panics when it comes to write while it reads, or while it writes.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::{LockError, RwLock};
///
/// let routes = RwLock::new(vec!["/"]);
/// conbrio::run(|cx| {
///     cx.nursery(|_, n| -> Result<(), OrCancelled<LockError>> {
///         for _ in 0..3 {
///             n.spawn(|cx| Ok(assert!(routes.read(cx)?.contains(&"/"))));
///         }
///         n.spawn(|cx| Ok(routes.write(cx)?.push("/about")));
///         Ok(())
///     })
///     .unwrap();
/// });
/// assert_eq!(routes.into_inner(), ["/", "/about"]);
/// ```
pub struct RwLock<T: ?Sized> {
    queue: Queue,
    value: Place<T>,
}

/// What a lock for reading and writing is doing. Returned by [`RwLock::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RwLockStatistics {
    /// How many read it now.
    pub readers: usize,
    /// Whether somebody may change it now.
    pub write_locked: bool,
    /// The name of the task that may change it, if a task does.
    pub writer: Option<String>,
    /// Tasks that wait for it.
    pub tasks_waiting: usize,
}

impl<T> RwLock<T> {
    /// A lock that is free. Allocates.
    pub fn new(value: T) -> RwLock<T> {
        RwLock { queue: Queue::new(), value: Place::new(value) }
    }

    /// The value, also if the lock is poisoned.
    pub fn into_inner(self) -> T {
        self.value.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks it for reading, and waits for that.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also if it is free. On cancel the task leaves the queue, and is no holder; those
    /// behind it are let in if it was in their way.
    ///
    /// # Errors
    ///
    /// [`LockError`] if it is poisoned or broken, or becomes so while the task waits.
    ///
    /// # Panics
    ///
    /// If the calling task would wait for itself, because it holds the lock.
    #[track_caller]
    pub fn read(&self, cx: &mut Cx) -> Result<RwLockReadGuard<'_, T>, OrCancelled<LockError>> {
        let key = self.queue.acquire(cx, Kind::Read, false)?;
        Ok(self.read_guard(key))
    }

    /// Locks it for reading whether or not it is poisoned.
    ///
    /// # Cancellation
    ///
    /// As [`read`](RwLock::read).
    ///
    /// # Errors
    ///
    /// [`LockError::Broken`].
    ///
    /// # Panics
    ///
    /// As [`read`](RwLock::read).
    #[track_caller]
    pub fn read_anyway(
        &self,
        cx: &mut Cx,
    ) -> Result<RwLockReadGuard<'_, T>, OrCancelled<LockError>> {
        let key = self.queue.acquire(cx, Kind::Read, true)?;
        Ok(self.read_guard(key))
    }

    /// Locks it for changing the value, and waits for that.
    ///
    /// # Cancellation
    ///
    /// As [`read`](RwLock::read).
    ///
    /// # Errors
    ///
    /// [`LockError`] if it is poisoned or broken, or becomes so while the task waits.
    ///
    /// # Panics
    ///
    /// If the calling task holds the lock.
    #[track_caller]
    pub fn write(&self, cx: &mut Cx) -> Result<RwLockWriteGuard<'_, T>, OrCancelled<LockError>> {
        self.queue.acquire(cx, Kind::Write, false)?;
        Ok(self.write_guard())
    }

    /// Locks it for changing the value whether or not it is poisoned: to mend the value, and then to call
    /// [`clear_poison`](RwLock::clear_poison) before the guard is dropped.
    ///
    /// # Cancellation
    ///
    /// As [`read`](RwLock::read).
    ///
    /// # Errors
    ///
    /// [`LockError::Broken`].
    ///
    /// # Panics
    ///
    /// If the calling task holds the lock.
    #[track_caller]
    pub fn write_anyway(
        &self,
        cx: &mut Cx,
    ) -> Result<RwLockWriteGuard<'_, T>, OrCancelled<LockError>> {
        self.queue.acquire(cx, Kind::Write, true)?;
        Ok(self.write_guard())
    }

    /// Locks it for reading if no writer holds it and nobody waits. Never waits itself.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if a writer holds it, or anybody waits for it.
    #[track_caller]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        let key = self.queue.try_acquire(Kind::Read, Location::caller())?;
        Ok(self.read_guard(key))
    }

    /// Locks it for changing the value if it is free. Never waits.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if anybody holds it.
    #[track_caller]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        self.queue.try_acquire(Kind::Write, Location::caller())?;
        Ok(self.write_guard())
    }

    /// Whether a writer has panicked, and nobody has cleared that since.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned().is_some()
    }

    /// Who has poisoned it. The first one counts.
    #[must_use]
    pub fn poisoned(&self) -> Option<Poisoned> {
        self.queue.poisoned()
    }

    /// Says that the value is whole again: it can be locked as before.
    pub fn clear_poison(&self) {
        self.queue.clear_poison();
    }

    /// The value, for the only owner of the lock; also if it is poisoned.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot of what the lock is doing.
    pub fn statistics(&self) -> RwLockStatistics {
        self.queue.statistics()
    }

    fn read_guard(&self, key: Key) -> RwLockReadGuard<'_, T> {
        let access = match self.value.try_read() {
            Ok(access) => access,
            // The poison of the queue is the one that counts.
            Err(Refused::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(Refused::WouldBlock) => unreachable!("{LET_IN}"),
        };
        let turn = Turn { queue: &self.queue, kind: Kind::Read, key, was_panicking: panicking() };
        RwLockReadGuard { access, _turn: turn }
    }

    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        let access = match self.value.try_write() {
            Ok(access) => access,
            Err(Refused::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(Refused::WouldBlock) => unreachable!("{LET_IN}"),
        };
        let turn = Turn {
            queue: &self.queue,
            kind: Kind::Write,
            key: Key::WRITER,
            was_panicking: panicking(),
        };
        RwLockWriteGuard { access, turn, lock: self }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.statistics();
        f.debug_struct("RwLock")
            .field("readers", &statistics.readers)
            .field("write_locked", &statistics.write_locked)
            .finish_non_exhaustive()
    }
}

/// What a guard gives back when the value has been let go.
pub(super) struct Turn<'a> {
    queue: &'a Queue,
    kind: Kind,
    key: Key,
    /// A guard that was made while the thread unwinds does not poison.
    was_panicking: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.queue.release(self.kind, self.key, panicking() && !self.was_panicking);
    }
}

/// Access for reading to the value of a locked [`RwLock`]; unlocks it when dropped.
///
/// It stays in the task that has locked it.
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // In this order: the value is let go before others are let in.
    access: ReadAccess<'a, T>,
    _turn: Turn<'a>,
}

/// Access for changing to the value of a locked [`RwLock`]; unlocks it when dropped.
///
/// It stays in the task that has locked it.
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    // In this order: the value is let go before others are let in.
    access: WriteAccess<'a, T>,
    turn: Turn<'a>,
    lock: &'a RwLock<T>,
}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// What gives the lock back, and the access, which goes first.
    pub(super) fn into_parts(self) -> (Turn<'a>, ReadAccess<'a, T>) {
        (self._turn, self.access)
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// What gives the lock back, and the access, which goes first.
    pub(super) fn into_parts(self) -> (Turn<'a>, WriteAccess<'a, T>) {
        (self.turn, self.access)
    }

    /// Goes on as a reader: no writer can come in between. Other readers that wait first are let in, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::sync::{LockError, RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(1);
    /// conbrio::run(|cx| {
    ///     let mut value = lock.write(cx).unwrap();
    ///     *value = 2;
    ///     let value = RwLockWriteGuard::downgrade(value);
    ///     assert_eq!((*value, lock.statistics().readers), (2, 1));
    /// });
    /// ```
    pub fn downgrade(guard: RwLockWriteGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        let RwLockWriteGuard { access, turn, lock } = guard;
        // Nobody is let in before the queue says so, and it does when the value can be read.
        drop(access);
        let Turn { queue, was_panicking, .. } = turn;
        std::mem::forget(turn);
        let mut read = lock.read_guard(Key::WRITER);
        read._turn.was_panicking = was_panicking;
        read._turn.key = queue.downgrade();
        read
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.access
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.access
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.access
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.access.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.access.fmt(f)
    }
}

const LET_IN: &str = "whoever is let in finds the value free";
