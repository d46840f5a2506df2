//! The two ends of a channel, and a child, as arms of a select.

use std::fmt;

use crate::cancel::Cancelled;
use crate::lowlevel::{Arm, Claim, Registered, Ticket};
use crate::nursery::{Child, LocalChild};
use crate::task::Cx;

use super::error::{NotTaken, RecvError, SendError, TryRecvError};
use super::receiver::Receiver;
use super::sender::Sender;
use super::state::{Deal, Pushed, RECEIVERS, SENDERS, State, Trade};

type Place<'a, T> = Ticket<'a, State<T>, Deal<T>>;

/// Receiving, as an arm of a [select](Cx::select). Made by [`Receiver::receiving`].
///
/// Gives what [`Receiver::recv`] would, without the cancellation, which the select reports.
#[must_use = "an arm does nothing before it is selected"]
pub struct Receiving<'a, T> {
    receiver: &'a Receiver<T>,
    place: Option<Place<'a, T>>,
    /// What was handed over and not fetched yet. An item is lent until it is fetched.
    outcome: Option<Result<T, RecvError>>,
}

impl<T> Receiver<T> {
    /// Receiving an item, as an arm of a [select](Cx::select).
    pub fn receiving(&self) -> Receiving<'_, T> {
        Receiving { receiver: self, place: None, outcome: None }
    }
}

impl<T> Arm for Receiving<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(&mut self, _: &Cx) -> Option<Self::Output> {
        if let Some(outcome) = self.outcome.take() {
            if outcome.is_ok() {
                self.receiver.channel().lock().keep_lent();
            }
            return Some(outcome);
        }
        match self.receiver.take(&mut self.receiver.channel().lock()) {
            Ok(item) => Some(Ok(item)),
            Err(TryRecvError::Gone(error)) => Some(Err(error)),
            Err(TryRecvError::Empty) => None,
        }
    }

    fn register(&mut self, claim: Claim) -> Registered {
        self.unregister();
        if self.outcome.is_some() {
            return Registered::Ready;
        }
        let mut guard = self.receiver.channel().lock();
        let is_ready = self.receiver.is_closed()
            || guard.len() > 0
            || guard.has_ended().is_some()
            || (guard.capacity() == 0 && guard.has_partner(SENDERS, &claim));
        if is_ready {
            return Registered::Ready;
        }
        self.place = Some(guard.queue_up(RECEIVERS, self.receiver.label(), claim, Deal::Borrow));
        Registered::Waiting
    }

    fn unregister(&mut self) {
        let Some(place) = self.place.take() else { return };
        self.outcome = match place.leave() {
            Ok(Deal::Got(item)) => Some(Ok(item)),
            Ok(Deal::Ended(error)) => Some(Err(error)),
            _ => None,
        };
    }
}

impl<T> Drop for Receiving<'_, T> {
    fn drop(&mut self) {
        // Only if the select unwinds, because another arm of it has panicked, or if the arm was in one of
        // the caller's that did not pass on what it was told.
        self.unregister();
        if let Some(Ok(item)) = self.outcome.take() {
            let unused = self.receiver.channel().lock().put_back(item);
            drop(unused);
        }
    }
}

impl<T> fmt::Debug for Receiving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("receiver", self.receiver).finish_non_exhaustive()
    }
}

/// Sending an item, as an arm of a [select](Cx::select). Made by [`Sender::sending`].
///
/// Gives what [`Sender::send`] would, without the cancellation, which the select reports. When it has
/// happened it is used up, and does not happen again.
#[must_use = "an arm does nothing before it is selected"]
pub struct Sending<'a, T> {
    sender: &'a Sender<T>,
    /// What is still to be sent.
    item: Option<T>,
    place: Option<Place<'a, T>>,
    /// What has become of the item that was in `place`, if it is not in `item` again.
    outcome: Option<Result<(), SendError<T>>>,
}

impl<T> Sender<T> {
    /// Sending `item`, as an arm of a [select](Cx::select).
    ///
    /// If another arm happens, or the select is cancelled, the item is dropped with the arm. To keep it, pass
    /// `&mut arm` to the select, and call [`into_item`](Sending::into_item) afterwards.
    pub fn sending(&self, item: T) -> Sending<'_, T> {
        Sending { sender: self, item: Some(item), place: None, outcome: None }
    }
}

impl<T> Sending<'_, T> {
    /// The item, if it was not sent.
    pub fn into_item(mut self) -> Option<T> {
        self.unregister();
        match self.outcome.take() {
            Some(Err(error)) => Some(error.item),
            Some(Ok(())) | None => self.item.take(),
        }
    }
}

