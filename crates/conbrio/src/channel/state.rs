//! What a channel holds, and each thing that can be done to it, under its lock.
//!
//! Invariants, whenever the lock is free:
//! 1. If a receiver waits, the buffer is empty, and no sender waits with an item unless every slot is
//!    reserved.
//! 2. If a sender waits, no slot is free: `buffer.len() + reserved >= capacity`.
//! 3. Nobody waits at a side that has nobody left to wait for.
//! 4. `lent` is the number of items that were handed to somebody who may still put them back: a future, or
//!    the arm of a select. As long as there are any, the channel has not ended for other receivers.
//!
//! No item is dropped under the lock: that would be code of the user. Functions hand back what is to be
//! dropped.

use std::collections::VecDeque;

use crate::lowlevel::{Exchange, ExchangeGuard, Side};

use super::error::{Cause, NotTaken, RecvError};
use super::{ChannelStatistics, Overflow};

pub(super) const SENDERS: Side = Side::First;
pub(super) const RECEIVERS: Side = Side::Second;

/// What both ends of a channel share.
pub(super) type Channel<T> = Exchange<State<T>, Deal<T>>;
pub(super) type Guard<'a, T> = ExchangeGuard<'a, State<T>, Deal<T>>;

pub(super) struct State<T> {
    buffer: VecDeque<T>,
    /// Slots that permits hold.
    reserved: usize,
    /// Invariant 4.
    lent: usize,
    /// `usize::MAX` if there is no limit.
    capacity: usize,
    overflow: Overflow,
    senders: usize,
    receivers: usize,
    /// Set once by `close_with_error`: nothing is sent any more.
    broken: Option<Cause>,
    /// A sender was dropped by a panic: the end will not be a clean one.
    panicked: bool,
    peak: usize,
    dropped: u64,
    next_label: u64,
}

/// What a waiting party has brought, or takes away.
pub(super) enum Deal<T> {
    /// A sender with its item.
    Offer(T),
    /// A sender that wants a slot.
    Reserve,
    /// A receiver: a task, which takes what it is given.
    Want,
    /// A receiver who may put back what it is given.
    Borrow,
    /// The item was taken; or the slot is reserved.
    Accepted,
    /// The item.
    Got(T),
    /// The item was not taken; `None` for one that wanted a slot.
    Refused(Option<T>, NotTaken),
    /// Nothing more comes.
    Ended(RecvError),
}

/// What became of an item that was offered.
pub(super) enum Pushed<T> {
    Taken,
    /// It was taken, or not, and this one is to be dropped for the sake of the overflow policy.
    Dropped(T),
    /// There is no room.
    Full(T),
}

pub(super) fn new_channel<T>(capacity: usize, overflow: Overflow) -> Channel<T> {
    // Bigger buffers grow as they are needed: most never fill.
    let buffer = VecDeque::with_capacity(capacity.min(BUFFER_AT_FIRST_MAX));
    let state = State {
        buffer,
        reserved: 0,
        lent: 0,
        capacity,
        overflow,
        senders: 1,
        receivers: 1,
        broken: None,
        panicked: false,
        peak: 0,
        dropped: 0,
        next_label: 2,
    };
    Exchange::new(state, ["room in a channel (send)", "an item of a channel (recv)"])
}

const BUFFER_AT_FIRST_MAX: usize = 32;

impl<T> State<T> {
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Why nothing can be sent, if that is so.
    #[inline]
    pub(super) fn refuses(&self) -> Option<NotTaken> {
        (self.receivers == 0 || self.broken.is_some()).then_some(NotTaken::Broken)
    }

    /// Why nothing will come beyond what is buffered, if that is so.
    #[inline]
    pub(super) fn has_ended(&self) -> Option<RecvError> {
        if self.lent > 0 {
            return None;
        }
        if let Some(cause) = &self.broken {
            return Some(RecvError::Broken(cause.clone()));
        }
        if self.senders > 0 || self.reserved > 0 {
            return None;
        }
        Some(match self.panicked {
            true => RecvError::Broken(Cause::panicked()),
            false => RecvError::Ended,
        })
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.buffer.len() + self.reserved < self.capacity
    }

