//! Steps in the order of their numbers, wherever they are taken.

use std::sync::Mutex;

use conbrio::prelude::*;
use conbrio::testing::{Builder, Sequencer, SequencerBroken, settle};

use crate::support::message_of;

type Fault = OrCancelled<SequencerBroken>;

// spec: test_testing.Sequencer
#[test]
fn steps_come_in_order_over_all_tasks() {
    for workers in [1, 2] {
        let log = Mutex::new(Vec::new());
        let seq = Sequencer::new();
        conbrio::Builder::new()
            .workers(workers)
            .run(|cx| {
                cx.nursery(|_, n| -> Result<(), Fault> {
                    for task in 0..5 {
                        let (seq, log) = (&seq, &log);
                        n.spawn(move |cx| {
                            for round in 0..20 {
                                let step = round * 5 + (task * 3 + round) % 5;
                                // Another step does not begin before this one has ended.
                                seq.step(cx, step, |cx| {
                                    log.lock().unwrap().push(step);
                                    cx.yield_now()?;
                                    log.lock().unwrap().push(step);
                                    Ok::<(), Cancelled>(())
                                })??;
                            }
                            Ok(())
                        });
                    }
                    Ok(())
                })
            })
            .unwrap()
            .unwrap();
        let twice: Vec<usize> = (0..100).flat_map(|step| [step, step]).collect();
        assert_eq!(log.into_inner().unwrap(), twice);
        assert!(!seq.is_broken());
    }
}

// spec: test_testing.Sequencer
#[test]
fn any_order_of_tasks_gives_the_order_of_steps() {
    for seed in 0..50 {
        Builder::new().seed(seed).workers(3).run(|cx| {
            let log = Mutex::new(Vec::new());
            let seq = Sequencer::new();
            cx.nursery(|_, n| -> Result<(), Fault> {
                for step in 0..8 {
                    let (seq, log) = (&seq, &log);
                    n.spawn(move |cx| seq.step(cx, step, |_| log.lock().unwrap().push(step)));
                }
                Ok(())
            })
            .unwrap();
            assert_eq!(log.into_inner().unwrap(), (0..8).collect::<Vec<_>>());
        });
    }
}

// spec: test_testing.Sequencer
#[test]
fn a_step_used_twice_is_a_misuse() {
    let seq = Sequencer::new();
    conbrio::run(|cx| seq.step(cx, 0, |_| ())).unwrap();
    let message = message_of(|| conbrio::run(|cx| drop(seq.step(cx, 0, |_| ()))));
    assert_eq!(message, "step 0 of a sequencer was used twice; give each step a number of its own");

    // Also by two tasks that wait for it.
    let seq = Sequencer::new();
    let message = message_of(|| {
        conbrio::run(|cx| {
            drop(cx.nursery(|_, n| -> Result<(), Fault> {
                for _ in 0..2 {
                    n.spawn(|cx| seq.step(cx, 1, |_| ()));
                }
                Ok(())
            }));
        });
    });
    assert!(message.starts_with("step 1 of a sequencer was used twice"), "{message}");
}

// spec: test_testing.Sequencer_cancel
#[test]
fn a_cancelled_waiter_breaks_the_sequencer_for_all() {
    for workers in [1, 2] {
        let seq = Sequencer::new();
        let found = Mutex::new(Vec::new());
        conbrio::Builder::new()
            .workers(workers)
            .run(|cx| {
                cx.nursery(|cx, n| -> Result<(), Fault> {
                    let (seq, found) = (&seq, &found);
                    let victim = n.spawn(move |cx| seq.step(cx, 1, |_| unreachable!("cancelled")));
                    for step in [2, 3] {
                        n.spawn(move |cx| {
                            let outcome = seq.step(cx, step, |_| unreachable!("out of order"));
                            found.lock().unwrap().push(outcome.unwrap_err().into_failed());
                            Ok(())
                        });
                    }
                    settle(cx, std::time::Duration::ZERO)?;
                    victim.cancel();
                    settle(cx, std::time::Duration::ZERO)?;
                    // Later users are told as well, also those whose turn it would be.
                    for step in [0, 4] {
                        let outcome = seq.step(cx, step, |_| unreachable!("broken"));
                        found.lock().unwrap().push(outcome.unwrap_err().into_failed());
                    }
                    Ok(())
                })
            })
            .unwrap()
            .unwrap();
        let found = found.into_inner().unwrap();
        assert_eq!(found.len(), 4);
        for broken in found {
            let broken = broken.expect("none of them was cancelled");
            assert_eq!(broken.step(), 1);
            let text = broken.to_string();
            assert!(text.contains("the task of step 1 was cancelled"), "{text}");
        }
        assert!(seq.is_broken());
    }
}

#[test]
fn who_is_cancelled_as_well_reports_the_cancellation() {
    Builder::new().run(|cx| {
        let seq = Sequencer::new();
        // All wait, and all are cancelled: none of them calls that a failure.
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            for step in 1..5 {
                let seq = &seq;
                n.spawn(move |cx| seq.step(cx, step, |_| ()));
            }
            settle(cx, std::time::Duration::ZERO)?;
            n.cancel();
            Ok(())
        });
        assert!(outcome.is_ok(), "{outcome:?}");
    });
}

#[test]
fn a_panic_in_a_step_breaks_the_sequencer() {
    let seq = Sequencer::new();
    let message = message_of(|| conbrio::run(|cx| drop(seq.step(cx, 0, |_| panic!("in step")))));
    assert_eq!(message, "in step");
    let broken = conbrio::run(|cx| seq.step(cx, 1, |_| ())).unwrap_err().into_failed().unwrap();
    assert_eq!(broken.to_string(), "the sequencer is broken: the task of step 0 panicked");
}
