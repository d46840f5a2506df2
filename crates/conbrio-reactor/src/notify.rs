//! Waking a sleeping poll from another thread.
//!
//! Owns the eventfd and the flag that merges notifications. Nobody ever reads the eventfd: it is
//! watched edge-triggered (by epoll, or by a multishot poll of a ring), every write is an edge
//! (eventfd(2), epoll(7)), and one system call per wake is saved.
//!
//! The protocol, over `pending`:
//!
//! ```text
//! notify          swap(true): it was true -> somebody's write is still unseen, nothing to do
//!                             it was false -> write to the eventfd
//! poll, on event  swap(false), then returns to its caller, who looks at what was published
//! ```
//!
//! No wake is lost: take the order in which the swaps happen. If `notify` comes before poll's swap,
//! then that poll has not returned yet, and its acquire sees everything published before `notify`.
//! If it comes after, it finds false and writes, which ends the next wait. Test:
//! `notify::no_notification_of_four_threads_is_lost`.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::EventfdFlags;

/// Wakes the `poll` of one reactor from any thread.
///
/// A clone wakes the same reactor. It outlives the reactor without harm; it then does nothing.
#[derive(Clone)]
pub struct Notifier {
    bell: Arc<Bell>,
}

struct Bell {
    eventfd: OwnedFd,
    /// True from a write to the eventfd until the poll that it ends has seen it.
    pending: AtomicBool,
}

impl Notifier {
    pub(crate) fn new() -> io::Result<Notifier> {
        let eventfd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Notifier { bell: Arc::new(Bell { eventfd, pending: AtomicBool::new(false) }) })
    }

    /// Makes the reactor's running or next sleeping `poll` return.
    ///
    /// What the calling thread wrote before is visible to the thread that polls once that poll has
    /// returned. Costs one system call, or none while an earlier notification is still unseen.
    pub fn notify(&self) {
        // Release pairs with the acquire in `clear`: see the header.
        if !self.bell.pending.swap(true, Ordering::AcqRel) {
            ring(self.bell.eventfd.as_fd());
        }
    }

    /// Hears that the event has arrived. From here on a new notification writes again.
    pub(crate) fn clear(&self) {
        // Acquire pairs with the release in `notify`.
        self.bell.pending.swap(false, Ordering::AcqRel);
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.eventfd.as_fd()
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("pending", &self.bell.pending.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

fn ring(eventfd: BorrowedFd<'_>) {
    let one = 1u64.to_ne_bytes();
    // A second round is needed only after 2^64 - 2 notifications, when the counter is full: it is
    // read, which empties it. A write to a live eventfd has no other way to fail.
    for _ in 0..2 {
        match rustix::io::write(eventfd, &one) {
            Err(rustix::io::Errno::AGAIN) => {
                let _ = rustix::io::read(eventfd, &mut [0; 8]);
            }
            Err(rustix::io::Errno::INTR) => {}
            result => {
                debug_assert!(result.is_ok(), "write to an eventfd: {result:?}");
                return;
            }
        }
    }
}
