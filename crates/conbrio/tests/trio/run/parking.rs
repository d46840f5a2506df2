//! The waist: parking, unparking, and what a wait answers to a cancellation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conbrio::lowlevel::{Abort, Finish, Unparker, Wait, in_task};
use conbrio::prelude::*;
use conbrio::testing::settle;
use conbrio::{Builder, Clock, Idle};

use crate::support::{Fault, Mailbox, Trace, on_all_workers, on_one_worker, panic_text, seconds};

// spec: test_run.reschedule
#[test]
fn tasks_hand_each_other_values_and_errors_and_wake_each_other() {
    on_all_workers(|cx| {
        type Letters = Mailbox<Result<u32, Fault>>;
        let (to_a, to_b) = (Letters::new(), Letters::new());
        let trace = Trace::new();
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                // A value is returned from the wait, an error is raised there.
                trace.push(to_a.receive(cx)?.map_err(|fault: Fault| fault.name()));
                to_b.send(Ok(2));
                trace.push(to_a.receive(cx)?.map_err(|fault: Fault| fault.name()));
                to_b.send(Err(Fault::Named("four")));
                Ok(())
            });
            n.spawn(|cx| {
                settle(cx, Duration::ZERO)?;
                to_a.send(Ok(1));
                trace.push(to_b.receive(cx)?.map_err(|fault: Fault| fault.name()));
                to_a.send(Err(Fault::Named("three")));
                trace.push(to_b.receive(cx)?.map_err(|fault: Fault| fault.name()));
                Ok(())
            });
            Ok(())
        })
        .unwrap();
        assert_eq!(trace.take(), [Ok(1), Ok(2), Err("three"), Err("four")]);
    });
}

// spec: test_run.failed_abort
#[test]
fn a_wait_that_cannot_be_called_off_delivers_and_the_next_wait_fails() {
    on_all_workers(|cx| {
        let start = cx.now();
        let mailbox = Mailbox::with_abort(Abort::Pending, Finish::Completed);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                assert_eq!(mailbox.receive(cx).unwrap(), "delivered");
                assert_eq!(cx.now() - start, seconds(3));
                let cancelled = cx.sleep_forever().unwrap_err();
                assert_eq!(cancelled.reason(), Some("too late"));
                Err::<(), _>(cancelled)
            });
            cx.sleep(seconds(1))?;
            n.cancel_with("too late");
            cx.shield(|cx| -> Result<(), Cancelled> {
                cx.sleep(seconds(2))?;
                assert_eq!(n.child_count(), 1, "the cancellation has not ended the wait");
                assert_eq!(mailbox.aborts(), 1);
                mailbox.send("delivered");
                Ok(())
            })
        })
        .unwrap();
        assert_eq!(cx.now() - start, seconds(3));
    });
}

// spec: test_run.slow_abort_basic, S42
#[test]
fn a_wait_that_is_called_off_slowly_fails_when_it_has_ended() {
    on_all_workers(|cx| {
        let start = cx.now();
        let mailbox = Mailbox::<()>::with_abort(Abort::Pending, Finish::Cancelled);
        let ended = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.nursery(|cx, n| -> Result<(), Fault> {
                n.spawn(|cx| {
                    settle(cx, Duration::ZERO)?;
                    handle.cancel_with("slowly");
                    cx.shield(|cx| cx.sleep(seconds(5)))?;
                    mailbox.send(());
                    Ok(())
                });
                let cancelled = mailbox.receive(cx).unwrap_err();
                assert_eq!(cancelled.reason(), Some("slowly"));
                assert_eq!(cx.now() - start, seconds(5));
                Err(cancelled.into())
            })
        });
        assert!(matches!(ended, Ok(None)), "{ended:?}");
    });
}

// spec: test_run.slow_abort_edge_cases, S42
#[test]
fn a_wait_is_called_off_once_and_reports_it_although_a_shield_came_up() {
    on_all_workers(|cx| {
        let mailbox = Mailbox::<()>::with_abort(Abort::Pending, Finish::Cancelled);
        let trace = Trace::new();
        let ended = cx.cancel_scope(|cx, outer| {
            let outer = outer.handle();
            cx.cancel_scope(|cx, shielding| {
                let shielding = shielding.handle();
                cx.nursery(|cx, n| -> Result<(), Fault> {
                    n.spawn(|cx| {
                        let cancelled = mailbox.receive(cx).unwrap_err();
                        trace.push(cancelled.reason().unwrap().to_owned());
                        // The next wait is under the shield.
                        cx.sleep(seconds(1)).unwrap();
                        trace.push("shielded".to_owned());
                        Err::<(), _>(cancelled.into())
                    });
                    settle(cx, Duration::ZERO)?;
                    outer.cancel_with("first");
                    outer.cancel_with("second");
                    cx.shield(|cx| settle(cx, Duration::ZERO))?;
                    assert_eq!(mailbox.aborts(), 1);
                    shielding.set_shield(true);
                    cx.sleep(seconds(1)).unwrap();
                    assert_eq!((mailbox.aborts(), n.child_count()), (1, 1));
                    mailbox.send(());
                    Ok(())
                })
            })
        });
        assert!(matches!(ended, Ok(None)), "{ended:?}");
        assert_eq!(trace.take(), ["first", "shielded"]);
    });
}

/// A wait that panics in one of its methods.
struct Broken<'a> {
    in_arm: bool,
    unparker: &'a Mailbox<Unparker>,
}

