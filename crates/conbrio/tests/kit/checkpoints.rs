//! What counts as a checkpoint.

use std::time::Duration;

use conbrio::testing::{assert_checkpoints, assert_no_checkpoints};
use conbrio::{Cancelled, Cx};

use crate::support::message_of;

type Half = fn(&mut Cx);
type Whole = fn(&mut Cx) -> Result<(), Cancelled>;

/// One half of a checkpoint, and what it lacks.
const HALVES: [(Half, &str); 2] = [
    (|cx| cx.yield_shielded(), "never looks"),
    (|cx| cx.checkpoint_if_cancelled().unwrap(), "never lets others run"),
];

// spec: test_testing.assert_checkpoints
#[test]
fn a_checkpoint_is_both_halves_together() {
    conbrio::run(|cx| {
        let whole: [(&str, Whole); 7] = [
            ("checkpoint", |cx| cx.checkpoint()),
            ("yield_now", |cx| cx.yield_now()),
            ("sleep", |cx| cx.sleep(Duration::from_micros(1))),
            ("sleep of zero", |cx| cx.sleep(Duration::ZERO)),
            ("blocking", |cx| cx.blocking(|| ())),
            ("wait", |cx| cx.wait(async {})),
            ("two halves", |cx| {
                cx.checkpoint_if_cancelled()?;
                cx.yield_shielded();
                Ok(())
            }),
        ];
        for (name, f) in whole {
            // The first call of a turn as well as any other.
            for _ in 0..3 {
                assert_checkpoints(cx, f).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
        for (half, lacks) in HALVES {
            let message = message_of(|| assert_checkpoints(cx, half));
            assert!(message.contains(lacks), "{message}");
        }
        let message = message_of(|| assert_checkpoints(cx, |_| ()));
        assert!(message.contains("neither"), "{message}");
    });
}

// spec: test_testing.assert_no_checkpoints
#[test]
fn one_half_is_too_much_where_there_is_to_be_none() {
    conbrio::run(|cx| {
        assert_eq!(assert_no_checkpoints(cx, |_| 7), 7);
        for (half, _) in HALVES {
            message_of(|| assert_no_checkpoints(cx, half));
        }
        let message = message_of(|| assert_no_checkpoints(cx, |cx| cx.checkpoint().unwrap()));
        assert!(message.contains("passed a checkpoint"), "{message}");
    });
}

#[test]
fn assertions_nest_and_leave_no_trace() {
    conbrio::run(|cx| {
        assert_checkpoints(cx, |cx| {
            assert_no_checkpoints(cx, |_| ());
            assert_checkpoints(cx, |cx| cx.checkpoint()).unwrap();
            // What was passed inside counts for the one outside.
            assert_no_checkpoints(cx, |_| ());
        });
        // Nor does a panic leave any.
        message_of(|| assert_checkpoints(cx, |_| panic!("on the way")));
        assert_no_checkpoints(cx, |_| ());
        cx.checkpoint().unwrap();
        assert_no_checkpoints(cx, |_| ());
    });
}

#[test]
fn a_checkpoint_of_another_task_does_not_count() {
    conbrio::Builder::new()
        .workers(1)
        .run(|cx| {
            let message = message_of(|| {
                assert_checkpoints(cx, |cx| {
                    cx.nursery(|_, n| -> Result<(), Cancelled> {
                        n.spawn(|cx| cx.checkpoint());
                        Ok(())
                    })
                    .unwrap();
                });
            });
            // It waited for the child, but it would not have seen a cancellation.
            assert!(message.contains("never looks"), "{message}");
        })
        .unwrap();
}

#[test]
fn a_cancelled_checkpoint_is_one() {
    conbrio::run(|cx| {
        let outcome = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            assert_checkpoints(cx, |cx| cx.sleep_forever())
        });
        assert!(matches!(outcome, Ok(None)));
    });
}
