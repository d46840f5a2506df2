//! A value that is made once, when it is needed.
//!
//! Invariant: there is at most one maker, and while there is none nobody waits, nor when the value is there.

use std::fmt;
use std::panic::Location;
use std::sync::OnceLock;

use crate::cancel::Cancelled;
use crate::lowlevel::{Breaker, LotGuard, ParkingLot};
use crate::task::Cx;
use crate::util::footprint;

use super::holder::Holder;
use super::unbroken;

/// A value that is made once, by the first task that needs it; the others wait meanwhile.
///
/// Whoever makes it may wait, fail, panic, or be cancelled. Then the task that has waited longest makes it,
/// by its own closure: a failure is the matter of the caller whose closure has failed.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::OnceCell;
/// use std::time::Duration;
///
/// let config = OnceCell::new();
/// conbrio::run(|cx| {
///     cx.nursery(|_, n| -> Result<(), Cancelled> {
///         for task in 0..3 {
///             let config = &config;
///             n.spawn(move |cx| {
///                 let first = config.get_or_init(cx, |cx| {
///                     cx.sleep(Duration::from_millis(1))?; // reads a file
///                     Ok::<_, Cancelled>(task)
///                 })?;
///                 assert_eq!(config.get(), Some(first));
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
/// });
/// ```
pub struct OnceCell<T> {
    value: OnceLock<T>,
    /// Who makes it now. A waiting task learns by its parcel whether it is the one to make it.
    lot: ParkingLot<Option<Holder>, Request>,
}

struct Request {
    task: Breaker,
    at: &'static Location<'static>,
    makes: bool,
}

/// What a cell is doing. Returned by [`OnceCell::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnceCellStatistics {
    /// Whether the value is there.
    pub is_set: bool,
    /// The name of the task that makes it now, if one does.
    pub maker: Option<String>,
    /// Tasks that wait for the value.
    pub tasks_waiting: usize,
}

impl<T> OnceCell<T> {
    /// A cell without a value. Allocates.
    pub fn new() -> OnceCell<T> {
        OnceCell { value: OnceLock::new(), lot: ParkingLot::with_state(None).named("a once cell") }
    }

    /// A cell that has its value. Allocates.
    pub fn with_value(value: T) -> OnceCell<T> {
        OnceCell { value: OnceLock::from(value), ..OnceCell::new() }
    }

    /// The value, if it is there. Never waits.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.touched().get()
    }

    /// The value, for the only owner of the cell.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// The value.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    fn touched(&self) -> &OnceLock<T> {
        footprint::touch(&raw const self.value);
        &self.value
    }

    /// Sets the value. Never waits.
    ///
    /// # Errors
    ///
    /// Hands the value back if there is one already, or a task makes one now.
    pub fn set(&self, value: T) -> Result<(), T> {
        let maker = self.lot.lock();
        if maker.is_some() {
            drop(maker);
            return Err(value);
        }
        // Under the lock: nobody becomes the maker meanwhile. If there is a value, it comes back.
        let set = self.touched().set(value);
        drop(maker);
        set
    }

    /// The value; if it is not there, `f` makes it, or another task that is about to, which is waited for.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also if the value is there. On cancel during the wait nothing has happened. A
    /// cancellation that `f` returns is a failure as any other.
    ///
    /// # Errors
    ///
    /// What `f` returns. The cell has no value then, and the next one may try.
    ///
    /// # Panics
    ///
    /// If `f` comes back to the same cell, which would wait for itself. If `f` panics; the next one may try.
    #[track_caller]
    pub fn get_or_init<E: From<Cancelled>>(
        &self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx) -> Result<T, E>,
    ) -> Result<&T, E> {
        let at = Location::caller();
        cx.checkpoint()?;
        if let Some(value) = self.touched().get() {
            return Ok(value);
        }
        if !self.become_maker(cx, at)? {
            return Ok(self.touched().get().expect("who waits is woken when there is a value"));
        }
        let _turn = Turn { cell: self };
        let value = f(cx)?;
        // `set` is for others: they see that there is a maker.
        Ok(self.touched().get_or_init(|| value))
    }

    /// Becomes the one who makes the value, and waits for that. `false` if there is a value.
    #[track_caller]
    fn become_maker(&self, cx: &mut Cx, at: &'static Location<'static>) -> Result<bool, Cancelled> {
        let task = cx.breaker();
        let mut maker = self.lot.lock();
        if self.touched().get().is_some() {
            return Ok(false);
        }
        let Some(holder) = &mut *maker else {
            *maker = Some(Holder::new(Some(task), at));
            return Ok(true);
        };
        if holder.is(&task) {
            let since = holder.at();
            drop(maker);
            panic!(
                "task '{}' asks a once cell for the value that it makes itself, since {since}: it would \
                 wait for itself",
                task.name()
            );
        }
        // It cannot end without giving its turn away, but reports say whom is waited for.
        let _ = holder.watch(&self.lot);
        let mut request = Request { task, at, makes: false };
        unbroken(maker.park(cx, &mut request))?;
        Ok(request.makes)
    }

    /// A snapshot of what the cell is doing.
    pub fn statistics(&self) -> OnceCellStatistics {
        let maker = self.lot.lock();
        OnceCellStatistics {
            is_set: self.touched().get().is_some(),
            maker: maker.as_ref().and_then(Holder::name).map(str::to_owned),
            tasks_waiting: maker.waiting(),
        }
    }

    /// The maker has made the value, or has failed.
    fn pass_on(&self, mut maker: LotGuard<'_, Option<Holder>, Request>) {
        if let Some(holder) = &mut *maker {
            let _ = holder.unwatch(&self.lot);
        }
        *maker = None;
        if self.touched().get().is_some() {
            maker.unpark_all();
            return;
        }
        maker.unpark_with(|maker, request| {
            request.makes = true;
            *maker = Some(Holder::new(Some(request.task.clone()), request.at));
        });
        if maker.has_waiters()
            && let Some(holder) = &mut *maker
        {
            let _ = holder.watch(&self.lot);
        }
    }
}

/// The turn of the maker, which ends however its closure ends.
struct Turn<'a, T> {
    cell: &'a OnceCell<T>,
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.cell.pass_on(self.cell.lot.lock());
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> OnceCell<T> {
        OnceCell::with_value(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_tuple("OnceCell");
        match self.touched().get() {
            Some(value) => f.field(value),
            None => f.field(&format_args!("<no value>")),
        };
        f.finish()
    }
}
