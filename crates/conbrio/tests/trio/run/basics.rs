//! What `run` and a nursery return, in which order tasks run, and what time it is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use conbrio::prelude::*;
use conbrio::testing::MockClock;
use conbrio::{Builder, CancelSource, Clock};

use crate::support::{
    Fault, Trace, in_virtual_time, names, on_all_workers, on_one_worker, panic_text, seconds,
};

// spec: test_run.basic
#[test]
fn run_returns_the_value_of_main() {
    for workers in [1, 2, 4] {
        assert_eq!(in_virtual_time(workers, |_| 7), 7);
        let with_checkpoint = in_virtual_time(workers, |cx| cx.yield_now().map(|()| "value"));
        assert_eq!(with_checkpoint.unwrap(), "value");
    }
    assert_eq!(conbrio::run(|_| 8), 8);
}

#[test]
fn run_lends_main_what_the_caller_owns() {
    let mut number = 1;
    let text = String::from("lent");
    let length = on_one_worker(|cx| {
        cx.yield_now().unwrap();
        number += 1;
        text.len()
    });
    assert_eq!((number, length), (2, 4));
}

// spec: test_run.initial_task_error
#[test]
fn the_error_of_main_comes_out_of_run_as_it_is() {
    let error = Box::new(1);
    let address = &raw const *error;
    let result = on_one_worker(|_| Err::<(), _>(Fault::Boxed(error)));
    let Err(Fault::Boxed(error)) = result else { panic!("{result:?}") };
    assert!(std::ptr::eq(&raw const *error, address));
}

// spec: test_run.initial_task_error
#[test]
fn a_panic_of_main_goes_on_in_the_caller_with_its_payload() {
    for workers in [1, 2] {
        let caught = std::panic::catch_unwind(|| {
            in_virtual_time(workers, |cx| {
                cx.yield_now().unwrap();
                std::panic::panic_any(String::from("the payload"));
            })
        });
        assert_eq!(*caught.unwrap_err().downcast::<String>().unwrap(), "the payload");
    }
}

fn nested_run() {
    conbrio::run(|_| ());
}

// spec: test_run.run_nesting
#[test]
fn run_inside_a_task_is_refused_and_harms_nothing() {
    on_all_workers(|cx| {
        assert!(panic_text(nested_run).contains("from inside"));
        // The refusal has not disturbed the runtime that is there.
        cx.sleep(seconds(1)).unwrap();
        let child = cx.nursery(|cx, n| -> Result<String, Cancelled> {
            n.spawn(|_| Ok(panic_text(nested_run))).join(cx)
        });
        assert!(child.unwrap().contains("from inside"));
    });
}

// spec: test_run.run_nesting
#[test]
fn a_runtime_on_a_thread_of_its_own_is_no_nesting() {
    on_one_worker(|cx| {
        // A thread of `blocking` is outside every task.
        assert_eq!(cx.blocking(|| conbrio::run(|_| 5)).unwrap(), 5);
        assert!(panic_text(nested_run).contains("from inside"), "this task still is inside");
    });
}

// spec: test_run.nursery_main_block_error_basic, test_run.nursery_explicit_exception
#[test]
fn the_error_of_the_body_comes_out_of_the_nursery() {
    on_one_worker(|cx| {
        let error = Box::new(2);
        let address = &raw const *error;
        let result = cx.nursery(|_, _| Err::<(), _>(Fault::Boxed(error)));
        let Err(NurseryError::Failed(errors)) = result else { panic!("{result:?}") };
        assert_eq!(errors.len(), 1);
        let Fault::Boxed(error) = errors.into_first() else { panic!("another error") };
        assert!(std::ptr::eq(&raw const *error, address));
    });
}

// spec: test_run.child_crash_basic
#[test]
fn the_error_of_a_child_comes_out_of_the_nursery() {
    on_all_workers(|cx| {
        let error = Box::new(3);
        let address = (&raw const *error).addr();
        let result = cx.nursery(|_, n| {
            n.spawn(move |_| Err::<(), _>(Fault::Boxed(error)));
            Ok(())
        });
        let Err(NurseryError::Failed(errors)) = result else { panic!("{result:?}") };
        assert_eq!(errors.len(), 1);
        let Fault::Boxed(error) = errors.into_first() else { panic!("another error") };
        assert_eq!((&raw const *error).addr(), address);
    });
}

