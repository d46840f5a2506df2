//! Every item to every receiver; who is too slow learns how many were missed.
//!
//! Invariant: `items` are the items `first_number..first_number + items.len()` of the channel.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::lowlevel::{Arm, Claim, Exchange, ExchangeGuard, Registered, Side, Ticket};
use crate::task::Cx;

use super::error::RecvError;

/// A channel that gives every item to every receiver.
///
/// The last `capacity` items are kept. Sending never waits: a receiver that is farther behind misses items,
/// and is told how many. Items are shared until each receiver clones its own.
///
/// # Panics
///
/// If `capacity` is zero.
///
/// # Examples
///
/// ```
/// use conbrio::channel::{self, BroadcastError};
/// use conbrio::OrCancelled;
///
/// conbrio::run(|cx| {
///     let (tx, mut fast) = channel::broadcast(2);
///     let mut slow = fast.clone();
///     for number in 1..=3 {
///         tx.send(number);
///         assert_eq!(fast.recv(cx).unwrap(), number);
///     }
///     assert!(matches!(slow.recv(cx), Err(OrCancelled::Failed(BroadcastError::Lagged(1)))));
///     assert_eq!(slow.recv(cx).unwrap(), 2);
/// });
/// ```
#[must_use]
#[track_caller]
pub fn broadcast<T>(capacity: usize) -> (BroadcastSender<T>, BroadcastReceiver<T>) {
    assert!(capacity > 0, "a broadcast keeps one item at least: pass a capacity of 1 or more");
    let state =
        State { items: VecDeque::new(), first_number: 0, capacity, senders: 1, receivers: 1 };
    let channel = Arc::new(Exchange::new(state, ["nothing", "an item of a broadcast"]));
    let receiver = BroadcastReceiver { channel: Arc::clone(&channel), next: 0 };
    (BroadcastSender { channel }, receiver)
}

type Broadcast<T> = Exchange<State<T>, ()>;
type Outcome<T> = Result<Arc<T>, BroadcastError>;

const RECEIVERS: Side = Side::Second;

struct State<T> {
    items: VecDeque<Arc<T>>,
    first_number: u64,
    capacity: usize,
    senders: usize,
    receivers: usize,
}

/// Why no item was received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BroadcastError {
    /// So many items were missed. The next call gets the oldest that is left.
    Lagged(u64),
    /// Nothing more will come.
    Gone(RecvError),
}

impl fmt::Display for BroadcastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BroadcastError::Lagged(missed) => {
                write!(f, "the receiver was too slow and missed {missed} items")
            }
            BroadcastError::Gone(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BroadcastError {}

impl MaybeCancelled for BroadcastError {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}

/// Sends to all. Made by [`broadcast`]. Clones send to the same receivers.
pub struct BroadcastSender<T> {
    channel: Arc<Broadcast<T>>,
}

impl<T> BroadcastSender<T> {
    /// Sends an item to all receivers that there are now. Never waits. Returns how many there are; of none,
    /// the item is dropped.
    pub fn send(&self, item: T) -> usize {
        let item = Arc::new(item);
        let mut guard = self.channel.lock();
        let receivers = guard.receivers;
        let mut unwanted = None;
        if receivers == 0 {
            unwanted = Some(item);
        } else {
            guard.items.push_back(item);
            if guard.items.len() > guard.capacity {
                unwanted = guard.items.pop_front();
                guard.first_number += 1;
            }
            guard.end_all(RECEIVERS, None, |_, ()| ());
        }
        drop(guard);
        drop(unwanted);
        receivers
    }

    /// A further receiver, of what is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> BroadcastReceiver<T> {
        let mut guard = self.channel.lock();
        guard.receivers += 1;
        let next = guard.first_number + guard.items.len() as u64;
        BroadcastReceiver { channel: Arc::clone(&self.channel), next }
    }
}

impl<T> Clone for BroadcastSender<T> {
    fn clone(&self) -> BroadcastSender<T> {
        self.channel.lock().senders += 1;
        BroadcastSender { channel: Arc::clone(&self.channel) }
    }
}

impl<T> Drop for BroadcastSender<T> {
    fn drop(&mut self) {
        let mut guard = self.channel.lock();
        guard.senders -= 1;
        if guard.senders == 0 {
            guard.end_all(RECEIVERS, None, |_, ()| ());
        }
    }
}

impl<T> fmt::Debug for BroadcastSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastSender").finish_non_exhaustive()
    }
}

