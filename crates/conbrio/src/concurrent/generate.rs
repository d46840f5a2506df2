//! Generators: a producer that runs when its consumer asks for the next item, and only then.
//!
//! The producer is a child task on the worker of its consumer, so that it can wait, open scopes and
//! nurseries of its own, and keep them open from one item to the next. What is handed over goes through a
//! rendezvous with room for no item, except one that was asked for by somebody who has been cancelled.
//!
//! Rules:
//! 1. The producer goes on only when an item is asked for, or when it is stopped.
//! 2. It is stopped when the consumer has left or closed, and by nothing else: cancellations from outside
//!    reach the consumer first. So it runs in a shielded scope that `stop` cancels.
//! 3. Its failure is recorded in the nursery before anybody who waits for an item is told that there is none.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::lowlevel::{Abort, ParkingLot, Unparker, Wait};
use crate::nursery::{Nursery, NurseryError};
use crate::scope::CancelHandle;
use crate::task::Cx;

use super::arms::name_of;

impl Cx {
    /// Runs `produce` beside `consume`, which gets the items that the producer sends, one whenever it asks
    /// for the next.
    ///
    /// The two alternate: the producer begins when the first item is asked for, and after each
    /// [`send`](Output::send) it stands still until the next one is. It may do what any task may: wait, keep
    /// scopes and nurseries open across items, fail. It runs on the worker of the caller, so nothing has to
    /// be `Send`.
    ///
    /// When `consume` returns, or calls [`close`](Items::close), the producer is cancelled at the `send` at
    /// which it stands, cleans up, and is waited for. Until then cancellations from outside are hidden from
    /// it: they reach the consumer, which leaves, and then the producer.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself; waits for the producer to end.
    ///
    /// # Errors
    ///
    /// As [`nursery`](Cx::nursery): every error of the consumer and of the producer, also one that comes
    /// after its last item, or from its cleanup.
    ///
    /// # Panics
    ///
    /// A panic of either goes on in the caller when both have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// let sum = conbrio::run(|cx| {
    ///     cx.generate(
    ///         |cx, out| -> Result<(), Cancelled> {
    ///             // It may go on for ever: who has enough leaves.
    ///             for square in (1..).map(|i: u32| i * i) {
    ///                 out.send(cx, square)?;
    ///             }
    ///             Ok(())
    ///         },
    ///         |cx, squares| {
    ///             let mut sum = 0;
    ///             while let Some(square) = squares.next(cx)? {
    ///                 if square > 100 {
    ///                     break;
    ///                 }
    ///                 sum += square;
    ///             }
    ///             Ok(sum)
    ///         },
    ///     )
    /// });
    /// assert_eq!(sum.unwrap(), 385);
    /// ```
    pub fn generate<T, R, E>(
        &mut self,
        produce: impl FnOnce(&mut Cx, &mut Output<'_, T>) -> Result<(), E>,
        consume: impl FnOnce(&mut Cx, &Items<'_, T>) -> Result<R, E>,
    ) -> Result<R, NurseryError<E>>
    where
        E: MaybeCancelled + Send + 'static,
    {
        let rendezvous = &Rendezvous::new();
        self.nursery(|cx, n| {
            let name = name_of(&produce);
            n.task(name).spawn_local(cx, move |cx| run_producer(cx, n, rendezvous, produce));
            let _stop = StopAtEnd(rendezvous);
            consume(cx, &Items { rendezvous })
        })
    }
}

fn run_producer<T, E: MaybeCancelled + Send + 'static>(
    cx: &mut Cx,
    n: &Nursery<'_, '_, E>,
    rendezvous: &Rendezvous<T>,
    produce: impl FnOnce(&mut Cx, &mut Output<'_, T>) -> Result<(), E>,
) -> Result<(), E> {
    // Rule 2: it ends, because the consumer asks or leaves.
    cx.shield(|cx| rendezvous.wait_until_asked(cx)).ok();
    if rendezvous.lot.lock().is_stopped {
        return Ok(());
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        cx.cancel_scope(|cx, scope| {
            scope.set_shield(true);
            rendezvous.runs_in(scope.handle());
            produce(cx, &mut Output { rendezvous })
        })
    }));
    match outcome {
        // It stopped for the cancellation of its scope, or was done: both are its end.
        Ok(Ok(_)) => rendezvous.end(End::Done),
        Ok(Err(error)) => {
            n.fail(cx, error);
            rendezvous.end(End::Failed);
        }
        Err(payload) => {
            n.cancel_with("the producer panicked");
            rendezvous.end(End::Failed);
            resume_unwind(payload);
        }
    }
    Ok(())
}

