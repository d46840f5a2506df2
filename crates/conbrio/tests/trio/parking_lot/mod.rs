//! Queues of waiting tasks: their order, and how tasks leave them.

mod breakers;
mod cancelling;
mod primitives;

use std::time::Duration;

use conbrio::lowlevel::{Breaker, Broken, ParkingLot};
use conbrio::prelude::*;
use conbrio::testing::settle;

use crate::support::{Trace, in_virtual_time, on_all_workers};

type Refused = OrCancelled<Broken>;

fn settled(cx: &mut Cx) -> Result<(), Cancelled> {
    settle(cx, Duration::ZERO)
}

/// The error of a wait in a broken lot.
fn broken<T: std::fmt::Debug>(result: Result<T, Refused>) -> Broken {
    match result {
        Err(OrCancelled::Failed(broken)) => broken,
        other => panic!("expected a broken lot, not {other:?}"),
    }
}

/// Spawns tasks that park one after the other, named 0, 1, 2..., and note when they go on.
fn park_in_order<'scope>(
    cx: &mut Cx,
    n: &'scope Nursery<'scope, '_, Refused>,
    lot: &'scope ParkingLot,
    trace: &'scope Trace<usize>,
    count: usize,
) -> Result<(), Cancelled> {
    for number in 0..count {
        n.spawn(move |cx| {
            lot.park(cx)?;
            trace.push(number);
            Ok(())
        });
        settled(cx)?;
    }
    Ok(())
}

/// A breaker whose task has ended.
fn ended_task(cx: &mut Cx, name: &'static str) -> Breaker {
    let ended = cx.nursery(|cx, n| -> Result<Breaker, Cancelled> {
        n.task(name).spawn(|cx| Ok(cx.breaker())).join(cx)
    });
    ended.expect("nothing fails")
}

