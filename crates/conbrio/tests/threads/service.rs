//! What other runtimes call system tasks: here they are children of a nursery that is handed in from further
//! out. Nothing is detached.

use std::fmt;

use conbrio::prelude::*;
use conbrio::{CancelSource, LocalKey};

use crate::support::{on_all_workers, on_workers};

#[derive(Debug)]
enum Fault {
    Cancelled(Cancelled),
    Named(&'static str),
    Group(Box<NurseryError<Fault>>),
}

impl MaybeCancelled for Fault {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            Fault::Cancelled(cancelled) => Some(cancelled),
            Fault::Named(_) => None,
            Fault::Group(group) => group.cancelled(),
        }
    }
}

impl From<Cancelled> for Fault {
    fn from(cancelled: Cancelled) -> Fault {
        Fault::Cancelled(cancelled)
    }
}

impl From<NurseryError<Fault>> for Fault {
    fn from(group: NurseryError<Fault>) -> Fault {
        Fault::Group(Box::new(group))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Fault {}

/// The errors of a nursery that failed.
fn failures<R: fmt::Debug>(outcome: Result<R, NurseryError<Fault>>) -> Vec<Fault> {
    match outcome {
        Err(NurseryError::Failed(errors)) => errors.into_iter().collect(),
        other => panic!("it was to fail: {other:?}"),
    }
}

static NAME: LocalKey<&'static str> = LocalKey::new();

// spec: test_run.spawn_system_task
#[test]
fn a_service_outlives_the_function_that_starts_it() {
    fn start<'scope>(
        services: &'scope Nursery<'scope, '_, Fault>,
        number: u32,
    ) -> conbrio::Child<'scope, u32> {
        services.task("service").spawn(move |cx| {
            cx.yield_now()?;
            Ok(number)
        })
    }
    on_all_workers(|cx| {
        let outcome =
            cx.nursery(|cx, services| -> Result<u32, Fault> { Ok(start(services, 9).join(cx)?) });
        assert_eq!(outcome.unwrap(), 9);
    });
}

// spec: test_run.system_task_crash
#[test]
fn a_service_that_fails_cancels_the_program_which_ends_with_its_error() {
    on_all_workers(|cx| {
        let outcome = cx.nursery(|cx, services| -> Result<(), Fault> {
            services.spawn(|_| -> Result<(), _> { Err(Fault::Named("service")) });
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(cancelled.source(), CancelSource::ChildFailed);
            Err(cancelled.into())
        });
        assert!(matches!(failures(outcome)[..], [Fault::Named("service")]));
    });
}

// spec: test_run.system_task_crash_ExceptionGroup
#[test]
fn the_nesting_of_its_errors_is_kept() {
    on_workers(2, |cx| {
        let outcome = cx.nursery(|cx, services| -> Result<(), Fault> {
            services.spawn(|cx| {
                cx.nursery(|_, n| -> Result<(), Fault> {
                    n.spawn(|_| -> Result<(), _> { Err(Fault::Named("first")) });
                    n.spawn(|_| -> Result<(), _> { Err(Fault::Named("second")) });
                    Ok(())
                })?;
                Ok(())
            });
            Ok(cx.sleep_forever()?)
        });
        let mut errors = failures(outcome);
        let Some(Fault::Group(group)) = errors.pop() else { panic!("{errors:?}") };
        assert!(errors.is_empty(), "the body's cancellation is none of them");
        assert_eq!(failures(Err::<(), _>(*group)).len(), 2);
    });
}

// spec: test_run.system_task_crash_plus_Cancelled
#[test]
fn a_sibling_that_stopped_for_it_is_no_cause() {
    on_all_workers(|cx| {
        let outcome = cx.nursery(|cx, services| -> Result<(), Fault> {
            services.spawn(|cx| -> Result<(), Fault> { Ok(cx.sleep_forever()?) });
            services.spawn(|cx| -> Result<(), Fault> {
                assert!(cx.sleep_forever().is_err());
                Err(Fault::Named("while it was cancelled"))
            });
            services.cancel();
            Ok(cx.sleep_forever()?)
        });
        assert!(matches!(failures(outcome)[..], [Fault::Named("while it was cancelled")]));
    });
}

// spec: test_run.system_task_contexts
#[test]
fn a_service_sees_what_was_bound_around_its_nursery() {
    on_all_workers(|cx| {
        let outcome = cx.with_local(&NAME, &"at the start", |cx| {
            cx.nursery(|cx, services| -> Result<_, Fault> {
                cx.with_local(&NAME, &"further in", |cx| {
                    let mut service = services.spawn(|cx| Ok(cx.local(&NAME).copied()));
                    let service = service.join(cx)?;
                    let child = cx.nursery(|cx, n| -> Result<_, Fault> {
                        Ok(n.spawn(|cx| Ok(cx.local(&NAME).copied())).join(cx)?)
                    });
                    Ok((service, child?))
                })
            })
        });
        assert_eq!(outcome.unwrap(), (Some("at the start"), Some("further in")));
    });
}
