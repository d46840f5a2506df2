//! Counters of one reactor as plain data.

use std::cell::Cell;

/// What one reactor has done since it was made.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Attempts answered without a system call, because the direction was known not to be ready.
    pub skipped: u64,
    /// Waits that have begun.
    pub submitted: u64,
    /// Waits that `cancel` ended.
    pub cancelled: u64,
    /// Completions that `poll` returned.
    pub completed: u64,
    /// Polls that entered the kernel.
    pub polls: u64,
    /// Events that the kernel reported, the notifier's not counted.
    pub events: u64,
    /// Events that woke nobody.
    pub useless_events: u64,
    /// Wake-ups by a notifier; several notifications may make one.
    pub notified: u64,
    /// Sources added to the kernel's interest list.
    pub registrations: u64,
    /// Changes of the interest in a source, removal by this reactor included.
    pub changes: u64,
    /// Sources that this reactor knows now.
    pub sources: u64,
}

/// The counters in a form that `&self` methods can raise.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) skipped: Cell<u64>,
    pub(crate) submitted: Cell<u64>,
    pub(crate) cancelled: Cell<u64>,
    pub(crate) completed: Cell<u64>,
    pub(crate) polls: Cell<u64>,
    pub(crate) events: Cell<u64>,
    pub(crate) useless_events: Cell<u64>,
    pub(crate) notified: Cell<u64>,
    pub(crate) registrations: Cell<u64>,
    pub(crate) changes: Cell<u64>,
}

impl Counters {
    pub(crate) fn snapshot(&self, sources: u64) -> Statistics {
        Statistics {
            skipped: self.skipped.get(),
            submitted: self.submitted.get(),
            cancelled: self.cancelled.get(),
            completed: self.completed.get(),
            polls: self.polls.get(),
            events: self.events.get(),
            useless_events: self.useless_events.get(),
            notified: self.notified.get(),
            registrations: self.registrations.get(),
            changes: self.changes.get(),
            sources,
        }
    }
}

/// Raises one counter by one.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get().wrapping_add(1));
}
