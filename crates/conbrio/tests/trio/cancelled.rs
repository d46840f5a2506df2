//! What a `Cancelled` tells: who asked, why, and where.

use std::panic::Location;

use conbrio::prelude::*;
use conbrio::{CancelSource, StartError, Started};

use crate::support::{Fault, Trace, names, on_all_workers, on_one_worker, seconds};

/// What can be read of a cancellation.
fn facts(cancelled: &Cancelled) -> (CancelSource, Option<String>, Option<String>) {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    (cancelled.source(), owned(cancelled.reason()), owned(cancelled.source_task()))
}

fn explicit(reason: &str, task: &str) -> (CancelSource, Option<String>, Option<String>) {
    (CancelSource::Explicit, Some(reason.to_owned()), Some(task.to_owned()))
}

// spec: test_cancelled.Cancelled_str
#[test]
fn its_text_names_source_reason_task_and_place() {
    on_one_worker(|cx| {
        let _ = cx.cancel_scope(|cx, scope| {
            let line = line!() + 1;
            scope.cancel_with("out of patience");
            let cancelled = cx.checkpoint().unwrap_err();
            let text = cancelled.to_string();
            assert!(text.starts_with("cancelled on request from task 'main' at "), "{text}");
            assert!(text.contains(&format!("cancelled.rs:{line}:")), "{text}");
            assert!(text.ends_with(": out of patience"), "{text}");
            let text = format!("{cancelled:?}");
            assert!(text.contains("Explicit") && text.contains("out of patience"), "{text}");
            Err::<(), _>(cancelled)
        });
        let _ = cx.move_on_after(seconds(1), |cx| {
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(cancelled.to_string(), "cancelled because a deadline passed");
            Err::<(), _>(cancelled)
        });
    });
}

// spec: test_cancelled.cancel_reason
#[test]
fn an_explicit_request_tells_its_reason_task_and_place() {
    on_all_workers(|cx| {
        let trace = Trace::new();
        let ended = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            let line = line!() + 5;
            cx.nursery(|cx, n| -> Result<(), Fault> {
                n.task("canceller").spawn(move |cx| {
                    cx.sleep(seconds(1))?;
                    // The place is that of the caller.
                    handle.cancel_with("a reason");
                    Ok(())
                });
                let cancelled = cx.sleep_forever().unwrap_err();
                trace.push(facts(&cancelled));
                let place: &Location<'_> = cancelled.location().unwrap();
                assert_eq!((place.file(), place.line()), (file!(), line));
                Err(cancelled.into())
            })
        });
        assert!(matches!(ended, Ok(None)), "{ended:?}");
        assert_eq!(trace.take(), [explicit("a reason", "canceller")]);
    });
}

// spec: test_cancelled.cancel_reason
#[test]
fn a_deadline_is_the_source_however_it_was_set() {
    on_one_worker(|cx| {
        let from_deadline = (CancelSource::Deadline, None, None);
        let _ = cx.move_on_after(seconds(1), |cx| {
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(facts(&cancelled), from_deadline);
            assert!(cancelled.location().is_none());
            Err::<(), _>(cancelled)
        });
        let _ = cx.cancel_scope(|cx, scope| {
            scope.set_deadline(Some(cx.now() + seconds(1)));
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(facts(&cancelled), from_deadline);
            Err::<(), _>(cancelled)
        });
        let _ = cx.cancel_scope(|cx, scope| {
            scope.set_deadline(Some(cx.now()));
            let cancelled = cx.checkpoint().unwrap_err();
            assert_eq!(facts(&cancelled), from_deadline);
            Err::<(), _>(cancelled)
        });
        let _ = cx.cancel_scope(|cx, scope| {
            scope.shutdown(seconds(1));
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(cancelled.source(), CancelSource::ShutdownGrace);
            Err::<(), _>(cancelled)
        });
    });
}

