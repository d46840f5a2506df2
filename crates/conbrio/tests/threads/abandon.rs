//! Calls that are left behind when their caller is cancelled.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use conbrio::Builder;
use conbrio::prelude::*;
use conbrio::threads::wait_all_ended;

use crate::support::{on_all_workers, on_workers, wait_until};

// spec: test_threads.run_in_worker_thread_cancellation, S23
#[test]
fn the_task_leaves_and_the_thread_goes_on() {
    on_all_workers(|cx| {
        let (open, gate) = mpsc::channel::<()>();
        let (done, is_done) = mpsc::channel();
        let outcome = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.blocking_or_abandon(move |_| {
                handle.cancel();
                gate.recv().unwrap();
                done.send(()).unwrap();
            })
        });
        assert!(matches!(outcome, Ok(None)));
        assert!(is_done.try_recv().is_err());
        assert_eq!(cx.statistics().blocking_abandoned, 1);
        open.send(()).unwrap();
        cx.blocking(move || is_done.recv().unwrap()).unwrap();
        wait_all_ended(cx).unwrap();
        assert_eq!(cx.statistics().blocking_abandoned, 0);
    });
}

// spec: test_threads.run_in_worker_thread_abandoned
#[test]
fn the_runtime_does_not_wait_for_it() {
    let (open, gate) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    let value = Arc::new(());
    let held = Arc::clone(&value);
    on_workers(2, |cx| {
        let outcome = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.blocking_or_abandon(move |_| {
                handle.cancel();
                gate.recv().unwrap();
                done.send(()).unwrap();
                held
            })
        });
        assert!(matches!(outcome, Ok(None)));
    });
    // The runtime is gone, and the thread ends all the same.
    assert_eq!(Arc::strong_count(&value), 2);
    open.send(()).unwrap();
    is_done.recv().unwrap();
    while Arc::strong_count(&value) > 1 {
        std::thread::yield_now();
    }
}

// spec: test_threads.run_in_worker_thread_limiter
#[test]
fn what_is_left_behind_keeps_its_thread_until_it_ends() {
    Builder::new()
        .workers(1)
        .blocking_threads(1)
        .run(|cx| {
            let (open, gate) = mpsc::channel::<()>();
            let left = cx.cancel_scope(|cx, scope| {
                let handle = scope.handle();
                cx.blocking_or_abandon(move |_| {
                    handle.cancel();
                    gate.recv().unwrap();
                })
            });
            assert!(matches!(left, Ok(None)));
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let mut next = n.spawn_blocking(|| Ok(()));
                wait_until(cx, |cx| cx.statistics().blocking_waiting == 1);
                assert!(!next.is_finished());
                open.send(()).unwrap();
                next.join(cx)
            })
            .unwrap();
        })
        .unwrap();
}

#[test]
fn one_that_waits_for_a_thread_does_not_run() {
    Builder::new()
        .workers(1)
        .blocking_threads(1)
        .run(|cx| {
            let ran = Arc::new(AtomicBool::new(false));
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let (open, gate) = mpsc::channel::<()>();
                let (begun, has_begun) = mpsc::channel();
                n.spawn_blocking(move || {
                    begun.send(()).unwrap();
                    gate.recv().unwrap();
                    Ok(())
                });
                wait_until(cx, |_| has_begun.try_recv().is_ok());
                let flag = Arc::clone(&ran);
                let queued = n.spawn(move |cx| {
                    let outcome = cx.blocking_or_abandon(move |_| flag.store(true, SeqCst));
                    assert!(outcome.is_err());
                    Ok(())
                });
                wait_until(cx, |cx| cx.statistics().blocking_waiting == 1);
                queued.cancel();
                wait_until(cx, |_| queued.is_finished());
                // It was dropped when its caller left.
                assert_eq!(Arc::strong_count(&ran), 1);
                assert_eq!(cx.statistics().blocking_waiting, 0);
                open.send(()).unwrap();
                Ok(())
            })
            .unwrap();
            assert!(!ran.load(SeqCst));
        })
        .unwrap();
}

