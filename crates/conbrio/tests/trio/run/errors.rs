//! What an error becomes on its way out: wrapped by one rule, with its sources, once.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use conbrio::prelude::*;
use conbrio::{Builder, CancelSource, StartError};

use crate::support::{Fault, Mailbox, Trace, names, on_all_workers, on_one_worker, seconds};

// spec: test_run.setting_strict_exception_groups, test_run.nursery_collapse
#[test]
fn every_nursery_wraps_by_the_same_rule() {
    on_all_workers(|cx| {
        // One error or many, of the body or of a child: always one group per nursery.
        let one = cx.nursery(|_, _| Err::<(), _>(Fault::Named("body")));
        assert_eq!(names(one), ["body"]);
        let nested = cx.nursery(|cx, _| -> Result<(), Fault> {
            cx.nursery(|cx, _| -> Result<(), Fault> {
                cx.nursery(|_, n| {
                    n.spawn(|_| Err::<(), _>(Fault::Named("deep")));
                    Ok(())
                })?;
                Ok(())
            })?;
            Ok(())
        });
        let mut error = nested.unwrap_err();
        let mut depth = 1;
        let name = loop {
            let NurseryError::Failed(errors) = error else { panic!("{error:?}") };
            match errors.into_single().expect("each group holds one error") {
                Fault::Group(inner) => error = *inner,
                other => break other.name(),
            }
            depth += 1;
        };
        assert_eq!((name, depth), ("deep", 3));
    });
}

// spec: test_run.trio_run_strict_before_started
#[test]
fn start_adds_no_wrapper() {
    on_all_workers(|cx| {
        let result = cx.nursery(|cx, n| -> Result<(), Fault> {
            let plain = n.start(cx, |_, _started: conbrio::Started<'_, (), Fault>| {
                Err(Fault::Named("plain"))
            });
            assert!(matches!(plain, Err(StartError::Failed(Fault::Named("plain")))));
            // A group of the child's own comes out as that group.
            let group = n.start(cx, |cx, _started: conbrio::Started<'_, (), Fault>| {
                cx.nursery(|_, n| {
                    n.spawn(|_| Err::<(), _>(Fault::Named("in a group")));
                    Ok(())
                })?;
                Ok(())
            });
            let Err(StartError::Failed(Fault::Group(group))) = group else { panic!("{group:?}") };
            assert_eq!(names(Err::<(), _>(*group)), ["in a group"]);
            Ok(())
        });
        result.unwrap();
    });
}

/// The texts of an error and of all its sources.
fn chain(error: &dyn Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        texts.push(error.to_string());
        assert!(texts.len() < 20, "the chain of sources does not end: {texts:?}");
        next = error.source();
    }
    texts
}

// spec: test_run.start_exception_preserves_cause_and_context
#[test]
fn the_sources_of_an_error_come_out_of_start() {
    on_one_worker(|cx| {
        let result = cx.nursery(|cx, n| -> Result<(), Fault> {
            n.start(cx, |_, _started: conbrio::Started<'_, (), Fault>| {
                Err(Fault::Caused(Box::new(Fault::Named("root"))))
            })?;
            Ok(())
        });
        let texts = chain(&result.unwrap_err());
        assert_eq!(texts.last().unwrap(), "root");
        assert!(texts.contains(&"caused".to_owned()), "{texts:?}");
    });
}

// spec: test_run.nursery_exception_chaining_doesnt_make_context_loops
#[test]
fn the_sources_of_a_group_end() {
    on_one_worker(|cx| {
        let result = cx.nursery(|_, n| {
            n.spawn(|_| Err::<(), _>(Fault::Named("child")));
            Err::<(), _>(Fault::Caused(Box::new(Fault::Named("root"))))
        });
        let error = result.unwrap_err();
        assert_eq!(error.errors().unwrap().len(), 2);
        assert_eq!(chain(&error).last().unwrap(), "root");
    });
}

// spec: test_run.exc_info_after_throw_suppressed, test_run.exc_info_after_throw_to_inner_suppressed
#[test]
fn an_error_handled_in_a_handler_leaves_the_first_one_to_pass_on() {
    fn suppress(cx: &mut Cx, mailbox: &Mailbox<Fault>) -> &'static str {
        mailbox.receive(cx).expect("nothing is cancelled").name()
    }
    on_one_worker(|cx| {
        let mailbox = Mailbox::new();
        let result = cx.nursery(|cx, n| {
            n.spawn_local(cx, |cx| {
                let original: Result<(), Fault> =
                    Err(Fault::Caused(Box::new(Fault::Named("original"))));
                if original.is_err() {
                    // Another error arrives from outside while this one is being handled.
                    assert_eq!(suppress(cx, &mailbox), "injected");
                }
                original
            });
            cx.yield_now()?;
            mailbox.send(Fault::Named("injected"));
            Ok(())
        });
        assert_eq!(chain(&result.unwrap_err()).last().unwrap(), "original");
    });
}

