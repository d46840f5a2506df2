//! `start`: a child that says when it is ready.

use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::settle;
use conbrio::{CancelSource, StartError, Started};

use crate::support::{Fault, Trace, names, on_all_workers, on_one_worker, panic_text, seconds};

type Result0 = Result<(), Fault>;

fn ready_after(cx: &mut Cx, started: Started<'_, u32, Fault>, value: u32) -> Result0 {
    cx.sleep(seconds(1))?;
    started.ready(value);
    cx.sleep(seconds(1))?;
    Ok(())
}

// spec: test_run.nursery_start
#[test]
fn start_returns_the_value_of_ready_and_the_child_goes_on_in_the_nursery() {
    on_all_workers(|cx| {
        let begin = cx.now();
        cx.nursery(|cx, n| -> Result0 {
            assert_eq!(n.child_count(), 0);
            let value = n.start(cx, |cx, started| ready_after(cx, started, 5))?;
            assert_eq!(value, 5);
            assert_eq!(cx.now() - begin, seconds(1));
            assert_eq!(n.child_count(), 1);
            Ok(())
        })
        .unwrap();
        assert_eq!(cx.now() - begin, seconds(2));
    });
}

// spec: test_run.nursery_start
#[test]
fn an_error_before_ready_comes_out_of_start_and_leaves_the_nursery_alone() {
    on_all_workers(|cx| {
        let begin = cx.now();
        cx.nursery(|cx, n| -> Result0 {
            n.spawn(|cx| Ok(cx.sleep(seconds(4))?));
            let failed = n.start(cx, |cx, _started: Started<'_, (), Fault>| {
                cx.sleep(seconds(1))?;
                Err(Fault::Named("early"))
            });
            assert!(matches!(failed, Err(StartError::Failed(Fault::Named("early")))));
            assert_eq!(cx.now() - begin, seconds(1));
            assert!(!n.is_cancelled());
            assert_eq!(n.child_count(), 1);
            Ok(())
        })
        .unwrap();
        assert_eq!(cx.now() - begin, seconds(4));
    });
}

