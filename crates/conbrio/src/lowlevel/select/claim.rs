//! The claim: how a source says that it has chosen an arm, and who waits at the other end.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use crate::lowlevel::Unparker;
use crate::util::atomic::{AtomicUsize, Ordering};
use crate::util::brief_lock::BriefLock;
use crate::util::footprint;

/// Whoever waits at one or several sources at once: a task in a select, a future, or a thread.
pub(crate) struct Party {
    /// `UNDECIDED`, `CLOSED`, or the arm that was chosen (rule 1).
    winner: AtomicUsize,
    signal: BriefLock<Option<Signal>>,
}

enum Signal {
    Unparker(Unparker),
    Waker(Waker),
}

const UNDECIDED: usize = usize::MAX;
const CLOSED: usize = usize::MAX - 1;

impl Party {
    pub(super) fn of_task(unparker: Unparker) -> Arc<Party> {
        Party::new(Some(Signal::Unparker(unparker)))
    }

    /// A party that is polled.
    pub(crate) fn of_future() -> Arc<Party> {
        Party::new(None)
    }

    fn new(signal: Option<Signal>) -> Arc<Party> {
        let winner = AtomicUsize::new(UNDECIDED);
        Arc::new(Party { winner, signal: BriefLock::new(signal) })
    }

    /// Wakes this waker from now on.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let is_same = |signal: &Option<Signal>| matches!(signal, Some(Signal::Waker(old)) if old.will_wake(waker));
        if is_same(&self.signal.lock()) {
            return;
        }
        // Cloned and dropped outside of the lock: that is code of others.
        let new = Some(Signal::Waker(waker.clone()));
        let old = std::mem::replace(&mut *self.signal.lock(), new);
        drop(old);
    }

    /// No arm can be chosen any more. Returns the one that was.
    pub(crate) fn close(&self) -> Option<usize> {
        footprint::touch(&raw const self.winner);
        // Acquire pairs with the winning exchange in `choose`.
        match self.winner.compare_exchange(UNDECIDED, CLOSED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(CLOSED) => None,
            Err(winner) => Some(winner),
        }
    }

    /// The wait is over: claims that are kept all the same hold nothing of the task any more.
    pub(super) fn release(&self) {
        let signal = self.signal.lock().take();
        drop(signal);
    }

    fn choose(&self, arm: usize) -> bool {
        footprint::touch(&raw const self.winner);
        let outcome =
            self.winner.compare_exchange(UNDECIDED, arm, Ordering::AcqRel, Ordering::Relaxed);
        outcome.is_ok()
    }

    fn wake(&self) {
        let signal = self.signal.lock().take();
        match signal {
            Some(Signal::Unparker(unparker)) => unparker.unpark(),
            Some(Signal::Waker(waker)) => waker.wake(),
            None => {}
        }
    }
}

impl std::task::Wake for Party {
    fn wake(self: Arc<Self>) {
        Party::wake(&self);
    }
}

/// The right of a source to complete one arm of a [select](crate::Cx::select). See [`Arm`](super::Arm).
///
/// Clones stand for the same arm of the same wait, and so they are equal. A claim that is kept longer than
/// the wait has no effect any more.
#[derive(Clone)]
pub struct Claim {
    party: Arc<Party>,
    arm: usize,
}

impl Claim {
    pub(crate) fn new(party: &Arc<Party>, arm: usize) -> Claim {
        Claim { party: Arc::clone(party), arm }
    }

    /// Chooses this arm, if no other has been and the select still waits.
    ///
    /// Call it under the lock of the source, and complete the operation under it; drop what it returns
    /// after the lock has been released, which wakes the select.
    #[must_use = "the select wakes when it is dropped; if there is none, choose somebody else"]
    pub fn claim(&self) -> Option<Claimed> {
        self.choose().then(|| Claimed(self.clone()))
    }

    /// As `claim`; the caller wakes the party.
    pub(crate) fn choose(&self) -> bool {
        self.party.choose(self.arm)
    }

    /// Lets the select ask its arms again. Call it without locks.
    pub fn wake(self) {
        self.party.wake();
    }

    /// Whether nothing has been chosen, and the wait goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        footprint::touch(&raw const self.party.winner);
        // Relaxed: only a hint, except to whoever goes on to `claim`.
        self.party.winner.load(Ordering::Relaxed) == UNDECIDED
    }

    /// Whether both belong to the same wait: no source lets a select do business with itself.
    #[must_use]
    pub fn is_of_same_select(&self, other: &Claim) -> bool {
        Arc::ptr_eq(&self.party, &other.party)
    }

    /// As `wake`, for sources that know wakers.
    pub(crate) fn into_waker(self) -> Waker {
        Waker::from(self.party)
    }
}

impl PartialEq for Claim {
    fn eq(&self, other: &Claim) -> bool {
        self.is_of_same_select(other) && self.arm == other.arm
    }
}

impl Eq for Claim {}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("arm", &self.arm)
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// An arm that was chosen; wakes the select when it is dropped. Made by [`Claim::claim`].
#[derive(Debug)]
#[must_use = "it wakes the select when it is dropped, which must not happen under the lock of the source"]
pub struct Claimed(Claim);

impl Drop for Claimed {
    fn drop(&mut self) {
        self.0.party.wake();
    }
}
