//! N17: the functions of this suite, cancelled at every point at which they can see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use conbrio::prelude::*;
use conbrio::testing::{CancelPoints, Trial, cancel_at_every_checkpoint};
use conbrio::threads::{Blocking, wait_all_ended};
use conbrio::{Builder, LocalKey};

/// In simulated time, and with threads of the system.
fn everywhere(body: impl Fn(&mut Cx, &Trial) + Send + Copy) {
    assert!(cancel_at_every_checkpoint(body) >= 1);
    assert!(CancelPoints::new().real(Builder::new().workers(1)).run(body) >= 1);
}

fn was_cancelled<T>(trial: &Trial, outcome: &Result<T, Cancelled>) -> bool {
    assert!(outcome.is_ok() || trial.is_cancelled(), "nobody has cancelled it");
    outcome.is_err()
}

// N17: Cx::blocking_with, blocking::Blocking::run
#[test]
fn a_call_with_a_host_runs_as_a_whole_or_not_at_all() {
    everywhere(|cx, trial| {
        let (mut ran, mut asked) = (0, 0);
        let outcome = trial.run(cx, |cx| {
            cx.blocking_with(|host| {
                ran += 1;
                host.run(|_| asked += 1).unwrap();
            })
        });
        let ran_once = u32::from(!was_cancelled(trial, &outcome));
        assert_eq!((ran, asked), (ran_once, ran_once));
        let mut named = 0;
        let outcome = trial.run(cx, |cx| Blocking::new().name("n17").run(cx, |_| named += 1));
        assert_eq!(named, u32::from(!was_cancelled(trial, &outcome)));
    });
}

// N17: Cx::blocking_or_abandon, blocking::Blocking::run_or_abandon
#[test]
fn a_call_that_can_be_left_returns_its_value_or_is_left() {
    everywhere(|cx, trial| {
        let ran = Arc::new(AtomicUsize::new(0));
        for is_named in [false, true] {
            let before = ran.load(SeqCst);
            let counter = Arc::clone(&ran);
            let f = move |_: &conbrio::threads::Host| counter.fetch_add(1, SeqCst);
            let outcome = trial.run(cx, |cx| match is_named {
                true => Blocking::new().name("n17").run_or_abandon(cx, f),
                false => cx.blocking_or_abandon(f),
            });
            if let Ok(value) = outcome {
                assert_eq!(value, before);
                assert_eq!(ran.load(SeqCst), before + 1);
            } else {
                assert!(was_cancelled(trial, &outcome));
            }
            wait_all_ended(cx).unwrap();
        }
        // Whatever has become of it, nobody holds on to it any more.
        assert_eq!(Arc::strong_count(&ran), 1);
    });
}

// N17: threads::wait_all_ended
#[test]
fn who_waits_for_threads_can_be_cancelled() {
    everywhere(|cx, trial| {
        let outcome = trial.run(cx, wait_all_ended);
        let _ = was_cancelled(trial, &outcome);
        wait_all_ended(cx).unwrap();
    });
}

static KEY: LocalKey<u32> = LocalKey::new();

// N17: Cx::with_local, Cx::use_local, Cx::around_turns, Cx::portal
#[test]
fn what_is_put_around_code_is_taken_away_when_that_is_cancelled() {
    everywhere(|cx, trial| {
        let inside = std::cell::Cell::new(0);
        let outcome = trial.run(cx, |cx| {
            let around = |turn: conbrio::Turn<'_>| {
                inside.set(inside.get() + 1);
                turn.run();
                inside.set(inside.get() - 1);
            };
            cx.with_local(&KEY, &3, |cx| {
                cx.around_turns(around, |cx| {
                    cx.use_local(&KEY, |cx, value| {
                        assert_eq!(*value, 3);
                        cx.yield_now()
                    })
                    .unwrap()
                })?;
                cx.portal(|cx, portal| {
                    portal.run_soon(|| ()).unwrap();
                    cx.yield_now()
                })
            })
        });
        let _ = was_cancelled(trial, &outcome);
        assert_eq!(inside.get(), 0);
        assert_eq!(cx.local(&KEY), None);
        assert_eq!(cx.current_portal(), None);
    });
}