// spec: test_run.exception_chaining_after_throw, test_run.exception_chaining_after_throw_to_inner
#[test]
fn an_error_handed_to_a_waiting_task_keeps_its_sources() {
    fn inner(cx: &mut Cx, mailbox: &Mailbox<Fault>) -> Result<(), Fault> {
        let error = mailbox.receive(cx)?;
        Err(Fault::Caused(Box::new(error)))
    }
    on_all_workers(|cx| {
        let mailbox = Mailbox::new();
        let result = cx.nursery(|_, n| {
            n.spawn(|cx| inner(cx, &mailbox));
            n.spawn(|cx| {
                cx.sleep(seconds(1))?;
                mailbox.send(Fault::Caused(Box::new(Fault::Named("root"))));
                Ok(())
            });
            Ok(())
        });
        let texts = chain(&result.unwrap_err());
        assert_eq!(texts[texts.len() - 3..], ["caused", "caused", "root"]);
    });
}

// spec: test_run.exc_info
#[test]
fn a_panic_that_is_being_handled_belongs_to_its_task_alone() {
    let trace = Trace::new();
    Builder::new()
        .workers(1)
        .run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                for name in ["a", "b"] {
                    let trace = &trace;
                    n.spawn_local(cx, move |cx| {
                        for round in 0..3 {
                            // The other task switches in between the catch and its end.
                            let caught = catch_unwind(AssertUnwindSafe(|| {
                                cx.yield_now().unwrap();
                                assert!(!std::thread::panicking());
                                std::panic::panic_any((name, round));
                            }));
                            cx.yield_now()?;
                            assert!(!std::thread::panicking());
                            let payload = caught.unwrap_err();
                            trace.push(*payload.downcast::<(&str, i32)>().unwrap());
                        }
                        Ok(())
                    });
                }
                Ok(())
            })
            .unwrap();
        })
        .unwrap();
    let events = trace.take();
    assert_eq!(events.len(), 6);
    for name in ["a", "b"] {
        let rounds: Vec<i32> = events.iter().filter(|e| e.0 == name).map(|e| e.1).collect();
        assert_eq!(rounds, [0, 1, 2]);
    }
}

/// Waits in its destructor.
struct Lingering<'a>(&'a mut Cx, &'a Trace<CancelSource>);

impl Drop for Lingering<'_> {
    fn drop(&mut self) {
        for _ in 0..2 {
            match self.0.sleep(seconds(1)) {
                Ok(()) => self.1.push(CancelSource::Explicit),
                Err(cancelled) => self.1.push(cancelled.source()),
            }
        }
        self.0.yield_shielded();
    }
}

// spec: test_run.exc_info, N3
#[test]
fn a_destructor_that_waits_while_unwinding_fails_at_once() {
    on_all_workers(|cx| {
        let trace = Trace::new();
        let start = cx.now();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _lingering = Lingering(cx, &trace);
            panic!("unwinding");
        }));
        assert!(caught.is_err());
        assert_eq!(trace.take(), [CancelSource::Unwinding, CancelSource::Unwinding]);
        assert_eq!(cx.now(), start);
        // Outside of a panic a destructor may wait as any other code.
        drop(Lingering(cx, &trace));
        assert_eq!(trace.take().len(), 2);
        assert_eq!(cx.now() - start, seconds(2));
    });
}

// spec: test_util.raise_single_exception_from_group
#[test]
fn a_group_of_one_can_be_taken_apart() {
    on_all_workers(|cx| {
        for failures in [1, 2] {
            let outcome = cx.nursery(|_, n| -> Result<(), Fault> {
                for _ in 0..failures {
                    n.spawn(|_| Err::<(), _>(Fault::Named("one of them")));
                }
                Ok(())
            });
            let NurseryError::Failed(errors) = outcome.unwrap_err() else { panic!("it failed") };
            match errors.into_single() {
                Ok(error) => assert_eq!((failures, error.name()), (1, "one of them")),
                // More than one come back as they were: none is preferred, and none is lost.
                Err(errors) => assert_eq!((failures, errors.len()), (2, 2)),
            }
        }
    });
}
