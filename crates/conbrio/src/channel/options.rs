//! How channels are made, and what they say about themselves.

use super::receiver::Receiver;
use super::sender::Sender;
use super::state::new_channel;
use std::sync::Arc;

/// A channel whose buffer holds up to `capacity` items. Of zero, each send waits for its receiver.
///
/// # Panics
///
/// If `capacity` is `usize::MAX`: say [`unbounded`].
///
/// # Examples
///
/// ```
/// use conbrio::channel::{self, TrySendError};
///
/// let (tx, rx) = channel::bounded(1);
/// tx.try_send("first").unwrap();
/// assert_eq!(tx.try_send("second"), Err(TrySendError::Full("second")));
/// assert_eq!(rx.try_recv().unwrap(), "first");
/// ```
#[must_use]
#[track_caller]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    Options::new().capacity(capacity).make()
}

/// A channel whose buffer grows as long as there is memory. Sending never waits.
///
/// A sender that is faster than the receivers fills the memory: prefer [`bounded`], which slows it down.
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    Options::new().make()
}

/// What a send does when the buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// It waits.
    #[default]
    Wait,
    /// It drops the item that has been in the buffer longest.
    DropOldest,
    /// It drops the item that it was to send.
    DropNewest,
    /// It drops the item that was sent last: of capacity 1, only the latest item is kept.
    Conflate,
}

/// The options of a channel.
///
/// # Examples
///
/// The latest position only:
///
/// ```
/// use conbrio::channel::{Options, Overflow};
///
/// let (tx, rx) = Options::new().capacity(1).overflow(Overflow::Conflate).make();
/// for position in 1..=3 {
///     tx.try_send(position).unwrap();
/// }
/// assert_eq!(rx.try_recv().unwrap(), 3);
/// assert_eq!(tx.statistics().dropped, 2);
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a channel is made by `make`"]
pub struct Options {
    capacity: usize,
    overflow: Overflow,
}

impl Options {
    /// No limit, until there is a [`capacity`](Options::capacity).
    pub fn new() -> Options {
        Options { capacity: usize::MAX, overflow: Overflow::Wait }
    }

    /// How many items the buffer holds. Of zero, a send waits until a receiver takes its item.
    ///
    /// # Panics
    ///
    /// If it is `usize::MAX`: leave the call out for a channel without a limit.
    #[track_caller]
    pub fn capacity(mut self, items: usize) -> Options {
        assert!(
            items != usize::MAX,
            "a capacity of `usize::MAX` is none: use `channel::unbounded`"
        );
        self.capacity = items;
        self
    }

    /// What a send does when the buffer is full. With anything but [`Overflow::Wait`], sending never waits.
    ///
    /// Of capacity zero, an item for which no receiver waits is then dropped.
    pub fn overflow(mut self, overflow: Overflow) -> Options {
        self.overflow = overflow;
        self
    }

    /// Makes the channel.
    #[must_use]
    pub fn make<T>(self) -> (Sender<T>, Receiver<T>) {
        let channel = Arc::new(new_channel(self.capacity, self.overflow));
        (Sender::new(Arc::clone(&channel), 1), Receiver::new(channel, 2))
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

/// What a channel is doing. Returned by `statistics` of both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStatistics {
    /// Items in the buffer.
    pub len: usize,
    /// Slots of the buffer that permits hold.
    pub reserved: usize,
    /// How many items the buffer may hold; `None` without a limit.
    pub capacity: Option<usize>,
    /// The most items that were in the buffer at one time.
    pub peak: usize,
    /// Items dropped because the buffer was full.
    pub dropped: u64,
    /// Senders that are not closed.
    pub senders: usize,
    /// Receivers that are not closed.
    pub receivers: usize,
    /// Sends and reservations that wait, of tasks, threads and futures. (One that has just been chosen by
    /// another arm of its select may count still.)
    pub senders_waiting: usize,
    /// Receives that wait; as above.
    pub receivers_waiting: usize,
}
