//! Retrying what has failed.

use crate::cancel::{Cancelled, MaybeCancelled};
use crate::task::Cx;

use super::schedule::Schedule;

impl Cx {
    /// Calls `attempt` until it succeeds or the schedule gives up, and waits between the attempts as the
    /// schedule says.
    ///
    /// A cancellation is never retried. For a limit on each attempt put a scope inside, for one on all of
    /// them a scope around.
    ///
    /// # Cancellation
    ///
    /// A checkpoint before each retry, besides those of the attempts. On cancel no further attempt is made.
    ///
    /// # Errors
    ///
    /// The error of the last attempt, or a [`Cancelled`] as `E`. Errors of earlier attempts are dropped; see
    /// [`retry_if`](Cx::retry_if) for looking at them.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::concurrent::Schedule;
    /// use conbrio::prelude::*;
    /// use std::{io, time::Duration};
    ///
    /// fn fetch(cx: &mut Cx, tries: &mut u32) -> io::Result<u32> {
    ///     cx.checkpoint()?;
    ///     *tries += 1;
    ///     if *tries < 3 { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(*tries) }
    /// }
    ///
    /// let schedule = Schedule::exponential(Duration::from_millis(1)).jitter(0.5).retries_max(4);
    /// let mut tries = 0;
    /// let fetched = conbrio::run(|cx| cx.retry(&schedule, |cx| fetch(cx, &mut tries)));
    /// assert_eq!(fetched.unwrap(), 3);
    /// ```
    ///
    /// With a second for each attempt and a minute for all:
    ///
    /// ```no_run
    /// # use conbrio::{concurrent::Schedule, prelude::*};
    /// # use std::{io, time::Duration};
    /// # fn fetch(cx: &mut Cx) -> io::Result<u32> { Ok(1) }
    /// # fn all(cx: &mut Cx) -> io::Result<u32> {
    /// let schedule = Schedule::exponential(Duration::from_millis(100));
    /// let fetched = cx.fail_after(Duration::from_secs(60), |cx| {
    ///     cx.retry(&schedule, |cx| -> io::Result<u32> {
    ///         Ok(cx.fail_after(Duration::from_secs(1), |cx| fetch(cx))?)
    ///     })
    /// })?;
    /// # Ok(fetched) }
    /// ```
    pub fn retry<T, E>(
        &mut self,
        schedule: &Schedule,
        attempt: impl FnMut(&mut Cx) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: MaybeCancelled + From<Cancelled>,
    {
        self.retry_if(schedule, attempt, |_| true)
    }

    /// As [`retry`](Cx::retry), but gives up at an error that `is_transient` says no to.
    ///
    /// It sees every error but cancellations, so it also serves to report them.
    ///
    /// # Cancellation
    ///
    /// As [`retry`](Cx::retry).
    ///
    /// # Errors
    ///
    /// As [`retry`](Cx::retry).
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::concurrent::Schedule;
    /// use conbrio::prelude::*;
    /// use std::{io, time::Duration};
    ///
    /// let schedule = Schedule::fixed(Duration::from_secs(1));
    /// let refused = conbrio::run(|cx| {
    ///     cx.retry_if(
    ///         &schedule,
    ///         |_| Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied)),
    ///         |error| error.kind() == io::ErrorKind::ConnectionReset,
    ///     )
    /// });
    /// assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    /// ```
    pub fn retry_if<T, E>(
        &mut self,
        schedule: &Schedule,
        mut attempt: impl FnMut(&mut Cx) -> Result<T, E>,
        mut is_transient: impl FnMut(&E) -> bool,
    ) -> Result<T, E>
    where
        E: MaybeCancelled + From<Cancelled>,
    {
        let began = self.now();
        let mut delays = None;
        // Ends with the schedule, or by a cancellation: each round is a checkpoint.
        loop {
            let error = match attempt(self) {
                Err(error) if error.cancelled().is_none() => error,
                done => return done,
            };
            if !is_transient(&error) {
                return Err(error);
            }
            let delays =
                delays.get_or_insert_with(|| schedule.delays_or_seed(|| self.jitter_seed()));
            let Some(delay) = delays.next_after(self.now().saturating_duration_since(began)) else {
                return Err(error);
            };
            self.sleep(delay)?;
            // The sleep may have been over before the cancellation came.
            self.checkpoint_if_cancelled()?;
        }
    }

    /// Another one at each call, but not in a simulation, whose runs take the same course.
    pub(super) fn jitter_seed(&self) -> u64 {
        use std::hash::{BuildHasher, RandomState};
        match self.task().worker().simulation() {
            Some(_) => 0,
            None => RandomState::new().hash_one(0),
        }
    }
}
