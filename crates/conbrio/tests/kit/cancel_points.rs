//! Planted bugs are found, and the message says where.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conbrio::lowlevel::{Abort, Unparker, Wait};
use conbrio::prelude::*;
use conbrio::testing::{Builder, CancelPoints, cancel_at_every_checkpoint};

use crate::support::message_of;

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn every_point_has_its_run() {
    let runs = Mutex::new(Vec::new());
    let points = cancel_at_every_checkpoint(|cx, trial| {
        let mut done = 0;
        let outcome = trial.run(cx, |cx| {
            for _ in 0..3 {
                cx.checkpoint()?;
                done += 1;
            }
            Ok::<(), Cancelled>(())
        });
        assert_eq!(outcome.is_err(), trial.is_cancelled());
        runs.lock().unwrap().push((trial.point(), done));
    });
    assert_eq!(points, 3);
    assert_eq!(runs.into_inner().unwrap(), [(1, 0), (2, 1), (3, 2), (4, 3)]);
}

#[test]
fn a_wait_is_cancelled_before_during_and_after() {
    let slept = Mutex::new(Vec::new());
    let points = cancel_at_every_checkpoint(|cx, trial| {
        let before = cx.now();
        let outcome = trial.run(cx, |cx| cx.sleep(SHORT));
        slept.lock().unwrap().push((outcome.is_ok(), trial.is_cancelled(), cx.now() - before));
    });
    assert_eq!(points, 3);
    let (no, full) = (Duration::ZERO, SHORT);
    assert_eq!(
        slept.into_inner().unwrap(),
        // At the first look, when it lies down, when it has been woken: completion wins. And never.
        [(false, true, no), (false, true, no), (true, true, full), (true, false, full)]
    );
}

#[test]
fn what_others_do_while_it_waits_counts() {
    let rounds = Mutex::new(Vec::new());
    cancel_at_every_checkpoint(|cx, trial| {
        let round = AtomicUsize::new(0);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                for _ in 0..4 {
                    cx.yield_now()?;
                    round.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            });
            let seen = trial.run(cx, |cx| {
                let outcome = cx.sleep(SHORT);
                (outcome.is_ok(), round.load(Ordering::SeqCst))
            });
            rounds.lock().unwrap().push(seen);
            Ok(())
        })
        .unwrap();
    });
    let rounds = rounds.into_inner().unwrap();
    for round in 0..4 {
        assert!(rounds.contains(&(false, round)), "{rounds:?}");
    }
    assert_eq!(rounds.last(), Some(&(true, 4)));
}

/// Takes from one, waits, gives to the other.
fn careless(cx: &mut Cx, from: &Cell<i64>, to: &Cell<i64>) -> Result<(), Cancelled> {
    cx.checkpoint()?;
    from.set(from.get() - 30);
    cx.sleep(SHORT)?;
    to.set(to.get() + 30);
    Ok(())
}

fn try_careless(points: CancelPoints) -> String {
    message_of(|| {
        points.run(|cx, trial| {
            let (from, to) = (Cell::new(100), Cell::new(0));
            let _ = trial.run(cx, |cx| careless(cx, &from, &to));
            assert_eq!(from.get() + to.get(), 100, "money was lost");
        });
    })
}

