//! Who is cancelled, when, and what becomes of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use conbrio::CancelSource;
use conbrio::lowlevel::{Abort, Unparker, Wait};
use conbrio::prelude::*;
use conbrio::testing::settle;

use crate::support::{Fault, Trace, names, on_all_workers, on_one_worker, seconds};

/// A wait that must not begin.
struct Unbegun;

impl Wait for Unbegun {
    fn arm(&mut self, _unparker: Unparker) {
        panic!("a wait of a cancelled task must not begin");
    }

    fn abort(&mut self) -> Abort {
        Abort::Succeeded
    }
}

type Waiting = fn(&mut Cx) -> Result<(), Cancelled>;

const WAITS: &[(&str, Waiting)] = &[
    ("checkpoint", |cx| cx.checkpoint()),
    ("checkpoint_if_cancelled", |cx| cx.checkpoint_if_cancelled()),
    ("yield_now", |cx| cx.yield_now()),
    ("sleep zero", |cx| cx.sleep(Duration::ZERO)),
    ("sleep", |cx| cx.sleep(seconds(1))),
    ("sleep_until past", |cx| cx.sleep_until(cx.now())),
    ("sleep_until", |cx| cx.sleep_until(cx.now() + seconds(1))),
    ("sleep_forever", |cx| cx.sleep_forever()),
    ("interval", |cx| cx.interval(seconds(1)).tick(cx).map(|_| ())),
    ("wait_shutdown", |cx| cx.wait_shutdown()),
    ("settle", |cx| settle(cx, Duration::ZERO)),
    ("blocking", |cx| cx.blocking(|| panic!("must not begin"))),
    ("park_on", |cx| cx.park_on(&mut Unbegun)),
];

// spec: test_run.cancel_points
#[test]
fn everything_that_waits_sees_a_cancellation_at_once() {
    on_all_workers(|cx| {
        let start = cx.now();
        for (name, wait) in WAITS {
            let ended = cx.cancel_scope(|cx, scope| {
                scope.cancel_with(*name);
                let cancelled = wait(cx).expect_err(name);
                assert_eq!(cancelled.reason(), Some(*name));
                Err::<(), _>(cancelled)
            });
            assert!(matches!(ended, Ok(None)), "{name}: {ended:?}");
        }
        assert_eq!(cx.now(), start, "none of them has waited");
    });
}

// spec: test_run.cancel_points
#[test]
fn join_sees_a_cancellation_even_if_the_child_has_ended() {
    on_all_workers(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.spawn(|_| Ok(4));
            settle(cx, Duration::ZERO)?;
            assert!(child.is_finished());
            let ended = cx.cancel_scope(|cx, scope| {
                scope.cancel();
                child.join(cx)
            })?;
            assert_eq!(ended, None);
            // The cancellation had no effect: the value is still there.
            assert_eq!(child.join(cx)?, 4);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_run.cancel_points
#[test]
fn giving_way_shielded_never_fails() {
    on_one_worker(|cx| {
        let steps = Trace::new();
        let ended = cx.cancel_scope(|cx, scope| -> Result<(), Fault> {
            scope.cancel();
            cx.shield(|cx| {
                cx.nursery(|cx, n| -> Result<(), Cancelled> {
                    n.spawn_local(cx, |_| {
                        steps.push("other");
                        Ok(())
                    });
                    cx.yield_shielded();
                    steps.push("after giving way");
                    Ok(())
                })
            })
            .unwrap();
            for _ in 0..1_000 {
                cx.yield_shielded();
            }
            cx.shield(|cx| cx.checkpoint().and_then(|()| cx.yield_now())).unwrap();
            cx.checkpoint()?;
            Ok(())
        });
        assert!(matches!(ended, Ok(None)));
        assert_eq!(steps.take(), ["other", "after giving way"]);
    });
}

// spec: test_run.cancel_edge_cases
#[test]
fn cancelling_twice_is_cancelling_once() {
    on_one_worker(|cx| {
        let ended = cx.cancel_scope(|cx, scope| {
            scope.cancel_with("first");
            scope.cancel_with("second");
            scope.handle().cancel_with("third");
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(cancelled.reason(), Some("first"));
            Err::<(), _>(cancelled)
        });
        assert!(matches!(ended, Ok(None)));
        // Nothing of it is left.
        cx.sleep(seconds(1)).unwrap();
    });
}

// spec: test_run.cancel_edge_cases, S37
#[test]
fn every_wait_in_a_cancelled_scope_fails_until_the_scope_ends() {
    on_all_workers(|cx| {
        let start = cx.now();
        let ended = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.nursery(|cx, n| -> Result<(), Fault> {
                n.spawn(move |cx| {
                    cx.sleep(seconds(2))?;
                    handle.cancel();
                    Ok(())
                });
                // The wait that is under way is ended, and every later one fails at once.
                assert!(cx.sleep_forever().is_err());
                for _ in 0..3 {
                    assert!(cx.sleep_forever().is_err());
                    assert!(cx.sleep(seconds(1)).is_err());
                }
                cx.sleep_forever()?;
                Ok(())
            })
        });
        assert!(matches!(ended, Ok(None)), "{ended:?}");
        assert_eq!(cx.now() - start, seconds(2));
        cx.sleep(seconds(1)).unwrap();
    });
}

