//! Hedging: arms that begin one after the other, while none has succeeded.

use std::convert::Infallible;
use std::time::Duration;

use crate::cancel::{MaybeCancelled, OrCancelled};
use crate::nursery::NurseryError;
use crate::task::Cx;

use super::arms::{failed, stopped_for};
use super::contest::{Contest, Ring, Tally};

impl Cx {
    /// Begins with the first closure, and with the next one whenever `after` has passed without a success,
    /// or at once when one has failed. Returns the first success; the others are cancelled, and have ended,
    /// too, when this returns.
    ///
    /// For a request that is sent to a second server if the first is slow (Dean and Barroso, "The tail at
    /// scale", 2013), and for connecting to a host with several addresses (RFC 8305). Those that have begun
    /// go on while others do. No more are begun than are needed: the iterator is pulled step by step.
    ///
    /// As in a [`race`](Cx::race), the value of an arm that completes after the first is dropped.
    ///
    /// # Cancellation
    ///
    /// A checkpoint before each arm but the first. On cancel no more arms begin, and those that have begun
    /// see it; if one completes in spite of it, its value counts.
    ///
    /// # Errors
    ///
    /// [`NurseryError::Failed`] with the errors of all arms if all have failed, in order of time.
    /// [`NurseryError::Cancelled`] if none has succeeded, and not all have failed because of a cancellation
    /// from outside.
    ///
    /// # Panics
    ///
    /// If there is no arm. A panic of an arm goes on in the caller when all have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// fn ask(cx: &mut Cx, server: &str) -> Result<String, Cancelled> {
    ///     cx.sleep(Duration::from_millis(if server == "slow" { 10_000 } else { 1 }))?;
    ///     Ok(format!("answer of {server}"))
    /// }
    ///
    /// let servers = ["slow", "quick", "spare"];
    /// let answer = conbrio::run(|cx| {
    ///     let arms = servers.iter().map(|server| move |cx: &mut Cx| ask(cx, server));
    ///     cx.hedge(Duration::from_millis(5), arms)
    /// });
    /// assert_eq!(answer.unwrap(), "answer of quick");
    /// ```
    #[track_caller]
    pub fn hedge<F, T, E>(
        &mut self,
        after: Duration,
        arms: impl IntoIterator<Item = F>,
    ) -> Result<T, NurseryError<E>>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send,
        T: Send,
        E: MaybeCancelled + Send + 'static,
    {
        let mut arms = arms.into_iter();
        let first = arms.next().expect("`hedge` has at least one arm: nobody else could succeed");
        let contest = Contest::new("another arm has succeeded", |tally: &Tally<T, E>| {
            !tally.values.is_empty()
        });
        let (mut begun, mut stopped) = (0, None);
        let ended = self.nursery(|cx, ring: &Ring<'_, '_>| {
            let (mut next, mut failures) = (Some(first), 0);
            while let Some(arm) = next {
                contest.enter(cx, ring, arm);
                begun += 1;
                let look = |tally: &Tally<T, E>| match tally.errors.len() {
                    _ if !tally.values.is_empty() => Some(News::Success),
                    count => (count > failures).then_some(News::Failures(count)),
                };
                next = match cx.move_on_after(after, |cx| contest.wait_for(cx, look)) {
                    Ok(None) => arms.next(),
                    Ok(Some(News::Failures(count))) => {
                        failures = count;
                        arms.next()
                    }
                    Ok(Some(News::Success)) => None,
                    Err(OrCancelled::Cancelled(cancelled)) => {
                        stopped = Some(cancelled);
                        None
                    }
                    Err(OrCancelled::Failed(broken)) => unreachable!("nobody breaks it: {broken}"),
                };
            }
            Ok::<(), Infallible>(())
        });
        let tally = contest.into_tally(ended);
        let have_all_failed = tally.errors.len() == begun && stopped.is_none();
        if let Some(value) = tally.values.into_iter().next() {
            Ok(value)
        } else if have_all_failed {
            Err(failed(tally.errors))
        } else if let Some(cancelled) = stopped {
            Err(NurseryError::Cancelled(cancelled))
        } else {
            // Nobody has won, so the contest itself has cancelled nobody: it came from outside.
            Err(stopped_for(&tally.cancelled.expect("an arm returns or panics")))
        }
    }
}

/// What lets the next arm begin, or none any more.
enum News {
    Success,
    /// So many have failed by now: each of them lets one more begin.
    Failures(usize),
}
