//! The latest value of something, and when it changes.
//!
//! Values are shared behind an `Arc`, so that nobody holds a lock while user code looks at one.

use std::fmt;
use std::sync::Arc;

use crate::cancel::OrCancelled;
use crate::lowlevel::{Arm, Claim, Exchange, ExchangeGuard, Registered, Side, Ticket};
use crate::task::Cx;

use super::error::RecvError;

/// A value that changes: senders set it, and each receiver can wait until it is another than it has seen.
///
/// Values that nobody has looked at in time are gone: only the latest one counts.
///
/// # Examples
///
/// ```
/// use conbrio::channel::watch;
/// use conbrio::prelude::*;
///
/// conbrio::run(|cx| {
///     let (tx, mut rx) = watch("starting");
///     cx.nursery(|cx, n| -> Result<(), OrCancelled<conbrio::channel::RecvError>> {
///         n.spawn(|cx| {
///             while let Some(state) = rx.next(cx)? {
///                 if *state == "ready" {
///                     break;
///                 }
///             }
///             Ok(())
///         });
///         tx.send("warming up");
///         tx.send("ready");
///         cx.yield_now()?;
///         Ok(())
///     })
///     .unwrap();
/// });
/// ```
#[must_use]
pub fn watch<T>(value: T) -> (WatchSender<T>, WatchReceiver<T>) {
    let state = State { value: Arc::new(value), version: 0, senders: 1 };
    let what = ["nothing", "a new value (watch)"];
    let channel = Arc::new(Exchange::new(state, what));
    let receiver = WatchReceiver { channel: Arc::clone(&channel), seen: 0 };
    (WatchSender { channel }, receiver)
}

type Watch<T> = Exchange<State<T>, ()>;

const RECEIVERS: Side = Side::Second;

struct State<T> {
    value: Arc<T>,
    /// How often it was set.
    version: u64,
    senders: usize,
}

/// Sets the value. Made by [`watch`]. Clones set the same value.
pub struct WatchSender<T> {
    channel: Arc<Watch<T>>,
}

impl<T> WatchSender<T> {
    /// Sets the value, and wakes all who wait for a new one. Never waits. Returns the old value.
    pub fn send(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let mut guard = self.channel.lock();
        set(&mut guard, value)
    }

    /// Sets the value to what `change` makes of the old one. If another sender comes between, `change` is
    /// called again.
    pub fn update(&self, mut change: impl FnMut(&T) -> T) {
        let (mut old, mut version) = self.latest();
        // Ends: each further round means that another sender has set the value.
        loop {
            let new = Arc::new(change(&old));
            let mut guard = self.channel.lock();
            if guard.version == version {
                let replaced = set(&mut guard, new);
                drop(guard);
                drop(replaced);
                return;
            }
            drop(guard);
            (old, version) = self.latest();
        }
    }

    /// The latest value.
    #[must_use]
    pub fn value(&self) -> Arc<T> {
        self.latest().0
    }

    /// A further receiver, which has seen the present value.
    #[must_use]
    pub fn subscribe(&self) -> WatchReceiver<T> {
        let seen = self.latest().1;
        WatchReceiver { channel: Arc::clone(&self.channel), seen }
    }

    fn latest(&self) -> (Arc<T>, u64) {
        let guard = self.channel.lock();
        (Arc::clone(&guard.value), guard.version)
    }
}

fn set<T>(guard: &mut ExchangeGuard<'_, State<T>, ()>, value: Arc<T>) -> Arc<T> {
    guard.version += 1;
    let old = std::mem::replace(&mut guard.value, value);
    guard.end_all(RECEIVERS, None, |_, ()| ());
    old
}

impl<T> Clone for WatchSender<T> {
    fn clone(&self) -> WatchSender<T> {
        self.channel.lock().senders += 1;
        WatchSender { channel: Arc::clone(&self.channel) }
    }
}

impl<T> Drop for WatchSender<T> {
    fn drop(&mut self) {
        let mut guard = self.channel.lock();
        guard.senders -= 1;
        if guard.senders == 0 {
            guard.end_all(RECEIVERS, None, |_, ()| ());
        }
    }
}

impl<T> fmt::Debug for WatchSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchSender").finish_non_exhaustive()
    }
}

