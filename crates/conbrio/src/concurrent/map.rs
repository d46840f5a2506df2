//! Mapping many items at the same time, with a limit.
//!
//! The items are pulled by the caller's task, one whenever a place is free, so that the iterator is never
//! more than `limit` items ahead of what is done.

use std::any::type_name;
use std::sync::{Mutex, PoisonError};

use crate::cancel::{Cancelled, MaybeCancelled};
use crate::nursery::NurseryError;
use crate::task::Cx;
use crate::util::footprint;

use super::arms::begin;
use super::limit::Places;

impl Cx {
    /// Applies `f` to all items, to at most `limit` of them at the same time, and returns the values in the
    /// order of the items.
    ///
    /// Each item has a task of its own, on any worker; the first error cancels the others. The iterator runs
    /// in the calling task and may be infinite or lazy: an item is pulled when there is a place for it, and
    /// none after an error.
    ///
    /// # Cancellation
    ///
    /// A checkpoint for each item. On cancel no more items are pulled, and those that were are waited for.
    ///
    /// # Errors
    ///
    /// As [`nursery`](Cx::nursery): every error of `f`.
    ///
    /// # Panics
    ///
    /// If `limit` is zero. A panic of `f` or of the iterator goes on in the caller when all tasks have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// fn fetch(cx: &mut Cx, page: u32) -> Result<String, Cancelled> {
    ///     cx.yield_now()?;
    ///     Ok(format!("page {page}"))
    /// }
    ///
    /// let pages = conbrio::run(|cx| cx.map_concurrent(8, 1..=100, fetch)).unwrap();
    /// assert_eq!(pages[41], "page 42");
    /// ```
    #[track_caller]
    pub fn map_concurrent<I, R, E>(
        &mut self,
        limit: usize,
        items: I,
        f: impl Fn(&mut Cx, I::Item) -> Result<R, E> + Sync,
    ) -> Result<Vec<R>, NurseryError<E>>
    where
        I: IntoIterator<Item: Send>,
        R: Send,
        E: MaybeCancelled + Send + 'static,
    {
        let done = Mutex::new(Vec::new());
        self.apply(limit, items.into_iter().enumerate(), |cx, (index, item)| {
            let value = f(cx, item)?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, value));
            Ok(())
        })?;
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, value)| value).collect())
    }

    /// As [`map_concurrent`](Cx::map_concurrent), but returns the values in the order in which they were
    /// done.
    ///
    /// # Cancellation
    ///
    /// As [`map_concurrent`](Cx::map_concurrent).
    ///
    /// # Errors
    ///
    /// As [`map_concurrent`](Cx::map_concurrent).
    ///
    /// # Panics
    ///
    /// As [`map_concurrent`](Cx::map_concurrent).
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// let order = conbrio::run(|cx| {
    ///     cx.map_concurrent_unordered(3, [60, 20, 40], |cx, millis| {
    ///         cx.sleep(Duration::from_millis(millis)).map(|()| millis)
    ///     })
    /// });
    /// assert_eq!(order.unwrap(), [20, 40, 60]);
    /// ```
    #[track_caller]
    pub fn map_concurrent_unordered<I, R, E>(
        &mut self,
        limit: usize,
        items: I,
        f: impl Fn(&mut Cx, I::Item) -> Result<R, E> + Sync,
    ) -> Result<Vec<R>, NurseryError<E>>
    where
        I: IntoIterator<Item: Send>,
        R: Send,
        E: MaybeCancelled + Send + 'static,
    {
        let done = Mutex::new(Vec::new());
        self.apply(limit, items, |cx, item| {
            let value = f(cx, item)?;
            footprint::touch(&raw const done);
            done.lock().unwrap_or_else(PoisonError::into_inner).push(value);
            Ok(())
        })?;
        Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// As [`map_concurrent`](Cx::map_concurrent), for what has no value: keeps nothing of the items that
    /// are done, so it also serves an iterator that never ends.
    ///
    /// # Cancellation
    ///
    /// As [`map_concurrent`](Cx::map_concurrent).
    ///
    /// # Errors
    ///
    /// As [`map_concurrent`](Cx::map_concurrent).
    ///
    /// # Panics
    ///
    /// As [`map_concurrent`](Cx::map_concurrent).
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    ///
    /// let sum = AtomicU64::new(0);
    /// conbrio::run(|cx| {
    ///     cx.for_each_concurrent(4, 1..=10, |cx, i| {
    ///         sum.fetch_add(i, Relaxed);
    ///         cx.checkpoint()
    ///     })
    /// })
    /// .unwrap();
    /// assert_eq!(sum.into_inner(), 55);
    /// ```
    #[track_caller]
    pub fn for_each_concurrent<I, E>(
        &mut self,
        limit: usize,
        items: I,
        f: impl Fn(&mut Cx, I::Item) -> Result<(), E> + Sync,
    ) -> Result<(), NurseryError<E>>
    where
        I: IntoIterator<Item: Send>,
        E: MaybeCancelled + Send + 'static,
    {
        self.apply(limit, items, f)
    }

    #[track_caller]
    fn apply<I, F, E>(&mut self, limit: usize, items: I, f: F) -> Result<(), NurseryError<E>>
    where
        I: IntoIterator<Item: Send>,
        F: Fn(&mut Cx, I::Item) -> Result<(), E> + Sync,
        E: MaybeCancelled + Send + 'static,
    {
        let places = Places::new(limit);
        let (f, places) = (&f, &places);
        let stopped = self.nursery(|cx, n| {
            let mut items = items.into_iter();
            loop {
                // The place comes first, so that nothing is pulled that could not begin.
                if let Err(cancelled) = places.take(cx) {
                    return Ok(Some(cancelled));
                }
                let Some(item) = items.next() else { return Ok(None) };
                begin(cx, n, type_name::<F>(), move |cx| {
                    f(cx, item)?;
                    // Who fails keeps its place, so that nothing is pulled before the nursery is cancelled.
                    places.give_back();
                    Ok(())
                })?;
            }
        })?;
        // If the nursery itself had been cancelled, by a failure, it would have reported that.
        stopped.map_or(Ok(()), |cancelled: Cancelled| Err(NurseryError::Cancelled(cancelled)))
    }
}