impl Wait for Broken<'_> {
    fn arm(&mut self, unparker: Unparker) {
        self.unparker.send(unparker);
        assert!(!self.in_arm, "broken arm");
    }

    fn abort(&mut self) -> Abort {
        panic!("broken abort")
    }
}

// spec: test_run.broken_abort, N4
#[test]
fn a_wait_that_panics_is_over_and_what_is_left_of_it_wakes_nobody() {
    // conbrio: an abort cannot answer nonsense; what is left is that it panics.
    on_all_workers(|cx| {
        for in_arm in [true, false] {
            let kept = Mailbox::new();
            let text = panic_text(|| {
                cx.move_on_after(seconds(1), |cx| {
                    cx.park_on(&mut Broken { in_arm, unparker: &kept })
                })
            });
            assert_eq!(text, if in_arm { "broken arm" } else { "broken abort" });
            let stale = kept.receive(cx).unwrap();
            let start = cx.now();
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| {
                    cx.sleep(seconds(1))?;
                    stale.unpark();
                    Ok(())
                });
                cx.sleep(seconds(2))
            })
            .unwrap();
            assert_eq!(cx.now() - start, seconds(2));
        }
    });
}

// spec: test_run.Task_custom_sleep_data, test_timeouts.cannot_wake_sleep_forever
#[test]
fn what_belongs_to_one_wait_cannot_end_the_next() {
    // conbrio: an unparker ends the wait that it was made for, and no other.
    on_all_workers(|cx| {
        let start = cx.now();
        let mailbox = Mailbox::<()>::new();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                let ended = cx.move_on_after(seconds(1), |cx| mailbox.receive(cx))?;
                assert_eq!(ended, None);
                let ended = cx.move_on_after(seconds(5), |cx| cx.sleep_forever())?;
                assert_eq!(ended, None, "it slept until the deadline");
                assert_eq!(cx.now() - start, seconds(6));
                Ok(())
            });
            cx.sleep(seconds(2))?;
            mailbox.take_unparker().expect("the wait has left it").unpark();
            Ok(())
        })
        .unwrap();
        assert_eq!(cx.now() - start, seconds(6));
    });
}

// spec: test_run.reschedule
#[test]
fn a_wake_that_came_first_wins_over_a_cancellation() {
    on_one_worker(|cx| {
        let mailbox = Mailbox::new();
        let ended = cx.cancel_scope(|cx, scope| -> Result<u32, Fault> {
            let handle = scope.handle();
            cx.nursery(|cx, n| -> Result<u32, Fault> {
                let (mailbox, handle) = (&mailbox, &handle);
                n.spawn_local(cx, move |_| {
                    mailbox.send(9);
                    handle.cancel();
                    Ok(())
                });
                let value = mailbox.receive(cx).expect("it was woken before it was cancelled");
                assert!(cx.checkpoint().is_err(), "the cancellation shows at the next wait");
                Ok(value)
            })
            .map_err(Fault::from)
        });
        assert!(matches!(ended, Ok(Some(9))), "{ended:?}");
        assert_eq!(mailbox.aborts(), 0);
    });
}

/// A clock that panics where the scheduler asks it.
#[derive(Debug)]
struct BrokenClock;

impl Clock for BrokenClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn on_idle(&self, _next: Option<Instant>, _idle: Duration) -> Idle {
        panic!("the clock is broken");
    }

    fn on_change(&self, _changed: Arc<dyn Fn() + Send + Sync>) {}

    fn is_virtual(&self) -> bool {
        true
    }
}

const CHILD_PROCESS: &str = "CONBRIO_TEST_BROKEN_CLOCK";

// spec: test_run.error_in_run_loop, N4
#[test]
fn a_scheduler_that_panics_ends_the_process_with_a_message() {
    if std::env::var_os(CHILD_PROCESS).is_some() {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            Builder::new().workers(1).clock(BrokenClock).run(|cx| cx.sleep(seconds(1)))
        }));
        // Not reached: tasks may borrow from each other, so that nothing may go on.
        return;
    }
    let name = "run::parking::a_scheduler_that_panics_ends_the_process_with_a_message";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD_PROCESS, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("the clock is broken") && text.contains("scheduler"), "{text}");
}

// spec: test_run.trio_context_detection
#[test]
fn code_without_cx_can_tell_whether_it_is_called_by_a_task() {
    struct Asked(Option<bool>);
    impl Wait for Asked {
        fn arm(&mut self, unparker: Unparker) {
            // Kept by nobody: only the cancellation ends this wait.
            drop(unparker);
        }

        fn abort(&mut self) -> Abort {
            self.0 = Some(in_task());
            Abort::Succeeded
        }
    }
    fn plain_function() -> bool {
        in_task()
    }

    assert!(!in_task());
    on_all_workers(|cx| {
        assert!(plain_function());
        assert!(!cx.blocking(plain_function).unwrap());
        assert!(!std::thread::scope(|scope| scope.spawn(plain_function).join().unwrap()));
        let mut asked = Asked(None);
        let outcome = cx.move_on_after(seconds(1), |cx| cx.park_on(&mut asked));
        assert!(matches!(outcome, Ok(None)));
        assert_eq!(asked.0, Some(true));
        assert!(cx.on_thread_stack(plain_function));
    });
    conbrio::testing::run(|cx| assert!(!cx.blocking(plain_function).unwrap()));
    assert!(!in_task());
}