/// Sees the value and waits for new ones. Made by [`watch`]. Clones have seen what this one has.
pub struct WatchReceiver<T> {
    channel: Arc<Watch<T>>,
    /// The version that was seen last.
    seen: u64,
}

impl<T> WatchReceiver<T> {
    /// The latest value, seen or not. Does not count as seeing it.
    #[must_use]
    pub fn value(&self) -> Arc<T> {
        Arc::clone(&self.channel.lock().value)
    }

    /// Whether there is a value that was not seen.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.channel.lock().version != self.seen
    }

    /// Waits for a value that was not seen, and returns it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing counts as seen.
    ///
    /// # Errors
    ///
    /// [`RecvError::Ended`] if all senders are gone and the last value was seen.
    pub fn recv(&mut self, cx: &mut Cx) -> Result<Arc<T>, OrCancelled<RecvError>> {
        cx.checkpoint()?;
        // Ends: whoever was woken finds a new value, or the end.
        loop {
            let guard = self.channel.lock();
            if let Some(outcome) = look(&guard, &mut self.seen) {
                return outcome.map_err(OrCancelled::Failed);
            }
            guard.park(cx, RECEIVERS, 0, &mut ())?;
        }
    }

    /// As [`recv`](WatchReceiver::recv), and nothing when all senders are gone.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing counts as seen.
    ///
    /// # Errors
    ///
    /// Only the cancellation.
    pub fn next(&mut self, cx: &mut Cx) -> Result<Option<Arc<T>>, OrCancelled<RecvError>> {
        match self.recv(cx) {
            Ok(value) => Ok(Some(value)),
            Err(OrCancelled::Failed(RecvError::Ended)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until the value satisfies `condition`, which the present one may do already, and returns it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, values that did not satisfy the condition count as seen.
    ///
    /// # Errors
    ///
    /// [`RecvError::Ended`] if all senders are gone and the last value does not satisfy it.
    pub fn wait_for(
        &mut self,
        cx: &mut Cx,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<Arc<T>, OrCancelled<RecvError>> {
        cx.checkpoint()?;
        let mut value = {
            let guard = self.channel.lock();
            self.seen = guard.version;
            Arc::clone(&guard.value)
        };
        while !condition(&value) {
            value = self.recv(cx)?;
        }
        Ok(value)
    }

    /// Seeing a new value, as an arm of a [select](Cx::select).
    pub fn changing(&mut self) -> Changing<'_, T> {
        Changing { channel: &self.channel, seen: &mut self.seen, place: None }
    }
}

/// The value that was not seen, or the end, if there is one or the other.
fn look<T>(
    guard: &ExchangeGuard<'_, State<T>, ()>,
    seen: &mut u64,
) -> Option<Result<Arc<T>, RecvError>> {
    if guard.version != *seen {
        *seen = guard.version;
        return Some(Ok(Arc::clone(&guard.value)));
    }
    (guard.senders == 0).then_some(Err(RecvError::Ended))
}

impl<T> Clone for WatchReceiver<T> {
    fn clone(&self) -> WatchReceiver<T> {
        WatchReceiver { channel: Arc::clone(&self.channel), seen: self.seen }
    }
}

impl<T> fmt::Debug for WatchReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchReceiver").field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// Seeing a new value, as an arm of a [select](Cx::select). Made by [`WatchReceiver::changing`].
#[must_use = "an arm does nothing before it is selected"]
pub struct Changing<'a, T> {
    channel: &'a Watch<T>,
    seen: &'a mut u64,
    place: Option<Ticket<'a, State<T>, ()>>,
}

impl<T> Arm for Changing<'_, T> {
    type Output = Result<Arc<T>, RecvError>;

    fn poll(&mut self, _: &Cx) -> Option<Self::Output> {
        look(&self.channel.lock(), self.seen)
    }

    fn register(&mut self, claim: Claim) -> Registered {
        // An older place would be left under the lock that is taken here.
        self.unregister();
        let mut guard = self.channel.lock();
        if guard.version != *self.seen || guard.senders == 0 {
            return Registered::Ready;
        }
        self.place = Some(guard.queue_up(RECEIVERS, 0, claim, ()));
        Registered::Waiting
    }

    fn unregister(&mut self) {
        self.place = None;
    }
}

impl<T> fmt::Debug for Changing<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changing").field("seen", &self.seen).finish_non_exhaustive()
    }
}
