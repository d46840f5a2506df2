//! The same for the tasks of one worker, without atomics.
//!
//! Children that are made by [`spawn_local`](crate::Nursery::spawn_local) stay on the worker of their parent.
//! What only they share needs no lock and no atomic operation, and need not be [`Send`]. These types are
//! neither `Send` nor `Sync`, so that the compiler keeps them there. They behave like those of
//! [`sync`](super), first come, first served, with two differences: a wait counts references to its task and
//! its runtime, which is the only atomic operation left, and a [`Mutex`] has no holder whose end would break
//! it.
//!
//! # Examples
//!
//! ```
//! use conbrio::prelude::*;
//! use conbrio::sync::local::Event;
//! use std::rc::Rc;
//!
//! conbrio::run(|cx| {
//!     let (ready, text) = (Event::new(), Rc::new("not Send"));
//!     cx.nursery(|cx, n| -> Result<(), Cancelled> {
//!         n.spawn_local(cx, |cx| {
//!             ready.wait(cx)?;
//!             assert_eq!(*Rc::clone(&text), "not Send");
//!             Ok(())
//!         });
//!         n.spawn_local(cx, |_| {
//!             ready.set();
//!             Ok(())
//!         });
//!         Ok(())
//!     })
//!     .unwrap();
//! });
//! ```
//!
//! They do not go to other workers:
//!
//! ```compile_fail,E0277
//! use conbrio::prelude::*;
//! use conbrio::sync::local::Event;
//!
//! let event = Event::new();
//! conbrio::run(|cx| {
//!     cx.nursery(|_, n| -> Result<(), Cancelled> {
//!         n.spawn(|cx| event.wait(cx));
//!         Ok(())
//!     })
//! });
//! ```

mod event;
mod mutex;
mod queue;
mod semaphore;

pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use semaphore::{Permits, Semaphore};
