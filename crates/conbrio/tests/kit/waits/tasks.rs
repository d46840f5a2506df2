//! Nurseries and children.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use conbrio::prelude::*;
use conbrio::{StartError, Started};

use super::{SHORT, simulated, was_cancelled};

// N17: nursery::Child::join
#[test]
fn the_value_of_a_child_is_not_lost() {
    simulated(3, |cx, trial| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.spawn(|cx| cx.sleep(SHORT).map(|()| Box::new(7)));
            let mut outcome = trial.run(cx, |cx| child.join(cx));
            if was_cancelled(trial, &outcome) {
                // The child goes on; who asks again gets the value.
                outcome = child.join(cx);
            }
            assert_eq!(*outcome?, 7);
            Ok(())
        })
        .unwrap();
    });
}

// N17: nursery::LocalChild::join
#[test]
fn the_value_of_a_local_child_is_not_lost() {
    simulated(3, |cx, trial| {
        let value = Rc::new(7);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let inside = Rc::clone(&value);
            let mut child = n.spawn_local(cx, move |cx| cx.sleep(SHORT).map(|()| inside));
            let mut outcome = trial.run(cx, |cx| child.join(cx));
            if was_cancelled(trial, &outcome) {
                outcome = child.join(cx);
            }
            assert_eq!(*outcome?, 7);
            Ok(())
        })
        .unwrap();
        assert_eq!(Rc::strong_count(&value), 1);
    });
}

// N17: nursery::Nursery::start, nursery::TaskBuilder::start
#[test]
fn a_child_is_either_started_or_gone() {
    for named in [false, true] {
        simulated(4, |cx, trial| {
            let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let child = |cx: &mut Cx, started: Started<'_, u32, Cancelled>| {
                    begun.fetch_add(1, SeqCst);
                    let outcome = cx.sleep(SHORT).and_then(|()| {
                        started.ready(7);
                        cx.sleep(SHORT)
                    });
                    ended.fetch_add(1, SeqCst);
                    outcome
                };
                let outcome = trial.run(cx, |cx| match named {
                    true => n.task("named").start(cx, child),
                    false => n.start(cx, child),
                });
                match outcome {
                    // It is a child of the nursery, which the trial does not reach.
                    Ok(value) => assert_eq!((value, ended.load(SeqCst)), (7, 0)),
                    // It always begins, and has ended before the call returns.
                    Err(StartError::Cancelled(_)) => {
                        assert!(trial.is_cancelled());
                        assert_eq!((begun.load(SeqCst), ended.load(SeqCst)), (1, 1));
                        assert_eq!(n.child_count(), 0);
                    }
                    Err(error) => panic!("{error}"),
                }
                Ok(())
            })
            .unwrap();
            assert_eq!((begun.into_inner(), ended.into_inner()), (1, 1));
        });
    }
}

// N17: Cx::nursery
#[test]
fn a_nursery_ends_after_all_of_its_children() {
    simulated(10, |cx, trial| {
        let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let outcome = trial.run(cx, |cx| {
            cx.nursery(|cx, n| -> Result<u32, Cancelled> {
                for _ in 0..3 {
                    n.spawn(|cx| {
                        begun.fetch_add(1, SeqCst);
                        let outcome = cx.sleep(SHORT);
                        // Saying goodbye takes its time.
                        cx.shield(|cx| cx.sleep(SHORT))?;
                        ended.fetch_add(1, SeqCst);
                        outcome
                    });
                }
                cx.yield_now()?;
                Ok(7)
            })
        });
        assert_eq!((begun.into_inner(), ended.into_inner()), (3, 3));
        match outcome {
            Ok(value) => assert_eq!(value, 7),
            Err(NurseryError::Cancelled(_)) => assert!(trial.is_cancelled()),
            Err(error) => panic!("{error}"),
        }
    });
}

// What several children share stays whole if each of them is, whenever they are cancelled.
#[test]
fn a_sum_over_children_stays_whole() {
    simulated(10, |cx, trial| {
        let (left, moved) = (Cell::new(10), Cell::new(0));
        let outcome = trial.run(cx, |cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                for _ in 0..3 {
                    n.spawn_local(cx, |cx| {
                        while left.get() > 0 {
                            cx.yield_now()?;
                            if left.get() > 0 {
                                left.set(left.get() - 1);
                                moved.set(moved.get() + 1);
                            }
                        }
                        Ok(())
                    });
                }
                Ok(())
            })
        });
        assert_eq!(left.get() + moved.get(), 10);
        assert!(outcome.is_err() || moved.get() == 10);
    });
}
