//! Something that happens once, for tasks of one worker.

use std::cell::Cell;
use std::fmt;

use crate::cancel::Cancelled;
use crate::task::Cx;

use super::queue::Queue;
use crate::sync::EventStatistics;

/// Something that happens once: tasks of one worker wait for it, and all go on when it is set.
///
/// See [`sync::Event`](crate::sync::Event), and [the module](super) for what is different.
pub struct Event {
    is_set: Cell<bool>,
    waiting: Queue<()>,
}

impl Event {
    /// An event that has not happened yet. Allocates nothing.
    pub fn new() -> Event {
        Event { is_set: Cell::new(false), waiting: Queue::new() }
    }

    /// Whether it has happened.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.waiting.touch();
        self.is_set.get()
    }

    /// Lets it happen, and wakes all who wait for it, the longest waiting one first. Returns whether it had
    /// not happened before.
    pub fn set(&self) -> bool {
        self.waiting.touch();
        let is_first = !self.is_set.replace(true);
        while self.waiting.unpark_first() {}
        is_first
    }

    /// Waits until it has happened.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also when it has happened already. Nothing is changed by a wait.
    pub fn wait(&self, cx: &mut Cx) -> Result<(), Cancelled> {
        if self.is_set() {
            return cx.checkpoint();
        }
        self.waiting.park(cx, (), || self.is_set())
    }

    /// A snapshot of what the event is doing.
    pub fn statistics(&self) -> EventStatistics {
        EventStatistics { tasks_waiting: self.waiting.len() }
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish_non_exhaustive()
    }
}
