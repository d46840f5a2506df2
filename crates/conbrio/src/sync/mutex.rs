//! A value that one task at a time uses.
//!
//! `turns.rs` says whose turn it is. The value itself is in a lock of the standard library, which is free
//! whenever somebody has the turn, so that it is only ever tried.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::{Mutex as Place, MutexGuard as Access, PoisonError, TryLockError as Refused};
use std::thread::panicking;

use crate::cancel::OrCancelled;
use crate::task::Cx;

use super::error::{LockError, Poisoned, TryLockError};
use super::turns::Turns;

/// A value that one task at a time uses, and may keep while it waits for other things.
///
/// Unlike a lock of the standard library it does not block the thread: other tasks of the worker run
/// meanwhile. Where a lock is held for a few instructions only and not across a call that takes `cx`, that
/// of the standard library is the better one.
///
/// # Order
///
/// First come, first served: the guard's drop hands the lock to the task that waits longest, which is its
/// holder from then on. Taking and giving back a mutex that nobody waits for costs a few tens of nanoseconds.
///
/// # Poison
///
/// A task that panics while it holds the lock poisons it, since the value may be half changed: waiting
/// tasks and all who come later fail with [`LockError::Poisoned`], which names the task, until
/// somebody has [cleared](Mutex::clear_poison) the poison. A task that is cancelled, or fails with any other
/// error, poisons nothing: its guard is dropped on the way out like every other value.
///
/// # The holder
///
/// The task that has locked it is the holder. If it locks once more it would wait for itself, and panics
/// instead. If it ends and its guard still exists, because it was forgotten (`std::mem::forget`) or moved
/// out of its task, nobody knows whether the value will ever be free: those who wait, and those who come
/// later, fail with [`LockError::Broken`], which names the task.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::{LockError, Mutex};
/// use std::time::Duration;
///
/// let account = Mutex::new(100);
/// conbrio::run(|cx| {
///     cx.nursery(|_, n| -> Result<(), OrCancelled<LockError>> {
///         for sum in [30, 50, 40] {
///             let account = &account;
///             n.spawn(move |cx| {
///                 let mut left = account.lock(cx)?;
///                 if *left >= sum {
///                     cx.sleep(Duration::from_millis(1))?; // asks the bank
///                     *left -= sum;
///                 }
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
/// });
/// assert!([20, 30, 10].contains(&account.into_inner()));
/// ```
///
/// A guard stays with its task, and so on its thread:
///
/// ```compile_fail,E0277
/// use conbrio::prelude::*;
/// use conbrio::sync::{LockError, Mutex};
///
/// let value = Mutex::new(0);
/// conbrio::run(|cx| {
///     cx.nursery(|cx, n| -> Result<(), OrCancelled<LockError>> {
///         let guard = value.lock(cx)?;
///         n.spawn(move |_| Ok(drop(guard)));
///         Ok(())
///     })
/// });
/// ```
///
/// What may not be sent may not be shared in a mutex either:
///
/// ```compile_fail,E0277
/// fn is_sync<T: Sync>(_: &T) {}
/// is_sync(&conbrio::sync::Mutex::new(std::rc::Rc::new(0)));
/// ```
pub struct Mutex<T: ?Sized> {
    turns: Turns,
    value: Place<T>,
}

/// What a mutex is doing. Returned by [`Mutex::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MutexStatistics {
    /// Whether somebody holds it.
    pub locked: bool,
    /// The name of the task that holds it, if a task does.
    pub owner: Option<String>,
    /// Tasks that wait for it.
    pub tasks_waiting: usize,
}

impl<T> Mutex<T> {
    /// A mutex that is free. Allocates.
    pub fn new(value: T) -> Mutex<T> {
        Mutex { turns: Turns::new(), value: Place::new(value) }
    }

    /// The value, also if the mutex is poisoned.
    pub fn into_inner(self) -> T {
        self.value.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks it, and waits for that. The guard gives access to the value, and unlocks when it is dropped.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also if it is free. On cancel the task leaves the queue, and is not the holder.
    ///
    /// # Errors
    ///
    /// [`LockError`] if it is poisoned or broken, or becomes so while the task waits.
    ///
    /// # Panics
    ///
    /// If the calling task holds it already.
    #[inline]
    #[track_caller]
    pub fn lock(&self, cx: &mut Cx) -> Result<MutexGuard<'_, T>, OrCancelled<LockError>> {
        self.turns.acquire(cx, false)?;
        Ok(MutexGuard::new(self))
    }