// spec: test_run.child_crash_basic
#[test]
fn the_panic_of_a_child_goes_on_in_the_parent_with_its_payload() {
    on_all_workers(|cx| {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                n.spawn(|_| -> Result<(), Cancelled> { std::panic::panic_any(41_u64) });
                Ok(())
            })
        }));
        assert_eq!(*caught.unwrap_err().downcast::<u64>().unwrap(), 41);
        cx.sleep(seconds(1)).unwrap();
    });
}

fn three_steps(cx: &mut Cx, name: char, trace: &Trace<(u32, char)>) -> Result<(), Cancelled> {
    for round in 0..3 {
        trace.push((round, name));
        cx.yield_now()?;
    }
    Ok(())
}

// spec: test_run.basic_interleave
#[test]
fn tasks_that_give_way_take_turns() {
    // conbrio: `yield_now` always gives way; `checkpoint` does so only at every 128th of a turn.
    let seeds = (0..16).map(Some).chain([None]);
    for seed in seeds {
        let trace = Trace::new();
        let builder = Builder::new().workers(1);
        let builder = match seed {
            Some(seed) => builder.seed(seed),
            None => builder,
        };
        let result = builder.run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| three_steps(cx, 'a', &trace));
                n.spawn_local(cx, |cx| three_steps(cx, 'b', &trace));
                n.spawn(|cx| three_steps(cx, 'c', &trace));
                Ok(())
            })
        });
        result.unwrap().unwrap();
        let mut events = trace.take();
        let rounds: Vec<u32> = events.iter().map(|event| event.0).collect();
        assert_eq!(rounds, [0, 0, 0, 1, 1, 1, 2, 2, 2], "seed {seed:?}: {events:?}");
        events.sort_unstable();
        assert_eq!(
            events,
            (0..3).flat_map(|r| ['a', 'b', 'c'].map(|name| (r, name))).collect::<Vec<_>>()
        );
    }
}

// spec: test_run.basic_interleave
#[test]
fn checkpoints_give_way_in_the_end() {
    on_one_worker(|cx| {
        let turns = Trace::new();
        let busy = |name: char| {
            let turns = &turns;
            move |cx: &mut Cx| -> Result<(), Cancelled> {
                for step in 0..1_000 {
                    turns.push((name, step));
                    cx.checkpoint()?;
                }
                Ok(())
            }
        };
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(busy('a'));
            n.spawn(busy('b'));
            Ok(())
        })
        .unwrap();
        let turns = turns.take();
        let changes = turns.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
        // 1000 checkpoints are seven turns of 128 and a rest, for each of the two.
        assert!((13..=16).contains(&changes), "{changes} changes of turn");
    });
}

// spec: test_run.task_crash_propagation
#[test]
fn a_child_that_fails_cancels_its_sibling_and_only_its_error_is_reported() {
    on_all_workers(|cx| {
        let seen = Trace::new();
        let result = cx.nursery(|_, n| {
            n.task("looper").spawn(|cx| -> Result<(), Fault> {
                loop {
                    if let Err(cancelled) = cx.yield_now() {
                        let task = cancelled.source_task().map(str::to_owned);
                        seen.push((cancelled.source(), task));
                        return Err(cancelled.into());
                    }
                }
            });
            n.task("crasher").spawn(|_| Err::<(), _>(Fault::Named("crash")));
            Ok(())
        });
        assert_eq!(names(result), ["crash"]);
        assert_eq!(seen.take(), [(CancelSource::ChildFailed, Some("crasher".to_owned()))]);
    });
}

// spec: test_run.main_and_task_both_crash
#[test]
fn errors_of_the_body_and_of_a_child_are_both_reported() {
    on_all_workers(|cx| {
        let result = cx.nursery(|_, n| -> Result<(), Fault> {
            // The child has not begun when the body fails: it begins in spite of it.
            n.spawn(|cx| -> Result<(), Fault> {
                let _ = cx.sleep_forever();
                Err(Fault::Named("child"))
            });
            Err(Fault::Named("body"))
        });
        assert_eq!(names(result), ["body", "child"]);
    });
}

