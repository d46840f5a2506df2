//! Waiting until everybody waits.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::{MockClock, Sequencer, SequencerBroken, settle};

// spec: test_testing.wait_all_tasks_blocked
#[test]
fn it_returns_only_after_a_busy_task() {
    for workers in [1, 2] {
        let steps = AtomicU32::new(0);
        let settled = AtomicU32::new(0);
        conbrio::Builder::new()
            .workers(workers)
            .run(|cx| {
                cx.nursery(|cx, n| -> Result<(), Cancelled> {
                    n.spawn(|cx| {
                        for _ in 0..10 {
                            cx.yield_now()?;
                            steps.fetch_add(1, Ordering::SeqCst);
                        }
                        cx.sleep_forever()
                    });
                    // Several may wait, and all of them go on.
                    let mut others: Vec<_> = (0..3)
                        .map(|_| {
                            n.spawn(|cx| {
                                settle(cx, Duration::ZERO)?;
                                assert_eq!(steps.load(Ordering::SeqCst), 10);
                                settled.fetch_add(1, Ordering::SeqCst);
                                Ok(())
                            })
                        })
                        .collect();
                    settle(cx, Duration::ZERO)?;
                    assert_eq!(steps.load(Ordering::SeqCst), 10);
                    for other in &mut others {
                        other.join(cx)?;
                    }
                    n.cancel();
                    Ok(())
                })
            })
            .unwrap()
            .unwrap();
        assert_eq!(settled.load(Ordering::SeqCst), 3);
    }
}

// spec: test_testing.wait_all_tasks_blocked
#[test]
fn it_can_be_cancelled() {
    conbrio::run(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            // Somebody is always busy.
            n.spawn(|cx| -> Result<(), Cancelled> {
                loop {
                    cx.yield_now()?;
                }
            });
            let outcome =
                cx.move_on_after(Duration::from_millis(1), |cx| settle(cx, Duration::ZERO))?;
            assert_eq!(outcome, None);
            n.cancel();
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_testing.wait_all_tasks_blocked_with_timeouts
#[test]
fn sleepers_count_as_blocked() {
    let clock = MockClock::new();
    let record = Mutex::new(Vec::new());
    conbrio::Builder::new()
        .clock(clock.clone())
        .run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| {
                    record.lock().unwrap().push("starts");
                    let slept =
                        cx.move_on_after(Duration::from_secs(3600), |cx| cx.sleep_forever())?;
                    record.lock().unwrap().push("ends");
                    assert_eq!(slept, None);
                    Ok(())
                });
                settle(cx, Duration::ZERO)?;
                assert_eq!(*record.lock().unwrap(), ["starts"]);
                clock.jump(Duration::from_secs(3600));
                settle(cx, Duration::ZERO)?;
                assert_eq!(*record.lock().unwrap(), ["starts", "ends"]);
                Ok(())
            })
            .unwrap();
        })
        .unwrap();
}

// Somebody is busy now and then. Who asks for a longer quiet goes on later.
// spec: test_testing.wait_all_tasks_blocked_with_cushion
#[test]
fn the_shortest_cushion_goes_first() {
    const SMALL: Duration = Duration::from_millis(3);
    const BIG: Duration = Duration::from_millis(25);
    for workers in [1, 2] {
        let record = Mutex::new(Vec::new());
        conbrio::Builder::new()
            .workers(workers)
            .run(|cx| {
                cx.nursery(|_, n| -> Result<(), Cancelled> {
                    n.spawn(|cx| {
                        for _ in 0..3 {
                            cx.sleep(Duration::from_millis(10))?;
                        }
                        Ok(())
                    });
                    let cushions = [
                        ("big", BIG),
                        ("small", SMALL),
                        ("small", SMALL),
                        ("none", Duration::ZERO),
                    ];
                    for (name, cushion) in cushions {
                        let record = &record;
                        n.spawn(move |cx| {
                            settle(cx, cushion)?;
                            record.lock().unwrap().push(name);
                            Ok(())
                        });
                    }
                    Ok(())
                })
                .unwrap();
            })
            .unwrap();
        assert_eq!(record.into_inner().unwrap(), ["none", "small", "small", "big"]);
    }
}

// Who is cancelled does not wait any more: time would stand still for its sake, until its cushion is over.
// spec: test_testing.wait_all_tasks_blocked_with_cushion
#[test]
fn time_goes_on_when_whoever_settles_is_cancelled() {
    const FAR_LONGER: Duration = Duration::from_secs(3600);
    const LIMIT: Duration = Duration::from_secs(20);
    for workers in [1, 2] {
        let clock = MockClock::new().autojump(Duration::ZERO);
        let rescuer = clock.clone();
        let (send_done, done) = std::sync::mpsc::channel();
        // What stands still is moved by hand, so that the test fails and does not hang.
        let thread = std::thread::spawn(move || {
            let stood_still = done.recv_timeout(LIMIT).is_err();
            if stood_still {
                rescuer.jump(FAR_LONGER);
            }
            stood_still
        });
        let run = conbrio::Builder::new().workers(workers).clock(clock).run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let child = n.spawn(|cx| settle(cx, FAR_LONGER));
                settle(cx, Duration::ZERO)?;
                assert!(!child.is_finished());
                child.cancel();
                cx.sleep(Duration::from_secs(1))
            })
        });
        run.unwrap().unwrap();
        // The other end is gone if it has waited for too long.
        let _ = send_done.send(());
        assert!(!thread.join().unwrap(), "time stood still");
    }
}

// A step that a sequencer holds back is a wait like any other.
#[test]
fn waiting_steps_are_quiet() {
    conbrio::run(|cx| {
        let seq = Sequencer::new();
        let taken = AtomicU32::new(0);
        cx.nursery(|cx, n| -> Result<(), OrCancelled<SequencerBroken>> {
            n.spawn(|cx| {
                seq.step(cx, 1, |_| taken.fetch_add(1, Ordering::SeqCst))?;
                Ok(())
            });
            settle(cx, Duration::ZERO)?;
            assert_eq!(taken.load(Ordering::SeqCst), 0);
            seq.step(cx, 0, |_| ())
        })
        .unwrap();
        assert_eq!(taken.into_inner(), 1);
    });
}
