//! Equal requests at one time, answered once.
//!
//! A flight is a once cell that stays in the table as long as somebody is aboard and it has no value.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cancel::Cancelled;
use crate::task::Cx;
use crate::util::footprint;

use super::once_cell::OnceCell;

/// Lets one of several tasks that want the same at the same time do the work, and gives all of them its
/// value.
///
/// It is no cache: when the value is there and has been handed out, the next request does the work anew. A
/// task that fails, is cancelled, or panics fails alone: then the one that has waited longest does the
/// work, by its own closure.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::Singleflight;
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
/// use std::time::Duration;
///
/// let (pages, loads) = (Singleflight::new(), AtomicUsize::new(0));
/// conbrio::testing::run(|cx| {
///     cx.nursery(|_, n| -> Result<(), Cancelled> {
///         for _ in 0..10 {
///             n.spawn(|cx| {
///                 let page = pages.run(cx, "/index", |cx| -> Result<_, Cancelled> {
///                     loads.fetch_add(1, Relaxed);
///                     cx.sleep(Duration::from_millis(10))?;
///                     Ok("hello")
///                 })?;
///                 assert_eq!(page, "hello");
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
/// });
/// assert_eq!(loads.into_inner(), 1);
/// ```
pub struct Singleflight<K, V> {
    /// Held for the time of a look into the table.
    flights: Mutex<HashMap<K, Flight<V>>>,
}

struct Flight<V> {
    cell: Arc<OnceCell<V>>,
    /// How many calls are aboard; more than zero.
    aboard: usize,
}

/// What a single-flight table is doing. Returned by [`Singleflight::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SingleflightStatistics {
    /// For how many keys the work is being done.
    pub flights: usize,
    /// Calls that do it or wait for it.
    pub calls: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> Singleflight<K, V> {
    /// A table without work.
    pub fn new() -> Singleflight<K, V> {
        Singleflight { flights: Mutex::new(HashMap::new()) }
    }

    /// The value for `key`: that of a call which is under way, which is waited for, or else that of `f`.
    ///
    /// Allocates for each piece of work.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel during the wait nothing has happened; the others are not disturbed. A
    /// cancellation that `f` returns is a failure as any other.
    ///
    /// # Errors
    ///
    /// What `f` returns. Others that wait for this key do not get it: one of them does the work.
    ///
    /// # Panics
    ///
    /// If `f` asks for the same key, which would wait for itself. If `f` panics; the others do not.
    #[track_caller]
    pub fn run<E: From<Cancelled>>(
        &self,
        cx: &mut Cx,
        key: K,
        f: impl FnOnce(&mut Cx) -> Result<V, E>,
    ) -> Result<V, E> {
        cx.checkpoint()?;
        let seat = self.board(key);
        let value = seat.cell.get_or_init(cx, f)?.clone();
        Ok(value)
    }

    fn board(&self, key: K) -> Seat<'_, K, V> {
        let entry = key.clone();
        let mut flights = self.lock();
        let flight = flights
            .entry(entry)
            .or_insert_with(|| Flight { cell: Arc::new(OnceCell::new()), aboard: 0 });
        flight.aboard += 1;
        let cell = Arc::clone(&flight.cell);
        drop(flights);
        Seat { table: self, key, cell }
    }
}

impl<K, V> Singleflight<K, V> {
    /// A snapshot of what is under way.
    pub fn statistics(&self) -> SingleflightStatistics {
        let flights = self.lock();
        SingleflightStatistics {
            flights: flights.len(),
            calls: flights.values().map(|flight| flight.aboard).sum(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Flight<V>>> {
        footprint::touch(&raw const self.flights);
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call, aboard of a flight.
struct Seat<'a, K: Eq + Hash, V> {
    table: &'a Singleflight<K, V>,
    key: K,
    cell: Arc<OnceCell<V>>,
}

impl<K: Eq + Hash, V> Drop for Seat<'_, K, V> {
    fn drop(&mut self) {
        let mut flights = self.table.lock();
        // When it is over the table may have another flight for the key.
        let Some(flight) =
            flights.get_mut(&self.key).filter(|flight| Arc::ptr_eq(&flight.cell, &self.cell))
        else {
            return;
        };
        flight.aboard -= 1;
        let is_over = flight.aboard == 0 || flight.cell.get().is_some();
        let ended = if is_over { flights.remove_entry(&self.key) } else { None };
        drop(flights);
        // The user's key is dropped when the table is free again.
        drop(ended);
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Default for Singleflight<K, V> {
    fn default() -> Singleflight<K, V> {
        Singleflight::new()
    }
}

impl<K, V> fmt::Debug for Singleflight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.statistics();
        f.debug_struct("Singleflight")
            .field("flights", &statistics.flights)
            .field("calls", &statistics.calls)
            .finish_non_exhaustive()
    }
}
