//! Results in the order in which they were asked for, whoever is ready first.

use std::error::Error;
use std::fmt;

use crate::cancel::OrCancelled;
use crate::task::Cx;

use super::error::{NotTaken, RecvError, SendError};
use super::oneshot::{OneshotReceiver, OneshotSender, oneshot};
use super::{Receiver, Sender, bounded};

/// A channel into which many put results, and out of which these come in the order of their *slots*.
///
/// Whoever gives out work takes a slot for each piece, and gives it along. Up to `capacity` slots may be
/// out or unread at one time, which also bounds what has to be kept until its turn comes.
///
/// # Panics
///
/// If `capacity` is zero or `usize::MAX`.
///
/// # Examples
///
/// ```
/// use conbrio::channel;
/// use conbrio::prelude::*;
/// use std::time::Duration;
///
/// conbrio::testing::run(|cx| {
///     let (tx, mut rx) = channel::ordered(8);
///     cx.nursery(|cx, n| -> Result<(), OrCancelled<channel::RecvError>> {
///         for number in [30, 10, 20] {
///             let slot = tx.slot(cx).unwrap();
///             n.spawn(move |cx| {
///                 cx.sleep(Duration::from_millis(number))?;
///                 let _ = slot.fill(number);
///                 Ok(())
///             });
///         }
///         drop(tx);
///         let mut got = Vec::new();
///         while let Some(number) = rx.next(cx)? {
///             got.push(number);
///         }
///         assert_eq!(got, [30, 10, 20]);
///         Ok(())
///     })
///     .unwrap();
/// });
/// ```
#[must_use]
#[track_caller]
pub fn ordered<T>(capacity: usize) -> (OrderedSender<T>, OrderedReceiver<T>) {
    assert!(
        capacity > 0,
        "an ordered channel needs room for one slot: pass a capacity of 1 at least"
    );
    let (sender, receiver) = bounded(capacity);
    (OrderedSender { sender }, OrderedReceiver { receiver, head: None })
}

/// Gives out slots. Made by [`ordered`].
pub struct OrderedSender<T> {
    sender: Sender<OneshotReceiver<T>>,
}

impl<T> OrderedSender<T> {
    /// Takes the next slot; waits while as many are out as the capacity allows.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no slot was taken.
    ///
    /// # Errors
    ///
    /// If the receiver is gone.
    pub fn slot(&self, cx: &mut Cx) -> Result<Slot<T>, OrCancelled<NotTaken>> {
        let (filler, filled) = oneshot();
        self.sender.send(cx, filled).map_err(|SendError { why, .. }| why)?;
        Ok(Slot { filler })
    }
}

/// Another giver of slots of the same channel. Slots are in the order in which they were taken.
impl<T> Clone for OrderedSender<T> {
    fn clone(&self) -> OrderedSender<T> {
        OrderedSender { sender: self.sender.clone() }
    }
}

impl<T> fmt::Debug for OrderedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderedSender").finish_non_exhaustive()
    }
}

/// A place in the order of an [`ordered`] channel. Dropped without being filled, it is left out; by a panic,
/// or with an error, the receiver learns of it in its place.
#[must_use = "a slot that is dropped is left out"]
pub struct Slot<T> {
    filler: OneshotSender<T>,
}

impl<T> Slot<T> {
    /// Puts the result into its place. Never waits.
    ///
    /// # Errors
    ///
    /// The result comes back if the receiver is gone.
    pub fn fill(self, result: T) -> Result<(), T> {
        self.filler.send(result)
    }

    /// Says in its place that there is no result: the receiver gets [`RecvError::Broken`] once, and may go
    /// on with the next.
    pub fn fail(self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        self.filler.close_with_error(error);
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

/// Gets the results in order. Made by [`ordered`].
pub struct OrderedReceiver<T> {
    receiver: Receiver<OneshotReceiver<T>>,
    /// The slot whose turn it is.
    head: Option<OneshotReceiver<T>>,
}

impl<T> OrderedReceiver<T> {
    /// Waits for the next result in order, or for the end.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no result was taken, and the order is as before.
    ///
    /// # Errors
    ///
    /// [`RecvError::Broken`] if the next slot was given up with an error or by a panic. The one after it is
    /// next then.
    pub fn next(&mut self, cx: &mut Cx) -> Result<Option<T>, OrCancelled<RecvError>> {
        // Ends: each further round leaves out a slot that was dropped.
        loop {
            if self.head.is_none() {
                self.head = self.receiver.next(cx)?;
            }
            let Some(head) = &self.head else { return Ok(None) };
            let result = head.recv(cx);
            if let Err(OrCancelled::Cancelled(cancelled)) = result {
                return Err(cancelled.into());
            }
            self.head = None;
            match result {
                Ok(item) => return Ok(Some(item)),
                Err(OrCancelled::Failed(RecvError::Ended)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<T> fmt::Debug for OrderedReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderedReceiver").finish_non_exhaustive()
    }
}
