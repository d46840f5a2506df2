//! What breaks a parking lot, and who is named for it.

use std::sync::{Mutex, mpsc};

use conbrio::lowlevel::{Breaker, ParkingLot};
use conbrio::prelude::*;

use crate::support::{on_all_workers, panic_text};

use super::{Refused, broken, ended_task, settled};

// spec: test_parking_lot.parking_lot_breaker_basic
#[test]
fn a_broken_lot_says_who_broke_it() {
    on_all_workers(|cx| {
        let lot = ParkingLot::new();
        let me = cx.breaker();
        assert_eq!((me.name(), me.has_ended()), ("main", false));
        lot.break_lot(&me);
        assert_eq!(lot.broken_by(), std::slice::from_ref(&me));
        let error = broken(lot.park(cx));
        assert_eq!(error.by(), std::slice::from_ref(&me));
        assert_eq!(error.to_string(), "the parking lot was broken by task 'main'");
        lot.break_lot(&me);
        assert_eq!(lot.broken_by(), [me.clone(), me.clone()]);
        let error = broken(lot.park(cx));
        assert_eq!(error.to_string(), "the parking lot was broken by task 'main' and task 'main'");
        // It says nothing about the caller's own cancellation.
        let parked = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            lot.park(cx)
        });
        assert!(matches!(parked, Ok(None)));
    });
}

// A value that nobody takes is dropped by the task, which must not be told of as gone before.
#[test]
fn a_task_has_not_ended_before_its_value_is_dropped() {
    struct LooksWhenDropped(Breaker, mpsc::Sender<bool>);
    impl Drop for LooksWhenDropped {
        fn drop(&mut self) {
            self.1.send(self.0.has_ended()).unwrap();
        }
    }
    on_all_workers(|cx| {
        let (sender, receiver) = mpsc::channel();
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            drop(n.spawn(move |cx| {
                cx.yield_now()?;
                Ok(LooksWhenDropped(cx.breaker(), sender))
            }));
            Ok(())
        })
        .unwrap();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [false]);
    });
}

// spec: test_parking_lot.parking_lot_break_parking_tasks
#[test]
fn the_end_of_a_registered_task_breaks_the_lot_for_those_who_wait() {
    on_all_workers(|cx| {
        for how in ["returns", "fails", "panics", "is cancelled"] {
            let lot = ParkingLot::new();
            let go = ParkingLot::new();
            let error = Mutex::new(None);
            let nursery = || {
                cx.nursery(|cx, n| -> Result<(), Refused> {
                    // It is shielded, because the failure of its sibling cancels it.
                    n.spawn(|cx| {
                        *error.lock().unwrap() = Some(broken(cx.shield(|cx| lot.park(cx))));
                        Ok(())
                    });
                    let breaker = n.task("breaker").spawn(|cx| {
                        lot.add_breaker(&cx.breaker()).unwrap();
                        go.park(cx)?;
                        match how {
                            "fails" => Err(OrCancelled::Failed(broken(lot.park(cx)))),
                            "panics" => panic!("on purpose"),
                            _ => Ok(()),
                        }
                    });
                    settled(cx)?;
                    assert_eq!((lot.len(), lot.broken_by().len()), (1, 0));
                    match how {
                        "is cancelled" => breaker.cancel(),
                        "fails" => {
                            // It finds the lot broken by somebody else, and that is how it fails.
                            lot.break_lot(&cx.breaker());
                            go.unpark(1);
                        }
                        _ => assert_eq!(go.unpark(1), 1),
                    }
                    Ok(())
                })
            };
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(nursery));
            assert_eq!(outcome.is_err(), how == "panics");
            let by = |breaker: &Breaker| breaker.name().to_owned();
            let names: Vec<String> = lot.broken_by().iter().map(by).collect();
            let expected: &[&str] =
                if how == "fails" { &["main", "breaker"] } else { &["breaker"] };
            assert_eq!(names, expected, "{how}");
            assert_eq!(error.into_inner().unwrap().unwrap().by()[0].name(), expected[0], "{how}");
            assert!(lot.broken_by().last().unwrap().has_ended());
        }
    });
}