#[test]
fn a_value_that_comes_in_time_counts() {
    // Races the end of the closure against the cancellation: it is one or the other.
    let (values, cancellations) = (AtomicUsize::new(0), AtomicUsize::new(0));
    on_all_workers(|cx| {
        for _ in 0..200 {
            let outcome = cx.cancel_scope(|cx, scope| {
                let handle = scope.handle();
                cx.blocking_or_abandon(move |_| handle.cancel())
            });
            let counter = if outcome.unwrap().is_some() { &values } else { &cancellations };
            counter.fetch_add(1, SeqCst);
        }
        wait_all_ended(cx).unwrap();
    });
    assert_eq!(values.into_inner() + cancellations.into_inner(), 600);
}

#[test]
fn a_panic_of_what_was_left_behind_harms_nobody() {
    on_workers(1, |cx| {
        let outcome = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.blocking_or_abandon(move |host| -> () {
                handle.cancel();
                while host.run(|_| ()).is_ok() {}
                std::panic::resume_unwind(Box::new("nobody hears of it"));
            })
        });
        assert!(matches!(outcome, Ok(None)));
        wait_all_ended(cx).unwrap();
        cx.checkpoint().unwrap();
    });
}

/// Its value is dropped by the thread, where nobody can be told of a panic.
#[test]
fn a_destructor_that_panics_does_not_break_the_pool() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("in a destructor"));
        }
    }
    on_workers(1, |cx| {
        // Often enough that some of the values come while the task is leaving.
        for _ in 0..100 {
            let outcome = cx.cancel_scope(|cx, scope| {
                let handle = scope.handle();
                cx.blocking_or_abandon(move |host| {
                    handle.cancel();
                    while host.run(|_| ()).is_ok() {}
                    PanicsWhenDropped
                })
            });
            assert!(matches!(outcome, Ok(None)));
        }
        wait_all_ended(cx).unwrap();
        assert_eq!(cx.blocking(|| 1).unwrap(), 1);
    });
}

/// A payload whose destructor panics, with another one, for ever.
struct Hydra;

impl Drop for Hydra {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new(Hydra));
    }
}

#[test]
fn what_a_destructor_has_panicked_with_does_not_break_the_pool() {
    Builder::new()
        .workers(1)
        .blocking_threads(1)
        .run(|cx| {
            let outcome = cx.cancel_scope(|cx, scope| {
                let handle = scope.handle();
                cx.blocking_or_abandon(move |host| {
                    handle.cancel();
                    while host.run(|_| ()).is_ok() {}
                    Hydra
                })
            });
            assert!(matches!(outcome, Ok(None)));
            // The only thread has to come back for this one.
            assert_eq!(cx.blocking(|| 1).unwrap(), 1);
            wait_all_ended(cx).unwrap();
        })
        .unwrap();
}

#[test]
fn a_simulated_run_is_not_joined_by_what_it_has_left_behind() {
    let (open, gate) = mpsc::channel::<()>();
    let (kept, thread_ends) = mpsc::channel::<()>();
    let (has_left, left) = mpsc::channel::<()>();
    conbrio::testing::run(|cx| {
        let outcome = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.blocking_or_abandon(move |host| {
                handle.cancel();
                while host.run(|_| ()).is_ok() {}
                drop(has_left);
                gate.recv().unwrap();
                // Dropped when the thread has ended, and not before.
                thread_local!(static KEPT: std::cell::RefCell<Option<mpsc::Sender<()>>> = const { std::cell::RefCell::new(None) });
                KEPT.set(Some(kept));
            })
        });
        assert!(matches!(outcome, Ok(None)));
    });
    assert!(left.recv().is_err());
    // It is the last who knows the runtime now.
    open.send(()).unwrap();
    assert!(thread_ends.recv().is_err());
}

#[test]
fn virtual_time_does_not_stand_still_for_it() {
    let clock = conbrio::testing::MockClock::new().autojump(Duration::ZERO);
    Builder::new()
        .workers(1)
        .clock(clock)
        .run(|cx| {
            let (open, gate) = mpsc::channel::<()>();
            let outcome = cx.cancel_scope(|cx, scope| {
                let handle = scope.handle();
                cx.blocking_or_abandon(move |_| {
                    handle.cancel();
                    let _ = gate.recv();
                })
            });
            assert!(matches!(outcome, Ok(None)));
            cx.sleep(Duration::from_secs(3600)).unwrap();
            drop(open);
        })
        .unwrap();
}
