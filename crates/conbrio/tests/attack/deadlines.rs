//! Deadlines that are moved while they fire, and clocks that misbehave.

use std::time::{Duration, Instant};

use conbrio::testing::{MockClock, settle};
use conbrio::{Builder, Clock, Cx};

use crate::child_process::in_child;
use crate::support::{Fault, run_with};

/// Two alarms of one task fire in one batch. The first makes the task look at its requests, and one of
/// them has moved the deadline that the second alarm belongs to: the new alarm must be the one that the
/// scope takes back when it is left, or it would fire into a frame that is gone.
///
/// spec: N1
#[test]
fn a_deadline_moved_while_it_fires_leaves_no_alarm_behind() {
    let clock = MockClock::new();
    let handle_of_time = clock.clone();
    let builder = Builder::new().workers(1).clock(clock);
    let moved = run_with(builder, move |cx| {
        let ms = Duration::from_millis;
        let later = cx.now() + ms(50);
        let inner = cx.move_on_after(ms(10), |cx| {
            cx.cancel_scope(|_, inner| -> Result<bool, Fault> {
                inner.set_timeout(ms(10));
                let handle = inner.handle();
                // From another thread, so that the request waits until the task looks for it.
                std::thread::spawn(move || handle.set_deadline(Some(later))).join().unwrap();
                handle_of_time.jump(ms(20));
                Ok(inner.is_cancelled())
            })
        });
        let inner_was_cancelled = inner.unwrap().flatten().unwrap();
        scribble(cx);
        // The moved deadline passes when its frame has long been used for something else.
        handle_of_time.jump(ms(100));
        scribble(cx);
        cx.yield_now().unwrap();
        inner_was_cancelled
    });
    assert!(!moved, "the deadline was moved before it had passed");
}

/// Two scopes move their deadlines in turns, without the task ever being stopped: more alarms than the
/// short list of new ones holds, taken back out of order. The last deadline of each counts, and none
/// fires into a frame that is gone.
///
/// spec: N1
#[test]
fn deadlines_moved_in_turns_leave_the_last_ones_and_no_alarms_behind() {
    let clock = MockClock::new();
    let time = clock.clone();
    let builder = Builder::new().workers(1).clock(clock);
    let outcomes = run_with(builder, move |cx| {
        let ms = Duration::from_millis;
        let outcomes = cx.cancel_scope(|cx, outer| -> Result<_, Fault> {
            let inner = cx.cancel_scope(|cx, inner| -> Result<_, Fault> {
                for step in 0..100 {
                    outer.set_timeout(ms(300 - step));
                    inner.set_timeout(ms(200 - step));
                }
                time.jump(ms(100));
                let early = inner.is_cancelled();
                time.jump(ms(2));
                let late = cx.yield_now().is_err();
                Ok((early, late, outer.is_cancelled()))
            });
            scribble(cx);
            time.jump(ms(200));
            Ok((inner?, outer.is_cancelled()))
        });
        scribble(cx);
        time.jump(ms(1_000));
        cx.yield_now().unwrap();
        outcomes.unwrap().unwrap()
    });
    assert_eq!(outcomes, (Some((false, true, false)), true));
}

/// Fills the stack below the caller, where a frame that has ended was.
#[inline(never)]
fn scribble(cx: &mut Cx) {
    let mut frames = [0x5A_u8; 8 * 1024];
    cx.checkpoint().unwrap();
    std::hint::black_box(&mut frames);
}

/// A clock that panics when it is told to.
#[derive(Debug, Default)]
struct Moody {
    angry: std::sync::atomic::AtomicBool,
}

impl Clock for &'static Moody {
    fn now(&self) -> Instant {
        assert!(!self.angry.load(std::sync::atomic::Ordering::SeqCst), "no time");
        Instant::now()
    }
}

/// The runtime asks the clock in places from which nothing may unwind (a scope is half entered or left).
/// spec: N4
#[test]
fn a_clock_that_panics_ends_the_process() {
    let outcome = in_child("deadlines::a_clock_that_panics_ends_the_process", || {
        let moody: &'static Moody = Box::leak(Box::default());
        let _ = Builder::new().workers(1).clock(moody).run(|cx| {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                cx.cancel_scope(|_, scope| -> Result<(), Fault> {
                    let handle = scope.handle();
                    std::thread::spawn(move || {
                        handle.set_deadline(Some(Instant::now() + Duration::from_secs(9)));
                    })
                    .join()
                    .unwrap();
                    moody.angry.store(true, std::sync::atomic::Ordering::SeqCst);
                    Ok(())
                })
            }));
            moody.angry.store(false, std::sync::atomic::Ordering::SeqCst);
            assert!(result.is_err(), "the clock was asked");
            let _ = cx.yield_now();
        });
    });
    outcome.assert_aborted().assert_says("the clock");
}

/// Time jumps only in moments in which really nothing can run: not while a blocking call ends.
/// spec: N14
#[test]
fn virtual_time_stands_still_while_a_blocking_call_ends() {
    let clock = MockClock::new().autojump(Duration::ZERO);
    let builder = Builder::new().workers(4).clock(clock.clone());
    run_with(builder, move |cx| {
        cx.nursery(|cx, n| -> Result<(), Fault> {
            n.spawn(|cx| {
                Ok(cx
                    .move_on_after(Duration::from_secs(3600), |cx| cx.sleep_forever())
                    .map(|_| ())?)
            });
            for _ in 0..100 {
                cx.blocking(std::thread::yield_now)?;
                assert_eq!(clock.elapsed(), Duration::ZERO);
            }
            n.cancel();
            Ok(())
        })
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
}

/// Many tasks settle at once, some are cancelled while they do: nobody is forgotten.
/// spec: N14
#[test]
fn settling_and_being_cancelled_at_once_forgets_nobody() {
    for workers in [1, 3] {
        let builder = Builder::new().workers(workers);
        run_with(builder, |cx| {
            for round in 0..40_u64 {
                let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                    for task in 0..4 {
                        n.spawn(move |cx| {
                            let limit = Duration::from_micros(20 * ((round + task) % 5));
                            cx.move_on_after(limit, |cx| settle(cx, Duration::ZERO))?;
                            Ok(settle(cx, Duration::ZERO)?)
                        });
                    }
                    Ok(settle(cx, Duration::ZERO)?)
                });
                outcome.unwrap();
            }
        });
    }
}
