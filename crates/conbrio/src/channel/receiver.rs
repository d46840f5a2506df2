//! The end that items come out of.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cancel::OrCancelled;
use crate::task::Cx;

use super::ChannelStatistics;
use super::error::{RecvError, TryRecvError};
use super::state::{Channel, Deal, Guard, RECEIVERS, Trade};

/// Takes items out of a channel. Made by [`bounded`](super::bounded) and its relatives.
///
/// Clones are further receivers of the same channel: each item goes to one of them. Each is closed by
/// itself, at the latest when it is dropped. All methods take `&self`, so tasks may also share one.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    /// Names this receiver among those that wait.
    label: u64,
    /// Written and read under the lock of the channel.
    is_closed: AtomicBool,
}

impl<T> Receiver<T> {
    pub(super) fn new(channel: Arc<Channel<T>>, label: u64) -> Receiver<T> {
        Receiver { channel, label, is_closed: AtomicBool::new(false) }
    }

    /// Takes the oldest item; waits for one if there is none.
    ///
    /// Receivers that wait get the next items in the order in which they came. Does not allocate.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no item was taken.
    ///
    /// # Errors
    ///
    /// When everything was received and nothing more can come, and if this receiver was closed, also while
    /// it waits. The error is the same from then on.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::OrCancelled;
    /// use conbrio::channel::{self, RecvError};
    ///
    /// conbrio::run(|cx| {
    ///     let (tx, rx) = channel::bounded(1);
    ///     tx.send(cx, 1).unwrap();
    ///     drop(tx);
    ///     assert_eq!(rx.recv(cx).unwrap(), 1);
    ///     assert!(matches!(rx.recv(cx), Err(OrCancelled::Failed(RecvError::Ended))));
    /// });
    /// ```
    #[inline(always)] // As `Task::suspend` says.
    pub fn recv(&self, cx: &mut Cx) -> Result<T, OrCancelled<RecvError>> {
        cx.checkpoint()?;
        let mut guard = self.channel.lock();
        match self.take(&mut guard) {
            Ok(item) => Ok(item),
            Err(TryRecvError::Gone(error)) => Err(error.into()),
            Err(TryRecvError::Empty) => self.wait_to_recv(cx, guard),
        }
    }

    #[inline(always)]
    fn wait_to_recv(&self, cx: &mut Cx, guard: Guard<'_, T>) -> Result<T, OrCancelled<RecvError>> {
        let mut deal = Deal::Want;
        guard.park(cx, RECEIVERS, self.label, &mut deal)?;
        match deal {
            Deal::Got(item) => Ok(item),
            Deal::Ended(error) => Err(error.into()),
            _ => unreachable!("a receiver that waits gets an item, or learns of the end"),
        }
    }

    /// Takes the oldest item if there is one.
    ///
    /// # Errors
    ///
    /// If there is none, or as [`recv`](Receiver::recv) says.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.take(&mut self.channel.lock())
    }

    #[inline]
    pub(super) fn take(&self, guard: &mut Guard<'_, T>) -> Result<T, TryRecvError> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(TryRecvError::Gone(RecvError::Closed));
        }
        match guard.pop() {
            Some(item) => Ok(item),
            None => Err(guard.has_ended().map_or(TryRecvError::Empty, TryRecvError::Gone)),
        }
    }

    /// Takes the next item, or nothing when the channel has ended: for
    /// `while let Some(item) = rx.next(cx)?`.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no item was taken.
    ///
    /// # Errors
    ///
    /// If a sender broke off, or this receiver was closed.
    #[inline(always)] // As `Task::suspend` says.
    pub fn next(&self, cx: &mut Cx) -> Result<Option<T>, OrCancelled<RecvError>> {
        match self.recv(cx) {
            Ok(item) => Ok(Some(item)),
            Err(OrCancelled::Failed(RecvError::Ended)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Calls `f` with each item until the channel has ended.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, once for each item. On cancel no item was taken that `f` has not got.
    ///
    /// # Errors
    ///
    /// If `f` fails, a sender broke off, or this receiver was closed. What was not received is still in the
    /// channel.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::channel::{self, RecvError};
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| {
    ///     let (tx, rx) = channel::unbounded();
    ///     (1..=3).for_each(|number| tx.try_send(number).unwrap());
    ///     drop(tx);
    ///     let mut sum = 0;
    ///     rx.for_each(cx, |cx, number| -> Result<(), OrCancelled<RecvError>> {
    ///         cx.yield_now()?;
    ///         sum += number;
    ///         Ok(())
    ///     })
    ///     .unwrap();
    ///     assert_eq!(sum, 6);
    /// });
    /// ```
    pub fn for_each<E>(
        &self,
        cx: &mut Cx,
        mut f: impl FnMut(&mut Cx, T) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<OrCancelled<RecvError>>,
    {
        while let Some(item) = self.next(cx)? {
            f(cx, item)?;
        }
        Ok(())
    }

    /// The items as an iterator, which keeps `cx` to itself: for loops whose body does not wait, and for
    /// the adapters of iterators.
    ///
    /// It ends after the first error. Where the body needs `cx`, use [`next`](Receiver::next) or
    /// [`for_each`](Receiver::for_each).
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself; each step is, as [`recv`](Receiver::recv).
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::channel;
    ///
    /// conbrio::run(|cx| {
    ///     let (tx, rx) = channel::unbounded();
    ///     (1..=3).for_each(|number| tx.try_send(number).unwrap());
    ///     drop(tx);
    ///     let sum: u32 = rx.iter(cx).map(Result::unwrap).sum();
    ///     assert_eq!(sum, 6);
    /// });
    /// ```
    pub fn iter<'a>(&'a self, cx: &'a mut Cx) -> Iter<'a, T> {
        Iter { receiver: self, cx, has_ended: false }
    }

    /// Takes what is in the channel now, without waiting.
    pub fn try_iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.try_recv().ok())
    }

    /// Closes this receiver: what waits through it fails with [`RecvError::Closed`], as does every later
    /// use. Other receivers go on. With the last one, what is left in the channel is dropped, and senders
    /// fail. Closing it again changes nothing.
    pub fn close(&self) {
        let mut guard = self.channel.lock();
        // Relaxed, here and below: the lock orders it.
        if self.is_closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let left = guard.remove_receiver(self.label);
        drop(guard);
        drop(left);
    }

    /// Whether this receiver was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Whether both belong to the same channel.
    #[must_use]
    pub fn is_same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel)
    }

    /// A snapshot of what the channel is doing.
    #[must_use]
    pub fn statistics(&self) -> ChannelStatistics {
        self.channel.lock().statistics()
    }

    pub(super) fn channel(&self) -> &Channel<T> {
        &self.channel
    }

    pub(super) fn label(&self) -> u64 {
        self.label
    }
}

/// A clone of a receiver that was closed is closed, too.
impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        let mut guard = self.channel.lock();
        let is_closed = self.is_closed.load(Ordering::Relaxed);
        let label = if is_closed { self.label } else { guard.add_receiver() };
        drop(guard);
        Receiver {
            channel: Arc::clone(&self.channel),
            label,
            is_closed: AtomicBool::new(is_closed),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// The items of a channel. Made by [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
    cx: &'a mut Cx,
    has_ended: bool,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = Result<T, OrCancelled<RecvError>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let next = self.receiver.next(self.cx).transpose();
        self.has_ended = !matches!(next, Some(Ok(_)));
        next
    }
}
