//! Channels: items from senders to receivers, in order, between tasks, threads and async programs.
//!
//! * [`bounded`] and [`unbounded`] make the channel for all cases: any number of [`Sender`]s and
//!   [`Receiver`]s, a buffer of any size or none. [`Options`] says what happens when it is full.
//! * [`oneshot`]: one item. [`watch`]: the latest value. [`broadcast`]: every item to every receiver.
//!   [`ordered`]: results in the order in which they were asked for.
//! * [`Cx::select`] waits for one of several channels, children, points in time.
//!
//! Everything a task waits for here can be cancelled, and `Err(Cancelled)` means that nothing has
//! happened: no item was taken or sent, and what was to be sent is handed back in the error.
//!
//! # How a channel ends
//!
//! Each end is closed by itself, when it is dropped or by `close`. When the last sender is closed,
//! receivers get what is left, and then learn that the channel has [ended](RecvError::Ended). When the last
//! receiver is closed, what is left is dropped, and every send fails at once with
//! [`NotTaken::Broken`], also those that wait already.
//!
//! A sender that breaks off with [`close_with_error`](Sender::close_with_error), or is dropped by a panic,
//! does not look like an end: receivers get what is left, and then [`RecvError::Broken`] with the cause.
//!
//! # Examples
//!
//! ```
//! use conbrio::channel::{self, RecvError};
//! use conbrio::prelude::*;
//!
//! conbrio::run(|cx| {
//!     let (tx, rx) = channel::bounded(16);
//!     cx.nursery(|cx, n| -> Result<(), OrCancelled<RecvError>> {
//!         n.spawn(move |cx| {
//!             for number in 0..100 {
//!                 // An error would mean that the receiver is gone: then there is nothing left to do.
//!                 if tx.send(cx, number).is_err() {
//!                     break;
//!                 }
//!             }
//!             Ok(())
//!         });
//!         let mut sum = 0;
//!         while let Some(number) = rx.next(cx)? {
//!             sum += number;
//!         }
//!         assert_eq!(sum, 4950);
//!         Ok(())
//!     })
//!     .unwrap();
//! });
//! ```
#![forbid(unsafe_code)]

mod arms;
mod broadcast;
mod error;
mod oneshot;
mod options;
mod ordered;
mod outside;
mod permit;
mod receiver;
mod sender;
mod state;
mod watch;

pub use arms::{Joining, Receiving, Reserving, Sending};
pub use broadcast::{BroadcastError, BroadcastReceiver, BroadcastSender, Hearing, broadcast};
pub use error::{
    Cause, NotTaken, RecvError, SendError, TryRecvError, TryReserveError, TrySendError,
};
pub use oneshot::{OneshotReceiver, OneshotSender, oneshot};
pub use options::{ChannelStatistics, Options, Overflow, bounded, unbounded};
pub use ordered::{OrderedReceiver, OrderedSender, Slot, ordered};
pub use outside::{RecvFuture, SendFuture};
pub use permit::Permit;
pub use receiver::{Iter, Receiver};
pub use sender::Sender;
pub use watch::{Changing, WatchReceiver, WatchSender, watch};

pub use crate::lowlevel::{OneOf2, OneOf3, OneOf4, OneOf5, OneOf6, Timer, after, at};

#[cfg(doc)]
use crate::task::Cx;
