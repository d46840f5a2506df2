//! Join: several things at once, all of their values.

use crate::cancel::MaybeCancelled;
use crate::nursery::NurseryError;
use crate::task::Cx;

use super::arms::{begin, name_of};

impl Cx {
    /// Runs both closures at the same time, and returns both values.
    ///
    /// They may borrow, and fail like the body and a child of a nursery: the first error cancels the other
    /// arm. `a` runs as a task of its own, on any worker; `b` runs in the calling task, so it need not be
    /// `Send`. For more arms see [`join3`](Cx::join3) to [`join8`](Cx::join8), for any number of one type
    /// [`join_all`](Cx::join_all).
    ///
    /// Costs one task.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself; waits for the arms, which see the cancellations of the caller.
    ///
    /// # Errors
    ///
    /// As [`nursery`](Cx::nursery): every error of the arms.
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
    /// let numbers = vec![1_u64, 2, 3, 4];
    /// let (left, right) = numbers.split_at(2);
    /// let sums = conbrio::run(|cx| -> Result<(u64, u64), NurseryError<Cancelled>> {
    ///     cx.join(|_| Ok(left.iter().sum()), |_| Ok(right.iter().sum()))
    /// });
    /// assert_eq!(sums.unwrap(), (3, 7));
    /// ```
    pub fn join<A, B, E>(
        &mut self,
        a: impl FnOnce(&mut Cx) -> Result<A, E> + Send,
        b: impl FnOnce(&mut Cx) -> Result<B, E>,
    ) -> Result<(A, B), NurseryError<E>>
    where
        A: Send,
        E: MaybeCancelled + Send + 'static,
    {
        let mut first = None;
        let second = self.nursery(|cx, n| {
            begin(cx, n, name_of(&a), |cx| {
                first = Some(a(cx)?);
                Ok(())
            })?;
            b(cx)
        })?;
        Ok((first.expect(ALL_ENDED), second))
    }

    /// Runs all closures at the same time, and returns their values in the order of the iterator.
    ///
    /// Each is a task, on any worker. The first error cancels the others. For a function that is applied to
    /// many items, with a limit, see [`map_concurrent`](Cx::map_concurrent); for closures of different
    /// types, [`arm`](crate::concurrent::arm).
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself; waits for the arms, which see the cancellations of the caller.
    ///
    /// # Errors
    ///
    /// As [`nursery`](Cx::nursery): every error of the arms.
    ///
    /// # Panics
    ///
    /// A panic of an arm goes on in the caller when all have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// let squares = conbrio::run(|cx| -> Result<Vec<u32>, NurseryError<Cancelled>> {
    ///     cx.join_all((1..=3).map(|i| {
    ///         move |cx: &mut Cx| {
    ///             cx.yield_now()?;
    ///             Ok(i * i)
    ///         }
    ///     }))
    /// });
    /// assert_eq!(squares.unwrap(), [1, 4, 9]);
    /// ```
    pub fn join_all<F, T, E>(
        &mut self,
        arms: impl IntoIterator<Item = F>,
    ) -> Result<Vec<T>, NurseryError<E>>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send,
        T: Send,
        E: MaybeCancelled + Send + 'static,
    {
        // Each arm has a place of its own for its value, so the places must be there before the arms.
        let arms: Vec<F> = arms.into_iter().collect();
        let mut values: Vec<Option<T>> = arms.iter().map(|_| None).collect();
        self.nursery(|cx, n| {
            for (arm, value) in arms.into_iter().zip(&mut values) {
                begin(cx, n, name_of(&arm), move |cx| {
                    *value = Some(arm(cx)?);
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        Ok(values.into_iter().map(|value| value.expect(ALL_ENDED)).collect())
    }
}

/// A nursery that succeeds has no child that did not.
pub(super) const ALL_ENDED: &str = "every arm has left a value";
