//! What threads have handed to a portal, and the task that sees to it.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::blocking::Request;
use crate::cancel::Cancelled;
use crate::lowlevel::ParkingLot;
use crate::nursery::Nursery;
use crate::task::Cx;

/// What waits to be run.
pub(super) enum Entry {
    /// A closure that runs in the dispatcher, perhaps with a key by which it is not queued twice.
    Soon(Option<u64>, Box<dyn FnOnce() + Send>),
    /// A closure that gets a task of its own.
    Run(Request),
}

/// Where threads leave what is to be run.
pub(super) struct Lobby {
    queue: ParkingLot<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// The keys of those among them that have one.
    keys: HashSet<u64>,
    is_closed: bool,
}

impl Lobby {
    pub(super) fn new() -> Lobby {
        Lobby { queue: ParkingLot::with_state(Queue::default()).named("calls from threads") }
    }

    /// Queues an entry and wakes the dispatcher. Hands back, as `Ok`, one that need not be queued, and as
    /// `Err` one that comes too late, so that it is dropped when the lock is free.
    pub(super) fn push(&self, entry: Entry) -> Result<Option<Entry>, Entry> {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            return Err(entry);
        }
        if let Entry::Soon(Some(key), _) = entry
            && !queue.keys.insert(key)
        {
            return Ok(Some(entry));
        }
        queue.entries.push_back(entry);
        queue.unpark(1);
        Ok(None)
    }

    /// Takes no more entries.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.is_closed = true;
        queue.unpark(1);
    }

    /// How many entries wait, and whether it is closed.
    pub(super) fn look(&self) -> (usize, bool) {
        let queue = self.queue.lock();
        (queue.entries.len(), queue.is_closed)
    }

    /// Waits until there is something; says how much, or nothing if it is closed and empty.
    fn wait(&self, cx: &mut Cx) -> Option<usize> {
        loop {
            let queue = self.queue.lock();
            if !queue.entries.is_empty() {
                return Some(queue.entries.len());
            }
            if queue.is_closed {
                return None;
            }
            let parked = queue.park(cx, &mut ());
            assert!(parked.is_ok(), "the dispatcher of a portal is shielded: {parked:?}");
        }
    }

    fn pop(&self) -> Option<Entry> {
        let mut queue = self.queue.lock();
        let entry = queue.entries.pop_front();
        if let Some(Entry::Soon(Some(key), _)) = entry {
            // From now on another call with this key is news.
            queue.keys.remove(&key);
        }
        entry
    }
}

/// What a portal has exactly as long as somebody sees to its lobby. It belongs to the closure of the
/// dispatcher, also if that never runs: because the task that opens the portal unwinds, or because there is no
/// stack for it.
pub(super) struct Attendant<'a>(pub(super) &'a Lobby);

impl Drop for Attendant<'_> {
    fn drop(&mut self) {
        self.0.close();
        // Whoever waits for one of them learns that nobody comes. None are left if the dispatcher has ended.
        while let Some(entry) = self.0.pop() {
            drop(entry);
        }
    }
}

/// Runs what comes, in the order in which it comes, until the lobby is closed and empty.
pub(super) fn dispatch<'scope>(
    cx: &mut Cx,
    nursery: &'scope Nursery<'scope, '_, Cancelled>,
    attendant: Attendant<'_>,
) {
    let lobby = attendant.0;
    // What was accepted is run, whatever is cancelled.
    cx.shield(|cx| {
        while let Some(count) = lobby.wait(cx) {
            // What is queued meanwhile has to wait, or closures that queue closures would starve the others.
            for _ in 0..count {
                match lobby.pop() {
                    Some(Entry::Soon(_, f)) => run_soon(cx, nursery, f),
                    Some(Entry::Run(request)) => {
                        nursery.task("portal call").spawn(move |cx| {
                            request(cx);
                            Ok(())
                        });
                    }
                    None => break,
                }
            }
            cx.yield_shielded();
        }
    });
}

fn run_soon<'scope>(
    cx: &mut Cx,
    nursery: &'scope Nursery<'scope, '_, Cancelled>,
    f: Box<dyn FnOnce() + Send>,
) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| cx.on_thread_stack(f))) {
        // A child with this panic makes it the nursery's, and those that come later still run.
        nursery
            .task("a closure of `run_soon`")
            .spawn(move |_| -> Result<(), _> { resume_unwind(payload) });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn without_a_dispatcher_nothing_is_accepted_and_nobody_waits() {
        let lobby = Lobby::new();
        let (sender, receiver) = mpsc::channel::<()>();
        let attendant = Attendant(&lobby);
        let soon = |sender: mpsc::Sender<()>| Entry::Soon(None, Box::new(move || drop(sender)));
        assert!(lobby.push(soon(sender.clone())).is_ok());
        // As when the closure of the dispatcher is dropped because there is no stack for it.
        drop(attendant);
        assert!(lobby.push(soon(sender)).is_err());
        assert_eq!(lobby.look(), (0, true));
        assert!(receiver.recv().is_err(), "what was accepted before has been dropped");
    }
}
