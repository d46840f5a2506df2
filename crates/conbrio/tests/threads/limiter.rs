//! Limits of one's own for calls on threads: a token or a permit is moved into the closure, and goes back when
//! that has ended, whoever still waits for it.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};

use conbrio::prelude::*;
use conbrio::sync::{Borrower, CapacityLimiter};
use conbrio::threads::wait_all_ended;

use crate::support::{message_of, on_all_workers, on_workers, wait_until};

const MAX: usize = 3;

/// Counts who is at work, and keeps them there until it is opened.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        self.peak.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        let mut is_open = self.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.opened.wait(is_open).unwrap();
        }
        self.now.fetch_sub(1, SeqCst);
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// Opens a gate also when a test fails, so that it fails instead of waiting for ever.
struct OpenOnDrop<'a>(&'a Gate);

impl Drop for OpenOnDrop<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

// spec: test_threads.run_in_worker_thread_limiter
#[test]
fn never_more_are_at_work_than_the_limiter_allows() {
    on_all_workers(|cx| {
        let (limiter, gate) = (CapacityLimiter::new(MAX), Gate::default());
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let _open = OpenOnDrop(&gate);
            for _ in 0..MAX * 3 {
                n.spawn(|cx| {
                    let token = limiter.acquire(cx)?;
                    cx.blocking(|| {
                        let _token = token;
                        gate.pass();
                    })
                });
            }
            wait_until(cx, |_| gate.now.load(SeqCst) == MAX);
            for _ in 0..50 {
                cx.yield_now()?;
            }
            assert_eq!(limiter.statistics().borrowed, MAX);
            gate.open();
            Ok(())
        })
        .unwrap();
        assert_eq!(gate.peak.load(SeqCst), MAX);
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

// spec: test_threads.run_in_worker_thread_limiter
#[test]
fn calls_that_were_left_behind_keep_their_tokens_until_they_end() {
    on_all_workers(|cx| {
        // It outlives whoever is left behind.
        let limiter: &'static CapacityLimiter = Box::leak(Box::new(CapacityLimiter::new(MAX)));
        let gate = Arc::new(Gate::default());
        let _open = OpenOnDrop(&gate);
        let outcome = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for _ in 0..MAX {
                let gate = Arc::clone(&gate);
                n.spawn(move |cx| {
                    let token = limiter.acquire(cx)?;
                    cx.blocking_or_abandon(move |_| {
                        let _token = token;
                        gate.pass();
                    })
                });
            }
            wait_until(cx, |_| gate.now.load(SeqCst) == MAX);
            n.cancel();
            cx.checkpoint()
        });
        assert!(matches!(outcome, Err(NurseryError::Stopped(_))));
        assert_eq!(limiter.statistics().borrowed, MAX);
        let refused = limiter.try_acquire_on_behalf_of(Borrower::task(cx));
        assert!(refused.is_err());
        gate.open();
        let token = limiter.acquire(cx).unwrap();
        drop(token);
        wait_all_ended(cx).unwrap();
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

/// Says what was done with it.
struct Custom(Mutex<Vec<&'static str>>);

struct CustomToken<'a>(&'a Custom);

impl Custom {
    fn acquire(&self, cx: &mut Cx) -> Result<CustomToken<'_>, Cancelled> {
        cx.checkpoint()?;
        self.0.lock().unwrap().push("acquired");
        Ok(CustomToken(self))
    }
}

impl Drop for CustomToken<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().push("released");
    }
}

// spec: test_threads.run_in_worker_thread_custom_limiter
#[test]
fn any_guard_can_limit() {
    on_all_workers(|cx| {
        let custom = Custom(Mutex::new(Vec::new()));
        let token = custom.acquire(cx).unwrap();
        cx.blocking(|| {
            let _token = token;
            custom.0.lock().unwrap().push("ran");
        })
        .unwrap();
        assert_eq!(*custom.0.lock().unwrap(), ["acquired", "ran", "released"]);
    });
}

// spec: test_threads.run_in_worker_thread_limiter_error
#[test]
fn a_release_that_fails_comes_out() {
    struct FailsWhenReleased;
    impl Drop for FailsWhenReleased {
        fn drop(&mut self) {
            panic!("released twice");
        }
    }
    on_workers(1, |cx| {
        let token = FailsWhenReleased;
        let message = message_of(|| {
            cx.blocking(|| {
                let _token = token;
            })
        });
        assert_eq!(message, "released twice");
    });
}

// spec: test_threads.run_in_worker_thread_fail_to_spawn
#[test]
fn a_call_that_does_not_begin_gives_its_token_back() {
    conbrio::Builder::new()
        .workers(1)
        .blocking_threads(1)
        .run(|cx| {
            let limiter: &'static CapacityLimiter = Box::leak(Box::new(CapacityLimiter::new(2)));
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let (open, gate) = mpsc::channel::<()>();
                let first = limiter.acquire(cx)?;
                n.spawn_blocking(move || {
                    let _first = first;
                    gate.recv().unwrap();
                    Ok(())
                });
                wait_until(cx, |cx| cx.statistics().blocking_threads == 1);
                wait_until(cx, |cx| cx.statistics().blocking_waiting == 0);
                // There is no thread for this one.
                let second = n.spawn(|cx| {
                    let token = limiter.acquire(cx)?;
                    cx.blocking_or_abandon(move |_| drop(token))
                });
                wait_until(cx, |cx| cx.statistics().blocking_waiting == 1);
                assert_eq!(limiter.statistics().borrowed, 2);
                second.cancel();
                wait_until(cx, |_| second.is_finished());
                assert_eq!(limiter.statistics().borrowed, 1);
                open.send(()).unwrap();
                Ok(())
            })
            .unwrap();
        })
        .unwrap();
}
