//! Contests for successes: the first one, or as many as make a quorum. Arms may fail.

use std::convert::Infallible;

use crate::cancel::MaybeCancelled;
use crate::nursery::NurseryError;
use crate::task::Cx;

use super::arms::{failed, stopped_for};
use super::contest::{Contest, Ring, Tally};

impl Cx {
    /// Runs all closures at the same time, and returns the first success. The others are cancelled, and
    /// have ended, too, when this returns.
    ///
    /// Errors are dropped if there is a success: that is what it is for. If arms should begin one after the
    /// other, see [`hedge`](Cx::hedge). As in a [`race`](Cx::race), the value of an arm that completes after
    /// the first is dropped.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself; waits for the arms, which see the cancellations of the caller. If an arm
    /// completes in spite of one, its value counts.
    ///
    /// # Errors
    ///
    /// [`NurseryError::Failed`] with the errors of all arms if all have failed, in order of time.
    /// [`NurseryError::Cancelled`] if some of them have stopped for a cancellation from outside, and none
    /// has succeeded.
    ///
    /// # Panics
    ///
    /// If there is no arm. A panic of an arm, also of one that lost, goes on in the caller when all have
    /// ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::io;
    ///
    /// fn ask(cx: &mut Cx, mirror: &str) -> io::Result<String> {
    ///     cx.yield_now()?;
    ///     match mirror {
    ///         "broken" => Err(io::ErrorKind::ConnectionRefused.into()),
    ///         _ => Ok(format!("page of {mirror}")),
    ///     }
    /// }
    ///
    /// let mirrors = ["broken", "good"];
    /// let page = conbrio::run(|cx| {
    ///     cx.first_ok(mirrors.map(|mirror| move |cx: &mut Cx| ask(cx, mirror)))
    /// });
    /// assert_eq!(page.unwrap(), "page of good");
    /// ```
    #[track_caller]
    pub fn first_ok<F, T, E>(
        &mut self,
        arms: impl IntoIterator<Item = F>,
    ) -> Result<T, NurseryError<E>>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send,
        T: Send,
        E: MaybeCancelled + Send + 'static,
    {
        let arms: Vec<F> = arms.into_iter().collect();
        assert!(!arms.is_empty(), "`first_ok` has at least one arm: nobody else could succeed");
        let values = self.successes(arms, 1, "another arm has succeeded")?;
        Ok(values.into_iter().next().expect("one was asked for"))
    }

    /// Runs all closures at the same time until `count` of them have succeeded, and returns their values in
    /// order of time. The others are cancelled, and have ended, too, when this returns.
    ///
    /// If more complete, because the cancellation came too late for them, their values follow: there are at
    /// least `count`. As soon as so many have failed that `count` cannot be reached, the rest is cancelled.
    ///
    /// # Cancellation
    ///
    /// As [`first_ok`](Cx::first_ok).
    ///
    /// # Errors
    ///
    /// [`NurseryError::Failed`] with all errors so far, in order of time, if too many arms have failed. The
    /// values of those that have succeeded are dropped. [`NurseryError::Cancelled`] if arms are missing
    /// because they have stopped for a cancellation from outside.
    ///
    /// # Panics
    ///
    /// If there are fewer arms than `count`. A panic of an arm goes on in the caller when all have ended.
    ///
    /// # Examples
    ///
    /// A write counts when two of three replicas have it:
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::io;
    ///
    /// fn write(cx: &mut Cx, replica: u32) -> io::Result<u32> {
    ///     cx.yield_now()?;
    ///     if replica == 1 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(replica) }
    /// }
    ///
    /// let mut written = conbrio::run(|cx| {
    ///     cx.quorum(2, (0..3).map(|replica| move |cx: &mut Cx| write(cx, replica)))
    /// })
    /// .unwrap();
    /// written.sort();
    /// assert_eq!(written, [0, 2]);
    /// ```
    #[track_caller]
    pub fn quorum<F, T, E>(
        &mut self,
        count: usize,
        arms: impl IntoIterator<Item = F>,
    ) -> Result<Vec<T>, NurseryError<E>>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send,
        T: Send,
        E: MaybeCancelled + Send + 'static,
    {
        let arms: Vec<F> = arms.into_iter().collect();
        assert!(
            count <= arms.len(),
            "a quorum of {count} cannot be reached by {} arms: ask for fewer, or give more",
            arms.len()
        );
        if count == 0 {
            return Ok(Vec::new());
        }
        self.successes(arms, count, "enough arms have ended")
    }

    /// Runs the arms until `count` have succeeded, or cannot any more.
    fn successes<F, T, E>(
        &mut self,
        arms: Vec<F>,
        count: usize,
        reason: &'static str,
    ) -> Result<Vec<T>, NurseryError<E>>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send,
        T: Send,
        E: MaybeCancelled + Send + 'static,
    {
        let failures_max = arms.len() - count;
        let contest = Contest::new(reason, move |tally: &Tally<T, E>| {
            tally.values.len() >= count || tally.errors.len() > failures_max
        });
        let ended = self.nursery(|cx, ring: &Ring<'_, '_>| {
            for arm in arms {
                contest.enter(cx, ring, arm);
            }
            Ok::<(), Infallible>(())
        });
        let tally = contest.into_tally(ended);
        if tally.values.len() >= count {
            Ok(tally.values)
        } else if tally.errors.len() > failures_max {
            Err(failed(tally.errors))
        } else {
            // Undecided, so the contest itself has cancelled nobody: it came from outside.
            Err(stopped_for(&tally.cancelled.expect("an arm returns or panics")))
        }
    }
}
