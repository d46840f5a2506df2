//! The two ends of a channel outside of tasks: for futures of any executor, and for threads.
//!
//! Invariant: an item that was handed over to a future which is dropped before it was polled again goes back
//! to the front of the channel, and so long the channel has not ended.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::lowlevel::{Claim, Party, Ticket, in_task};

use super::error::{RecvError, SendError, TryRecvError};
use super::receiver::Receiver;
use super::sender::Sender;
use super::state::{Deal, Pushed, RECEIVERS, SENDERS, State, Trade};

/// A future that waits in a channel.
struct Queued<'a, T> {
    party: Arc<Party>,
    place: Ticket<'a, State<T>, Deal<T>>,
}

/// The future of an item. Made by [`Receiver::recv_async`].
#[must_use = "a future does nothing unless it is polled"]
pub struct RecvFuture<'a, T> {
    receiver: &'a Receiver<T>,
    queued: Option<Queued<'a, T>>,
}

/// The future of a send. Made by [`Sender::send_async`].
#[must_use = "a future does nothing unless it is polled"]
pub struct SendFuture<'a, T> {
    sender: &'a Sender<T>,
    item: Option<T>,
    queued: Option<Queued<'a, T>>,
}

// Nothing in them is pinned.
impl<T> Unpin for RecvFuture<'_, T> {}
impl<T> Unpin for SendFuture<'_, T> {}

impl<T> Receiver<T> {
    /// As [`recv`](Receiver::recv), for programs with another runtime: awaits the oldest item.
    ///
    /// If the future is dropped, no item is lost: one that it was given already goes to the next receiver,
    /// or back to where it was. Until it has been polled or dropped, the channel does not end for other
    /// receivers: they would miss that item. Allocates if it has to wait.
    ///
    /// # Examples
    ///
    /// A task that asks an async program; here both in one thread:
    ///
    /// ```
    /// use conbrio::channel::{self, RecvError};
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// conbrio::run(|cx| {
    ///     tx.send(cx, 7).unwrap();
    ///     let number = cx.wait(async { rx.recv_async().await }).unwrap();
    ///     assert_eq!(number.unwrap(), 7);
    /// });
    /// ```
    pub fn recv_async(&self) -> RecvFuture<'_, T> {
        RecvFuture { receiver: self, queued: None }
    }

    /// As [`recv`](Receiver::recv), for threads: blocks the calling thread until there is an item.
    ///
    /// # Errors
    ///
    /// As [`recv`](Receiver::recv).
    ///
    /// # Panics
    ///
    /// If it is called inside a task, whose worker it would block. Use `recv` there.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::channel;
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// std::thread::scope(|s| {
    ///     s.spawn(move || assert_eq!(rx.recv_blocking().unwrap(), "from a task"));
    ///     conbrio::run(|cx| tx.send(cx, "from a task")).unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn recv_blocking(&self) -> Result<T, RecvError> {
        refuse_in_task("recv_blocking", "recv");
        match block_on(self.recv_async(), None) {
            Some(received) => received,
            None => unreachable!("there is no deadline"),
        }
    }

    /// As [`recv_blocking`](Receiver::recv_blocking), for this time at most.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if no item has come in this time; the rest as [`recv`](Receiver::recv).
    ///
    /// # Panics
    ///
    /// If it is called inside a task.
    #[track_caller]
    pub fn recv_blocking_timeout(&self, timeout: Duration) -> Result<T, TryRecvError> {
        refuse_in_task("recv_blocking_timeout", "recv");
        // Too far away for the clock is never.
        match block_on(self.recv_async(), Instant::now().checked_add(timeout)) {
            Some(received) => received.map_err(TryRecvError::Gone),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl<T> Sender<T> {
    /// As [`send`](Sender::send), for programs with another runtime: awaits that the item is taken.
    ///
    /// If the future is dropped before, the item is dropped with it, and was not sent. Allocates if it has
    /// to wait. The error is never a cancellation.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::channel;
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// conbrio::run(|cx| {
    ///     cx.wait(async { tx.send_async(7).await }).unwrap().unwrap();
    ///     assert_eq!(rx.recv(cx).unwrap(), 7);
    /// });
    /// ```
    pub fn send_async(&self, item: T) -> SendFuture<'_, T> {
        SendFuture { sender: self, item: Some(item), queued: None }
    }

    /// As [`send`](Sender::send), for threads: blocks the calling thread until the item is taken.
    ///
    /// # Errors
    ///
    /// As [`send`](Sender::send), but never a cancellation.
    ///
    /// # Panics
    ///
    /// If it is called inside a task, whose worker it would block. Use `send` there.
    #[track_caller]
    pub fn send_blocking(&self, item: T) -> Result<(), SendError<T>> {
        refuse_in_task("send_blocking", "send");
        match block_on(self.send_async(item), None) {
            Some(sent) => sent,
            None => unreachable!("there is no deadline"),
        }
    }
}

impl<T> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let receiver = self.receiver;
        if let Some(deal) = poll_queued(&mut self.queued, context) {
            return match deal {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Deal::Got(item)) => {
                    receiver.channel().lock().keep_lent();
                    Poll::Ready(Ok(item))
                }
                Poll::Ready(Deal::Ended(error)) => Poll::Ready(Err(error)),
                Poll::Ready(_) => unreachable!("a receiver gets an item, or learns of the end"),
            };
        }
        let party = Party::of_future();
        party.set_waker(context.waker());
        let mut guard = receiver.channel().lock();
        match receiver.take(&mut guard) {
            Ok(item) => Poll::Ready(Ok(item)),
            Err(TryRecvError::Gone(error)) => Poll::Ready(Err(error)),
            Err(TryRecvError::Empty) => {
                let claim = Claim::new(&party, 0);
                let place = guard.queue_up(RECEIVERS, receiver.label(), claim, Deal::Borrow);
                drop(guard);
                self.queued = Some(Queued { party, place });
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for RecvFuture<'_, T> {
    fn drop(&mut self) {
        let Some(queued) = self.queued.take() else { return };
        if let Ok(Deal::Got(item)) = queued.place.leave() {
            let unused = self.receiver.channel().lock().put_back(item);
            drop(unused);
        }
    }
}

impl<T> Future for SendFuture<'_, T> {
    type Output = Result<(), SendError<T>>;

    /// # Panics
    ///
    /// If it has completed.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let sender = self.sender;
        if let Some(deal) = poll_queued(&mut self.queued, context) {
            return match deal {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Deal::Accepted) => Poll::Ready(Ok(())),
                Poll::Ready(Deal::Refused(Some(item), why)) => {
                    Poll::Ready(Err(SendError::new(item, why)))
                }
                Poll::Ready(_) => unreachable!("a sender is accepted or refused"),
            };
        }
        let item = self.item.take().expect("a future is not polled after it has completed");
        let party = Party::of_future();
        party.set_waker(context.waker());
        let mut guard = sender.channel().lock();
        if let Some(why) = sender.refuses(&guard) {
            drop(guard);
            return Poll::Ready(Err(SendError::new(item, why)));
        }
        match guard.push(item) {
            Pushed::Taken => Poll::Ready(Ok(())),
            Pushed::Dropped(item) => {
                drop(guard);
                drop(item);
                Poll::Ready(Ok(()))
            }
            Pushed::Full(item) => {
                let claim = Claim::new(&party, 0);
                let place = guard.queue_up(SENDERS, sender.label(), claim, Deal::Offer(item));
                drop(guard);
                self.queued = Some(Queued { party, place });
                Poll::Pending
            }
        }
    }
}

