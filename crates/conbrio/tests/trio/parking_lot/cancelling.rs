//! Waits in parking lots, cancelled at every point at which they can see it.

use std::time::Duration;

use conbrio::lowlevel::ParkingLot;
use conbrio::prelude::*;
use conbrio::testing::{Builder, CancelPoints, Trial};

use super::Refused;

/// Runs `trial` on one and on two workers, and with several courses.
fn at_every_point(body: impl Fn(&mut Cx, &Trial) + Send + Sync) {
    for (workers, seeds) in [(1, 3), (2, 20)] {
        for seed in 0..seeds {
            let builder = Builder::new().workers(workers).seed(seed);
            let points = CancelPoints::new().simulated(builder).run(&body);
            assert!(points >= 2, "{points} points: it did not wait");
        }
    }
}

/// Whether a wait was cancelled; otherwise it has ended well.
#[track_caller]
fn was_cancelled(trial: &Trial, outcome: &Result<(), Refused>) -> bool {
    match outcome {
        Ok(()) => false,
        Err(error) => {
            assert!(error.cancelled().is_some() && trial.is_cancelled(), "{error:?}");
            true
        }
    }
}

/// Runs `body` beside a child that calls `other` after a while.
fn beside(cx: &mut Cx, other: impl FnOnce() + Send, body: impl FnOnce(&mut Cx)) {
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        n.spawn(|cx| {
            cx.sleep(Duration::from_millis(1))?;
            other();
            Ok(())
        });
        body(cx);
        Ok(())
    })
    .unwrap();
}

// N17: lowlevel::ParkingLot::park
// spec: N17
#[test]
fn a_task_is_in_the_queue_or_was_unparked() {
    at_every_point(|cx, trial| {
        let lot: ParkingLot<usize> = ParkingLot::default();
        beside(
            cx,
            || {
                let mut unparked = lot.lock();
                *unparked = unparked.unpark(1);
            },
            |cx| {
                let outcome = trial.run(cx, |cx| lot.park(cx));
                if was_cancelled(trial, &outcome) {
                    assert!(lot.is_empty());
                    // Whoever comes to unpark it finds nobody: it is not counted.
                    cx.sleep(Duration::from_millis(2)).unwrap();
                    assert_eq!(*lot.lock(), 0);
                } else {
                    assert_eq!(*lot.lock(), 1);
                }
            },
        );
    });
}

// N17: lowlevel::ParkingLot::park_with
// spec: N17
#[test]
fn what_is_handed_over_arrives_or_stays() {
    at_every_point(|cx, trial| {
        let items: ParkingLot<Vec<&str>, Option<&str>> = ParkingLot::default();
        let mut parcel = None;
        beside(
            cx,
            || {
                let mut items = items.lock();
                if items.unpark_with(|_, parcel| *parcel = Some("item")).is_none() {
                    items.push("item");
                }
            },
            |cx| {
                let outcome = trial.run(cx, |cx| items.park_with(cx, &mut parcel));
                assert_eq!(was_cancelled(trial, &outcome), parcel.is_none());
            },
        );
        let left = items.into_inner();
        assert_eq!(left.len() + usize::from(parcel.is_some()), 1);
    });
}

// N17: lowlevel::LotGuard::park
// spec: N17
#[test]
fn a_permit_is_taken_or_left() {
    at_every_point(|cx, trial| {
        let permits: ParkingLot<usize> = ParkingLot::default();
        let mut taken = 0;
        beside(
            cx,
            || {
                let mut permits = permits.lock();
                *permits += 1 - permits.unpark(1);
            },
            |cx| {
                let outcome = trial.run(cx, |cx| -> Result<(), Refused> {
                    cx.checkpoint()?;
                    let permits = permits.lock();
                    assert_eq!(*permits, 0);
                    permits.park(cx, &mut ())
                });
                taken += usize::from(!was_cancelled(trial, &outcome));
            },
        );
        assert_eq!(*permits.lock() + taken, 1);
    });
}

// N17: lowlevel::LotGuard::park_after
// spec: N17
#[test]
fn what_is_released_for_the_wait_is_released_once() {
    at_every_point(|cx, trial| {
        let (lot, released) = (ParkingLot::new(), ParkingLot::<usize>::default());
        beside(
            cx,
            || {
                lot.unpark(1);
            },
            |cx| {
                let outcome = trial
                    .run(cx, |cx| lot.lock().park_after(cx, &mut (), || *released.lock() += 1));
                // It does not look before the wait: the release comes in any case.
                assert_eq!(*released.lock(), 1);
                if was_cancelled(trial, &outcome) {
                    assert!(lot.is_empty());
                }
            },
        );
    });
}