// spec: test_parking_lot.parking_lot_breaker_registration
#[test]
fn registrations_count() {
    on_all_workers(|cx| {
        let lot = ParkingLot::new();
        let main = cx.breaker();
        assert_eq!(main, cx.breaker());
        let remove = || lot.remove_breaker(&main);
        assert!(panic_text(|| remove().unwrap()).contains("'main' is no breaker"));
        lot.add_breaker(&main).unwrap();
        lot.add_breaker(&main).unwrap();
        remove().unwrap();
        remove().unwrap();
        assert!(panic_text(|| remove().unwrap()).contains("'main' is no breaker"));

        // One registration of two is left when the task ends.
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let (lot, main) = (&lot, &main);
            n.spawn(move |cx| {
                let me = cx.breaker();
                assert_ne!(&me, main);
                lot.add_breaker(&me).unwrap();
                lot.add_breaker(&me).unwrap();
                lot.remove_breaker(&me).unwrap();
                Ok(())
            })
            .join(cx)
        })
        .unwrap();
        assert_eq!(lot.broken_by().len(), 1);

        // On a broken lot, too.
        lot.add_breaker(&main).unwrap();
        lot.remove_breaker(&main).unwrap();
        let ended = ended_task(cx, "ended");
        lot.break_lot(&ended);
        assert_eq!(lot.broken_by()[1], ended);

        // Who has taken back all registrations breaks nothing.
        let whole = ParkingLot::new();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                whole.add_breaker(&cx.breaker()).unwrap();
                whole.remove_breaker(&cx.breaker()).unwrap();
                Ok(())
            })
            .join(cx)
        })
        .unwrap();
        assert!(whole.broken_by().is_empty());
    });
}

// spec: test_parking_lot.parking_lot_breaker_rebreak
#[test]
fn a_lot_that_is_broken_again_names_both() {
    on_all_workers(|cx| {
        let lot = ParkingLot::new();
        let (a, b) = (ended_task(cx, "a"), ended_task(cx, "b"));
        lot.break_lot(&a);
        lot.break_lot(&b);
        assert_eq!(lot.broken_by(), [a, b]);
        assert!(broken(lot.park(cx)).to_string().ends_with("task 'a' and task 'b'"));
    });
}

// spec: test_parking_lot.parking_lot_multiple_breakers_exit
#[test]
fn every_registered_task_that_ends_is_named() {
    on_all_workers(|cx| {
        let lot = ParkingLot::new();
        let registered = ParkingLot::new();
        cx.nursery(|cx, n| -> Result<(), Refused> {
            let mut breakers = Vec::new();
            for name in ["one", "two", "three"] {
                let (lot, registered) = (&lot, &registered);
                breakers.push(n.task(name).spawn(move |cx| {
                    lot.add_breaker(&cx.breaker()).unwrap();
                    registered.park(cx)
                }));
            }
            let mut waiting = n.spawn(|cx| Ok(broken(lot.park(cx))));
            settled(cx)?;
            registered.unpark_all();
            // Those who had broken it when the task went on, the first of them in any case.
            let by = waiting.join(cx)?;
            assert!(!by.by().is_empty() && lot.broken_by().starts_with(by.by()));
            Ok(())
        })
        .unwrap();
        let mut names: Vec<_> = lot.broken_by().iter().map(|by| by.name().to_owned()).collect();
        names.sort_unstable();
        assert_eq!(names, ["one", "three", "two"]);
    });
}

// spec: test_parking_lot.parking_lot_breaker_register_exited_task
#[test]
fn a_task_that_has_ended_cannot_be_registered() {
    on_all_workers(|cx| {
        let lot = ParkingLot::new();
        let ended = ended_task(cx, "ended");
        assert!(ended.has_ended());
        let error = lot.add_breaker(&ended).unwrap_err();
        assert_eq!(error.by(), std::slice::from_ref(&ended));
        assert_eq!(lot.remove_breaker(&ended).unwrap_err(), error);
        assert!(lot.broken_by().is_empty());
    });
}

// spec: test_parking_lot.parking_lot_break_itself
#[test]
fn a_lot_broken_in_the_name_of_a_task_that_waits_in_it_fails_that_task() {
    on_all_workers(|cx| {
        let lot = ParkingLot::new();
        cx.nursery(|cx, n| -> Result<(), Refused> {
            let (names, named) = mpsc::channel();
            let lot = &lot;
            let mut child = n.spawn(move |cx| {
                names.send(cx.breaker()).unwrap();
                Ok(broken(lot.park(cx)))
            });
            settled(cx)?;
            let breaker = named.recv().unwrap();
            assert!(!breaker.has_ended());
            lot.break_lot(&breaker);
            assert_eq!(child.join(cx)?.by(), [breaker]);
            Ok(())
        })
        .unwrap();
    });
}
