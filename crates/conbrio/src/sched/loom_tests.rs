//! Models of the way from a waker to the inbox of a worker: every interleaving is tried.
//!
//! The home worker is the thread of the model. A real one would need a reactor; what matters here are its
//! halves of the protocols: `begin_wait`, `is_woken`, `take_all`, `take_in`, `take_dirty`, `settle_at`.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc as StdArc;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};

use super::idle::Crew;
use super::runnable::{Identity, Interrupt, Runnable, Vtable};
use super::shared::{Children, Remote};
use super::worker::Worker;

/// A runnable and its home, which outlive the threads of a model.
#[derive(Clone, Copy)]
struct Stage {
    runnable: NonNull<Runnable>,
    home: NonNull<Remote>,
}

// SAFETY: both are freed by `end`, after the threads were joined; what the threads call needs no more
// than that.
unsafe impl Send for Stage {}

static VTABLE: Vtable = Vtable { run, attend, free, identify, has_children };

/// # Safety
/// None: it is never called.
unsafe fn identify(_: NonNull<Runnable>, _: &mut dyn FnMut(Identity<'_>)) {
    unreachable!("a model has no instruments");
}

/// # Safety
/// None: it is never called.
unsafe fn has_children(_: NonNull<Runnable>) -> bool {
    unreachable!("a model is not simulated");
}

/// # Safety
/// None: it is never called.
unsafe fn run(_: NonNull<Runnable>, _: &Worker) {
    unreachable!("nothing runs in a model");
}

/// # Safety
/// None: it is never called.
unsafe fn attend(_: NonNull<Runnable>, _: &Worker) {
    unreachable!("the model attends itself");
}

/// # Safety
/// See `Vtable::free`.
unsafe fn free(runnable: NonNull<Runnable>) {
    // SAFETY: made by `Box::leak` in `begin`; the last reference is gone.
    drop(unsafe { Box::from_raw(runnable.as_ptr()) });
}

impl Stage {
    fn begin() -> Stage {
        let crew = StdArc::new(Crew::new());
        let home = Remote::new(0, Children::new_lifo().stealer(), crew);
        Stage {
            runnable: NonNull::from(Box::leak(Box::new(Runnable::new(&VTABLE, 1)))),
            home: NonNull::from(Box::leak(Box::new(home))),
        }
    }

    fn runnable(&self) -> &Runnable {
        // SAFETY: alive until `end`.
        unsafe { self.runnable.as_ref() }
    }

    fn home(&self) -> &Remote {
        // SAFETY: alive until `end`.
        unsafe { self.home.as_ref() }
    }

    /// What the worker does with its inbox; returns how often the runnable was found in it, and whether
    /// its wait was found woken.
    fn drain(&self) -> (usize, bool) {
        let (mut found, mut woken) = (0, false);
        for runnable in self.home().inbox.take_all() {
            assert_eq!(runnable, self.runnable);
            found += 1;
            woken |= self.runnable().take_in();
            // SAFETY: the reference of the inbox.
            unsafe { Runnable::release(runnable) };
        }
        (found, woken)
    }

    fn end(self) {
        // SAFETY: the reference that was made with it; the threads have been joined.
        unsafe { Runnable::release(self.runnable) };
        // SAFETY: made by `Box::leak` in `begin`; the threads have been joined.
        drop(unsafe { Box::from_raw(self.home.as_ptr()) });
    }
}

/// Two threads end the same wait while its worker looks: it is woken, once, and never linked twice.
#[test]
fn loom_a_wake_is_neither_lost_nor_doubled() {
    loom::model(|| {
        let stage = Stage::begin();
        stage.runnable().settle_at(stage.home);
        let sequence = stage.runnable().begin_wait();
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                loom::thread::spawn(move || {
                    let stage = stage;
                    // SAFETY: alive until the thread has been joined.
                    unsafe { Runnable::wake(stage.runnable, sequence) };
                })
            })
            .collect();
        let before = stage.drain();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        let after = stage.drain();
        assert!(stage.runnable().is_woken());
        assert_eq!(u32::from(before.1) + u32::from(after.1), 1, "it was enqueued once");
        assert_eq!(before.0 + after.0, 1, "one of the two wakers pushed");
        stage.end();
    });
}

/// A wake for a wait that is over comes late, while a valid one is on its way: it hides nothing, and
/// wakes nothing.
#[test]
fn loom_a_late_wake_neither_hides_a_valid_one_nor_ends_another_wait() {
    loom::model(|| {
        let stage = Stage::begin();
        stage.runnable().settle_at(stage.home);
        let first = stage.runnable().begin_wait();
        let late = loom::thread::spawn(move || {
            let stage = stage;
            // SAFETY: alive until the thread has been joined.
            unsafe { Runnable::wake(stage.runnable, first) };
        });
        // The first wait was called off meanwhile; the second one begins.
        let second = stage.runnable().begin_wait();
        stage.drain();
        assert!(!stage.runnable().is_woken(), "the late one names another wait");
        let valid = loom::thread::spawn(move || {
            let stage = stage;
            // SAFETY: alive until the thread has been joined.
            unsafe { Runnable::wake(stage.runnable, second) };
        });
        late.join().unwrap();
        valid.join().unwrap();
        stage.drain();
        assert!(stage.runnable().is_woken(), "the valid one arrived");
        stage.end();
    });
}

/// A task is poked while it starts: either the first look finds it dirty, or it comes by the inbox.
#[test]
fn loom_a_poke_during_the_start_is_seen() {
    loom::model(|| {
        let stage = Stage::begin();
        let request = Arc::new(AtomicUsize::new(0));
        let poker = {
            let request = request.clone();
            loom::thread::spawn(move || {
                let stage = stage;
                request.store(1, Ordering::Relaxed);
                // SAFETY: alive until the thread has been joined.
                unsafe { Runnable::poke(stage.runnable) };
            })
        };
        stage.runnable().settle_at(stage.home);
        let at_start = stage.runnable().take_dirty();
        if at_start {
            assert_eq!(request.load(Ordering::Relaxed), 1, "what was asked for is visible");
        }
        poker.join().unwrap();
        let (found, _) = stage.drain();
        let later = stage.runnable().take_dirty();
        assert!(at_start || (found == 1 && later), "the poke was lost");
        stage.end();
    });
}

/// A poke and a wake meet on their way into the inbox: both arrive, by one entry or by two.
#[test]
fn loom_a_poke_and_a_wake_share_the_inbox() {
    loom::model(|| {
        let stage = Stage::begin();
        stage.runnable().settle_at(stage.home);
        let sequence = stage.runnable().begin_wait();
        stage.runnable().set_parked(Interrupt::OnCancel);
        let dirty = Cell::new(false);
        let waker = loom::thread::spawn(move || {
            let stage = stage;
            // SAFETY: alive until the thread has been joined.
            unsafe { Runnable::wake(stage.runnable, sequence) };
        });
        let poker = loom::thread::spawn(move || {
            let stage = stage;
            // SAFETY: alive until the thread has been joined.
            unsafe { Runnable::poke(stage.runnable) };
        });
        let (first, _) = stage.drain();
        // As in `receive`: attends to it only if it was in the inbox.
        dirty.set(first > 0 && stage.runnable().take_dirty());
        waker.join().unwrap();
        poker.join().unwrap();
        let (second, _) = stage.drain();
        dirty.set(dirty.get() || (second > 0 && stage.runnable().take_dirty()));
        assert!(stage.runnable().is_woken(), "the wake arrived");
        assert!(dirty.get(), "the poke arrived");
        stage.end();
    });
}
