//! Contests: arms that run side by side until enough is known, and then are cancelled and joined.
//!
//! The outcomes of the arms do not go to the nursery but to a tally, because a contest judges them by its
//! own rule: the nursery only starts, cancels and joins. Panics go to the nursery.
//!
//! Invariant: the nursery is cancelled when the tally becomes decided, and otherwise only by a panic.

use std::convert::Infallible;

use crate::cancel::{MaybeCancelled, OrCancelled};
use crate::lowlevel::{Broken, ParkingLot};
use crate::nursery::{Nursery, NurseryError};
use crate::task::Cx;

use super::arms::{begin, name_of};

/// What has become of the arms so far, each list in order of time.
#[derive(Debug)]
pub(super) struct Tally<T, E> {
    pub(super) values: Vec<T>,
    pub(super) errors: Vec<E>,
    /// The error of the first arm that stopped for a cancellation: of the contest itself, or from outside.
    pub(super) cancelled: Option<E>,
    is_decided: bool,
}

/// `D` says whether the arms that still run are not needed any more.
pub(super) struct Contest<T, E, D> {
    /// Who starts arms one by one waits here until an arm has ended.
    tally: ParkingLot<Tally<T, E>>,
    is_decided: D,
    /// Why the others are cancelled then.
    reason: &'static str,
}

/// The nursery of a contest: its children do not fail, they tell.
pub(super) type Ring<'scope, 'env> = Nursery<'scope, 'env, Infallible>;

impl<T, E, D> Contest<T, E, D>
where
    T: Send,
    E: MaybeCancelled + Send,
    D: Fn(&Tally<T, E>) -> bool + Sync,
{
    pub(super) fn new(reason: &'static str, is_decided: D) -> Contest<T, E, D> {
        let tally =
            Tally { values: Vec::new(), errors: Vec::new(), cancelled: None, is_decided: false };
        let tally = ParkingLot::with_state(tally).named("an arm to end");
        Contest { tally, is_decided, reason }
    }

    /// Starts an arm.
    pub(super) fn enter<'scope, F>(
        &'scope self,
        cx: &mut Cx,
        ring: &'scope Ring<'scope, '_>,
        arm: F,
    ) where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send + 'scope,
    {
        let name = name_of(&arm);
        let run = move |cx: &mut Cx| {
            let outcome = arm(cx);
            if self.record(outcome) {
                ring.cancel_with(self.reason);
            }
            Ok(())
        };
        match begin(cx, ring, name, run) {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    /// Returns whether this outcome has decided the contest.
    fn record(&self, outcome: Result<T, E>) -> bool {
        let mut tally = self.tally.lock();
        match outcome {
            Ok(value) => tally.values.push(value),
            Err(error) if error.cancelled().is_none() => tally.errors.push(error),
            Err(error) if tally.cancelled.is_none() => tally.cancelled = Some(error),
            Err(error) => {
                // Not under the lock: dropping it is the user's code.
                drop(tally);
                drop(error);
                return false;
            }
        }
        let was_decided = tally.is_decided;
        tally.is_decided = was_decided || (self.is_decided)(&tally);
        tally.unpark_all();
        tally.is_decided && !was_decided
    }

    /// Waits until `look` sees in the tally what it looks for.
    pub(super) fn wait_for<R>(
        &self,
        cx: &mut Cx,
        look: impl Fn(&Tally<T, E>) -> Option<R>,
    ) -> Result<R, OrCancelled<Broken>> {
        cx.checkpoint()?;
        loop {
            let tally = self.tally.lock();
            if let Some(seen) = look(&tally) {
                return Ok(seen);
            }
            tally.park(cx, &mut ())?;
        }
    }

    /// The tally, when the nursery has ended.
    pub(super) fn into_tally(self, ended: Result<(), NurseryError<Infallible>>) -> Tally<T, E> {
        ended.expect("neither an arm nor the body fails in the nursery of a contest");
        self.tally.into_inner()
    }
}
