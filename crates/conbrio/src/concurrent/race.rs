//! Races: the first arm that ends decides; the others are cancelled and joined.

use std::convert::Infallible;

use crate::cancel::MaybeCancelled;
use crate::nursery::NurseryError;
use crate::task::Cx;

use super::arms::{failed, stopped_for};
use super::contest::{Contest, Ring, Tally};

impl Cx {
    /// Runs both closures, and returns what the first that ends returns. The other one is cancelled, and has
    /// ended, too, when this returns.
    ///
    /// Both run as tasks of their own, on any worker, all the time: none of them stands still because
    /// somebody looks at the other. They may borrow.
    ///
    /// If both complete, because the cancellation came too late for the second, the value of the second is
    /// dropped. What must not be dropped, such as an item that was received, an arm puts into a variable
    /// that it borrows, as in the second example.
    ///
    /// An error of either arm fails the race, like that of a child fails a nursery, also if it comes from
    /// the loser; see [`first_ok`](Cx::first_ok) for arms that may fail. For more than two arms see
    /// [`race_all`](Cx::race_all).
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself; waits for the arms, which see the cancellations of the caller. If an arm
    /// completes in spite of one, its value counts.
    ///
    /// # Errors
    ///
    /// [`NurseryError::Failed`] with every error of the arms, [`NurseryError::Cancelled`] if they have
    /// stopped for a cancellation from outside.
    ///
    /// # Panics
    ///
    /// A panic of an arm goes on in the caller when both have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// let winner = conbrio::run(|cx| -> Result<&str, NurseryError<Cancelled>> {
    ///     cx.race(|cx| cx.sleep_forever().map(|()| "hare"), |_| Ok("tortoise"))
    /// });
    /// assert_eq!(winner.unwrap(), "tortoise");
    /// ```
    ///
    /// No item is lost, even if both arms get one at the same moment:
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// # fn receive(cx: &mut Cx) -> Result<u32, Cancelled> { cx.checkpoint().map(|()| 1) }
    /// # conbrio::run(|cx| -> Result<(), NurseryError<Cancelled>> {
    /// let (mut left, mut right) = (None, None);
    /// cx.race(
    ///     |cx| Ok(left = Some(receive(cx)?)),
    ///     |cx| Ok(right = Some(receive(cx)?)),
    /// )?;
    /// for item in [left, right].into_iter().flatten() {
    ///     assert_eq!(item, 1);
    /// }
    /// # Ok(()) }).unwrap();
    /// ```
    pub fn race<T, E>(
        &mut self,
        a: impl FnOnce(&mut Cx) -> Result<T, E> + Send,
        b: impl FnOnce(&mut Cx) -> Result<T, E> + Send,
    ) -> Result<T, NurseryError<E>>
    where
        T: Send,
        E: MaybeCancelled + Send + 'static,
    {
        let contest = Contest::new(REASON, is_decided);
        let ended = self.nursery(|cx, ring: &Ring<'_, '_>| {
            contest.enter(cx, ring, a);
            contest.enter(cx, ring, b);
            Ok::<(), Infallible>(())
        });
        outcome(contest.into_tally(ended))
    }

    /// As [`race`](Cx::race), with any number of arms.
    ///
    /// All arms are of one type: see [`arm`](crate::concurrent::arm) for how to make one of several. They
    /// begin as the iterator yields them.
    ///
    /// # Cancellation
    ///
    /// As [`race`](Cx::race).
    ///
    /// # Errors
    ///
    /// As [`race`](Cx::race).
    ///
    /// # Panics
    ///
    /// If there is no arm: nobody would ever win. A panic of an arm goes on in the caller when all have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// let fastest = conbrio::run(|cx| {
    ///     let arms = [5, 1, 3].map(|millis| {
    ///         move |cx: &mut Cx| cx.sleep(Duration::from_millis(millis * 20)).map(|()| millis)
    ///     });
    ///     cx.race_all(arms)
    /// });
    /// assert_eq!(fastest.unwrap(), 1);
    /// ```
    #[track_caller]
    pub fn race_all<F, T, E>(
        &mut self,
        arms: impl IntoIterator<Item = F>,
    ) -> Result<T, NurseryError<E>>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send,
        T: Send,
        E: MaybeCancelled + Send + 'static,
    {
        let contest = Contest::new(REASON, is_decided);
        let mut arms = arms.into_iter();
        let first = arms.next().expect("a race has at least one arm: nobody would ever win it");
        let ended = self.nursery(|cx, ring: &Ring<'_, '_>| {
            for arm in std::iter::once(first).chain(arms) {
                contest.enter(cx, ring, arm);
            }
            Ok::<(), Infallible>(())
        });
        outcome(contest.into_tally(ended))
    }
}

fn is_decided<T, E>(tally: &Tally<T, E>) -> bool {
    !tally.values.is_empty() || !tally.errors.is_empty()
}

fn outcome<T, E: MaybeCancelled>(tally: Tally<T, E>) -> Result<T, NurseryError<E>> {
    if !tally.errors.is_empty() {
        return Err(failed(tally.errors));
    }
    match (tally.values.into_iter().next(), &tally.cancelled) {
        (Some(value), _) => Ok(value),
        (None, Some(error)) => Err(stopped_for(error)),
        (None, None) => unreachable!("an arm returns or panics"),
    }
}

const REASON: &str = "another arm of the race was first";
