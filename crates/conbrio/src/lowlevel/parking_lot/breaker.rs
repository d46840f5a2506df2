//! Who breaks a parking lot: tasks whose end must not leave others waiting for ever.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cancel::{Cancelled, MaybeCancelled};
use crate::sched::Worker;
use crate::task::{Cx, OnExit, Task};
use crate::util::footprint;

use super::queue::Lot;

/// A task in the role of one whose end breaks parking lots. Made by [`Cx::breaker`].
///
/// Names the task, also after it has ended: all breakers of one task are equal.
#[derive(Clone)]
pub struct Breaker(Arc<Role>);

struct Role {
    name: Box<str>,
    /// What its end breaks, one entry for each registration; `None` when it has ended.
    lots: Mutex<Option<Vec<Arc<Lot>>>>,
}

impl Breaker {
    fn new(name: &str) -> Breaker {
        Breaker(Arc::new(Role { name: name.into(), lots: Mutex::new(Some(Vec::new())) }))
    }

    /// The task that the calling thread runs now, if it runs one: for code that has no `cx`.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::lowlevel::Breaker;
    ///
    /// assert_eq!(Breaker::of_running_task(), None);
    /// conbrio::run(|cx| assert_eq!(Breaker::of_running_task(), Some(cx.breaker())));
    /// ```
    #[must_use]
    pub fn of_running_task() -> Option<Breaker> {
        let running = Worker::current()?.running()?;
        // SAFETY: all runnables head tasks, and the one that runs now is alive as long as its code runs.
        let task = unsafe { running.cast::<Task>().as_ref() };
        Some(Breaker::of(task))
    }

    fn of(task: &Task) -> Breaker {
        let on_exit = task.on_exit_or_init(|| Box::new(Breaker::new(task.name())));
        let any: &dyn Any = on_exit;
        any.downcast_ref::<Breaker>().expect("breakers are all that listens").clone()
    }

    /// The name of the task.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the task has ended, or does so now.
    pub fn has_ended(&self) -> bool {
        self.lots().is_none()
    }

    fn lots(&self) -> MutexGuard<'_, Option<Vec<Arc<Lot>>>> {
        footprint::touch(&raw const self.0.lots);
        self.0.lots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, lot: &Arc<Lot>) -> Result<(), Broken> {
        match &mut *self.lots() {
            Some(lots) => {
                lots.push(Arc::clone(lot));
                Ok(())
            }
            None => Err(Broken::new(vec![self.clone()])),
        }
    }

    #[track_caller]
    pub(super) fn unregister(&self, lot: &Arc<Lot>) -> Result<(), Broken> {
        let mut guard = self.lots();
        let Some(lots) = &mut *guard else {
            return Err(Broken::new(vec![self.clone()]));
        };
        let found = lots.iter().position(|other| Arc::ptr_eq(other, lot));
        if let Some(at) = found {
            lots.remove(at);
        }
        drop(guard);
        assert!(
            found.is_some(),
            "task '{}' is no breaker of this parking lot: call `add_breaker` once for each \
             `remove_breaker`",
            self.name()
        );
        Ok(())
    }
}

impl OnExit for Breaker {
    fn task_exits(&self) {
        let lots = self.lots().take();
        for lot in lots.into_iter().flatten() {
            lot.break_by(Some(self.clone()));
        }
    }

    fn visit_held(&self, visit: &mut dyn FnMut(usize)) {
        for lot in self.lots().iter().flatten() {
            visit(lot.key());
        }
    }
}

impl PartialEq for Breaker {
    fn eq(&self, other: &Breaker) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Breaker {}

impl Hash for Breaker {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("task", &self.name())
            .field("has_ended", &self.has_ended())
            .finish_non_exhaustive()
    }
}

impl Cx {
    /// The running task as one whose end breaks parking lots, for
    /// [`ParkingLot::add_breaker`](super::ParkingLot::add_breaker).
    ///
    /// Allocates when a task calls it for the first time.
    pub fn breaker(&self) -> Breaker {
        Breaker::of(self.task())
    }
}

/// The parking lot is broken: what was waited for will not come, because a task that had to bring it about
/// has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(Vec<Breaker>);

impl Broken {
    pub(super) fn new(by: Vec<Breaker>) -> Broken {
        Broken(by)
    }

    /// The tasks that broke it, in order of time, each as often as it did. Empty if the parking lot was
    /// dropped with waiters in it.
    pub fn by(&self) -> &[Breaker] {
        &self.0
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the parking lot was dropped with waiters in it");
        }
        f.write_str("the parking lot was broken by ")?;
        for (index, breaker) in self.0.iter().enumerate() {
            let and = if index == 0 { "" } else { " and " };
            write!(f, "{and}task '{}'", breaker.name())?;
        }
        Ok(())
    }
}

impl std::error::Error for Broken {}

impl MaybeCancelled for Broken {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}
