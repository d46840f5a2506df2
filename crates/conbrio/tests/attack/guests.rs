//! Code of others on a task's stack: C functions that call back, and futures that misbehave.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use conbrio::{Cancelled, Cx};

use crate::support::{CREWS, Canary, run};

unsafe extern "C" {
    /// qsort_r(3).
    ///
    /// # Safety
    ///
    /// There are `count` items at `base`, of the size that `compare` expects, and it does not unwind.
    fn qsort_r(
        base: *mut c_void,
        count: usize,
        size: usize,
        compare: extern "C" fn(*const c_void, *const c_void, *mut c_void) -> c_int,
        argument: *mut c_void,
    );
}

/// What the comparison is lent: the capability to wait, and what became of it.
struct Caller<'a> {
    cx: &'a mut Cx,
    outcome: Result<(), Cancelled>,
    calls: usize,
}

extern "C" fn compare_and_wait(
    left: *const c_void,
    right: *const c_void,
    caller: *mut c_void,
) -> c_int {
    // SAFETY: `sort` below lends a `Caller` for the time of the call, and two numbers are compared.
    let (caller, left, right) =
        unsafe { (&mut *caller.cast::<Caller<'_>>(), *left.cast::<u32>(), *right.cast::<u32>()) };
    caller.calls += 1;
    if caller.outcome.is_ok() {
        caller.outcome = match caller.calls % 3 {
            0 => caller.cx.sleep(Duration::from_micros(1)),
            _ => caller.cx.yield_now(),
        };
    }
    left.cmp(&right) as c_int
}

/// Sorts with the function of the C library, and stops in the middle of it at every comparison.
fn sort(cx: &mut Cx, numbers: &mut [u32]) -> Result<usize, Cancelled> {
    let mut caller = Caller { cx, outcome: Ok(()), calls: 0 };
    // SAFETY: the slice and the caller are lent for the time of the call; the comparison does not unwind.
    unsafe {
        qsort_r(
            numbers.as_mut_ptr().cast(),
            numbers.len(),
            size_of::<u32>(),
            compare_and_wait,
            (&raw mut caller).cast(),
        );
    }
    caller.outcome.map(|()| caller.calls)
}

fn shuffled(seed: u32) -> Vec<u32> {
    (0..100_u32).map(|n| n.wrapping_add(seed).wrapping_mul(0x9E37_79B9) >> 16).collect()
}

/// Twenty tasks are inside of a C function at once, each called back by it and stopped there.
///
/// spec: N10
#[test]
fn callbacks_of_c_functions_may_wait() {
    for workers in CREWS {
        run(workers, |cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for seed in 0..20 {
                    n.spawn(move |cx| {
                        let mut numbers = shuffled(seed);
                        let mut expected = numbers.clone();
                        expected.sort_unstable();
                        assert!(sort(cx, &mut numbers)? > 100);
                        assert_eq!(numbers, expected);
                        Ok(())
                    });
                }
                Ok(())
            })
            .unwrap();
        });
    }
}

/// A cancellation reaches a task inside of the callback, and the C function still ends as it should.
///
/// spec: N10
#[test]
fn a_callback_that_is_cancelled_lets_its_c_function_end() {
    run(1, |cx| {
        let mut numbers = shuffled(1);
        let mut expected = numbers.clone();
        expected.sort_unstable();
        let outcome = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                // It runs while the sort waits in one of its comparisons.
                n.spawn(move |_| {
                    handle.cancel();
                    Ok(())
                });
                sort(cx, &mut numbers).map(drop)
            })
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert_eq!(numbers, expected);
    });
}

/// A future that is never ready on its own, keeps every waker, and counts its drops.
struct Stubborn<'a> {
    wakers: &'a Mutex<Vec<Waker>>,
    polls_left: usize,
    panics_when_dropped: bool,
    frame: &'a Canary,
    drops: &'a AtomicUsize,
}

impl Future for Stubborn<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.frame.check();
        if self.polls_left == 0 {
            return Poll::Ready(());
        }
        self.polls_left -= 1;
        let waker = context.waker().clone();
        waker.wake_by_ref();
        self.wakers.lock().unwrap().push(waker);
        Poll::Pending
    }
}

impl Drop for Stubborn<'_> {
    fn drop(&mut self) {
        self.frame.check();
        self.drops.fetch_add(1, Ordering::Relaxed);
        if self.panics_when_dropped && !std::thread::panicking() {
            panic!("from the drop of a future");
        }
    }
}