/// Where a producer puts its items. Given to the first closure of [`Cx::generate`].
pub struct Output<'a, T> {
    rendezvous: &'a Rendezvous<T>,
}

impl<T> Output<'_, T> {
    /// Hands an item to whoever has asked for it, and waits until the next one is asked for.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, before the item is handed over: then it fails, and the item is dropped. A
    /// cancellation during the wait lets it return; as the item has been taken by then, that is no error,
    /// and the cancellation shows at the next checkpoint.
    pub fn send(&mut self, cx: &mut Cx, item: T) -> Result<(), Cancelled> {
        cx.checkpoint()?;
        // It was asked for, unless an earlier wait was called off by a scope of the producer itself.
        self.rendezvous.wait_until_asked(cx)?;
        cx.checkpoint_if_cancelled()?;
        self.rendezvous.hand_over(item);
        // Whatever ends this wait: the item is not here any more.
        self.rendezvous.wait_until_asked(cx).ok();
        Ok(())
    }
}

impl<T> fmt::Debug for Output<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

/// The items of a producer. Given to the second closure of [`Cx::generate`], which may share it with
/// children: each item goes to who has asked first.
///
/// Children on other workers may share it if the items are `Send`:
///
/// ```compile_fail,E0277
/// use conbrio::prelude::*;
/// use std::rc::Rc;
///
/// conbrio::run(|cx| {
///     cx.generate(
///         |cx, out| out.send(cx, Rc::new(1)),
///         |cx, items| -> Result<(), Cancelled> {
///             cx.join(|cx| items.next(cx), |_| Ok(())).unwrap(); // an `Rc` would change its thread
///             Ok(())
///         },
///     )
/// });
/// ```
pub struct Items<'a, T> {
    rendezvous: &'a Rendezvous<T>,
}

impl<T> Items<'_, T> {
    /// Lets the producer go on, and waits for its next item. `None` if the producer is done, or was closed.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no item is lost: the producer may go on to its next item, which whoever
    /// asks next gets. Also fails if the producer fails, whose nursery is cancelled then. (Inside a shield,
    /// which hides that, it returns `None`; the error comes out of [`Cx::generate`] in any case.)
    pub fn next(&self, cx: &mut Cx) -> Result<Option<T>, Cancelled> {
        cx.checkpoint()?;
        let mut state = self.rendezvous.lot.lock();
        if let Some(item) = state.left_over.take() {
            return Ok(Some(item));
        }
        let mut item = None;
        if state.end.is_none() && !state.is_stopped {
            state.is_asked = true;
            let producer = state.producer.take();
            let parked = state.park_after(cx, &mut item, || {
                if let Some(producer) = producer {
                    producer.unpark();
                }
            });
            match parked {
                Ok(()) => {}
                Err(OrCancelled::Cancelled(cancelled)) => return Err(cancelled),
                Err(OrCancelled::Failed(broken)) => unreachable!("nobody breaks it: {broken}"),
            }
        } else {
            drop(state);
        }
        if item.is_none() && self.rendezvous.lot.lock().end == Some(End::Failed) {
            cx.checkpoint_if_cancelled()?;
        }
        Ok(item)
    }

    /// Stops the producer before its items are used up. Whoever waits for an item, or asks for one, gets
    /// `None`.
    ///
    /// Does not wait for the producer; that is done at the end of [`Cx::generate`]. Repeating it has no
    /// effect.
    pub fn close(&self) {
        self.rendezvous.stop();
    }
}