impl<T> Arm for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(&mut self, _: &Cx) -> Option<Self::Output> {
        if let Some(outcome) = self.outcome.take() {
            return Some(outcome);
        }
        let item = self.item.take()?;
        let mut guard = self.sender.channel().lock();
        if let Some(why) = self.sender.refuses(&guard) {
            drop(guard);
            return Some(Err(SendError::new(item, why)));
        }
        let pushed = guard.push(item);
        drop(guard);
        match pushed {
            Pushed::Taken => Some(Ok(())),
            Pushed::Dropped(item) => {
                drop(item);
                Some(Ok(()))
            }
            Pushed::Full(item) => {
                self.item = Some(item);
                None
            }
        }
    }

    fn register(&mut self, claim: Claim) -> Registered {
        self.unregister();
        if self.outcome.is_some() {
            return Registered::Ready;
        }
        // Its item was sent by an earlier select: it never happens again.
        let Some(item) = self.item.take() else { return Registered::Waiting };
        let mut guard = self.sender.channel().lock();
        let is_ready = self.sender.refuses(&guard).is_some()
            || guard.has_room()
            || guard.has_partner(RECEIVERS, &claim);
        if is_ready {
            self.item = Some(item);
            return Registered::Ready;
        }
        let label = self.sender.label();
        self.place = Some(guard.queue_up(SENDERS, label, claim, Deal::Offer(item)));
        Registered::Waiting
    }

    fn unregister(&mut self) {
        match self.place.take().map(Ticket::leave) {
            Some(Err(Deal::Offer(item))) => self.item = Some(item),
            Some(Ok(Deal::Accepted)) => self.outcome = Some(Ok(())),
            Some(Ok(Deal::Refused(Some(item), why))) => {
                self.outcome = Some(Err(SendError::new(item, why)));
            }
            _ => {}
        }
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("sender", self.sender)
            .field("has_item", &self.item.is_some())
            .finish_non_exhaustive()
    }
}

/// Reserving room, as an arm of a [select](Cx::select). Made by [`Sender::reserving`].
#[must_use = "an arm does nothing before it is selected"]
pub struct Reserving<'a, T> {
    sender: &'a Sender<T>,
    place: Option<Place<'a, T>>,
    outcome: Option<Result<super::Permit<'a, T>, NotTaken>>,
}

impl<T> Sender<T> {
    /// Reserving room for an item, as an arm of a [select](Cx::select): the item need not exist yet.
    ///
    /// # Panics
    ///
    /// If the capacity of the channel is zero: it has no slot to reserve.
    #[track_caller]
    pub fn reserving(&self) -> Reserving<'_, T> {
        drop(self.lock_to_reserve());
        Reserving { sender: self, place: None, outcome: None }
    }
}

impl<'a, T> Arm for Reserving<'a, T> {
    type Output = Result<super::Permit<'a, T>, NotTaken>;

    fn poll(&mut self, _: &Cx) -> Option<Self::Output> {
        if let Some(outcome) = self.outcome.take() {
            return Some(outcome);
        }
        let mut guard = self.sender.channel().lock();
        if let Some(why) = self.sender.refuses(&guard) {
            return Some(Err(why));
        }
        let is_reserved = guard.try_reserve();
        drop(guard);
        is_reserved.then(|| Ok(super::Permit::new(self.sender)))
    }

    fn register(&mut self, claim: Claim) -> Registered {
        self.unregister();
        if self.outcome.is_some() {
            return Registered::Ready;
        }
        let mut guard = self.sender.channel().lock();
        if self.sender.refuses(&guard).is_some() || guard.has_room() {
            return Registered::Ready;
        }
        let label = self.sender.label();
        self.place = Some(guard.queue_up(SENDERS, label, claim, Deal::Reserve));
        Registered::Waiting
    }

    fn unregister(&mut self) {
        let Some(place) = self.place.take() else { return };
        self.outcome = match place.leave() {
            Ok(Deal::Accepted) => Some(Ok(super::Permit::new(self.sender))),
            Ok(Deal::Refused(_, why)) => Some(Err(why)),
            _ => None,
        };
    }
}

impl<T> Drop for Reserving<'_, T> {
    fn drop(&mut self) {
        self.unregister();
    }
}

impl<T> fmt::Debug for Reserving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserving").field("sender", self.sender).finish_non_exhaustive()
    }
}

/// The end of a child, as an arm of a [select](Cx::select). Made by [`Child::joining`].
#[must_use = "an arm does nothing before it is selected"]
pub struct Joining<'a, 'scope, T> {
    child: &'a mut Child<'scope, T>,
    is_registered: bool,
}

impl<'scope, T> Child<'scope, T> {
    /// The end of this child, as an arm of a [select](Cx::select). Gives what [`join`](Child::join) would.
    ///
    /// # Panics
    ///
    /// When it is selected, as [`join`](Child::join).
    pub fn joining(&mut self) -> Joining<'_, 'scope, T> {
        Joining { child: self, is_registered: false }
    }
}

impl<'scope, T> LocalChild<'scope, T> {
    /// As [`Child::joining`].
    pub fn joining(&mut self) -> Joining<'_, 'scope, T> {
        self.child_mut().joining()
    }
}

impl<T> Arm for Joining<'_, '_, T> {
    type Output = Result<T, Cancelled>;

    #[track_caller]
    fn poll(&mut self, cx: &Cx) -> Option<Self::Output> {
        self.child.take_if_finished(cx)
    }

    fn register(&mut self, claim: Claim) -> Registered {
        self.is_registered = true;
        match self.child.is_finished_or_wait(claim.into_waker()) {
            true => Registered::Ready,
            false => Registered::Waiting,
        }
    }

    fn unregister(&mut self) {
        if std::mem::take(&mut self.is_registered) {
            self.child.stop_waiting();
        }
    }
}

impl<T> Drop for Joining<'_, '_, T> {
    fn drop(&mut self) {
        self.unregister();
    }
}

impl<T> fmt::Debug for Joining<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joining").field("child", self.child).finish_non_exhaustive()
    }
}
