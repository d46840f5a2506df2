//! Who holds a lock: to tell a task that waits for itself, to break the lock when its holder has ended, and
//! for reports.

use std::fmt;
use std::panic::Location;

use crate::lowlevel::{Breaker, Broken, ParkingLot};

use super::error::Poisoned;

/// Who holds a lock, and since where.
///
/// Its end breaks the parking lot only while somebody waits there: who locks and finds nobody waiting
/// registers nothing. Both happen under the lock of the lot.
pub(super) struct Holder {
    /// Nobody if a thread without a runtime holds it.
    task: Option<Breaker>,
    at: &'static Location<'static>,
    /// Whether it is registered as a breaker.
    breaks: bool,
}

impl Holder {
    #[inline]
    pub(super) fn new(task: Option<Breaker>, at: &'static Location<'static>) -> Holder {
        Holder { task, at, breaks: false }
    }

    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.breaks
    }

    pub(super) fn is(&self, task: &Breaker) -> bool {
        self.task.as_ref() == Some(task)
    }

    /// From now on its end breaks the lot. Called with the lot locked, before somebody waits for it.
    ///
    /// It fails if the holder has ended already. (Registering does not take the lock of the lot.)
    pub(super) fn watch<S, P>(&mut self, lot: &ParkingLot<S, P>) -> Result<(), Broken> {
        if !self.breaks
            && let Some(task) = &self.task
        {
            lot.add_breaker(task)?;
            self.breaks = true;
        }
        Ok(())
    }

    /// Takes `watch` back. Called with the lot locked. It fails if the holder has ended: the lot is broken.
    pub(super) fn unwatch<S, P>(&mut self, lot: &ParkingLot<S, P>) -> Result<(), Broken> {
        if self.breaks
            && let Some(task) = &self.task
        {
            lot.remove_breaker(task)?;
            self.breaks = false;
        }
        Ok(())
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.task.as_ref().map(Breaker::name)
    }

    pub(super) fn at(&self) -> &'static Location<'static> {
        self.at
    }

    /// It panicked.
    pub(super) fn poison(&self) -> Poisoned {
        Poisoned::new(self.task.clone(), self.at)
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder").field("task", &self.name()).field("at", &self.at).finish()
    }
}
