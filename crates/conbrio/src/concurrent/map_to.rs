//! Mapping many items at the same time, while somebody takes the values in order.
//!
//! The items between the oldest value that was not taken and the youngest that was begun are the window. It
//! is never longer than the limit, so a slow consumer holds up the iterator, but nothing that has begun.

use std::collections::VecDeque;

use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::lowlevel::ParkingLot;
use crate::nursery::NurseryError;
use crate::task::Cx;

use super::arms::{begin, name_of};

impl Cx {
    /// As [`map_concurrent`](Cx::map_concurrent), but hands each value to `consume`, in the order of the
    /// items, as soon as it and all before it are done.
    ///
    /// `consume` runs in the calling task. It may take its time: what has begun goes on meanwhile. But items
    /// are begun only as long as at most `limit` values are missing or wait to be taken.
    ///
    /// # Cancellation
    ///
    /// A checkpoint for each item. On cancel no more items are pulled, and those that were are waited for.
    ///
    /// # Errors
    ///
    /// As [`nursery`](Cx::nursery): every error of `f` and of `consume`.
    ///
    /// # Panics
    ///
    /// If `limit` is zero. A panic of `f`, of `consume` or of the iterator goes on in the caller when all
    /// tasks have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// fn fetch(cx: &mut Cx, page: u32) -> Result<String, Cancelled> {
    ///     cx.yield_now()?;
    ///     Ok(format!("page {page}\n"))
    /// }
    ///
    /// let mut book = String::new();
    /// conbrio::run(|cx| {
    ///     cx.map_concurrent_to(8, 1..=100, fetch, |cx, page| {
    ///         book.push_str(&page);
    ///         cx.checkpoint()
    ///     })
    /// })
    /// .unwrap();
    /// assert!(book.starts_with("page 1\npage 2\n"));
    /// ```
    #[track_caller]
    pub fn map_concurrent_to<I, R, E>(
        &mut self,
        limit: usize,
        items: I,
        f: impl Fn(&mut Cx, I::Item) -> Result<R, E> + Sync,
        mut consume: impl FnMut(&mut Cx, R) -> Result<(), E>,
    ) -> Result<(), NurseryError<E>>
    where
        I: IntoIterator<Item: Send>,
        R: Send,
        E: MaybeCancelled + Send + 'static,
    {
        let window = Window::new(limit);
        let (window, f) = (&window, &f);
        let stopped = self.nursery(|cx, n| {
            let mut items = items.into_iter();
            let mut are_left = true;
            // Ends with the items, or by a cancellation: each round is a checkpoint.
            loop {
                match window.next(cx, are_left) {
                    Err(cancelled) => return Ok(Some(cancelled)),
                    Ok(Step::Done) => return Ok(None),
                    Ok(Step::Take(value)) => consume(cx, value)?,
                    Ok(Step::Begin) => match items.next() {
                        None => are_left = false,
                        Some(item) => {
                            let index = window.open();
                            begin(cx, n, name_of(f), move |cx| {
                                window.put(index, f(cx, item)?);
                                Ok(())
                            })?;
                        }
                    },
                }
            }
        })?;
        // If the nursery itself had been cancelled, by a failure, it would have reported that.
        stopped.map_or(Ok(()), |cancelled| Err(NurseryError::Cancelled(cancelled)))
    }
}

/// What the calling task does next.
enum Step<R> {
    Begin,
    Take(R),
    Done,
}

struct Window<R> {
    values: ParkingLot<Values<R>>,
    limit: usize,
}

struct Values<R> {
    /// `None` for what is not done; `limit` at most.
    waiting: VecDeque<Option<R>>,
    /// How many were taken before the first of those.
    taken: usize,
}

impl<R> Window<R> {
    #[track_caller]
    fn new(limit: usize) -> Window<R> {
        assert!(limit > 0, "a limit of zero lets nothing run: it is at least one");
        let values = Values { waiting: VecDeque::new(), taken: 0 };
        Window { values: ParkingLot::with_state(values).named("the next value"), limit }
    }

    /// Beginning comes before taking, so that there is always as much on its way as may be.
    fn next(&self, cx: &mut Cx, are_left: bool) -> Result<Step<R>, Cancelled> {
        cx.checkpoint()?;
        loop {
            let mut values = self.values.lock();
            if are_left && values.waiting.len() < self.limit {
                return Ok(Step::Begin);
            }
            match values.waiting.front_mut().map(Option::take) {
                None => return Ok(Step::Done),
                Some(Some(value)) => {
                    values.waiting.pop_front();
                    values.taken += 1;
                    return Ok(Step::Take(value));
                }
                Some(None) => {}
            }
            match values.park(cx, &mut ()) {
                Ok(()) => {}
                Err(OrCancelled::Cancelled(cancelled)) => return Err(cancelled),
                Err(OrCancelled::Failed(broken)) => unreachable!("nobody breaks it: {broken}"),
            }
        }
    }

    /// Makes room for the value of one item more, and returns its index.
    fn open(&self) -> usize {
        let mut values = self.values.lock();
        values.waiting.push_back(None);
        values.taken + values.waiting.len() - 1
    }

    fn put(&self, index: usize, value: R) {
        let mut values = self.values.lock();
        let at = index - values.taken;
        values.waiting[at] = Some(value);
        if at == 0 {
            values.unpark_all();
        }
    }
}