/// The panic of a drop comes out of the call that drops the future, whether it was ready or cancelled, and
/// out of its nursery.
///
/// spec: N16
#[test]
fn a_future_whose_drop_panics_harms_nobody_else() {
    for workers in CREWS {
        for is_cancelled in [false, true] {
            let (wakers, drops) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
            let siblings = AtomicUsize::new(0);
            run(workers, |cx| {
                let frame = Canary::new();
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    cx.nursery(|cx, n| -> Result<(), Cancelled> {
                        for _ in 0..3 {
                            n.spawn(|cx| {
                                siblings.fetch_add(1, Ordering::Relaxed);
                                cx.sleep_forever()
                            });
                        }
                        let stubborn = Stubborn {
                            wakers: &wakers,
                            polls_left: if is_cancelled { usize::MAX } else { 3 },
                            panics_when_dropped: true,
                            frame: &frame,
                            drops: &drops,
                        };
                        let waiting = n.spawn(|cx| cx.wait(stubborn));
                        if is_cancelled {
                            cx.yield_now()?;
                            waiting.cancel();
                        }
                        Ok(())
                    })
                }));
                let payload = caught.expect_err("the panic comes out");
                assert_eq!(payload.downcast_ref(), Some(&"from the drop of a future"));
                // Wakers that were kept, used in the middle of another wait of the same task.
                let kept = wakers.lock().unwrap().clone();
                cx.nursery(|cx, n| -> Result<(), Cancelled> {
                    n.spawn(|_| {
                        kept.into_iter().for_each(Waker::wake);
                        Ok(())
                    });
                    cx.sleep(Duration::from_micros(50))
                })
                .unwrap();
            });
            assert_eq!(drops.into_inner(), 1);
            assert_eq!(siblings.into_inner(), 3);
            // And after the runtime has ended.
            wakers.into_inner().unwrap().into_iter().for_each(Waker::wake);
        }
    }
}

/// Wakers outlive their wait, their task and their runtime, on threads of their own; they wake nobody else.
///
/// spec: N16
#[test]
fn wakers_that_are_kept_do_nothing_after_the_end() {
    let kept = Arc::new(Mutex::new(Vec::<Waker>::new()));
    let hammer = {
        let kept = Arc::clone(&kept);
        std::thread::spawn(move || {
            while Arc::strong_count(&kept) > 1 {
                for waker in kept.lock().unwrap().iter() {
                    waker.wake_by_ref();
                }
            }
            kept.lock().unwrap().drain(..).for_each(Waker::wake);
        })
    };
    for round in 0..30 {
        run(1 + round % 3, |cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for _ in 0..4 {
                    n.spawn(|cx| {
                        let (frame, drops) = (Canary::new(), AtomicUsize::new(0));
                        cx.wait(Stubborn {
                            wakers: &kept,
                            polls_left: 2,
                            panics_when_dropped: false,
                            frame: &frame,
                            drops: &drops,
                        })?;
                        // A late wake must not end these.
                        let begun = cx.now();
                        cx.sleep(Duration::from_micros(20))?;
                        assert!(cx.now() >= begun + Duration::from_micros(20));
                        Ok(())
                    });
                }
                Ok(())
            })
            .unwrap();
        });
        let mut kept = kept.lock().unwrap();
        let surplus = kept.len().saturating_sub(24);
        kept.drain(..surplus);
    }
    drop(kept);
    hammer.join().unwrap();
}

/// A future that wakes itself from its own poll, and borrows cells of the task that waits for it.
///
/// spec: N16
#[test]
fn a_future_may_borrow_from_the_frames_of_its_task() {
    run(1, |cx| {
        let log = RefCell::new(Vec::new());
        let count = Cell::new(0);
        let sum = cx
            .wait(async {
                for n in 1..=10 {
                    count.set(count.get() + n);
                    let mut is_first = true;
                    std::future::poll_fn(|context| {
                        if std::mem::take(&mut is_first) {
                            context.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        Poll::Ready(())
                    })
                    .await;
                    log.borrow_mut().push(n);
                }
                count.get()
            })
            .unwrap();
        assert_eq!(sum, 55);
        assert_eq!(log.into_inner(), (1..=10).collect::<Vec<_>>());
    });
}
