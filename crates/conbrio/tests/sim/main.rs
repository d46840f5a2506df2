//! Simulated runs: one seed gives one course, different seeds give different ones, and a run that does not
//! end is reported.

mod bugs;
mod exhaust;
mod explore;
mod generated;
mod instruments;
mod reduced;
mod report;
mod signals;
mod speed;
mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::{Builder, settle};

/// The order in which six children of three sorts get to their three steps.
fn course(seed: u64, workers: usize) -> String {
    let log = Mutex::new(String::new());
    Builder::new().seed(seed).workers(workers).run(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let log = &log;
            for name in ["a", "b", "c"] {
                n.spawn(move |cx| {
                    for _ in 0..3 {
                        log.lock().unwrap().push_str(name);
                        cx.checkpoint()?;
                    }
                    Ok(())
                });
            }
            for name in ["x", "y", "z"] {
                n.spawn_local(cx, move |cx| {
                    for _ in 0..3 {
                        log.lock().unwrap().push_str(name);
                        cx.sleep(Duration::from_secs(1))?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
    });
    log.into_inner().unwrap()
}

#[test]
fn one_seed_gives_one_course_and_many_give_many() {
    for workers in 1..=3 {
        let courses: BTreeSet<String> = (0..50).map(|seed| course(seed, workers)).collect();
        assert!(courses.len() > 40, "{workers} workers: {} courses of 50", courses.len());
        for seed in 0..50 {
            assert_eq!(course(seed, workers), course(seed, workers));
        }
    }
}

#[test]
fn children_run_on_all_virtual_workers_of_one_thread() {
    let here = std::thread::current().id();
    let workers = Mutex::new(BTreeSet::new());
    for seed in 0..20 {
        Builder::new().workers(3).seed(seed).run(|cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for _ in 0..5 {
                    n.spawn(|cx| {
                        assert_eq!(std::thread::current().id(), here);
                        workers.lock().unwrap().insert(cx.runtime().worker);
                        cx.checkpoint()
                    });
                }
                Ok(())
            })
            .unwrap();
        });
    }
    assert_eq!(workers.into_inner().unwrap().len(), 3);
}

#[test]
fn time_jumps_exactly_and_settle_comes_before_it() {
    let log = RefCell::new(Vec::new());
    conbrio::testing::run(|cx| {
        let start = cx.now();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn_local(cx, |cx| {
                settle(cx, Duration::from_millis(1))?;
                log.borrow_mut().push(("settled", cx.now() - start));
                Ok(())
            });
            cx.sleep(Duration::from_secs(100))?;
            log.borrow_mut().push(("slept", cx.now() - start));
            Ok(())
        })
        .unwrap();
    });
    let expected = [("settled", Duration::ZERO), ("slept", Duration::from_secs(100))];
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn blocking_calls_run_on_the_one_thread_and_may_start_a_runtime() {
    let here = std::thread::current().id();
    let value = conbrio::testing::run(|cx| {
        let thread = cx.blocking(|| std::thread::current().id()).unwrap();
        assert_eq!(thread, here);
        cx.blocking(|| conbrio::testing::run(|cx| cx.yield_now().map(|()| 5))).unwrap().unwrap()
    });
    assert_eq!(value, 5);
}

#[test]
fn a_panic_in_a_blocking_call_goes_on_in_the_task() {
    let outcome = conbrio::testing::run(|cx| {
        let caught = catch_unwind(AssertUnwindSafe(|| cx.blocking(|| panic!("from the call"))));
        cx.yield_now().unwrap();
        caught.map(|_| ()).unwrap_err().downcast_ref::<&str>().map(|text| text.to_string())
    });
    assert_eq!(outcome.as_deref(), Some("from the call"));
}

fn message_of(run: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("the run fails");
    payload.downcast_ref::<String>().cloned().expect("a message")
}

#[test]
fn a_deadlock_is_reported_with_every_task_and_unwinds_cleanly() {
    let ended = RefCell::new(Vec::new());
    let message = message_of(|| {
        conbrio::testing::run(|cx| {
            let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.task("waits for ever").spawn_local(cx, |cx| {
                    let cancelled = cx.sleep_forever().unwrap_err();
                    ended.borrow_mut().push(format!("{cancelled:?}"));
                    Err::<(), _>(cancelled)
                });
                Ok(())
            });
        });
    });
    assert!(message.contains("deadlock"), "{message}");
    assert!(message.contains("'waits for ever' waits for ever (sleep_forever)"), "{message}");
    assert!(message.contains("'main' waits for its children"), "{message}");
    assert_eq!(ended.borrow().len(), 1, "the task was cancelled and saw it");
}

#[test]
fn a_run_that_does_not_end_is_stopped_at_its_limit() {
    let message = message_of(|| {
        Builder::new().steps_max(1_000).run(|cx| while cx.yield_now().is_ok() {});
    });
    assert!(message.contains("the limit of steps"), "{message}");
}

#[test]
fn delays_let_deadlines_pass_while_tasks_can_run() {
    let late = |one_in| {
        (0..50).any(|seed| {
            Builder::new().seed(seed).delay_one_in(one_in).run(|cx| {
                let begun = cx.now();
                cx.nursery(|cx, n| -> Result<bool, Cancelled> {
                    n.spawn(|cx| cx.sleep(Duration::from_secs(1)));
                    for _ in 0..10 {
                        cx.yield_now()?;
                    }
                    Ok(cx.now() > begun)
                })
                .unwrap()
            })
        })
    };
    assert!(!late(0));
    assert!(late(4));
}

fn wait_without_end(cx: &mut Cx) -> Result<(), Cancelled> {
    cx.sleep_forever()
}

// spec: N20
#[test]
fn a_deadlock_report_says_where_in_the_program_each_task_has_stopped() {
    let message = message_of(|| {
        Builder::new().workers(3).run(|cx| {
            let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
                n.task("one").spawn(wait_without_end);
                #[expect(clippy::redundant_closure, reason = "one frame more")]
                n.task("two").spawn(|cx| wait_without_end(cx));
                Ok(())
            });
        });
    });
    assert_eq!(message.matches("in sim::wait_without_end at ").count(), 2, "{message}");
    assert!(message.contains("tests/sim/main.rs"), "{message}");
}
