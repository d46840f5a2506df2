//! Where one source is registered, and what a reactor shares with sources on other threads.
//!
//! ```text
//! Source ─ first: { weak Shared of A, slot 7, next ─┐ }
//!                                                   └─> { weak Shared of B, slot 2, next: none }
//! Shared of A = epoll fd + retired slots            <── strong ── the reactor A
//! ```
//!
//! The list only grows while the source lives: an entry is published once (`OnceLock`) and never
//! changes, so that the common look-up is one atomic load and a compare, with no lock. Only the
//! thread of reactor R adds an entry for R, so that R occurs once. Rules:
//!
//! - G1. A source leaves reactor R under R's `retired` lock: `EPOLL_CTL_DEL` and noting the slot are
//!   one step for R. The fd is closed after that.
//! - G2. R touches the fd number of a slot on its own only under the same lock and only if the slot
//!   is not noted there. By G1 the fd is then still open and still the same source's.
//! - G3. Only R's thread frees a slot, when it empties `retired`, never while it works on a batch of
//!   events. So an event in the batch meets either the source it was for or its retired slot.
//! - G4. Entries hold R weakly: a reactor that is gone has closed its epoll fd, and with it every
//!   registration. A look-up that finds R alive keeps the epoll fd open for as long as it needs it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustix::event::epoll;

/// What a reactor shares with the sources that are registered with it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) epoll: OwnedFd,
    /// Slots whose source has left (rule G1).
    retired: Mutex<Vec<u32>>,
    /// Whether `retired` may have something; lets a poll pass without the lock. A stale answer only
    /// delays the reuse of a slot.
    any_retired: AtomicBool,
}

impl Shared {
    pub(crate) fn new(epoll: OwnedFd) -> Shared {
        Shared { epoll, retired: Mutex::default(), any_retired: AtomicBool::new(false) }
    }

    /// The retired slots, locked. Nothing panics while it is held, so that poison means nothing.
    pub(crate) fn retired(&self) -> MutexGuard<'_, Vec<u32>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the retired slots into `into`, which is empty.
    pub(crate) fn take_retired(&self, into: &mut Vec<u32>) {
        // Acquire pairs with the release in `leave`; the lock orders the rest.
        if self.any_retired.load(Ordering::Acquire) {
            let mut retired = self.retired();
            std::mem::swap(&mut *retired, into);
            self.any_retired.store(false, Ordering::Release);
        }
    }

    fn leave(&self, fd: BorrowedFd<'_>, index: u32) {
        let mut retired = self.retired();
        // The reactor may have stopped watching on its own: then it is not there, which is as good.
        // Without this call a duplicate of the fd would keep the registration alive.
        let _ = epoll::delete(&self.epoll, fd);
        retired.push(index);
        self.any_retired.store(true, Ordering::Release);
    }
}

/// The reactors that one source is registered with.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    first: OnceLock<Registration>,
}

#[derive(Debug)]
struct Registration {
    reactor: Weak<Shared>,
    index: u32,
    next: OnceLock<Box<Registration>>,
}

impl Registrations {
    /// The slot of this source on the reactor that owns `shared`.
    ///
    /// The addresses of two reactors never coincide, even if one is gone: its memory is kept for as
    /// long as an entry points to it.
    #[inline]
    pub(crate) fn index_at(&self, shared: &Arc<Shared>) -> Option<u32> {
        let mut entry = self.first.get()?;
        loop {
            if Weak::as_ptr(&entry.reactor) == Arc::as_ptr(shared) {
                return Some(entry.index);
            }
            entry = entry.next.get()?;
        }
    }

    /// Adds an entry. The caller is the thread of that reactor, and there is no entry for it yet.
    pub(crate) fn add(&self, shared: &Arc<Shared>, index: u32) {
        let new = Registration { reactor: Arc::downgrade(shared), index, next: OnceLock::new() };
        let Err(new) = self.first.set(new) else {
            return;
        };
        let mut new = Box::new(new);
        let mut place = self.first.get().map(|entry| &entry.next);
        // Each round steps over an entry that another thread has published: as many as there are
        // reactors.
        while let Some(next) = place {
            match next.set(new) {
                Ok(()) => return,
                Err(refused) => new = refused,
            }
            place = next.get().map(|entry| &entry.next);
        }
        unreachable!("an entry that refuses a successor has one");
    }

    /// Takes the source off every reactor that lives. `fd` is the source's, still open.
    pub(crate) fn leave_all(&mut self, fd: BorrowedFd<'_>) {
        let Some(first) = self.first.take() else {
            return;
        };
        let mut entry = first;
        // A loop, not recursion through the boxes' drops: stacks of tasks are small.
        loop {
            if let Some(shared) = entry.reactor.upgrade() {
                shared.leave(fd.as_fd(), entry.index);
            }
            match entry.next.take() {
                Some(next) => entry = *next,
                None => return,
            }
        }
    }

    /// How many entries there are, those of reactors that are gone included.
    pub(crate) fn count(&self) -> usize {
        let entries =
            std::iter::successors(self.first.get(), |entry| entry.next.get().map(|next| &**next));
        entries.count()
    }
}