/// A body, a sibling that is there already, and one that comes after the failure.
fn after_a_failure(
    cx: &mut Cx,
    fail: impl FnOnce() -> Result<(), Fault> + Send,
    source: CancelSource,
) {
    let trace = Trace::new();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let observe = |cx: &mut Cx| -> Result<(), Fault> {
                let cancelled = cx.sleep_forever().unwrap_err();
                trace.push(facts(&cancelled));
                Err(cancelled.into())
            };
            n.spawn(observe);
            n.task("failing").spawn(move |cx| {
                cx.sleep(seconds(1))?;
                fail()
            });
            let result = observe(cx);
            n.spawn(observe);
            result
        })
    }));
    let verb = match source {
        CancelSource::ChildPanicked => {
            assert!(result.is_err());
            "panicked"
        }
        _ => {
            assert_eq!(names(result.unwrap()), ["no"]);
            "failed"
        }
    };
    let expected = (source, Some(format!("the child {verb}")), Some("failing".to_owned()));
    assert_eq!(trace.take(), [expected.clone(), expected.clone(), expected]);
}

// spec: test_cancelled.cancel_reason_nursery, test_cancelled.cancel_reason_nursery2
#[test]
fn siblings_and_body_learn_which_child_has_failed() {
    on_all_workers(|cx| {
        after_a_failure(cx, || Err(Fault::Named("no")), CancelSource::ChildFailed);
        after_a_failure(cx, || panic!("no"), CancelSource::ChildPanicked);
    });
}

// spec: test_cancelled.cancel_reason_nursery3
#[test]
fn a_failure_inside_start_cancels_the_siblings_in_the_name_of_the_body() {
    on_all_workers(|cx| {
        let trace = Trace::new();
        let result = cx.nursery(|cx, n| -> Result<(), Fault> {
            n.spawn(|cx| {
                let cancelled = cx.sleep_forever().unwrap_err();
                trace.push(facts(&cancelled));
                Err::<(), _>(cancelled.into())
            });
            // The failure comes out of `start`, and it is the body that passes it on.
            let started = n.task("starting").start(cx, |cx, _started: Started<'_, (), Fault>| {
                cx.sleep(seconds(1))?;
                Err(Fault::Named("no"))
            });
            match started {
                Err(StartError::Failed(fault)) => Err(fault),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(names(result), ["no"]);
        let expected = (
            CancelSource::ChildFailed,
            Some("the body failed".to_owned()),
            Some("main".to_owned()),
        );
        assert_eq!(trace.take(), [expected]);
    });
}

// spec: test_cancelled.cancel_reason_not_overwritten
#[test]
fn a_deadline_does_not_replace_an_explicit_request() {
    on_one_worker(|cx| {
        let _ = cx.cancel_scope(|cx, scope| {
            scope.cancel_with("first");
            scope.set_deadline(Some(cx.now()));
            cx.shield(|cx| cx.sleep(seconds(1))).unwrap();
            let cancelled = cx.checkpoint().unwrap_err();
            assert_eq!(facts(&cancelled), explicit("first", "main"));
            Err::<(), _>(cancelled)
        });
    });
}

// spec: test_cancelled.cancel_reason_not_overwritten_2
#[test]
fn an_explicit_request_does_not_replace_a_deadline() {
    on_one_worker(|cx| {
        let _ = cx.cancel_scope(|cx, scope| {
            scope.set_deadline(Some(cx.now()));
            scope.cancel_with("second");
            scope.handle().cancel_with("third");
            let cancelled = cx.checkpoint().unwrap_err();
            assert_eq!(facts(&cancelled), (CancelSource::Deadline, None, None));
            Err::<(), _>(cancelled)
        });
    });
}

// spec: test_cancelled.nested_child_source
#[test]
fn children_learn_that_the_body_has_failed() {
    on_all_workers(|cx| {
        let trace = Trace::new();
        let result = cx.nursery(|cx, outer| -> Result<(), Fault> {
            outer.task("owner").spawn(|cx| {
                cx.nursery(|cx, n| -> Result<(), Fault> {
                    n.spawn(|cx| {
                        let cancelled = cx.sleep_forever().unwrap_err();
                        trace.push(facts(&cancelled));
                        Err::<(), _>(cancelled.into())
                    });
                    cx.sleep(seconds(1))?;
                    Err(Fault::Named("no"))
                })?;
                Ok(())
            });
            cx.checkpoint()?;
            Ok(())
        });
        let Err(NurseryError::Failed(errors)) = result else { panic!("{result:?}") };
        let Fault::Group(group) = errors.into_first() else { panic!("not a group") };
        assert_eq!(names(Err::<(), _>(*group)), ["no"]);
        let expected = (
            CancelSource::ChildFailed,
            Some("the body failed".to_owned()),
            Some("owner".to_owned()),
        );
        assert_eq!(trace.take(), [expected]);
    });
}