    #[inline]
    fn store(&mut self, item: T) {
        self.buffer.push_back(item);
        self.peak = self.peak.max(self.buffer.len());
    }

    fn new_label(&mut self) -> u64 {
        self.next_label += 1;
        self.next_label
    }
}

/// What is done under the lock.
pub(super) trait Trade<T> {
    fn push(&mut self, item: T) -> Pushed<T>;
    fn push_reserved(&mut self, item: T);
    fn pop(&mut self) -> Option<T>;
    fn keep_lent(&mut self);
    fn put_back(&mut self, item: T) -> Option<T>;
    fn try_reserve(&mut self) -> bool;
    fn release_reserved(&mut self);
    fn statistics(&self) -> ChannelStatistics;
    fn add_sender(&mut self) -> u64;
    fn add_receiver(&mut self) -> u64;
    fn remove_sender(&mut self, label: u64, panicked: bool);
    fn remove_receiver(&mut self, label: u64) -> VecDeque<T>;
    fn break_off(&mut self, cause: Cause) -> Option<Cause>;
}

/// Not part of `Trade`: only between ourselves.
trait Deliver<T> {
    fn deliver(&mut self, item: T) -> Option<T>;
    fn refill(&mut self);
    fn end_receivers_if_over(&mut self);
    fn refuse_senders(&mut self, label: Option<u64>, why: NotTaken);
}

impl<T> Deliver<T> for Guard<'_, T> {
    /// Hands the item to a waiting receiver, or hands it back.
    #[inline(always)]
    fn deliver(&mut self, item: T) -> Option<T> {
        if !self.has_waiting(RECEIVERS) {
            return Some(item);
        }
        let mut item = Some(item);
        self.hand_over(RECEIVERS, |state, deal| {
            if let Some(item) = item.take() {
                state.lent += usize::from(matches!(deal, Deal::Borrow));
                *deal = Deal::Got(item);
            }
        });
        item
    }

    /// Gives free slots to those who wait for them (invariant 2).
    #[inline]
    fn refill(&mut self) {
        // Ends: each round ends the wait of a sender.
        while self.has_waiting(SENDERS) && self.has_room() {
            let offered = self.hand_over(SENDERS, |state, deal| {
                match std::mem::replace(deal, Deal::Accepted) {
                    Deal::Offer(item) => Some(item),
                    _ => {
                        state.reserved += 1;
                        None
                    }
                }
            });
            // A receiver may wait if all slots were reserved (invariant 1).
            if let Some(item) = offered.flatten().and_then(|item| self.deliver(item)) {
                self.store(item);
            }
        }
    }

    fn end_receivers_if_over(&mut self) {
        if let Some(error) = self.has_ended() {
            self.end_all(RECEIVERS, None, |_, deal| *deal = Deal::Ended(error.clone()));
        }
    }

    fn refuse_senders(&mut self, label: Option<u64>, why: NotTaken) {
        self.end_all(SENDERS, label, |_, deal| {
            let item = match std::mem::replace(deal, Deal::Accepted) {
                Deal::Offer(item) => Some(item),
                _ => None,
            };
            *deal = Deal::Refused(item, why);
        });
    }
}