// spec: test_parking_lot.parking_lot_basic
#[test]
fn the_longest_waiting_task_goes_on_first() {
    on_all_workers(|cx| {
        let (lot, trace) = (ParkingLot::new(), Trace::new());
        assert!(lot.is_empty());
        assert_eq!((lot.unpark(1), lot.unpark(7), lot.unpark_all()), (0, 0, 0));
        cx.nursery(|cx, n| -> Result<(), Refused> {
            park_in_order(cx, n, &lot, &trace, 3)?;
            assert_eq!((lot.len(), lot.is_empty()), (3, false));
            assert_eq!(lot.statistics().tasks_waiting, 3);
            assert_eq!(lot.unpark_all(), 3);
            assert_eq!(lot.len(), 0, "they have left when they are unparked, not when they run");
            settled(cx)?;
            let mut woken = trace.take();
            woken.sort_unstable();
            assert_eq!(woken, [0, 1, 2]);

            park_in_order(cx, n, &lot, &trace, 3)?;
            for expected in 0..3 {
                assert_eq!(lot.unpark(1), 1);
                settled(cx)?;
                assert_eq!(trace.take(), [expected]);
            }

            park_in_order(cx, n, &lot, &trace, 3)?;
            assert_eq!(lot.unpark(2), 2);
            settled(cx)?;
            let mut woken = trace.take();
            woken.sort_unstable();
            assert_eq!((woken, lot.len()), (vec![0, 1], 1));
            assert_eq!(lot.unpark(2), 1, "there was only one left");
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_parking_lot.parking_lot_basic
#[test]
fn tasks_of_one_worker_run_in_the_order_in_which_they_were_unparked() {
    in_virtual_time(1, |cx| {
        let (lot, trace) = (ParkingLot::new(), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Refused> {
            park_in_order(cx, n, &lot, &trace, 10)?;
            lot.unpark_all();
            Ok(())
        })
        .unwrap();
        assert_eq!(trace.take(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });
}

// spec: test_parking_lot.parking_lot_cancel
#[test]
fn a_cancelled_task_leaves_the_queue_and_the_others_stay() {
    on_all_workers(|cx| {
        let (lot, trace) = (ParkingLot::new(), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Refused> {
            let mut children = Vec::new();
            for number in 0..3 {
                let (lot, trace) = (&lot, &trace);
                children.push(n.spawn(move |cx| {
                    lot.park(cx)?;
                    trace.push(number);
                    Ok(())
                }));
                settled(cx)?;
            }
            children[1].cancel();
            settled(cx)?;
            assert_eq!(lot.len(), 2);
            assert!(trace.take().is_empty());
            assert_eq!(lot.unpark_all(), 2);
            settled(cx)?;
            let mut woken = trace.take();
            woken.sort_unstable();
            assert_eq!(woken, [0, 2]);

            // Cancelled before it parks: it does not get into the queue.
            let parked = cx.cancel_scope(|cx, scope| {
                scope.cancel();
                lot.park(cx)
            });
            assert!(matches!(parked, Ok(None)));
            assert!(lot.is_empty());
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_parking_lot.parking_lot_repark
#[test]
fn waiting_tasks_move_to_another_lot() {
    on_all_workers(|cx| {
        let (a, b, trace) = (ParkingLot::new(), ParkingLot::new(), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Refused> {
            park_in_order(cx, n, &a, &trace, 3)?;
            assert_eq!(a.repark(&b, 1), 1);
            assert_eq!((a.len(), b.len()), (2, 1));
            b.unpark_all();
            settled(cx)?;
            assert_eq!(trace.take(), [0]);

            assert_eq!(a.repark_all(&b), 2);
            assert_eq!((a.len(), b.len()), (0, 2));
            b.unpark(1);
            settled(cx)?;
            assert_eq!(trace.take(), [1]);

            // A cancellation finds the lot that the task was moved to.
            n.cancel();
            cx.shield(settled)?;
            assert_eq!((a.len(), b.len()), (0, 0));
            assert!(trace.take().is_empty());
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_parking_lot.parking_lot_repark_with_count
#[test]
fn as_many_tasks_move_as_were_asked_for_in_their_order() {
    on_all_workers(|cx| {
        let (a, b, trace) = (ParkingLot::new(), ParkingLot::new(), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Refused> {
            park_in_order(cx, n, &a, &trace, 4)?;
            assert_eq!(a.repark(&b, 2), 2);
            assert_eq!((a.len(), b.len()), (2, 2));
            for expected in [0, 1] {
                b.unpark(1);
                settled(cx)?;
                assert_eq!(trace.take(), [expected]);
            }
            assert_eq!((a.repark(&b, 0), a.repark(&b, 7)), (0, 2));
            // To the end of its own queue.
            assert_eq!(b.repark(&b, 1), 1);
            for expected in [3, 2] {
                b.unpark(1);
                settled(cx)?;
                assert_eq!(trace.take(), [expected]);
            }
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_lot_that_is_dropped_or_broken_does_not_keep_tasks_that_were_moved_to_it() {
    on_all_workers(|cx| {
        let lot = ParkingLot::new();
        let ended = ended_task(cx, "ended");
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for by in [Vec::new(), vec![ended.clone()]] {
                let mut child = n.spawn(|cx| Ok(broken(lot.park(cx))));
                settled(cx)?;
                let other = ParkingLot::<u8>::default();
                if let Some(breaker) = by.first() {
                    other.break_lot(breaker);
                    assert_eq!(lot.repark_all(&other), 1);
                    assert!(other.is_empty(), "who was moved to a broken lot has left it");
                } else {
                    lot.repark_all(&other);
                    // Moving a lot does not matter to those who wait in it.
                    let boxed = Box::new(other);
                    assert_eq!((lot.len(), boxed.len()), (0, 1));
                    assert_eq!(boxed.into_inner(), 0);
                }
                let error = child.join(cx)?;
                assert_eq!(error.by(), by);
                let words = if by.is_empty() { "was dropped" } else { "broken by task 'ended'" };
                assert!(error.to_string().contains(words), "{error}");
            }
            Ok(())
        })
        .unwrap();
    });
}
