//! The end that items are put into.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cancel::OrCancelled;
use crate::task::Cx;

use super::ChannelStatistics;
use super::error::{Cause, NotTaken, SendError, TryReserveError, TrySendError};
use super::permit::Permit;
use super::state::{Channel, Deal, Guard, Pushed, SENDERS, Trade};

/// Puts items into a channel. Made by [`bounded`](super::bounded) and its relatives.
///
/// Clones are further senders of the same channel. Each is closed by itself, at the latest when it is
/// dropped. All methods take `&self`, so tasks may also share one.
///
/// It may go to another thread, and be used by several, if the items may be sent there:
///
/// ```compile_fail,E0277
/// use conbrio::channel;
/// use conbrio::prelude::*;
/// use std::rc::Rc;
///
/// conbrio::run(|cx| {
///     let (tx, _rx) = channel::bounded::<Rc<u8>>(1);
///     cx.nursery(|_, n| -> Result<(), Cancelled> {
///         n.spawn(|_| Ok(tx.close())); // a child may begin on another thread
///         Ok(())
///     })
/// });
/// ```
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
    /// Names this sender among those that wait.
    label: u64,
    /// Written and read under the lock of the channel.
    is_closed: AtomicBool,
}

impl<T> Sender<T> {
    pub(super) fn new(channel: Arc<Channel<T>>, label: u64) -> Sender<T> {
        Sender { channel, label, is_closed: AtomicBool::new(false) }
    }

    /// Sends `item`: to the receiver that waits longest, or into the buffer, behind what was sent before.
    ///
    /// Waits while the buffer is full, unless the channel has another [`Overflow`](super::Overflow). Senders
    /// that wait get their turns in order: whoever takes an item gives the slot to the first. Does not
    /// allocate, except for the growth of a buffer.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the item was not sent, and is in the error.
    ///
    /// # Errors
    ///
    /// The item comes back if this sender was closed, and if the channel is broken because all receivers
    /// are gone, or a sender broke off; also while it waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::channel;
    ///
    /// conbrio::run(|cx| {
    ///     let (tx, rx) = channel::bounded(1);
    ///     tx.send(cx, 1).unwrap();
    ///     drop(rx);
    ///     let error = tx.send(cx, 2).unwrap_err();
    ///     assert!(error.is_broken());
    ///     assert_eq!(error.item, 2);
    /// });
    /// ```
    #[inline]
    pub fn send(&self, cx: &mut Cx, item: T) -> Result<(), SendError<T>> {
        if let Err(cancelled) = cx.checkpoint() {
            return Err(SendError::new(item, cancelled));
        }
        let mut guard = self.channel.lock();
        if let Some(why) = self.refuses(&guard) {
            drop(guard);
            return Err(SendError::new(item, why));
        }
        match guard.push(item) {
            Pushed::Taken => Ok(()),
            Pushed::Dropped(item) => {
                drop(guard);
                drop(item);
                Ok(())
            }
            Pushed::Full(item) => self.wait_to_send(cx, guard, item),
        }
    }

    // Inlined for the sake of the switch of stacks in it: see `Task::suspend`.
    #[inline(always)]
    fn wait_to_send(&self, cx: &mut Cx, guard: Guard<'_, T>, item: T) -> Result<(), SendError<T>> {
        let mut deal = Deal::Offer(item);
        let waited = guard.park(cx, SENDERS, self.label, &mut deal);
        match (waited, deal) {
            (Err(cancelled), Deal::Offer(item)) => Err(SendError::new(item, cancelled)),
            (Ok(()), Deal::Refused(Some(item), why)) => Err(SendError::new(item, why)),
            (Ok(()), Deal::Accepted) => Ok(()),
            _ => unreachable!("a sender that waits is accepted, refused or cancelled"),
        }
    }

