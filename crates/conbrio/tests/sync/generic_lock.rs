//! What holds for everything that lets one task in at a time.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use conbrio::prelude::*;
use conbrio::sync::{Borrower, CapacityLimiter, LockError, Mutex, RwLock, Semaphore};
use conbrio::testing::assert_checkpoints;

use crate::support::{Fault, Trace, assert_cancelled, on_all_workers, settled};

/// What a task that is in has in its hand.
trait Inside {}
impl<T> Inside for T {}

trait Lock: Any + Send + Sync {
    fn enter<'a>(&'a self, cx: &mut Cx) -> Result<Box<dyn Inside + 'a>, Fault>;
    fn try_enter<'a>(&'a self, cx: &mut Cx) -> Option<Box<dyn Inside + 'a>>;
    fn waiting(&self) -> usize;
}

impl Lock for Mutex<()> {
    fn enter<'a>(&'a self, cx: &mut Cx) -> Result<Box<dyn Inside + 'a>, Fault> {
        Ok(Box::new(self.lock(cx)?))
    }

    fn try_enter<'a>(&'a self, _: &mut Cx) -> Option<Box<dyn Inside + 'a>> {
        Some(Box::new(self.try_lock().ok()?))
    }

    fn waiting(&self) -> usize {
        self.statistics().tasks_waiting
    }
}

impl Lock for RwLock<()> {
    fn enter<'a>(&'a self, cx: &mut Cx) -> Result<Box<dyn Inside + 'a>, Fault> {
        Ok(Box::new(self.write(cx)?))
    }

    fn try_enter<'a>(&'a self, _: &mut Cx) -> Option<Box<dyn Inside + 'a>> {
        Some(Box::new(self.try_write().ok()?))
    }

    fn waiting(&self) -> usize {
        self.statistics().tasks_waiting
    }
}

impl Lock for Semaphore {
    fn enter<'a>(&'a self, cx: &mut Cx) -> Result<Box<dyn Inside + 'a>, Fault> {
        Ok(Box::new(self.acquire(cx)?))
    }

    fn try_enter<'a>(&'a self, _: &mut Cx) -> Option<Box<dyn Inside + 'a>> {
        Some(Box::new(self.try_acquire().ok()?))
    }

    fn waiting(&self) -> usize {
        self.statistics().tasks_waiting
    }
}

impl Lock for CapacityLimiter {
    fn enter<'a>(&'a self, cx: &mut Cx) -> Result<Box<dyn Inside + 'a>, Fault> {
        Ok(Box::new(self.acquire(cx)?))
    }

    fn try_enter<'a>(&'a self, cx: &mut Cx) -> Option<Box<dyn Inside + 'a>> {
        Some(Box::new(self.try_acquire_on_behalf_of(Borrower::task(cx)).ok()?))
    }

    fn waiting(&self) -> usize {
        self.statistics().tasks_waiting
    }
}

fn locks() -> Vec<Box<dyn Lock>> {
    vec![
        Box::new(Mutex::new(())),
        Box::new(RwLock::new(())),
        Box::new(Semaphore::new(1)),
        Box::new(Semaphore::bounded(1, 1)),
        Box::new(CapacityLimiter::new(1)),
    ]
}

/// Runs the test with each of them, on several numbers of workers.
fn with_each(test: impl Fn(&mut Cx, &dyn Lock) + Send + Sync) {
    on_all_workers(|cx| locks().iter().for_each(|lock| test(cx, &**lock)));
}

