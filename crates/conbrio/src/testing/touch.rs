//! What a test says of memory that its tasks share.

use crate::util::footprint;

/// Says that the calling task is about to use something that other tasks use as well: the order of these uses
/// matters.
///
/// Needed for a search with [`partial_order_reduction`](super::Builder::partial_order_reduction) where tasks
/// share memory that this crate does not know of. Anywhere else it does nothing. A call holds for the code up
/// to the next checkpoint. What is shared is known by its address: name the same value everywhere.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::testing::{Builder, touch};
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// let proof = Builder::new().partial_order_reduction().exhaust(|cx| {
///     let counters = [const { AtomicU32::new(0) }; 2];
///     cx.nursery(|_, n| -> Result<(), Cancelled> {
///         for task in 0..4 {
///             let counter = &counters[task % 2];
///             n.spawn(move |_| {
///                 touch(counter);
///                 counter.fetch_add(1, Relaxed);
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
///     assert_eq!(counters.map(AtomicU32::into_inner), [2, 2]);
/// });
/// // At each counter one of two was first.
/// assert_eq!(proof.runs() - proof.repeated(), 4);
/// ```
pub fn touch<T: ?Sized>(shared: &T) {
    footprint::touch(shared);
}
