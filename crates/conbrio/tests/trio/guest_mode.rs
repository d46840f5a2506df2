//! What the suite of guest mode says of clocks and deadlines. There is no guest mode; a thread outside of
//! the runtime takes the place of the host, and does its part while every worker sleeps.

use std::sync::mpsc;
use std::time::Duration;

use conbrio::testing::{MockClock, settle};
use conbrio::{Builder, Cancelled};

use crate::support::seconds;

/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

// spec: test_guest_mode.host_altering_deadlines_wakes_trio_up
#[test]
fn a_deadline_that_is_set_outside_wakes_a_sleeping_runtime() {
    for workers in [1, 2] {
        let start = std::time::Instant::now();
        let run = Builder::new().workers(workers).run(|cx| {
            cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
                let handle = scope.handle();
                let past = cx.now();
                std::thread::scope(|s| {
                    s.spawn(move || {
                        // A change that means nothing, and then one that does.
                        handle.set_deadline(Some(past + seconds(9_999)));
                        handle.set_deadline(None);
                        handle.set_deadline(Some(past));
                    });
                });
                cx.sleep_forever()
            })
        });
        assert_eq!(run.unwrap().unwrap(), None);
        // The same, when the worker sleeps already: it has told so by becoming quiet.
        let clock = MockClock::new();
        let run = Builder::new().workers(workers).clock(clock).run(|cx| {
            let (send_handle, handles) = mpsc::channel::<conbrio::CancelHandle>();
            let now = cx.now();
            let host = std::thread::spawn(move || {
                let handle = handles.recv_timeout(LIMIT).unwrap();
                handle.set_deadline(Some(now + seconds(9_999)));
                handle.set_deadline(Some(now));
            });
            let outcome = cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let mut sleeper = n.spawn(move |cx| {
                    let ended = cx.cancel_scope(|cx, scope| {
                        send_handle.send(scope.handle()).unwrap();
                        cx.sleep_forever()
                    })?;
                    assert_eq!(ended, None);
                    Ok(())
                });
                sleeper.join(cx)
            });
            host.join().unwrap();
            outcome
        });
        run.unwrap().unwrap();
        assert!(start.elapsed() < LIMIT);
    }
}

// spec: test_guest_mode.host_wakeup_doesnt_trigger_wait_all_tasks_blocked
#[test]
fn a_wake_up_without_work_does_not_make_a_moment_quiet() {
    const FAR_LONGER: Duration = Duration::from_secs(9_999);
    for workers in [1, 2] {
        let run = Builder::new().workers(workers).run(|cx| {
            cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
                let handle = scope.handle();
                cx.nursery(|cx, n| -> Result<(), Cancelled> {
                    n.spawn(move |cx| {
                        settle(cx, Duration::ZERO)?;
                        cx.blocking(|| {
                            // Each change wakes the worker, which finds nothing to do.
                            for _ in 0..100 {
                                handle.set_deadline(None);
                                std::thread::yield_now();
                            }
                            handle.cancel();
                        })
                    });
                    let settled = settle(cx, FAR_LONGER);
                    assert!(settled.is_err(), "it was not quiet for so long");
                    settled
                })
                .map_err(|_| cx.checkpoint().unwrap_err())
            })
        });
        assert_eq!(run.unwrap().unwrap(), None);
    }
}

// spec: test_guest_mode.guest_mode_autojump_clock_threshold_changing
#[test]
fn a_threshold_that_is_changed_outside_lets_time_jump() {
    for workers in [1, 2] {
        let start = std::time::Instant::now();
        let clock = MockClock::new();
        let (tell, told) = mpsc::channel();
        let host_clock = clock.clone();
        let host = std::thread::spawn(move || {
            told.recv_timeout(LIMIT).unwrap();
            // Too long, and then not: the runtime sleeps, and nothing else wakes it.
            host_clock.set_autojump(Some(Duration::from_secs(9_999)));
            host_clock.set_autojump(Some(Duration::ZERO));
        });
        let run = Builder::new().workers(workers).clock(clock.clone()).run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| cx.sleep(seconds(9_999)));
                settle(cx, Duration::ZERO)?;
                tell.send(()).unwrap();
                Ok(())
            })
        });
        run.unwrap().unwrap();
        host.join().unwrap();
        assert_eq!(clock.elapsed(), seconds(9_999));
        assert!(start.elapsed() < LIMIT);
    }
}