/// Gets every item. Made by [`broadcast`]. Clones go on where this one is.
pub struct BroadcastReceiver<T> {
    channel: Arc<Broadcast<T>>,
    /// The number of the item that is next.
    next: u64,
}

impl<T: Clone> BroadcastReceiver<T> {
    /// Waits for the next item.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no item was taken.
    ///
    /// # Errors
    ///
    /// [`BroadcastError::Lagged`] if items were missed, once for each time; [`BroadcastError::Gone`] when all
    /// senders are gone and everything was received.
    pub fn recv(&mut self, cx: &mut Cx) -> Result<T, OrCancelled<BroadcastError>> {
        cx.checkpoint()?;
        // Ends: whoever was woken finds an item, or the end.
        loop {
            let guard = self.channel.lock();
            let found = look(&guard, &mut self.next);
            let Some(found) = found else {
                guard.park(cx, RECEIVERS, 0, &mut ())?;
                continue;
            };
            drop(guard);
            return found.map(Arc::unwrap_or_clone).map_err(OrCancelled::Failed);
        }
    }

    /// Takes the next item if there is one.
    ///
    /// # Errors
    ///
    /// As [`recv`](BroadcastReceiver::recv).
    pub fn try_recv(&mut self) -> Option<Result<T, BroadcastError>> {
        let found = look(&self.channel.lock(), &mut self.next);
        found.map(|found| found.map(Arc::unwrap_or_clone))
    }

    /// Receiving the next item, as an arm of a [select](Cx::select).
    pub fn receiving(&mut self) -> Hearing<'_, T> {
        Hearing { channel: &self.channel, next: &mut self.next, place: None }
    }
}

/// The next item, if there is one, or why there will be none.
fn look<T>(guard: &ExchangeGuard<'_, State<T>, ()>, next: &mut u64) -> Option<Outcome<T>> {
    let missed = guard.first_number.saturating_sub(*next);
    if missed > 0 {
        *next = guard.first_number;
        return Some(Err(BroadcastError::Lagged(missed)));
    }
    // Less than the capacity: items that are numbered lower are gone.
    let place = (*next - guard.first_number) as usize;
    if let Some(item) = guard.items.get(place) {
        *next += 1;
        return Some(Ok(Arc::clone(item)));
    }
    (guard.senders == 0).then_some(Err(BroadcastError::Gone(RecvError::Ended)))
}

impl<T> Clone for BroadcastReceiver<T> {
    fn clone(&self) -> BroadcastReceiver<T> {
        self.channel.lock().receivers += 1;
        BroadcastReceiver { channel: Arc::clone(&self.channel), next: self.next }
    }
}

impl<T> Drop for BroadcastReceiver<T> {
    fn drop(&mut self) {
        let mut guard = self.channel.lock();
        guard.receivers -= 1;
        let mut unwanted = VecDeque::new();
        if guard.receivers == 0 {
            guard.first_number += guard.items.len() as u64;
            unwanted = std::mem::take(&mut guard.items);
        }
        drop(guard);
        drop(unwanted);
    }
}

impl<T> fmt::Debug for BroadcastReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastReceiver").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Receiving from a broadcast, as an arm of a [select](Cx::select). Made by
/// [`BroadcastReceiver::receiving`].
#[must_use = "an arm does nothing before it is selected"]
pub struct Hearing<'a, T> {
    channel: &'a Broadcast<T>,
    next: &'a mut u64,
    place: Option<Ticket<'a, State<T>, ()>>,
}

impl<T: Clone> Arm for Hearing<'_, T> {
    type Output = Result<T, BroadcastError>;

    fn poll(&mut self, _: &Cx) -> Option<Self::Output> {
        let found = look(&self.channel.lock(), self.next);
        found.map(|found| found.map(Arc::unwrap_or_clone))
    }

    fn register(&mut self, claim: Claim) -> Registered {
        // An older place would be left under the lock that is taken here.
        self.unregister();
        let mut guard = self.channel.lock();
        // Without taking anything: the number is a copy.
        if look(&guard, &mut self.next.clone()).is_some() {
            return Registered::Ready;
        }
        self.place = Some(guard.queue_up(RECEIVERS, 0, claim, ()));
        Registered::Waiting
    }

    fn unregister(&mut self) {
        self.place = None;
    }
}

impl<T> fmt::Debug for Hearing<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hearing").field("next", &self.next).finish_non_exhaustive()
    }
}