impl<T> fmt::Debug for Items<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").finish_non_exhaustive()
    }
}

/// What both sides share. Consumers wait in the queue for an item, which is handed to them in their parcel.
struct Rendezvous<T> {
    lot: ParkingLot<State<T>, Option<T>>,
}

struct State<T> {
    /// An item was asked for since the last one was handed over.
    is_asked: bool,
    /// An item whose asker was cancelled. Then nobody waits in the queue.
    left_over: Option<T>,
    /// The producer, while it waits to be asked.
    producer: Option<Unparker>,
    /// The scope in which the producer runs.
    scope: Option<CancelHandle>,
    is_stopped: bool,
    end: Option<End>,
}

/// How the producer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Failed,
}

impl<T> Rendezvous<T> {
    fn new() -> Rendezvous<T> {
        let state = State {
            is_asked: false,
            left_over: None,
            producer: None,
            scope: None,
            is_stopped: false,
            end: None,
        };
        Rendezvous { lot: ParkingLot::with_state(state).named("the next item of a generator") }
    }

    /// *Producer.* Waits until it may go on (rule 1).
    fn wait_until_asked(&self, cx: &mut Cx) -> Result<(), Cancelled> {
        if self.lot.lock().may_go_on() {
            return Ok(());
        }
        cx.park_on_named(&mut UntilAsked(self), "its consumer to ask")
    }

    /// *Producer.* Gives the item to whoever waits longest.
    fn hand_over(&self, item: T) {
        let mut state = self.lot.lock();
        let mut item = Some(item);
        state.unpark_with(|_, parcel| *parcel = item.take());
        let unwanted = std::mem::replace(&mut state.left_over, item);
        state.is_asked = state.has_waiters();
        drop(state);
        // Only from a producer that goes on behind a shield although it was stopped.
        drop(unwanted);
    }

    /// *Producer.* Says where it can be stopped from now on.
    fn runs_in(&self, scope: CancelHandle) {
        let mut state = self.lot.lock();
        let is_stopped = state.is_stopped;
        state.scope = Some(scope.clone());
        drop(state);
        if is_stopped {
            scope.cancel_with(LEFT);
        }
    }

    /// *Producer.* Nothing more will come.
    fn end(&self, end: End) {
        let mut state = self.lot.lock();
        state.end = Some(end);
        state.scope = None;
        state.unpark_all();
    }

    /// *Consumer.* Nothing more is wanted.
    fn stop(&self) {
        let scope = {
            let mut state = self.lot.lock();
            state.is_stopped = true;
            state.scope.take()
        };
        // First of all, so that the producer finds itself cancelled when it goes on.
        if let Some(scope) = scope {
            scope.cancel_with(LEFT);
        }
        let mut state = self.lot.lock();
        state.unpark_all();
        let left_over = state.left_over.take();
        let producer = state.producer.take();
        drop(state);
        if let Some(producer) = producer {
            producer.unpark();
        }
        drop(left_over);
    }
}

impl<T> State<T> {
    fn may_go_on(&self) -> bool {
        self.is_asked || self.is_stopped
    }
}

const LEFT: &str = "the consumer of the generator has left";

/// Stops the producer when the consumer returns or panics.
struct StopAtEnd<'a, T>(&'a Rendezvous<T>);

impl<T> Drop for StopAtEnd<'_, T> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The wait of a producer.
struct UntilAsked<'a, T>(&'a Rendezvous<T>);

impl<T> Wait for UntilAsked<'_, T> {
    fn arm(&mut self, unparker: Unparker) {
        let mut state = self.0.lot.lock();
        if state.may_go_on() {
            drop(state);
            unparker.unpark();
        } else {
            state.producer = Some(unparker);
        }
    }

    fn abort(&mut self) -> Abort {
        let unparker = self.0.lot.lock().producer.take();
        drop(unparker);
        Abort::Succeeded
    }
}
