//! Between tasks and threads.
//!
//! | From | To | Use |
//! |---|---|---|
//! | a task | a thread that may block | [`Cx::blocking`], [`Cx::blocking_with`], [`Nursery::spawn_blocking`] |
//! | a task | a thread that may never return | [`Cx::blocking_or_abandon`] |
//! | the closure of such a call | the task that waits for it | [`Host`] |
//! | any thread | the tasks of a runtime | [`Cx::portal`], [`Portal`] |
//! | a future of another runtime | the same | [`Portal::start`], [`TaskFuture`] |
//! | a task | a future of another runtime | [`Cx::wait`] |
//! | any thread | one waiting task | [`lowlevel::Unparker`](crate::lowlevel::Unparker) |
//!
//! # Examples
//!
//! A thread of a foreign library reports to tasks:
//!
//! ```
//! use conbrio::prelude::*;
//!
//! let sum = conbrio::run(|cx| {
//!     cx.portal(|cx, portal| {
//!         let portal = portal.clone();
//!         let foreign = std::thread::spawn(move || {
//!             // A task runs this, and may wait; the thread waits for the value.
//!             portal.run(|cx| cx.sleep(std::time::Duration::from_micros(10)).map(|()| 3 + 4))
//!         });
//!         cx.blocking(|| foreign.join().unwrap())
//!     })
//! });
//! assert_eq!(sum.unwrap().unwrap().unwrap(), 7);
//! ```

mod dispatch;
mod portal;
mod spawn;
mod task_future;
mod wait_idle;

pub use crate::blocking::{Blocking, Host};
pub use portal::{Portal, PortalClosed, PortalStatistics};
pub use task_future::TaskFuture;
pub use wait_idle::wait_all_ended;

#[cfg(doc)]
use crate::{nursery::Nursery, task::Cx};
