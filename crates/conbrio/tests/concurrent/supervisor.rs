//! Supervisors: who is started again, in which order, and when it is given up.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use conbrio::concurrent::{Ended, Restart, Schedule, Supervisor, SupervisorError};
use conbrio::prelude::*;
use conbrio::testing::{explore, run};

use super::support::{Fault, Running, ms, on_workers, panic_text};

/// What tasks did, in order.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn note(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join(" ")
    }
}

/// A task that runs until it is cancelled, and notes that it begins and ends.
fn steady<'a>(
    log: &'a Log,
    name: &'static str,
) -> impl Fn(&mut Cx) -> Result<(), Fault> + Send + Sync + 'a {
    move |cx| {
        log.note(format!("+{name}"));
        let result = cx.sleep_forever();
        log.note(format!("-{name}"));
        Ok(result?)
    }
}

/// As `steady`, but it fails once, after ten milliseconds.
fn fails_once<'a>(
    log: &'a Log,
    failed: &'a AtomicU32,
    name: &'static str,
) -> impl Fn(&mut Cx) -> Result<(), Fault> + Send + Sync + 'a {
    move |cx| {
        log.note(format!("+{name}"));
        if failed.fetch_add(1, SeqCst) == 0 {
            cx.sleep(ms(10))?;
            log.note(format!("!{name}"));
            return Err(Fault::Named(name));
        }
        let result = cx.sleep_forever();
        log.note(format!("-{name}"));
        Ok(result?)
    }
}

#[test]
fn the_strategy_says_who_is_started_again() {
    for (strategy, restarted) in [(0, "+b"), (1, "-c -a +a +b +c"), (2, "-c +b +c")] {
        // One worker: what starts first, begins first.
        conbrio::testing::Builder::new().workers(1).preempt_one_in(0).run(|cx| {
            let (log, failed) = (Log::default(), AtomicU32::new(0));
            let supervisor = match strategy {
                0 => Supervisor::one_for_one(),
                1 => Supervisor::one_for_all(),
                _ => Supervisor::rest_for_one(),
            };
            let outcome = cx.move_on_after(ms(50), |cx| {
                supervisor
                    .task("a", Restart::OnFailure, steady(&log, "a"))
                    .task("b", Restart::OnFailure, fails_once(&log, &failed, "b"))
                    .task("c", Restart::Always, steady(&log, "c"))
                    .on_restart(|name, ended| log.note(format!("({name}: {ended:?})")))
                    .run(cx)
            });
            assert!(matches!(outcome, Ok(None)), "{outcome:?}");
            let log = log.take();
            let expected = format!("!b (b: Failed(Named(\"b\"))) {restarted} ");
            assert!(log.contains(&expected), "{log}");
        });
    }
}

