//! One item, once: an answer.

use std::error::Error;
use std::fmt;

use crate::cancel::OrCancelled;
use crate::task::Cx;

use super::arms::Receiving;
use super::error::{RecvError, TryRecvError};
use super::outside::RecvFuture;
use super::{Receiver, Sender, bounded};

/// A channel for one item, usually an answer to whoever sent the other end along with a question.
///
/// # Examples
///
/// ```
/// use conbrio::channel::{self, OneshotSender};
/// use conbrio::prelude::*;
///
/// conbrio::run(|cx| {
///     let (tx, rx) = channel::bounded::<(u32, OneshotSender<u32>)>(8);
///     cx.nursery(|cx, n| -> Result<(), Cancelled> {
///         n.spawn(move |cx| {
///             while let Ok((number, answer)) = rx.recv(cx) {
///                 // An error would mean that nobody waits for the answer any more.
///                 let _ = answer.send(number * number);
///             }
///             Ok(())
///         });
///         let (answer, answered) = channel::oneshot();
///         tx.send(cx, (12, answer)).unwrap();
///         assert_eq!(answered.recv(cx).unwrap(), 144);
///         drop(tx);
///         Ok(())
///     })
///     .unwrap();
/// });
/// ```
#[must_use]
pub fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let (sender, receiver) = bounded(1);
    (OneshotSender { sender }, OneshotReceiver { receiver })
}

/// Sends the one item. Made by [`oneshot`].
///
/// Dropped without sending, it ends the channel; by a panic, it breaks it.
pub struct OneshotSender<T> {
    sender: Sender<T>,
}

impl<T> OneshotSender<T> {
    /// Sends the item. Never waits.
    ///
    /// # Errors
    ///
    /// The item comes back if the receiver is gone.
    pub fn send(self, item: T) -> Result<(), T> {
        self.sender.try_send(item).map_err(|error| error.into_item())
    }

    /// Breaks the channel instead: the receiver gets [`RecvError::Broken`] with `error`.
    pub fn close_with_error(self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        self.sender.close_with_error(error);
    }

    /// Whether the receiver is gone: nobody wants the item any more.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.sender.is_broken()
    }
}

impl<T> fmt::Debug for OneshotSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotSender").field("is_broken", &self.is_broken()).finish()
    }
}

/// Receives the one item. Made by [`oneshot`].
pub struct OneshotReceiver<T> {
    receiver: Receiver<T>,
}

impl<T> OneshotReceiver<T> {
    /// Waits for the item and takes it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the item was not taken: this may be called again.
    ///
    /// # Errors
    ///
    /// [`RecvError::Ended`] if the sender was dropped, or the item was taken already;
    /// [`RecvError::Broken`] if the sender broke off.
    #[inline]
    pub fn recv(&self, cx: &mut Cx) -> Result<T, OrCancelled<RecvError>> {
        self.receiver.recv(cx)
    }

    /// Takes the item if it has come.
    ///
    /// # Errors
    ///
    /// If it has not, or as [`recv`](OneshotReceiver::recv) says.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv()
    }

    /// Receiving the item, as an arm of a [select](Cx::select).
    pub fn receiving(&self) -> Receiving<'_, T> {
        self.receiver.receiving()
    }

    /// As [`recv`](OneshotReceiver::recv), for programs with another runtime.
    pub fn recv_async(&self) -> RecvFuture<'_, T> {
        self.receiver.recv_async()
    }

    /// As [`recv`](OneshotReceiver::recv), for threads.
    ///
    /// # Errors
    ///
    /// As [`recv`](OneshotReceiver::recv).
    ///
    /// # Panics
    ///
    /// If it is called inside a task, whose worker it would block. Use `recv` there.
    #[track_caller]
    pub fn recv_blocking(&self) -> Result<T, RecvError> {
        self.receiver.recv_blocking()
    }
}

impl<T> fmt::Debug for OneshotReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotReceiver").finish_non_exhaustive()
    }
}