    /// Sends `item` if that is possible without waiting.
    ///
    /// # Errors
    ///
    /// The item comes back if there is no room, or no receiver waits in a channel of capacity zero, or as
    /// [`send`](Sender::send) says.
    #[inline]
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let mut guard = self.channel.lock();
        if let Some(why) = self.refuses(&guard) {
            drop(guard);
            return Err(TrySendError::not_taken(item, why));
        }
        match guard.push(item) {
            Pushed::Taken => Ok(()),
            Pushed::Dropped(item) => {
                drop(guard);
                drop(item);
                Ok(())
            }
            Pushed::Full(item) => {
                drop(guard);
                Err(TrySendError::Full(item))
            }
        }
    }

    /// Waits until there is room for an item, and reserves it: what is sent with the permit need not wait.
    ///
    /// For items that are costly to make, or must not be made if they cannot be sent. Waits its turn with
    /// those that send, and never drops an item to make room.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing is reserved.
    ///
    /// # Errors
    ///
    /// As [`send`](Sender::send).
    ///
    /// # Panics
    ///
    /// If the capacity of the channel is zero: it has no slot to reserve.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::channel;
    ///
    /// conbrio::run(|cx| {
    ///     let (tx, rx) = channel::bounded(1);
    ///     let permit = tx.reserve(cx).unwrap();
    ///     assert!(tx.try_send("for another").unwrap_err().is_full());
    ///     permit.send("expensive").unwrap();
    ///     assert_eq!(rx.recv(cx).unwrap(), "expensive");
    /// });
    /// ```
    #[track_caller]
    pub fn reserve(&self, cx: &mut Cx) -> Result<Permit<'_, T>, OrCancelled<NotTaken>> {
        cx.checkpoint()?;
        let mut guard = self.lock_to_reserve();
        if let Some(why) = self.refuses(&guard) {
            return Err(why.into());
        }
        if guard.try_reserve() {
            return Ok(Permit::new(self));
        }
        let mut deal = Deal::Reserve;
        guard.park(cx, SENDERS, self.label, &mut deal)?;
        match deal {
            Deal::Accepted => Ok(Permit::new(self)),
            Deal::Refused(_, why) => Err(why.into()),
            _ => unreachable!("a reservation that waits is accepted or refused"),
        }
    }

    /// Reserves room for an item if there is some.
    ///
    /// # Errors
    ///
    /// If there is no room, or as [`send`](Sender::send) says.
    ///
    /// # Panics
    ///
    /// As [`reserve`](Sender::reserve).
    #[track_caller]
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TryReserveError> {
        let mut guard = self.lock_to_reserve();
        if let Some(why) = self.refuses(&guard) {
            return Err(TryReserveError::NotTaken(why));
        }
        if guard.try_reserve() { Ok(Permit::new(self)) } else { Err(TryReserveError::Full) }
    }

    #[track_caller]
    pub(super) fn lock_to_reserve(&self) -> Guard<'_, T> {
        let guard = self.channel.lock();
        let has_slots = guard.capacity() > 0;
        if !has_slots {
            drop(guard);
            panic!(
                "a channel of capacity 0 has no slot to reserve: use `send`, or a capacity of 1"
            );
        }
        guard
    }

    /// Closes this sender: what waits through it fails with [`NotTaken::Closed`], as does every later use.
    /// Other senders go on. Closing it again changes nothing.
    pub fn close(&self) {
        self.close_by(false);
    }

    fn close_by(&self, panicked: bool) {
        let mut guard = self.channel.lock();
        // Relaxed, here and below: the lock orders it.
        if !self.is_closed.swap(true, Ordering::Relaxed) {
            guard.remove_sender(self.label, panicked);
        }
    }

    /// Breaks the channel: for a sender that cannot go on, so that nobody takes its end for a good one.
    ///
    /// Receivers get what has been sent, and then [`RecvError::Broken`](super::RecvError::Broken) with
    /// `error`; those that wait get it at once. No sender sends any more, waiting ones get their items
    /// back. So it ends both sides wherever they run, whatever scopes they are in. The first error stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::channel::{self, RecvError};
    ///
    /// let (tx, rx) = channel::bounded(2);
    /// tx.try_send(1).unwrap();
    /// tx.close_with_error("the disk is full");
    /// assert_eq!(rx.try_recv().unwrap(), 1);
    /// let error = rx.try_recv().unwrap_err();
    /// assert_eq!(error.to_string(), "the channel is broken: the disk is full");
    /// ```
    pub fn close_with_error(&self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        let cause = Cause::failed(error.into());
        let mut guard = self.channel.lock();
        let unused = guard.break_off(cause);
        if !self.is_closed.swap(true, Ordering::Relaxed) {
            guard.remove_sender(self.label, false);
        }
        drop(guard);
        drop(unused);
    }

    /// Whether this sender was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Whether the channel is broken: nothing that is sent would be received.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.channel.lock().refuses().is_some()
    }

    /// Whether both belong to the same channel.
    #[must_use]
    pub fn is_same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel)
    }

    /// A snapshot of what the channel is doing.
    #[must_use]
    pub fn statistics(&self) -> ChannelStatistics {
        self.channel.lock().statistics()
    }

    #[inline]
    pub(super) fn refuses(&self, guard: &Guard<'_, T>) -> Option<NotTaken> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Some(NotTaken::Closed);
        }
        guard.refuses()
    }

    pub(super) fn channel(&self) -> &Channel<T> {
        &self.channel
    }

    pub(super) fn label(&self) -> u64 {
        self.label
    }
}

/// A clone of a sender that was closed is closed, too.
impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        let mut guard = self.channel.lock();
        let is_closed = self.is_closed.load(Ordering::Relaxed);
        let label = if is_closed { self.label } else { guard.add_sender() };
        drop(guard);
        Sender { channel: Arc::clone(&self.channel), label, is_closed: AtomicBool::new(is_closed) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.close_by(std::thread::panicking());
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}