#[test]
fn it_is_given_up_with_the_cause_after_too_many_restarts() {
    explore(0..100, |cx| {
        let (begun, log) = (Running::default(), Log::default());
        let result = Supervisor::one_for_one()
            .restarts_max(2, Duration::from_secs(1))
            .task("flaky", Restart::OnFailure, |cx| {
                let _begun = begun.enter();
                cx.sleep(ms(10))?;
                Err(Fault::Named("cause"))
            })
            .task("other", Restart::OnFailure, |cx| {
                cx.sleep_forever().map_err(|_| Fault::Named("farewell"))
            })
            .on_restart(|name, _| log.note(name))
            .run(cx);
        let Err(SupervisorError::TooManyRestarts { limit, errors: Some(errors) }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(limit.to_string(), "task 'flaky' has ended again, after 2 restarts in 1s");
        let names: Vec<_> = errors.iter().map(|error| format!("{error:?}")).collect();
        assert_eq!(names, ["Named(\"cause\")", "Named(\"farewell\")"]);
        assert_eq!((begun.ever(), begun.now(), log.take()), (3, 0, "flaky flaky".to_owned()));
    });
}

#[test]
fn restarts_that_are_long_ago_do_not_count() {
    run(|cx| {
        let begun = Running::default();
        let outcome = cx.move_on_after(ms(1000), |cx| {
            Supervisor::one_for_one()
                .restarts_max(2, ms(100))
                .task("slow", Restart::Always, |cx| -> Result<(), Fault> {
                    let _begun = begun.enter();
                    Ok(cx.sleep(ms(51))?)
                })
                .run(cx)
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert_eq!(begun.ever(), 20);
        // A task that ends without an error each time has no cause but itself.
        let result = Supervisor::one_for_one()
            .restarts_max(2, ms(100))
            .task("quick", Restart::Always, |cx| -> Result<(), Fault> { Ok(cx.checkpoint()?) })
            .run(cx);
        assert!(
            matches!(result, Err(SupervisorError::TooManyRestarts { errors: None, .. })),
            "{result:?}"
        );
    });
}

#[test]
fn tasks_that_are_done_stay_so() {
    explore(0..100, |cx| {
        let begun = [const { AtomicU32::new(0) }; 3];
        Supervisor::one_for_one()
            .task("once", Restart::Never, |_| -> Result<(), Fault> {
                begun[0].fetch_add(1, SeqCst);
                Ok(())
            })
            .task("done", Restart::OnFailure, |_| {
                begun[1].fetch_add(1, SeqCst);
                Ok(())
            })
            .task("twice", Restart::OnFailure, |cx| {
                cx.sleep(ms(1))?;
                match begun[2].fetch_add(1, SeqCst) {
                    0 => Err(Fault::Named("first")),
                    _ => Ok(()),
                }
            })
            .run(cx)
            .unwrap();
        assert_eq!(begun.map(AtomicU32::into_inner), [1, 1, 2]);
        Supervisor::<Fault>::one_for_all().run(cx).unwrap();
        let result = Supervisor::one_for_one()
            .task("never", Restart::Never, |_| Err(Fault::Named("fatal")))
            .task("other", Restart::Always, |cx| Ok(cx.sleep_forever()?))
            .run(cx);
        let Err(SupervisorError::Failed(errors)) = result else { panic!("{result:?}") };
        assert!(matches!(errors.into_single(), Ok(Fault::Named("fatal"))));
    });
}

#[test]
fn restarts_wait_as_the_schedule_says() {
    run(|cx| {
        let (began, begun) = (cx.now(), Mutex::new(Vec::new()));
        let result = Supervisor::one_for_one()
            .restarts_max(100, Duration::from_secs(60))
            .delays(Schedule::exponential(ms(10)).retries_max(3))
            .task("flaky", Restart::OnFailure, |cx| {
                begun.lock().unwrap().push((cx.now() - began).as_millis());
                Err(Fault::Named("cause"))
            })
            .run(cx);
        let Err(SupervisorError::TooManyRestarts { limit, .. }) = result else {
            panic!("{result:?}");
        };
        assert!(limit.to_string().ends_with("its schedule allows no more restarts"), "{limit}");
        assert_eq!(begun.into_inner().unwrap(), [0, 10, 30, 70]);
    });
}

#[test]
fn panics_are_restarted_only_on_request() {
    let supervisor = |message: &'static str, tries: &'static AtomicU32| {
        Supervisor::one_for_one().task("panics", Restart::OnFailure, move |_| {
            assert!(tries.fetch_add(1, SeqCst) > 0, "{message}");
            Ok::<(), Fault>(())
        })
    };
    static ONCE: AtomicU32 = AtomicU32::new(0);
    let text = panic_text(|| run(|cx| supervisor("not on request", &ONCE).run(cx)));
    assert_eq!(text, "not on request");
    static TWICE: AtomicU32 = AtomicU32::new(0);
    run(|cx| {
        let mut seen = String::new();
        supervisor("on request", &TWICE)
            .restart_panics()
            .on_restart(|name, ended| {
                let Ended::Panicked(payload) = ended else { panic!("{ended:?}") };
                seen = format!("{name}: {}", payload.downcast_ref::<String>().unwrap());
            })
            .run(cx)
            .unwrap();
        assert_eq!(seen, "panics: on request");
    });
    let text = panic_text(|| {
        run(|cx| {
            Supervisor::one_for_one()
                .restart_panics()
                .task("always", Restart::OnFailure, |_| -> Result<(), Fault> { panic!("again") })
                .task("other", Restart::OnFailure, |cx| Ok(cx.sleep_forever()?))
                .run(cx)
        })
    });
    assert_eq!(text, "again");
}

// Errors that others fail with while they are cancelled for a restart are reported, too.
#[test]
fn no_error_is_lost_at_a_restart() {
    explore(0..200, |cx| {
        let (log, tries) = (Log::default(), AtomicU32::new(0));
        Supervisor::one_for_all()
            .task("first", Restart::OnFailure, |cx| {
                if tries.load(SeqCst) > 0 {
                    return Ok(());
                }
                cx.sleep_forever().map_err(|_| Fault::Named("farewell"))
            })
            .task("second", Restart::OnFailure, |cx| {
                cx.sleep(ms(1))?;
                match tries.fetch_add(1, SeqCst) {
                    0 => Err(Fault::Named("cause")),
                    _ => Ok(()),
                }
            })
            .on_restart(|name, ended| log.note(format!("{name} {ended:?};")))
            .run(cx)
            .unwrap();
        assert_eq!(
            log.take(),
            "second Failed(Named(\"cause\")); first Failed(Named(\"farewell\"));"
        );
        // Two that fail at the same moment.
        let log = Log::default();
        let result = Supervisor::rest_for_one()
            .restarts_max(0, ms(1))
            .task("first", Restart::OnFailure, |cx| {
                cx.sleep(ms(1))?;
                Err(Fault::Named("one"))
            })
            .task("second", Restart::OnFailure, |cx| {
                cx.sleep(ms(1))?;
                Err(Fault::Named("two"))
            })
            .on_restart(|name, _| log.note(name))
            .run(cx);
        let Err(SupervisorError::TooManyRestarts { errors: Some(errors), .. }) = result else {
            panic!("{result:?}");
        };
        // The second may have been cancelled in its sleep.
        assert!(errors.len() == 2 || errors.len() == 1, "{errors:?}");
        assert_eq!(log.take(), "");
    });
}

#[test]
fn nothing_is_started_again_at_a_shutdown() {
    explore(0..100, |cx| {
        let begun = Running::default();
        let outcome = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            let stop = |cx: &mut Cx| -> Result<(), Fault> {
                let _begun = begun.enter();
                cx.wait_shutdown()?;
                Ok(())
            };
            let result = Supervisor::one_for_one()
                .task("a", Restart::Always, stop)
                .task("b", Restart::OnFailure, |cx| {
                    stop(cx)?;
                    Err(Fault::Named("late"))
                })
                .task("c", Restart::Never, |cx| {
                    cx.sleep(ms(5))?;
                    handle.shutdown(Duration::from_secs(10));
                    Ok(())
                })
                .run(cx);
            let Err(SupervisorError::Failed(errors)) = result else { panic!("{result:?}") };
            assert!(matches!(errors.into_single(), Ok(Fault::Named("late"))));
            Ok::<(), Fault>(())
        });
        assert!(matches!(outcome, Ok(Some(()))), "{outcome:?}");
        assert_eq!(begun.ever(), 2);
    });
}

#[test]
fn supervisors_on_real_workers() {
    on_workers(|cx| {
        let left = AtomicU32::new(200);
        Supervisor::rest_for_one()
            .restarts_max(1000, Duration::from_secs(60))
            .task("a", Restart::OnFailure, |cx| {
                while left.load(SeqCst) > 0 {
                    cx.yield_now()?;
                }
                Ok(())
            })
            .task("b", Restart::OnFailure, |cx| {
                cx.yield_now()?;
                match left.load(SeqCst) {
                    0 => Ok(()),
                    _ => Err(Fault::Named("b")),
                }
            })
            .task("c", Restart::OnFailure, |cx| {
                cx.yield_now()?;
                match left.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)) {
                    Ok(_) => Err(Fault::Named("c")),
                    Err(_) => Ok(()),
                }
            })
            .run(cx)
            .unwrap();
    });
}