impl<T> Trade<T> for Guard<'_, T> {
    /// The caller has seen that the channel takes items.
    #[inline]
    fn push(&mut self, item: T) -> Pushed<T> {
        let Some(item) = self.deliver(item) else { return Pushed::Taken };
        if self.has_room() {
            self.store(item);
            return Pushed::Taken;
        }
        let replaced = match self.overflow {
            Overflow::Wait => return Pushed::Full(item),
            Overflow::DropNewest => None,
            Overflow::DropOldest => self.buffer.pop_front(),
            Overflow::Conflate => self.buffer.pop_back(),
        };
        self.dropped += 1;
        match replaced {
            Some(old) => {
                self.buffer.push_back(item);
                Pushed::Dropped(old)
            }
            // There is no older one: the capacity is zero, or all slots are reserved.
            None => Pushed::Dropped(item),
        }
    }

    /// Sends into a slot that was reserved.
    fn push_reserved(&mut self, item: T) {
        self.reserved -= 1;
        if let Some(item) = self.deliver(item) {
            self.store(item);
        } else {
            self.refill();
        }
        self.end_receivers_if_over();
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        if let Some(item) = self.buffer.pop_front() {
            // The freed slot belongs to the sender that waits longest.
            if self.has_waiting(SENDERS) {
                self.refill();
            }
            return Some(item);
        }
        if self.capacity > 0 {
            return None;
        }
        self.hand_over(SENDERS, |_, deal| match std::mem::replace(deal, Deal::Accepted) {
            Deal::Offer(item) => Some(item),
            _ => unreachable!("a channel of capacity 0 has no slot to reserve"),
        })
        .flatten()
    }

    /// An item that was lent does not come back.
    fn keep_lent(&mut self) {
        self.lent -= 1;
        self.end_receivers_if_over();
    }

    /// An item that was lent to somebody who is gone: it is the oldest. Handed back if nobody is left who could
    /// receive it.
    fn put_back(&mut self, item: T) -> Option<T> {
        self.lent -= 1;
        if self.receivers == 0 {
            return Some(item);
        }
        if let Some(item) = self.deliver(item) {
            self.buffer.push_front(item);
        }
        // For those who wait behind the one who has it now.
        self.end_receivers_if_over();
        None
    }

    /// The caller has seen that the channel takes items.
    fn try_reserve(&mut self) -> bool {
        let has_room = self.has_room();
        self.reserved += usize::from(has_room);
        has_room
    }

    fn release_reserved(&mut self) {
        self.reserved -= 1;
        self.refill();
        self.end_receivers_if_over();
    }

    fn statistics(&self) -> ChannelStatistics {
        ChannelStatistics {
            len: self.buffer.len(),
            reserved: self.reserved,
            capacity: (self.capacity != usize::MAX).then_some(self.capacity),
            peak: self.peak,
            dropped: self.dropped,
            senders: self.senders,
            receivers: self.receivers,
            senders_waiting: self.waiting(SENDERS),
            receivers_waiting: self.waiting(RECEIVERS),
        }
    }

    fn add_sender(&mut self) -> u64 {
        self.senders += 1;
        self.new_label()
    }

    fn add_receiver(&mut self) -> u64 {
        self.receivers += 1;
        self.new_label()
    }

    /// A sender closes. Whoever waits through it is refused.
    fn remove_sender(&mut self, label: u64, panicked: bool) {
        self.senders -= 1;
        self.panicked |= panicked;
        if self.has_waiting(SENDERS) {
            self.refuse_senders(Some(label), NotTaken::Closed);
        }
        self.end_receivers_if_over();
    }

    /// A receiver closes. Whoever waits through it is refused; with the last one the senders are. Returns
    /// what nobody can receive any more.
    fn remove_receiver(&mut self, label: u64) -> VecDeque<T> {
        self.receivers -= 1;
        if self.has_waiting(RECEIVERS) {
            let closed =
                |_: &mut State<T>, deal: &mut Deal<T>| *deal = Deal::Ended(RecvError::Closed);
            self.end_all(RECEIVERS, Some(label), closed);
        }
        if self.receivers > 0 {
            return VecDeque::new();
        }
        self.refuse_senders(None, NotTaken::Broken);
        std::mem::take(&mut self.buffer)
    }

    /// Ends the channel in disorder. The first cause stays; a later one is handed back.
    fn break_off(&mut self, cause: Cause) -> Option<Cause> {
        if self.broken.is_some() {
            return Some(cause);
        }
        self.broken = Some(cause);
        self.refuse_senders(None, NotTaken::Broken);
        self.end_receivers_if_over();
        None
    }
}