    /// Locks it whether or not it is poisoned, and waits for that: to mend the value, and then to call
    /// [`clear_poison`](Mutex::clear_poison) before the guard is dropped.
    ///
    /// # Cancellation
    ///
    /// As [`lock`](Mutex::lock).
    ///
    /// # Errors
    ///
    /// [`LockError::Broken`].
    ///
    /// # Panics
    ///
    /// If the calling task holds it already.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use conbrio::sync::Mutex;
    ///
    /// let numbers = Mutex::new(vec![1, 2, 3]);
    /// conbrio::run(|cx| {
    ///     let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
    ///         let mut numbers = numbers.lock(cx).unwrap();
    ///         numbers.pop();
    ///         panic!("half done");
    ///     }));
    ///     assert!(panicked.is_err() && numbers.lock(cx).is_err());
    ///
    ///     let mut mended = numbers.lock_anyway(cx).unwrap();
    ///     mended.push(3);
    ///     numbers.clear_poison();
    ///     drop(mended);
    ///     assert_eq!(*numbers.lock(cx).unwrap(), [1, 2, 3]);
    /// });
    /// ```
    #[track_caller]
    pub fn lock_anyway(&self, cx: &mut Cx) -> Result<MutexGuard<'_, T>, OrCancelled<LockError>> {
        self.turns.acquire(cx, true)?;
        Ok(MutexGuard::new(self))
    }

    /// Locks it if it is free. Never waits; also for threads without a runtime.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if somebody holds it, also the calling task itself.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        self.turns.try_acquire(Location::caller())?;
        Ok(MutexGuard::new(self))
    }

    /// Whether somebody holds it. It may have changed before the caller looks at the answer.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.turns.snapshot().locked
    }

    /// Whether a holder has panicked, and nobody has cleared that since.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned().is_some()
    }

    /// Who has poisoned it. The first one counts.
    #[must_use]
    pub fn poisoned(&self) -> Option<Poisoned> {
        self.turns.poisoned()
    }

    /// Says that the value is whole again: it can be locked as before.
    pub fn clear_poison(&self) {
        self.turns.clear_poison();
    }

    /// The value, for the only owner of the mutex; also if it is poisoned.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot of what the mutex is doing.
    pub fn statistics(&self) -> MutexStatistics {
        let snapshot = self.turns.snapshot();
        MutexStatistics {
            locked: snapshot.locked,
            owner: snapshot.owner,
            tasks_waiting: snapshot.tasks_waiting,
        }
    }

    /// Access to the value. The caller has the turn.
    #[inline]
    fn access(&self) -> Access<'_, T> {
        match self.value.try_lock() {
            Ok(access) => access,
            // The poison of `turns` is the one that counts.
            Err(Refused::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(Refused::WouldBlock) => unreachable!("whoever has the turn finds the value free"),
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Mutex");
        // Without a turn: whoever comes for the value in this moment must find it free. So it is not shown.
        let snapshot = self.turns.snapshot();
        f.field("locked", &snapshot.locked).field("owner", &snapshot.owner).finish_non_exhaustive()
    }
}

/// Access to the value of a locked [`Mutex`]; unlocks it when dropped.
///
/// It stays in the task that has locked the mutex; see [there](Mutex#the-holder).
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
pub struct MutexGuard<'a, T: ?Sized> {
    // In this order: the value is let go before the next one gets the turn.
    /// Nothing while a condition is waited for, and for ever if the lock was broken meanwhile.
    access: Option<Access<'a, T>>,
    turn: Turn<'a>,
    mutex: &'a Mutex<T>,
}

/// The turn of a guard.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    is_ours: bool,
    /// A guard that was made while the thread unwinds does not poison.
    was_panicking: bool,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The caller has the turn.
    #[inline]
    fn new(mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        let turn = Turn { turns: &mutex.turns, is_ours: true, was_panicking: panicking() };
        MutexGuard { access: Some(mutex.access()), turn, mutex }
    }

    /// What unlocks it, and the access, which goes first.
    pub(super) fn into_parts(self) -> (Turn<'a>, Access<'a, T>) {
        (self.turn, self.access.expect(LOST))
    }

    /// The queue of its mutex. Conditions use it.
    pub(super) fn turns(&self) -> &'a Turns {
        &self.mutex.turns
    }

    /// Whether it has the lock, which is so unless the lock was broken while it waited for a condition.
    pub(super) fn is_locked(&self) -> bool {
        self.turn.is_ours
    }

    /// Lets the value go. What is returned gives the turn away.
    pub(super) fn suspend(&mut self) -> impl FnOnce() + '_ {
        self.access = None;
        let turn = &mut self.turn;
        move || turn.give_away()
    }

    /// It has got the turn again.
    pub(super) fn resume(&mut self) {
        self.turn.is_ours = true;
        self.access = Some(self.mutex.access());
    }
}

impl Turn<'_> {
    #[inline]
    fn give_away(&mut self) {
        if self.is_ours {
            self.is_ours = false;
            self.turns.release(panicking() && !self.was_panicking);
        }
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        self.give_away();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.access.as_ref().expect(LOST)
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.access.as_mut().expect(LOST)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.access {
            Some(access) => access.fmt(f),
            None => f.write_str("<lost>"),
        }
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

const LOST: &str =
    "the mutex was broken while this guard waited for a condition, which has said so by an error";