// spec: test_run.cancel_scope_exceptiongroup_filtering
#[test]
fn a_nursery_in_a_cancelled_scope_reports_real_errors_only() {
    on_all_workers(|cx| {
        let ended = cx.cancel_scope(|cx, outer| -> Result<(), NurseryError<Fault>> {
            let outer = outer.handle();
            cx.nursery(|cx, n| {
                // Stopped by the nursery's own cancellation, or the outer one: either is none of ours.
                n.spawn(|cx| cx.sleep_forever().map_err(Fault::from));
                n.spawn(|cx| {
                    cx.sleep(seconds(1))?;
                    Err::<(), _>(Fault::Named("key"))
                });
                n.spawn(move |cx| {
                    let error = cx.sleep_forever().map_err(Fault::from);
                    outer.cancel();
                    cx.checkpoint()?;
                    error
                });
                cx.sleep_forever().map_err(Fault::from)
            })
        });
        // The error passes the cancelled scope: it is not absorbed.
        assert_eq!(names(ended), ["key"]);
    });
}

// spec: test_run.cancel_scope_no_cancellederror
#[test]
fn errors_pass_a_cancelled_scope_whole() {
    on_all_workers(|cx| {
        let ended = cx.cancel_scope(|cx, scope| -> Result<(), NurseryError<Fault>> {
            scope.cancel();
            cx.nursery(|_, n| {
                n.spawn(|_| Err::<(), _>(Fault::Named("child")));
                Err(Fault::Named("body"))
            })
        });
        let mut names = names(ended);
        names.sort_unstable();
        assert_eq!(names, ["body", "child"]);
    });
}

// spec: test_run.precancelled_task
#[test]
fn a_child_of_a_cancelled_nursery_begins_and_is_stopped_at_its_first_wait() {
    on_all_workers(|cx| {
        let trace = Trace::new();
        let result = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.cancel();
            n.spawn(|cx| {
                trace.push("spawned");
                let result = cx.sleep_forever();
                trace.push("stopped");
                result
            });
            // A child that never waits runs to its end.
            let mut quick = n.spawn(|_| {
                trace.push("quick");
                Ok(5)
            });
            cx.shield(|cx| {
                assert_eq!(quick.join(cx).unwrap(), 5);
            });
            Ok(())
        });
        result.unwrap();
        let mut events = trace.take();
        events.sort_unstable();
        assert_eq!(events, ["quick", "spawned", "stopped"]);
    });
}

// spec: test_run.cancel_inheritance
#[test]
fn a_cancellation_reaches_grandchildren() {
    on_all_workers(|cx| {
        let stopped = AtomicU32::new(0);
        let start = cx.now();
        let result = cx.nursery(|cx, n| -> Result<(), Fault> {
            for _ in 0..2 {
                n.spawn(|cx| -> Result<(), Fault> {
                    cx.nursery(|_, n| -> Result<(), Fault> {
                        for _ in 0..2 {
                            n.spawn(|cx| {
                                let cancelled = cx.sleep_forever().unwrap_err();
                                assert_eq!(cancelled.reason(), Some("from the top"));
                                stopped.fetch_add(1, Ordering::Relaxed);
                                Err::<(), _>(cancelled.into())
                            });
                        }
                        Ok(())
                    })?;
                    Ok(())
                });
            }
            cx.sleep(seconds(1))?;
            n.cancel_with("from the top");
            Ok(())
        });
        result.unwrap();
        assert_eq!(stopped.into_inner(), 4);
        assert_eq!(cx.now() - start, seconds(1));
    });
}

fn nest(cx: &mut Cx, depth: u32, bottom: &dyn Fn(&mut Cx)) -> Result<u32, Cancelled> {
    if depth == 0 {
        bottom(cx);
        cx.sleep_forever()?;
        return Ok(0);
    }
    match cx.cancel_scope(|cx, _| nest(cx, depth - 1, bottom))? {
        Some(below) => Ok(below + 1),
        None => panic!("a scope that was not cancelled has caught"),
    }
}