/// Nothing if the future does not wait in the channel yet.
fn poll_queued<T>(
    queued: &mut Option<Queued<'_, T>>,
    context: &mut Context<'_>,
) -> Option<Poll<Deal<T>>> {
    let waiting = queued.as_ref()?;
    // In this order: whoever ends the wait after we have looked wakes the new waker.
    waiting.party.set_waker(context.waker());
    if !waiting.place.has_ended() {
        return Some(Poll::Pending);
    }
    let deal = queued.take()?.place.leave();
    Some(Poll::Ready(deal.unwrap_or_else(|_| unreachable!("it has ended"))))
}

/// Blocks the thread until the future completes, or the deadline has come.
#[expect(clippy::disallowed_methods, reason = "a thread that runs no task, as its callers check")]
fn block_on<F: Future + Unpin>(mut future: F, deadline: Option<Instant>) -> Option<F::Output> {
    struct Unparks(Thread);
    impl Wake for Unparks {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unparks(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut context) {
            return Some(output);
        }
        match deadline {
            None => std::thread::park(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                std::thread::park_timeout(left);
            }
        }
    }
}

#[track_caller]
fn refuse_in_task(called: &str, instead: &str) {
    assert!(
        !in_task(),
        "`{called}` would block the worker of this task and all other tasks on it: call `{instead}`"
    );
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvFuture").field("receiver", self.receiver).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SendFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture").field("sender", self.sender).finish_non_exhaustive()
    }
}
