//! A lock for sections of a few instructions, whose release is its last access.
//!
//! A nursery lives on its owner's stack and ends when its last child has counted itself down under this
//! lock. `std::sync::Mutex` may touch itself after it has let the next holder in (it wakes waiters), and
//! then the owner could already have returned and reused the memory. Here the release is one store and
//! nothing of the lock is touched after it, so that whoever takes the lock next may free it.
//!
//! Rules:
//! 1. The value is reached only between a successful acquire (compare-and-exchange to `true`, `Acquire`) and the release
//!    (store of `false`, `Release`); the release is read by the next acquire.
//! 2. After the release store the guard does not touch the lock.
//! 3. Nothing waits, calls user code or makes a system call that can block while it holds the lock.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

use super::atomic::{AtomicBool, Ordering, spin_loop, yield_thread};

/// See the module's documentation.
pub(crate) struct BriefLock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: rule 1: the lock gives one thread at a time access to the value, which may be sent.
unsafe impl<T: Send> Send for BriefLock<T> {}
// SAFETY: rule 1, as above.
unsafe impl<T: Send> Sync for BriefLock<T> {}

impl<T> BriefLock<T> {
    pub(crate) fn new(value: T) -> BriefLock<T> {
        BriefLock { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    pub(crate) fn lock(&self) -> BriefGuard<'_, T> {
        if !self.try_acquire() {
            self.lock_contended();
        }
        BriefGuard { lock: self }
    }

    #[cold]
    fn lock_contended(&self) {
        let mut spins = 0_u32;
        loop {
            while self.held.load(Ordering::Relaxed) {
                // The holder may have been preempted: after a short while give it the processor.
                if spins < SPINS_BEFORE_YIELD {
                    spins += 1;
                    spin_loop();
                } else {
                    yield_thread();
                }
            }
            if self.try_acquire() {
                return;
            }
        }
    }

    /// A compare-and-exchange, which writes nothing when it fails: a swap would put a store of `true`
    /// beside the holder's `false`, and loom does not know which of the two comes last.
    fn try_acquire(&self) -> bool {
        self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

impl<T> std::fmt::Debug for BriefLock<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BriefLock").field("held", &self.held).finish_non_exhaustive()
    }
}

/// Access to the value of a [`BriefLock`]; releases it when dropped.
pub(crate) struct BriefGuard<'a, T> {
    lock: &'a BriefLock<T>,
}

impl<T> Deref for BriefGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: rule 1: this guard exists only while its thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for BriefGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: rule 1, and `&mut self` makes this the only reference made from the guard.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for BriefGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.held.store(false, Ordering::Release);
    }
}

const SPINS_BEFORE_YIELD: u32 = 64;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::BriefLock;

    #[test]
    fn holders_exclude_each_other() {
        let lock = BriefLock::new(0_u64);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..10_000 {
                        *lock.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), 40_000);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::BriefLock;

    /// The owner frees the lock as soon as it has seen the last count-down under it.
    #[test]
    fn loom_the_lock_may_be_freed_by_the_next_holder() {
        loom::model(|| {
            let lock = Box::into_raw(Box::new(BriefLock::new(1_u32)));
            let address = lock as usize;
            let child = loom::thread::spawn(move || {
                // SAFETY: the owner frees the lock only after it has seen zero under it.
                let lock = unsafe { &*(address as *const BriefLock<u32>) };
                *lock.lock() -= 1;
            });
            // SAFETY: it is freed below, by this thread.
            let live = unsafe { *(*lock).lock() };
            let mut child = Some(child);
            if live != 0 {
                // The owner would wait; the model only has to cover that it sees zero while the child is
                // still inside its release.
                child.take().unwrap().join().unwrap();
            }
            // SAFETY: made by `Box::into_raw` above; the child's last access was its release.
            drop(unsafe { Box::from_raw(lock) });
            if let Some(child) = child {
                child.join().unwrap();
            }
        });
    }
}