// spec: test_run.two_child_crashes
#[test]
fn errors_of_two_children_are_both_reported_in_order_of_time() {
    on_all_workers(|cx| {
        let result = cx.nursery(|_, n| {
            n.spawn(|cx| -> Result<(), Fault> {
                let _ = cx.sleep_forever();
                Err(Fault::Named("second"))
            });
            n.spawn(|cx| -> Result<(), Fault> {
                cx.sleep(seconds(1))?;
                Err(Fault::Named("first"))
            });
            Ok(())
        });
        assert_eq!(names(result), ["first", "second"]);
    });
}

// spec: test_run.child_crash_wakes_parent
#[test]
fn a_child_that_fails_wakes_a_body_that_sleeps_for_ever() {
    on_all_workers(|cx| {
        let start = cx.now();
        let result = cx.nursery(|cx, n| -> Result<(), Fault> {
            n.spawn(|cx| -> Result<(), Fault> {
                cx.sleep(seconds(3))?;
                Err(Fault::Named("crash"))
            });
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(cancelled.source(), CancelSource::ChildFailed);
            assert_eq!(cx.now() - start, seconds(3));
            Err(cancelled.into())
        });
        assert_eq!(names(result), ["crash"]);
        assert_eq!(cx.now() - start, seconds(3));
    });
}

// spec: test_run.current_time
#[test]
fn time_goes_on() {
    conbrio::run(|cx| {
        let first = cx.now();
        assert!(first <= Instant::now());
        while cx.now() == first {
            cx.yield_now().unwrap();
        }
        assert!(cx.now() > first);
    });
}

// spec: test_run.current_time_with_mock_clock
#[test]
fn the_time_of_tasks_is_that_of_the_clock() {
    let clock = MockClock::new();
    let builder = Builder::new().workers(2).clock(clock.clone());
    builder
        .run(|cx| {
            let start = cx.now();
            assert_eq!(start, clock.now());
            clock.jump(seconds(5) + Duration::from_nanos(1));
            assert_eq!(cx.now() - start, seconds(5) + Duration::from_nanos(1));
            assert_eq!(cx.now(), clock.now());
        })
        .unwrap();
}

// spec: test_run.current_clock
#[test]
fn the_clock_of_a_runtime_is_the_one_it_was_given() {
    let clock = MockClock::new();
    let builder = Builder::new().workers(1).clock(clock.clone());
    builder
        .run(|cx| {
            let current = cx.runtime().clock;
            clock.jump(seconds(77));
            // Another clock would not have jumped.
            assert_eq!(current.now(), clock.now());
            assert!(current.is_virtual());
        })
        .unwrap();
    conbrio::run(|cx| assert!(!cx.runtime().clock.is_virtual()));
}

// spec: test_run.nursery_closure
#[test]
fn children_may_spawn_siblings_when_the_body_has_ended() {
    // conbrio: after that no nursery is left to spawn into, which the types see to.
    on_all_workers(|cx| {
        let begun = AtomicU32::new(0);
        let start = cx.now();
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            let begun = &begun;
            n.spawn(move |cx| {
                cx.sleep(seconds(1))?;
                n.spawn(move |cx| {
                    begun.fetch_add(1, Ordering::Relaxed);
                    cx.sleep(seconds(1))?;
                    n.spawn(move |_| {
                        begun.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    });
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        })
        .unwrap();
        assert_eq!(begun.into_inner(), 2);
        assert_eq!(cx.now() - start, seconds(2));
    });
}

struct Canary<'a>(&'a AtomicU32);

impl Drop for Canary<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

// spec: test_run.locals_destroyed_promptly_on_cancel
#[test]
fn locals_of_cancelled_children_are_gone_when_the_nursery_has_ended() {
    on_all_workers(|cx| {
        let dropped = AtomicU32::new(0);
        let result = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let captured = Canary(&dropped);
            let dropped = &dropped;
            n.spawn(move |cx| {
                let _captured = captured;
                let _local = Canary(dropped);
                cx.sleep_forever()
            });
            // A result that nobody takes is dropped as well, before the nursery ends.
            n.spawn(|_| Ok(Canary(dropped)));
            cx.sleep(seconds(1))?;
            n.cancel();
            Ok(())
        });
        result.unwrap();
        assert_eq!(dropped.into_inner(), 3);
    });
}
