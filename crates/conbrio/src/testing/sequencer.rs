//! Making tasks do things in an order that a test has chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::lowlevel::{Abort, Unparker, Wait};
use crate::task::Cx;
use crate::util::footprint;

/// Forces an order upon code that runs in different tasks: step 0, then step 1, then step 2, and so on,
/// wherever each of them stands.
///
/// Tasks may be on any workers. A step that is never taken makes the later ones wait for ever.
///
/// # Examples
///
/// ```
/// use conbrio::testing::{Sequencer, SequencerBroken};
/// use conbrio::{Cx, NurseryError, OrCancelled};
/// use std::sync::Mutex;
///
/// let log = Mutex::new(Vec::new());
/// let seq = Sequencer::new();
/// let note = |word| log.lock().unwrap().push(word);
///
/// conbrio::run(|cx| -> Result<(), NurseryError<OrCancelled<SequencerBroken>>> {
///     cx.nursery(|_, n| {
///         n.spawn(|cx| {
///             seq.step(cx, 0, |_| note("a begins"))?;
///             seq.step(cx, 2, |_| note("a ends"))
///         });
///         n.spawn(|cx| seq.step(cx, 1, |_| note("b comes in between")));
///         Ok(())
///     })
/// })
/// .unwrap();
/// assert_eq!(log.into_inner().unwrap(), ["a begins", "b comes in between", "a ends"]);
/// ```
pub struct Sequencer {
    state: Mutex<State>,
}

struct State {
    /// The step that may begin, or has begun.
    next: usize,
    /// Every step that somebody has come for.
    claimed: BTreeSet<usize>,
    /// Who waits, by step; all of them are greater than `next`.
    waiting: BTreeMap<usize, Unparker>,
    broken: Option<SequencerBroken>,
}

impl Sequencer {
    /// A sequencer that waits for step 0.
    #[must_use]
    pub const fn new() -> Sequencer {
        Sequencer {
            state: Mutex::new(State {
                next: 0,
                claimed: BTreeSet::new(),
                waiting: BTreeMap::new(),
                broken: None,
            }),
        }
    }

    /// Waits until all steps before `step` have been taken, runs `f`, and lets the next step begin.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, before `f`. A step whose task was cancelled while it waited will never be
    /// taken, so the sequencer is broken then.
    ///
    /// # Errors
    ///
    /// [`SequencerBroken`] if a step that was waited for will not be taken, because its task was cancelled
    /// or its closure panicked. The same goes for every later call.
    ///
    /// # Panics
    ///
    /// If somebody has come for this step before. A panic of `f` goes on, and breaks the sequencer.
    #[track_caller]
    pub fn step<R>(
        &self,
        cx: &mut Cx,
        step: usize,
        f: impl FnOnce(&mut Cx) -> R,
    ) -> Result<R, OrCancelled<SequencerBroken>> {
        let is_new = self.lock().claimed.insert(step);
        assert!(
            is_new,
            "step {step} of a sequencer was used twice; give each step a number of its own"
        );
        let mut turn = Turn { sequencer: self, step, fate: "was cancelled while it waited" };
        cx.checkpoint()?;
        cx.park_on(&mut Place { sequencer: self, step })?;
        if let Some(broken) = self.broken() {
            // Who breaks it is often cancelled together with who waits: that reason is the better one.
            cx.checkpoint_if_cancelled()?;
            turn.fate = "found it broken";
            return Err(OrCancelled::Failed(broken));
        }
        turn.fate = "panicked";
        let value = f(cx);
        std::mem::forget(turn);
        self.advance();
        Ok(value)
    }

    /// Whether a step that was waited for will never be taken.
    pub fn is_broken(&self) -> bool {
        self.broken().is_some()
    }

    fn broken(&self) -> Option<SequencerBroken> {
        self.lock().broken.clone()
    }

    fn advance(&self) {
        let mut state = self.lock();
        state.next += 1;
        let next = state.next;
        let waiter = state.waiting.remove(&next);
        drop(state);
        if let Some(waiter) = waiter {
            waiter.unpark();
        }
    }

    fn break_at(&self, broken: SequencerBroken) {
        let mut state = self.lock();
        state.broken.get_or_insert(broken);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_values().for_each(Unparker::unpark);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        footprint::touch(&raw const self.state);
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Sequencer {
    fn default() -> Sequencer {
        Sequencer::new()
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Sequencer")
            .field("next", &state.next)
            .field("waiting", &state.waiting.keys().collect::<Vec<_>>())
            .field("broken", &state.broken)
            .finish()
    }
}

/// The claim to a step, which breaks the sequencer if it is dropped before the step has been taken.
struct Turn<'a> {
    sequencer: &'a Sequencer,
    step: usize,
    /// What will have happened to the task if this is dropped.
    fate: &'static str,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.sequencer.break_at(SequencerBroken { step: self.step, fate: self.fate });
    }
}

/// The wait for one's turn.
struct Place<'a> {
    sequencer: &'a Sequencer,
    step: usize,
}

impl Wait for Place<'_> {
    fn arm(&mut self, unparker: Unparker) {
        let mut state = self.sequencer.lock();
        if state.next == self.step || state.broken.is_some() {
            drop(state);
            unparker.unpark();
        } else {
            state.waiting.insert(self.step, unparker);
        }
    }

    fn abort(&mut self) -> Abort {
        match self.sequencer.lock().waiting.remove(&self.step) {
            Some(_) => Abort::Succeeded,
            // Somebody has taken it out and is about to wake this task: its turn has come.
            None => Abort::Pending,
        }
    }
}

/// A step of a [`Sequencer`] will never be taken, so nobody can wait for it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequencerBroken {
    step: usize,
    fate: &'static str,
}

impl SequencerBroken {
    /// The step that will not be taken.
    #[must_use]
    pub fn step(&self) -> usize {
        self.step
    }
}

impl fmt::Display for SequencerBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the sequencer is broken: the task of step {} {}", self.step, self.fate)
    }
}

impl std::error::Error for SequencerBroken {}

impl MaybeCancelled for SequencerBroken {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}
