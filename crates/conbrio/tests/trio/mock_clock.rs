//! The clock of tests.

use std::time::{Duration, Instant};

use conbrio::prelude::*;
use conbrio::testing::{MockClock, settle};
use conbrio::{Builder, Clock, SystemClock};

use crate::support::{Trace, panic_text, seconds};

// spec: test_mock_clock.mock_clock
#[test]
fn it_stands_still_until_it_is_told_to_move() {
    let clock = MockClock::new();
    assert_eq!(clock.elapsed(), Duration::ZERO);
    let start = clock.now();
    clock.jump(Duration::from_millis(1_500));
    clock.jump(Duration::ZERO);
    assert_eq!(clock.elapsed(), Duration::from_millis(1_500));
    assert_eq!(clock.now() - start, Duration::from_millis(1_500));
    // Standing still, it never reaches what lies ahead.
    assert_eq!(clock.real_time_until(start), Duration::ZERO);
    assert_eq!(clock.real_time_until(clock.now()), Duration::ZERO);
    assert_eq!(clock.real_time_until(clock.now() + seconds(1)), Duration::MAX);
}

// spec: test_mock_clock.mock_clock
#[test]
fn it_refuses_a_rate_that_is_none() {
    // conbrio: a jump is a `Duration`, so that it cannot go back.
    let clock = MockClock::new();
    for rate in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(panic_text(|| clock.set_rate(rate)).contains("rate"));
    }
    assert_eq!(clock.elapsed(), Duration::ZERO);
}

// spec: test_mock_clock.mock_clock
#[test]
fn it_runs_at_a_rate() {
    for rate in [0.5, 2.0, 1_000.0] {
        let before = Instant::now();
        let clock = MockClock::new();
        clock.jump(seconds(3));
        clock.set_rate(rate);
        let set = Instant::now();
        while clock.elapsed() == seconds(3) {
            std::hint::spin_loop();
        }
        let seen = Instant::now();
        let passed = (clock.elapsed() - seconds(3)).as_secs_f64();
        let after = Instant::now();
        let slack = 1e-6;
        assert!(passed <= (after - before).as_secs_f64() * rate + slack, "{passed} at {rate}");
        assert!(passed >= (seen - set).as_secs_f64() * rate - slack, "{passed} at {rate}");
        // The time to sleep is scaled; the clock runs on between the two lines, so it is at most that.
        let ahead = clock.real_time_until(clock.now() + seconds(10)).as_secs_f64();
        assert!(ahead <= 10.0 / rate && ahead > 9.0 / rate, "{ahead} at {rate}");
        clock.set_rate(0.0);
        let stopped = clock.elapsed();
        assert_eq!(clock.elapsed(), stopped);
    }
}

// spec: test_mock_clock.mock_clock
#[test]
fn tasks_that_sleep_follow_its_rate() {
    let clock = MockClock::new().rate(1_000.0);
    let real = Instant::now();
    Builder::new()
        .workers(2)
        .clock(clock.clone())
        .run(|cx| cx.sleep(seconds(10)))
        .unwrap()
        .unwrap();
    assert!(clock.elapsed() >= seconds(10));
    assert!(real.elapsed() >= Duration::from_millis(9));
}

// spec: test_mock_clock.mock_clock_autojump, test_mock_clock.mock_clock_autojump_preset
#[test]
fn it_jumps_over_sleeps_when_nothing_can_run() {
    for workers in [1, 2, 4] {
        let threshold = Duration::from_millis(u64::from(workers > 1));
        let clock = MockClock::new().autojump(threshold);
        let real = Instant::now();
        let builder = Builder::new().workers(workers).clock(clock.clone());
        builder
            .run(|cx| {
                let start = cx.now();
                let mut expected = Duration::ZERO;
                for step in 0..10 {
                    cx.sleep(seconds(10 * step)).unwrap();
                    expected += seconds(10 * step);
                    assert_eq!(cx.now() - start, expected);
                }
            })
            .unwrap();
        assert_eq!(clock.elapsed(), seconds(450));
        assert!(real.elapsed() < seconds(60));
    }
}