// spec: test_run.nursery_start
#[test]
fn a_panic_before_ready_goes_on_in_the_caller_of_start() {
    on_all_workers(|cx| {
        cx.nursery(|cx, n| -> Result0 {
            let text = panic_text(|| {
                n.start(cx, |_, _started: Started<'_, (), Fault>| panic!("early panic"))
            });
            assert_eq!(text, "early panic");
            assert!(!n.is_cancelled());
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_run.nursery_start
#[test]
fn a_child_that_ends_without_ready_is_an_error_that_says_so() {
    on_all_workers(|cx| {
        cx.nursery(|cx, n| -> Result0 {
            let failed = n.start(cx, |_, _started: Started<'_, (), Fault>| Ok(()));
            let error = failed.unwrap_err();
            assert!(matches!(error, StartError::NeverReady));
            assert!(error.to_string().contains("without having called"), "{error}");
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_run.nursery_start
#[test]
fn ready_has_no_effect_when_the_caller_of_start_is_cancelled() {
    on_all_workers(|cx| {
        cx.nursery(|cx, n| -> Result0 {
            let ended = cx.cancel_scope(|cx, scope| {
                scope.cancel_with("the caller");
                n.start(cx, |cx, started| {
                    started.ready(1);
                    let cancelled = cx.sleep_forever().unwrap_err();
                    assert_eq!(cancelled.reason(), Some("the caller"));
                    Err(cancelled.into())
                })
            });
            assert!(matches!(ended, Ok(None)), "{ended:?}");
            assert_eq!(n.child_count(), 0);
            assert!(!n.is_cancelled());
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_run.nursery_start
#[test]
fn start_succeeds_in_a_cancelled_scope_if_the_child_never_waits() {
    on_all_workers(|cx| {
        cx.nursery(|cx, n| -> Result0 {
            let ended = cx.cancel_scope(|cx, scope| {
                scope.cancel();
                n.start(cx, |_, started| {
                    started.ready(3);
                    Ok(())
                })
            });
            assert!(matches!(ended, Ok(Some(3))), "{ended:?}");
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_run.nursery_start
#[test]
fn an_error_after_a_ready_without_effect_comes_out_of_start() {
    on_all_workers(|cx| {
        cx.nursery(|cx, n| -> Result0 {
            let ended = cx.cancel_scope(|cx, scope| {
                scope.cancel();
                n.start(cx, |_, started| {
                    started.ready(1);
                    Err(Fault::Named("after ready"))
                })
            });
            assert!(matches!(ended, Err(StartError::Failed(Fault::Named("after ready")))));
            assert!(!n.is_cancelled());
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_run.nursery_start
#[test]
fn an_error_after_ready_belongs_to_the_nursery() {
    on_all_workers(|cx| {
        let result = cx.nursery(|cx, n| -> Result0 {
            n.start(cx, |cx, started| {
                started.ready(());
                cx.sleep(seconds(1))?;
                Err(Fault::Named("late"))
            })?;
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(cancelled.source(), CancelSource::ChildFailed);
            Err(cancelled.into())
        });
        assert_eq!(names(result), ["late"]);
    });
}

// spec: test_run.nursery_start
#[test]
fn a_child_that_was_ready_no_longer_sees_the_scope_of_the_caller_of_start() {
    on_all_workers(|cx| {
        let begin = cx.now();
        cx.nursery(|cx, n| -> Result0 {
            let ended = cx.cancel_scope(|cx, scope| -> Result<(), Fault> {
                scope.set_timeout(seconds(5));
                n.start(cx, |cx, started| {
                    assert!(cx.deadline().is_some());
                    started.ready(());
                    assert_eq!(cx.deadline(), None);
                    cx.sleep(seconds(10))?;
                    Ok(())
                })?;
                scope.cancel();
                cx.checkpoint()?;
                Ok(())
            })?;
            assert_eq!(ended, None);
            Ok(())
        })
        .unwrap();
        assert_eq!(cx.now() - begin, seconds(10));
    });
}

// spec: test_run.internal_error_old_nursery_multiple_tasks
#[test]
fn only_the_child_itself_can_say_that_it_is_ready() {
    // conbrio: the private nursery of a start cannot be reached; what can be passed on is `Started`.
    on_one_worker(|cx| {
        cx.nursery(|cx, n| -> Result0 {
            let text = panic_text(|| {
                n.start(cx, |cx, started: Started<'_, (), Fault>| {
                    cx.nursery(|cx, inner| -> Result0 {
                        inner.spawn_local(cx, |_| {
                            started.ready(());
                            Ok(())
                        });
                        Ok(())
                    })?;
                    Ok(())
                })
            });
            assert!(text.contains("by the child itself"), "{text}");
            assert_eq!(n.child_count(), 0);
            Ok(())
        })
        .unwrap();
    });
}

fn sleeping_subtree(
    cx: &mut Cx,
    trace: &Trace<&'static str>,
    started: Started<'_, (), Fault>,
) -> Result0 {
    cx.nursery(|cx, inner| -> Result0 {
        inner.spawn(|cx| {
            let result = cx.sleep_forever();
            trace.push("grandchild stopped");
            Ok(result?)
        });
        cx.shield(|cx| settle(cx, Duration::ZERO))?;
        started.ready(());
        let result = cx.sleep_forever();
        trace.push("child stopped");
        Ok(result?)
    })?;
    Ok(())
}

// spec: test_run.nursery_start_with_cancelled_nursery
#[test]
fn a_sleeping_subtree_that_moves_into_a_cancelled_nursery_is_stopped() {
    on_all_workers(|cx| {
        let trace = Trace::new();
        let begin = cx.now();
        cx.nursery(|cx, n| -> Result0 {
            n.cancel();
            // The caller is shielded from the nursery that the child will belong to.
            cx.shield(|cx| n.start(cx, |cx, started| sleeping_subtree(cx, &trace, started)))?;
            Ok(())
        })
        .unwrap();
        let mut events = trace.take();
        events.sort_unstable();
        assert_eq!(events, ["child stopped", "grandchild stopped"]);
        // And if the nursery is cancelled right after.
        cx.nursery(|cx, n| -> Result0 {
            n.start(cx, |cx, started| sleeping_subtree(cx, &trace, started))?;
            n.cancel();
            Ok(())
        })
        .unwrap();
        let mut events = trace.take();
        events.sort_unstable();
        assert_eq!(events, ["child stopped", "grandchild stopped"]);
        assert_eq!(cx.now(), begin);
    });
}

// spec: test_run.nursery_start_keeps_nursery_open
#[test]
fn a_pending_start_keeps_the_nursery_open() {
    // conbrio: only children and the body can start into a nursery; here the body has ended.
    on_all_workers(|cx| {
        for (fails, total) in [(false, 6), (true, 3)] {
            let begin = cx.now();
            let outcome = Trace::new();
            cx.nursery(|_, n| -> Result0 {
                let outcome = &outcome;
                n.spawn(move |cx| {
                    cx.sleep(seconds(1))?;
                    let started = n.start(cx, move |cx, started| {
                        cx.sleep(seconds(2))?;
                        if fails {
                            return Err(Fault::Named("never ready"));
                        }
                        started.ready("ready");
                        cx.sleep(seconds(3))?;
                        Ok(())
                    });
                    let text = match started {
                        Err(StartError::Failed(fault)) => fault.name(),
                        other => other?,
                    };
                    outcome.push((text, cx.now() - begin));
                    Ok(())
                });
                Ok(())
            })
            .unwrap();
            let text = if fails { "never ready" } else { "ready" };
            assert_eq!(outcome.take(), [(text, seconds(3))]);
            assert_eq!(cx.now() - begin, seconds(total));
        }
    });
}