// spec: N17
#[test]
fn the_message_says_which_point_and_where() {
    let message = try_careless(CancelPoints::new());
    for part in [
        "cancelled at point 2, where task 'main' passed a checkpoint",
        "sleep",
        "careless at",
        "cancel_points.rs:",
        "CancelPoints::new().only(2)",
        "money was lost",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // The frames of the machinery are left out.
    assert!(!message.contains("Trial") && !message.contains("std::"), "{message}");
    assert!(
        try_careless(CancelPoints::new().only(3)).contains("was about to wait for a point in time")
    );
}

#[test]
fn one_point_can_be_looked_at_alone() {
    let runs = AtomicUsize::new(0);
    CancelPoints::new().only(2).run(|cx, trial| {
        runs.fetch_add(1, Ordering::SeqCst);
        assert!(trial.run(cx, |cx| cx.yield_now().and_then(|()| cx.yield_now())).is_err());
    });
    assert_eq!(runs.into_inner(), 1);
}

/// A slot for one number, whose receiver forgets the number if it is cancelled at the wrong moment.
#[derive(Default)]
struct Slot(Mutex<(Option<u32>, Option<Unparker>)>);

impl Slot {
    fn put(&self, number: u32) {
        let mut state = self.0.lock().unwrap();
        state.0 = Some(number);
        if let Some(unparker) = state.1.take() {
            unparker.unpark();
        }
    }

    fn take(&self, cx: &mut Cx, look_after: bool) -> Result<u32, Cancelled> {
        cx.park_on(&mut &*self)?;
        let number = self.0.lock().unwrap().0.take().unwrap();
        if look_after {
            // The mistake: the number has been taken, and is dropped with the frame.
            cx.checkpoint()?;
        }
        Ok(number)
    }
}

impl Wait for &Slot {
    fn arm(&mut self, unparker: Unparker) {
        let mut state = self.0.lock().unwrap();
        if state.0.is_some() {
            unparker.unpark();
        } else {
            state.1 = Some(unparker);
        }
    }

    fn abort(&mut self) -> Abort {
        self.0.lock().unwrap().1 = None;
        Abort::Succeeded
    }
}

fn try_slot(look_after: bool) {
    cancel_at_every_checkpoint(|cx, trial| {
        let slot = Slot::default();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                cx.yield_now()?;
                slot.put(7);
                Ok(())
            });
            let taken = trial.run(cx, |cx| slot.take(cx, look_after));
            // Whoever asks next gets it, if the first one did not.
            assert_eq!(taken.or_else(|_| slot.take(cx, false))?, 7);
            Ok(())
        })
        .unwrap();
    });
}

// spec: N17
#[test]
fn a_lost_item_is_found_as_a_wait_without_an_end() {
    try_slot(false);
    let message = message_of(|| try_slot(true));
    assert!(message.contains("cancelled at point"), "{message}");
    // The simulator sees that nothing can run, and says who waits.
    assert!(message.contains("'main' waits for"), "{message}");
}

#[test]
fn a_trial_without_points_is_refused() {
    let message = message_of(|| {
        cancel_at_every_checkpoint(|_, _| ());
    });
    assert!(message.contains("has not called `Trial::run`"), "{message}");
    let message = message_of(|| {
        cancel_at_every_checkpoint(|cx, trial| trial.run(cx, |_| ()));
    });
    assert!(message.contains("no point was passed"), "{message}");
    let message = message_of(|| {
        cancel_at_every_checkpoint(|cx, trial| trial.run(cx, |cx| trial.run(cx, |_| ())));
    });
    assert!(message.contains("has not returned"), "{message}");
}

#[test]
fn points_are_bounded() {
    let message = message_of(|| {
        CancelPoints::new().points_max(5).run(|cx, trial| {
            let _ = trial.run(cx, |cx| -> Result<(), Cancelled> {
                loop {
                    cx.yield_now()?;
                }
            });
        });
    });
    assert!(message.contains("more than 5 points"), "{message}");
}

#[test]
fn children_inside_the_trial_are_cancelled_at_their_points() {
    let points = cancel_at_every_checkpoint(|cx, trial| {
        let done = AtomicUsize::new(0);
        let outcome = trial.run(cx, |cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                for _ in 0..3 {
                    n.spawn(|cx| {
                        cx.sleep(SHORT)?;
                        done.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    });
                }
                cx.checkpoint()
            })
        });
        assert!(outcome.is_err() || done.into_inner() == 3);
    });
    // Three of each child, the checkpoint of the body, and that it has no children any more.
    assert_eq!(points, 11);
}

#[test]
fn it_works_with_more_workers_and_in_real_runtimes() {
    let body = |cx: &mut Cx, trial: &conbrio::testing::Trial| {
        let outcome = trial.run(cx, |cx| {
            cx.nursery(|cx, n| -> Result<u32, Cancelled> {
                let mut child = n.spawn(|cx| cx.sleep(SHORT).map(|()| 3));
                child.join(cx)
            })
        });
        assert!(trial.is_cancelled() || matches!(outcome, Ok(3)), "{outcome:?}");
    };
    for seed in 0..10 {
        let points = CancelPoints::new().simulated(Builder::new().workers(2).seed(seed)).run(body);
        assert!(points >= 4, "{points}");
    }
    for workers in [1, 2] {
        let points = CancelPoints::new().real(conbrio::Builder::new().workers(workers)).run(body);
        assert!(points >= 4, "{points}");
    }
}