// spec: test_sync.generic_lock_exclusion
#[test]
fn there_are_never_two_inside() {
    with_each(|cx, lock| {
        let (inside, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        cx.nursery(|_, n| -> Result<(), Fault> {
            for _ in 0..5 {
                n.spawn(|cx| {
                    for _ in 0..10 {
                        let token = lock.enter(cx)?;
                        assert_eq!(inside.fetch_add(1, SeqCst), 0);
                        cx.yield_now()?;
                        cx.yield_now()?;
                        assert_eq!(inside.fetch_sub(1, SeqCst), 1);
                        drop(token);
                        passed.fetch_add(1, SeqCst);
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((passed.into_inner(), lock.waiting()), (50, 0));
        assert!(lock.try_enter(cx).is_some(), "it is free");
    });
}

// spec: test_sync.generic_lock_fifo_fairness
#[test]
fn those_who_come_again_and_again_keep_their_order() {
    with_each(|cx, lock| {
        let trace = Trace::new();
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let first = lock.enter(cx)?;
            for number in 0..3 {
                let trace = &trace;
                n.spawn(move |cx| {
                    for round in 0..5 {
                        let token = lock.enter(cx)?;
                        trace.push((round, number));
                        // It comes back behind the two others, which wait already.
                        cx.yield_now()?;
                        if round < 4 {
                            settled_inside(cx)?;
                        }
                        drop(token);
                    }
                    Ok(())
                });
                settled(cx)?;
            }
            assert_eq!(lock.waiting(), 3);
            drop(first);
            Ok(())
        })
        .unwrap();
        let expected: Vec<_> =
            (0..5).flat_map(|round| (0..3).map(move |number| (round, number))).collect();
        assert_eq!(trace.take(), expected);
    });
}

/// Lets the one who was inside before queue up again.
fn settled_inside(cx: &mut Cx) -> Result<(), Cancelled> {
    settled(cx)
}

// spec: test_sync.generic_lock_acquire_nowait_blocks_acquire
#[test]
fn who_came_in_by_trying_keeps_others_out() {
    with_each(|cx, lock| {
        let trace = Trace::new();
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let token = lock.try_enter(cx).expect("it is free");
            n.spawn(|cx| {
                let token = lock.enter(cx)?;
                trace.push("child");
                drop(token);
                Ok(())
            });
            settled(cx)?;
            assert!(trace.take().is_empty());
            assert!(lock.try_enter(cx).is_none());
            // Whoever waits has it from the moment on in which it is given back: nobody comes between.
            drop(token);
            settled(cx)?;
            assert_eq!(trace.take(), ["child"]);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn nobody_comes_between_whoever_waits_and_whoever_gives_back() {
    with_each(|cx, lock| {
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let token = lock.enter(cx)?;
            let mut child = n.spawn(|cx| {
                let token = lock.enter(cx)?;
                settled(cx)?;
                drop(token);
                Ok(())
            });
            settled(cx)?;
            drop(token);
            // The child may not have run yet.
            assert!(lock.try_enter(cx).is_none());
            child.join(cx)?;
            assert!(lock.try_enter(cx).is_some());
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_sync.Lock_and_StrictFIFOLock, S58
#[test]
fn coming_in_is_a_checkpoint_and_a_cancelled_one_leaves_no_trace() {
    with_each(|cx, lock| {
        let token = assert_checkpoints(cx, |cx| lock.enter(cx)).unwrap();
        drop(token);
        assert_cancelled(cx, |cx| lock.enter(cx).map(drop));
        assert!(lock.try_enter(cx).is_some(), "it was not let in");

        // Cancelled while it waits, and cancelled while it is inside.
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let inside = n.spawn(|cx| {
                let _token = lock.enter(cx)?;
                cx.sleep_forever()?;
                Ok(())
            });
            settled(cx)?;
            let waits = n.spawn(|cx| lock.enter(cx).map(drop));
            settled(cx)?;
            assert_eq!(lock.waiting(), 1);
            waits.cancel();
            settled(cx)?;
            assert_eq!(lock.waiting(), 0);
            inside.cancel();
            settled(cx)?;
            drop(lock.try_enter(cx).expect("it was given back on the way out"));
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn the_errors_of_locks_travel_like_others() {
    fn is_error<E: std::error::Error + MaybeCancelled + Send + Sync + 'static>() {}
    is_error::<LockError>();
    is_error::<OrCancelled<LockError>>();
    is_error::<conbrio::sync::TryLockError>();
    is_error::<conbrio::sync::NoPermits>();
    is_error::<conbrio::sync::TooManyPermits>();
    is_error::<conbrio::sync::NoToken>();
    is_error::<OrCancelled<conbrio::sync::AlreadyBorrowed>>();
}
