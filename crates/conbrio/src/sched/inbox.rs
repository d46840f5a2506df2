//! The inbox of a worker: a lock-free stack that other threads push to and the worker empties at once
//! (Treiber 1986; with only "take all" on the reading side there is no ABA problem).
//!
//! Invariant: every linked runnable has `in_inbox` set and carries one reference for its place here.

use std::ptr::NonNull;

use crate::util::atomic::{AtomicPtr, Ordering};

use super::runnable::Runnable;

pub(super) struct Inbox {
    head: AtomicPtr<Runnable>,
}

impl Inbox {
    pub(super) fn new() -> Inbox {
        Inbox { head: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Whether there is nothing in it. Sequentially consistent, for the idle protocol.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.load(Ordering::SeqCst).is_null()
    }

    /// Links `runnable`.
    ///
    /// # Safety
    /// The caller has set `in_inbox`, and hands over a reference.
    pub(super) unsafe fn push(&self, runnable: NonNull<Runnable>) {
        // SAFETY: the caller's reference keeps it alive; `in_inbox` makes us the only writer of `next`.
        let next = unsafe { &runnable.as_ref().next };
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            next.store(head, Ordering::Relaxed);
            // SeqCst: it is the push of the idle protocol, and releases `next` to `take_all`.
            match self.head.compare_exchange_weak(
                head,
                runnable.as_ptr(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(current) => head = current,
            }
        }
    }

    /// Unlinks everything, oldest first.
    pub(super) fn take_all(&self) -> Batch {
        if self.head.load(Ordering::Relaxed).is_null() {
            return Batch { first: std::ptr::null_mut() };
        }
        let mut newest = self.head.swap(std::ptr::null_mut(), Ordering::AcqRel);
        let mut first = std::ptr::null_mut();
        while let Some(runnable) = NonNull::new(newest) {
            // SAFETY: linked runnables are alive, and after the swap they belong to this list alone.
            let next = unsafe { &runnable.as_ref().next };
            newest = next.load(Ordering::Relaxed);
            next.store(first, Ordering::Relaxed);
            first = runnable.as_ptr();
        }
        Batch { first }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        for runnable in self.take_all() {
            // SAFETY: the reference of the inbox, handed to us by the batch.
            unsafe { Runnable::release(runnable) };
        }
    }
}

/// Unlinked runnables; each comes with the inbox's reference.
pub(super) struct Batch {
    first: *mut Runnable,
}

impl Iterator for Batch {
    type Item = NonNull<Runnable>;

    fn next(&mut self) -> Option<NonNull<Runnable>> {
        let runnable = NonNull::new(self.first)?;
        // SAFETY: it is still ours: it cannot be linked anew before the caller clears `in_inbox`.
        self.first = unsafe { runnable.as_ref() }.next.load(Ordering::Relaxed);
        Some(runnable)
    }
}