// spec: test_mock_clock.mock_clock_autojump
#[test]
fn settle_comes_before_a_jump() {
    let clock = MockClock::new().autojump(Duration::from_millis(20));
    let builder = Builder::new().workers(1).clock(clock.clone());
    builder
        .run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| cx.sleep(seconds(1)));
                settle(cx, Duration::ZERO)?;
                assert_eq!(clock.elapsed(), Duration::ZERO);
                settle(cx, Duration::from_millis(10))?;
                assert_eq!(clock.elapsed(), Duration::ZERO);
                Ok(())
            })
            .unwrap();
            assert_eq!(clock.elapsed(), seconds(1));
            // A change of the threshold takes effect at once, also while everything sleeps.
            clock.set_autojump(None);
            let changer = std::thread::spawn({
                let clock = clock.clone();
                move || clock.set_autojump(Some(Duration::ZERO))
            });
            cx.sleep(seconds(100_000)).unwrap();
            changer.join().unwrap();
        })
        .unwrap();
    assert_eq!(clock.elapsed(), seconds(100_001));
}

// spec: test_mock_clock.mock_clock_autojump_interference
#[test]
fn a_clock_of_nobody_does_not_interfere() {
    let clock = MockClock::new().autojump(Duration::from_millis(1));
    let stranger = MockClock::new().autojump(Duration::ZERO);
    let builder = Builder::new().workers(1).clock(clock.clone());
    builder
        .run(|cx| {
            cx.sleep(seconds(5)).unwrap();
            // If the stranger's threshold counted, the sleep would be over before the other is set.
            clock.set_autojump(None);
            stranger.set_autojump(Some(Duration::ZERO));
            let ended = cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| cx.sleep(seconds(5)));
                for _ in 0..3 {
                    settle(cx, Duration::ZERO)?;
                }
                assert_eq!(n.child_count(), 1);
                clock.jump(seconds(5));
                Ok(())
            });
            ended.unwrap();
        })
        .unwrap();
    assert_eq!(clock.elapsed(), seconds(10));
    assert_eq!(stranger.elapsed(), Duration::ZERO);
}

// spec: test_mock_clock.mock_clock_autojump_0_and_wait_all_tasks_blocked_0
#[test]
fn tasks_in_settle_go_on_before_sleepers() {
    let clock = MockClock::new().autojump(Duration::ZERO);
    let trace = Trace::new();
    let builder = Builder::new().workers(1).clock(clock.clone());
    builder
        .run(|cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                n.spawn(|cx| {
                    cx.sleep(seconds(100))?;
                    trace.push(("sleeper", clock.elapsed()));
                    Ok(())
                });
                n.spawn(|cx| {
                    settle(cx, Duration::ZERO)?;
                    trace.push(("settled", clock.elapsed()));
                    cx.sleep(seconds(1_000))?;
                    trace.push(("settled sleeper", clock.elapsed()));
                    Ok(())
                });
                Ok(())
            })
            .unwrap();
        })
        .unwrap();
    assert_eq!(
        trace.take(),
        [
            ("settled", Duration::ZERO),
            ("sleeper", seconds(100)),
            ("settled sleeper", seconds(1_000)),
        ]
    );
}

// spec: test_mock_clock.mock_clock_autojump_0_and_wait_all_tasks_blocked_nonzero
#[test]
fn a_cushion_of_settle_holds_up_the_clock() {
    let clock = MockClock::new().autojump(Duration::ZERO);
    let trace = Trace::new();
    let builder = Builder::new().workers(1).clock(clock.clone());
    builder
        .run(|cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                n.spawn(|cx| {
                    let real = Instant::now();
                    settle(cx, Duration::from_millis(15))?;
                    assert!(real.elapsed() >= Duration::from_millis(15));
                    trace.push(("settled", clock.elapsed()));
                    Ok(())
                });
                n.spawn(|cx| {
                    cx.sleep(seconds(100))?;
                    trace.push(("sleeper", clock.elapsed()));
                    Ok(())
                });
                Ok(())
            })
            .unwrap();
        })
        .unwrap();
    assert_eq!(trace.take(), [("settled", Duration::ZERO), ("sleeper", seconds(100))]);
}

// spec: test_mock_clock.initialization_doesnt_mutate_runner
#[test]
fn making_a_clock_changes_nothing_for_a_runtime() {
    Builder::new()
        .workers(1)
        .clock(SystemClock)
        .run(|cx| {
            let stranger = MockClock::new().autojump(Duration::ZERO);
            stranger.jump(seconds(1_000_000));
            let info = cx.runtime();
            assert!(!info.clock.is_virtual());
            let before = Instant::now();
            cx.sleep(Duration::from_millis(1)).unwrap();
            assert!(before.elapsed() >= Duration::from_millis(1), "real time, not the stranger's");
            assert!(cx.now() >= before && cx.now() <= Instant::now());
        })
        .unwrap();
}
