//! Scopes pass the cancellation of a scope outside on, and take back none but their own.

use std::time::Duration;

use conbrio::prelude::*;

use super::{LONG, SHORT, beside, simulated, was_cancelled};

// N17: Cx::cancel_scope, Cx::move_on_after, Cx::move_on_at
#[test]
fn scopes_that_end_quietly() {
    type Scope = fn(&mut Cx, Duration) -> Result<Option<()>, Cancelled>;
    let scopes: [Scope; 3] = [
        |cx, limit| {
            cx.cancel_scope(|cx, scope| {
                scope.set_timeout(limit);
                cx.sleep(2 * SHORT)
            })
        },
        |cx, limit| cx.move_on_after(limit, |cx| cx.sleep(2 * SHORT)),
        |cx, limit| cx.move_on_at(cx.now() + limit, |cx| cx.sleep(2 * SHORT)),
    ];
    for scope in scopes {
        for (limit, within) in [(SHORT, None), (LONG, Some(()))] {
            simulated(3, |cx, trial| {
                let outcome = trial.run(cx, |cx| scope(cx, limit));
                if !was_cancelled(trial, &outcome) {
                    assert_eq!(outcome.unwrap(), within);
                }
                assert_eq!(cx.statistics().timers, 0, "the limit is gone");
            });
        }
    }
}

// N17: Cx::fail_after, Cx::fail_at
#[test]
fn scopes_that_fail() {
    type Scope = fn(&mut Cx, Duration) -> Result<(), OrTimedOut<Cancelled>>;
    let scopes: [Scope; 2] = [
        |cx, limit| cx.fail_after(limit, |cx| cx.sleep(2 * SHORT)),
        |cx, limit| cx.fail_at(cx.now() + limit, |cx| cx.sleep(2 * SHORT)),
    ];
    for scope in scopes {
        simulated(3, |cx, trial| {
            match trial.run(cx, |cx| scope(cx, SHORT)) {
                Err(OrTimedOut::TimedOut(_)) => {}
                Err(OrTimedOut::Failed(_)) => assert!(trial.is_cancelled()),
                Ok(()) => panic!("the limit is shorter"),
            }
            assert_eq!(cx.statistics().timers, 0, "the limit is gone");
        });
    }
}

// N17: Cx::shield, Cx::cleanup
#[test]
fn what_is_shielded_is_done() {
    simulated(7, |cx, trial| {
        let mut done = Vec::new();
        let outcome = trial.run(cx, |cx| {
            cx.shield(|cx| cx.sleep(SHORT)).unwrap();
            done.push("shielded");
            let cleaned = cx.cleanup(LONG, |cx| cx.sleep(SHORT));
            assert!(matches!(cleaned, Ok(Some(()))));
            done.push("cleaned");
            cx.checkpoint()
        });
        assert_eq!(done, ["shielded", "cleaned"]);
        // It shows as soon as nothing hides it.
        assert_eq!(was_cancelled(trial, &outcome), trial.is_cancelled());
    });
}

// N17: Cx::wait_shutdown
#[test]
fn a_shutdown_is_waited_for() {
    simulated(3, |cx, trial| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                cx.sleep(SHORT)?;
                n.shutdown(LONG);
                Ok(())
            });
            let outcome = trial.run(cx, |cx| cx.wait_shutdown());
            assert!(was_cancelled(trial, &outcome) || cx.shutdown_requested());
            // The request is not used up by who has waited for it.
            cx.wait_shutdown()
        })
        .unwrap();
    });
}

// N17: Cx::move_on_shutdown
#[test]
fn a_shutdown_ends_a_scope() {
    simulated(6, |cx, trial| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                cx.sleep(SHORT)?;
                n.shutdown(LONG);
                Ok(())
            });
            let outcome = trial.run(cx, |cx| cx.move_on_shutdown(|cx| cx.sleep(LONG)));
            if !was_cancelled(trial, &outcome) {
                assert_eq!(outcome.unwrap(), None);
            }
            assert_eq!(n.child_count(), usize::from(!cx.shutdown_requested()), "nobody watches");
            Ok(())
        })
        .unwrap();
    });
}

// The part of `beside` that other tests rely on.
#[test]
fn children_beside_a_trial_are_not_cancelled() {
    simulated(1, |cx, trial| {
        let mut slept = false;
        let outcome = beside(
            cx,
            |cx| {
                cx.sleep(SHORT)?;
                slept = true;
                Ok(())
            },
            |cx| trial.run(cx, |cx| cx.sleep(2 * SHORT)),
        );
        was_cancelled(trial, &outcome);
        assert!(slept);
    });
}
