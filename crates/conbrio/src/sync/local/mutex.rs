//! A value that one task of a worker uses at a time.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::thread::panicking;

use crate::cancel::OrCancelled;
use crate::lowlevel::Breaker;
use crate::task::Cx;

use super::queue::Queue;
use crate::sync::{LockError, MutexStatistics, Poisoned, TryLockError};

/// A value that one task of a worker uses at a time, and may keep while it waits for other things.
///
/// Where it is not kept across a call that takes `cx`, a [`RefCell`] does. See
/// [`sync::Mutex`](crate::sync::Mutex) for poison, and [the module](super) for what is different.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::{LockError, local::Mutex};
///
/// conbrio::run(|cx| {
///     let log = Mutex::new(Vec::new());
///     cx.nursery(|cx, n| -> Result<(), OrCancelled<LockError>> {
///         for task in 0..3 {
///             let log = &log;
///             n.spawn_local(cx, move |cx| {
///                 let mut log = log.lock(cx)?;
///                 log.push(task);
///                 cx.yield_now()?;
///                 log.push(task);
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
///     assert!(log.into_inner().chunks(2).all(|pair| pair[0] == pair[1]));
/// });
/// ```
pub struct Mutex<T: ?Sized> {
    /// Whether somebody has the turn. While nobody does nobody waits.
    is_locked: Cell<bool>,
    waiting: Queue<()>,
    owner: RefCell<Option<Breaker>>,
    poisoned: RefCell<Option<Poisoned>>,
    /// Borrowed by whoever has the turn.
    value: RefCell<T>,
}

impl<T> Mutex<T> {
    /// A mutex that is free. Allocates nothing.
    pub fn new(value: T) -> Mutex<T> {
        Mutex {
            is_locked: Cell::new(false),
            waiting: Queue::new(),
            owner: RefCell::new(None),
            poisoned: RefCell::new(None),
            value: RefCell::new(value),
        }
    }

    /// The value, also if the mutex is poisoned.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
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
    /// [`LockError::Poisoned`] if a holder has panicked.
    ///
    /// # Panics
    ///
    /// If the calling task holds it already.
    #[track_caller]
    pub fn lock(&self, cx: &mut Cx) -> Result<MutexGuard<'_, T>, OrCancelled<LockError>> {
        self.acquire(cx, false, Location::caller())
    }

    /// Locks it whether or not it is poisoned: to mend the value, and then to call
    /// [`clear_poison`](Mutex::clear_poison) before the guard is dropped.
    ///
    /// # Cancellation
    ///
    /// As [`lock`](Mutex::lock).
    ///
    /// # Errors
    ///
    /// None so far, besides the cancellation.
    ///
    /// # Panics
    ///
    /// If the calling task holds it already.
    #[track_caller]
    pub fn lock_anyway(&self, cx: &mut Cx) -> Result<MutexGuard<'_, T>, OrCancelled<LockError>> {
        self.acquire(cx, true, Location::caller())
    }

    #[track_caller]
    fn acquire(
        &self,
        cx: &mut Cx,
        anyway: bool,
        at: &'static Location<'static>,
    ) -> Result<MutexGuard<'_, T>, OrCancelled<LockError>> {
        cx.checkpoint()?;
        if self.is_locked() {
            let is_own = self.owner.borrow().as_ref() == Some(&cx.breaker());
            assert!(
                !is_own,
                "task '{}' locks a mutex that it holds already: it would wait for itself; drop the guard \
                 first",
                cx.task_name()
            );
            // Whoever unparks it leaves it locked.
            self.waiting.park(cx, (), || !self.is_locked.replace(true))?;
        } else {
            self.is_locked.set(true);
        }
        let guard = self.guard(Some(cx.breaker()), at);
        match self.poisoned() {
            // Dropping the guard hands the lock on.
            Some(poisoned) if !anyway => Err(LockError::Poisoned(poisoned).into()),
            _ => Ok(guard),
        }
    }

    /// Locks it if it is free. Never waits.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if somebody holds it, also the calling task itself.
    #[track_caller]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        if self.is_locked() {
            return Err(TryLockError::WouldBlock);
        }
        if let Some(poisoned) = self.poisoned() {
            return Err(TryLockError::Failed(LockError::Poisoned(poisoned)));
        }
        self.is_locked.set(true);
        Ok(self.guard(Breaker::of_running_task(), Location::caller()))
    }

    /// The caller has the turn.
    fn guard(&self, owner: Option<Breaker>, at: &'static Location<'static>) -> MutexGuard<'_, T> {
        *self.owner.borrow_mut() = owner;
        MutexGuard {
            value: self.value.borrow_mut(),
            _turn: Turn {
                is_locked: &self.is_locked,
                waiting: &self.waiting,
                owner: &self.owner,
                poisoned: &self.poisoned,
                at,
                was_panicking: panicking(),
            },
        }
    }

    /// Whether somebody holds it.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.waiting.touch();
        self.is_locked.get()
    }

    /// Whether a holder has panicked, and nobody has cleared that since.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned().is_some()
    }

    /// Who has poisoned it. The first one counts.
    #[must_use]
    pub fn poisoned(&self) -> Option<Poisoned> {
        self.waiting.touch();
        self.poisoned.borrow().clone()
    }

    /// Says that the value is whole again: it can be locked as before.
    pub fn clear_poison(&self) {
        self.waiting.touch();
        *self.poisoned.borrow_mut() = None;
    }

    /// The value, for the only owner of the mutex; also if it is poisoned.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// A snapshot of what the mutex is doing.
    pub fn statistics(&self) -> MutexStatistics {
        MutexStatistics {
            locked: self.is_locked(),
            owner: self.owner.borrow().as_ref().map(|owner| owner.name().to_owned()),
            tasks_waiting: self.waiting.len(),
        }
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("locked", &self.is_locked()).finish_non_exhaustive()
    }
}

/// Access to the value of a locked [`Mutex`]; unlocks it when dropped.
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
pub struct MutexGuard<'a, T: ?Sized> {
    // In this order: the value is let go before the next one gets the turn.
    value: RefMut<'a, T>,
    _turn: Turn<'a>,
}

/// The turn of a guard, without the type of the value.
struct Turn<'a> {
    is_locked: &'a Cell<bool>,
    waiting: &'a Queue<()>,
    owner: &'a RefCell<Option<Breaker>>,
    poisoned: &'a RefCell<Option<Poisoned>>,
    at: &'static Location<'static>,
    /// A guard that was made while the thread unwinds does not poison.
    was_panicking: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let owner = self.owner.borrow_mut().take();
        if panicking() && !self.was_panicking {
            self.poisoned.borrow_mut().get_or_insert_with(|| Poisoned::new(owner, self.at));
        }
        self.is_locked.set(self.waiting.unpark_first());
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
