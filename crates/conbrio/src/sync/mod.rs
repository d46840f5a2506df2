//! Tasks that wait for each other: events, locks, permits, and what is made of them.
//!
//! | For | See |
//! |---|---|
//! | something that happens once | [`Event`] |
//! | a value that one task at a time uses | [`Mutex`]; read by many, [`RwLock`] |
//! | a change of a locked value | [`Condition`] |
//! | so many at a time | [`Semaphore`]; with a list of who they are, [`CapacityLimiter`] |
//! | all come to one point | [`Barrier`] |
//! | all of a changing number are done | [`WaitGroup`] |
//! | a value that is made once, when it is needed | [`OnceCell`] |
//! | equal requests at one time, answered once | [`Singleflight`] |
//! | the same for the tasks of one worker | [`local`] |
//!
//! Inside one nursery most of this is not needed: children end when the nursery does, their results come
//! out of [`Child::join`](crate::Child::join), and they may borrow.
//!
//! # What holds for all of them
//!
//! * **`Err(Cancelled)` means that nothing has happened**: no permit, no lock, no wake-up and no place in
//!   the queue is lost. Whoever was next is served.
//! * **First come, first served.** What becomes free is handed to the task that waits longest, and is its own
//!   from that moment; nobody comes between, also not a `try_` function.
//! * **Every function that takes `cx` is a checkpoint, always**, also when it need not wait. Functions that
//!   do not take `cx` never wait, and may be called from any thread, in a runtime or not.
//! * Tasks of all workers and of several runtimes may share one object. Waiting allocates nothing, but for the
//!   list of a [`CapacityLimiter`] and a few bytes when a task takes its first lock.
//! * [`Event`] and [`Semaphore`] can be arms of a [`select`](crate::Cx::select).
//! * Nothing here has a timeout: put [`Cx::move_on_after`](crate::Cx::move_on_after) around the call.
//!
//! # Examples
//!
//! ```
//! use conbrio::prelude::*;
//! use conbrio::sync::{Mutex, Semaphore};
//!
//! let (total, slots) = (Mutex::new(0), Semaphore::new(2));
//! conbrio::run(|cx| {
//!     cx.nursery(|_, n| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!         for i in 0..10 {
//!             let (total, slots) = (&total, &slots);
//!             n.spawn(move |cx| {
//!                 // Two at a time come so far, and one at a time further.
//!                 let _slot = slots.acquire(cx)?;
//!                 *total.lock(cx)? += i;
//!                 Ok(())
//!             });
//!         }
//!         Ok(())
//!     })
//!     .unwrap();
//! });
//! assert_eq!(total.into_inner(), 45);
//! ```

#![forbid(unsafe_code)]

mod arms;
mod barrier;
mod capacity_limiter;
mod condition;
mod error;
mod event;
mod holder;
pub mod local;
mod mapped;
mod mutex;
mod once_cell;
mod rwlock;
mod rwlock_queue;
mod semaphore;
mod singleflight;
mod turns;
mod wait_group;

pub use arms::{Acquiring, Waiting};
pub use barrier::{Barrier, BarrierStatistics, BarrierWaitResult};
pub use capacity_limiter::{
    AlreadyBorrowed, Borrower, CapacityLimiter, CapacityLimiterStatistics, NoToken, Token,
};
pub use condition::{Condition, ConditionStatistics};
pub use error::{LockError, Poisoned, TryLockError};
pub use event::{Event, EventStatistics};
pub use mapped::{MappedMutexGuard, MappedRwLockReadGuard, MappedRwLockWriteGuard};
pub use mutex::{Mutex, MutexGuard, MutexStatistics};
pub use once_cell::{OnceCell, OnceCellStatistics};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockStatistics, RwLockWriteGuard};
pub use semaphore::{NoPermits, Permits, Semaphore, SemaphoreStatistics, TooManyPermits};
pub use singleflight::{Singleflight, SingleflightStatistics};
pub use wait_group::{WaitGroup, WaitGroupMember, WaitGroupStatistics};

use crate::cancel::{Cancelled, OrCancelled};
use crate::lowlevel::Broken;

/// The outcome of a wait in a parking lot that nobody can break.
fn unbroken(parked: Result<(), OrCancelled<Broken>>) -> Result<(), Cancelled> {
    parked.map_err(|error| match error {
        OrCancelled::Cancelled(cancelled) => cancelled,
        OrCancelled::Failed(broken) => unreachable!("nobody is a breaker of it: {broken}"),
    })
}
