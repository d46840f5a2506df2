//! The errors of locks.

use std::fmt;
use std::panic::Location;

use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::lowlevel::{Breaker, Broken};

/// Why a lock could not be had. The value is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockError {
    /// A holder panicked, so the value may be half changed. `lock_anyway` and its likes give access to it, and
    /// `clear_poison` says that it is whole again.
    Poisoned(Poisoned),
    /// A holder has ended without giving the lock back: its guard was forgotten, or has left its task. The
    /// lock will never be free. It names the holder.
    Broken(Broken),
}

impl LockError {
    /// Whether a holder has panicked.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        matches!(self, LockError::Poisoned(_))
    }

    /// Whether a holder has ended without giving the lock back.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, LockError::Broken(_))
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Poisoned(poisoned) => poisoned.fmt(f),
            LockError::Broken(broken) => {
                f.write_str("the lock is never given back: ")?;
                for (index, holder) in broken.by().iter().enumerate() {
                    let and = if index == 0 { "" } else { " and " };
                    write!(f, "{and}task '{}'", holder.name())?;
                }
                f.write_str(
                    " ended while it held it; do not forget guards, nor move them out of their task",
                )
            }
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LockError::Poisoned(_) => None,
            LockError::Broken(broken) => Some(broken),
        }
    }
}

impl MaybeCancelled for LockError {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}

/// Why a lock could not be had at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryLockError {
    /// It is held, or others wait for it.
    WouldBlock,
    /// It cannot be had by waiting either.
    Failed(LockError),
}

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryLockError::WouldBlock => f.write_str("the lock is held, or others wait for it"),
            TryLockError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TryLockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TryLockError::WouldBlock => None,
            TryLockError::Failed(error) => Some(error),
        }
    }
}

impl From<LockError> for TryLockError {
    fn from(error: LockError) -> TryLockError {
        TryLockError::Failed(error)
    }
}

impl MaybeCancelled for TryLockError {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}

/// Who panicked while it held a lock.
#[derive(Clone, PartialEq, Eq)]
pub struct Poisoned {
    task: Option<Breaker>,
    at: &'static Location<'static>,
}

impl Poisoned {
    pub(super) fn new(task: Option<Breaker>, at: &'static Location<'static>) -> Poisoned {
        Poisoned { task, at }
    }

    /// The name of the task, if it was one.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        self.task.as_ref().map(Breaker::name)
    }

    /// Where it had taken the lock.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.at
    }
}

impl fmt::Debug for Poisoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poisoned").field("task", &self.task()).field("location", &self.at).finish()
    }
}

impl fmt::Display for Poisoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock is poisoned: ")?;
        match self.task() {
            Some(task) => write!(f, "task '{task}'")?,
            None => f.write_str("a thread")?,
        }
        write!(
            f,
            " panicked while it held it, taken at {}; take it by an `_anyway` function, mend the value, and call \
             `clear_poison`",
            self.at
        )
    }
}

impl std::error::Error for Poisoned {}

impl From<LockError> for OrCancelled<LockError> {
    fn from(error: LockError) -> OrCancelled<LockError> {
        OrCancelled::Failed(error)
    }
}