// spec: test_run.very_deep_cancel_scope_nesting
#[test]
fn thousands_of_nested_scopes_are_cancelled_from_the_outermost() {
    on_one_worker(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.task("deep").stack_size(64 << 20).spawn(|cx| {
                cx.cancel_scope(|cx, outermost| {
                    let handle = outermost.handle();
                    nest(cx, 5_000, &|cx| {
                        assert!(cx.checkpoint().is_ok());
                        handle.cancel();
                    })
                })
            });
            assert_eq!(child.join(cx)?, None);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_run.cancel_scope_deadline_duplicates
#[test]
fn a_deadline_that_was_moved_often_is_the_last_one() {
    on_one_worker(|cx| {
        let start = cx.now();
        let ended = cx.cancel_scope(|cx, scope| {
            for step in 0..10_000_u64 {
                scope.set_deadline(Some(start + Duration::from_millis(1 + step * 7_919 % 10_000)));
            }
            scope.set_deadline(None);
            cx.sleep(seconds(100))?;
            for step in 0..10_000_u64 {
                scope.set_timeout(Duration::from_millis(20_000 - step));
            }
            // Each of the earlier deadlines would have fired later than the last one.
            scope.set_timeout(seconds(7));
            cx.sleep_forever()
        });
        assert!(matches!(ended, Ok(None)));
        assert_eq!(cx.now() - start, seconds(107));
        cx.sleep(seconds(100)).unwrap();
    });
}

// spec: test_run.cancel_edge_cases
#[test]
fn a_nursery_knows_that_it_was_cancelled_however_that_came() {
    on_all_workers(|cx| {
        let ended = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let handle = n.handle();
            handle.cancel();
            assert!(n.is_cancelled() && handle.is_cancelled());
            cx.checkpoint()
        });
        assert!(matches!(ended, Err(NurseryError::Stopped(_))), "{ended:?}");
        let ended = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let handle = n.handle();
            n.shutdown(seconds(3));
            assert!(!n.is_cancelled() && cx.shutdown_requested());
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(cancelled.source(), CancelSource::ShutdownGrace);
            assert!(n.is_cancelled() && handle.is_cancelled());
            Err(cancelled)
        });
        assert!(matches!(ended, Err(NurseryError::Stopped(_))), "{ended:?}");
        let ended = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.handle().set_deadline(Some(cx.now() + seconds(1)));
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(cancelled.source(), CancelSource::Deadline);
            assert!(n.is_cancelled());
            Err(cancelled)
        });
        assert!(matches!(ended, Err(NurseryError::Stopped(_))), "{ended:?}");
    });
}

// spec: test_run.precancelled_task, S22
#[test]
fn a_child_can_be_cancelled_alone_even_before_it_begins() {
    on_all_workers(|cx| {
        let start = cx.now();
        let begun = AtomicU32::new(0);
        let value = cx.nursery(|cx, n| -> Result<u32, Cancelled> {
            let mut sibling = n.spawn(|cx| cx.sleep(seconds(5)).map(|()| 6));
            let mut child = n.spawn(|cx| {
                begun.fetch_add(1, Ordering::Relaxed);
                cx.sleep_forever()
            });
            child.cancel();
            child.cancel();
            let cancelled = child.join(cx).unwrap_err();
            assert_eq!(cancelled.source(), CancelSource::Explicit);
            assert_eq!(cx.now(), start);
            // It is no failure: the nursery and the sibling go on.
            assert!(!n.is_cancelled());
            sibling.join(cx)
        });
        assert_eq!(value.unwrap(), 6);
        assert_eq!(begun.into_inner(), 1);
        assert_eq!(cx.now() - start, seconds(5));
    });
}

// spec: S40
#[test]
fn the_cancellation_of_one_child_does_not_leave_its_nursery() {
    on_all_workers(|cx| {
        let outcome = cx.nursery(|cx, n| -> Result<u32, Cancelled> {
            let mut child = n.spawn(|cx| cx.sleep_forever());
            child.cancel();
            child.join(cx)?;
            Ok(1)
        });
        assert!(matches!(outcome, Err(NurseryError::Stopped(_))), "{outcome:?}");
        // Nor does it if it is a sibling that has joined the child.
        let outcome = cx.nursery(|_, n| -> Result<u32, Cancelled> {
            let mut child = n.spawn(|cx| cx.sleep_forever());
            child.cancel();
            n.spawn(move |cx| child.join(cx));
            Ok(1)
        });
        assert_eq!(outcome.unwrap(), 1);
    });
}
