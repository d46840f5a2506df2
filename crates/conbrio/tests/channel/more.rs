//! The other channels: one item, results in order, the latest value, every item to everyone.

use std::sync::Arc;
use std::time::Duration;

use conbrio::channel::{self, BroadcastError, OneOf2, RecvError, after};
use conbrio::prelude::*;

use super::support::*;

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn an_answer_comes_once() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = channel::oneshot();
        assert_empty(rx.try_recv());
        tx.send(1).unwrap();
        assert_eq!(rx.recv(cx).unwrap(), 1);
        assert_ended(rx.try_recv());
        // Nobody answers; nobody wants to know; the one who would answer fails.
        let (tx, rx) = channel::oneshot::<u8>();
        drop(tx);
        assert_ended(rx.try_recv());
        let (tx, rx) = channel::oneshot();
        drop(rx);
        assert!(tx.is_broken());
        assert_eq!(tx.send(2), Err(2));
        let (tx, rx) = channel::oneshot::<u8>();
        tx.close_with_error("no such thing");
        assert!(matches!(cx.select([rx.receiving()]), Ok((0, Err(RecvError::Broken(_))))));
        let (tx, rx) = channel::oneshot();
        std::thread::scope(|s| {
            s.spawn(move || assert_eq!(rx.recv_blocking().unwrap(), 3));
            tx.send(3).unwrap();
        });
    });
}

// N17: channel::OneshotReceiver::recv
// spec: N17
#[test]
fn a_cancelled_wait_for_an_answer_leaves_it() {
    at_every_point(3, |cx, trial| {
        let (tx, rx) = channel::oneshot();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                cx.sleep(SHORT)?;
                tx.send(7).unwrap();
                Ok(())
            });
            let got = trial.run(cx, |cx| rx.recv(cx));
            let got = if was_cancelled(trial, &got) { rx.recv(cx) } else { got };
            assert_eq!(got.unwrap(), 7);
            Ok(())
        })
        .unwrap();
    });
}

// N17: channel::OrderedSender::slot, channel::OrderedReceiver::next
// spec: N17
#[test]
fn results_come_in_the_order_of_their_slots_whatever_is_cancelled() {
    at_every_point(6, |cx, trial| {
        let (tx, mut rx) = channel::ordered(2);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                cx.nursery(|cx, workers| -> Result<(), Cancelled> {
                    for number in 0..4_u64 {
                        let slot = tx.slot(cx).unwrap();
                        workers.spawn(move |cx| {
                            cx.sleep(SHORT * (4 - number as u32))?;
                            match number {
                                1 => drop(slot),
                                2 => slot.fail("no result"),
                                _ => slot.fill(number).unwrap(),
                            }
                            Ok(())
                        });
                    }
                    Ok(())
                })
                .unwrap();
                drop(tx);
                Ok(())
            });
            let mut got = Vec::new();
            let mut failures = 0;
            let mut next = |cx: &mut Cx| -> Result<bool, Cancelled> {
                match rx.next(cx) {
                    Ok(Some(number)) => got.push(number),
                    Ok(None) => return Ok(false),
                    Err(OrCancelled::Failed(RecvError::Broken(_))) => failures += 1,
                    Err(OrCancelled::Failed(error)) => panic!("{error}"),
                    Err(OrCancelled::Cancelled(cancelled)) => return Err(cancelled),
                }
                Ok(true)
            };
            let outcome = trial.run(cx, |cx| -> Result<(), Cancelled> {
                while next(cx)? {}
                Ok(())
            });
            was_cancelled(trial, &outcome);
            while next(cx).unwrap() {}
            assert_eq!((got, failures), (vec![0, 3], 1));
            Ok(())
        })
        .unwrap();
    });
    at_every_point(2, |cx, trial| {
        let (tx, mut rx) = channel::ordered(1);
        let first = tx.slot(cx).unwrap();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                cx.sleep(SHORT)?;
                first.fill(0).unwrap();
                assert_eq!(rx.next(cx).unwrap(), Some(0));
                // A slot that was not taken is not waited for.
                cx.sleep(SHORT)?;
                let rest = rx.next(cx).unwrap();
                assert!(matches!(rest, None | Some(1)), "{rest:?}");
                Ok(())
            });
            let slot = trial.run(cx, |cx| tx.slot(cx));
            if !was_cancelled(trial, &slot) {
                slot.unwrap().fill(1).unwrap();
            }
            drop(tx);
            Ok(())
        })
        .unwrap();
    });
}

// N17: channel::WatchReceiver::{recv, next, wait_for}
// spec: N17
#[test]
fn a_cancelled_look_at_a_value_has_not_seen_it() {
    at_every_point(4, |cx, trial| {
        let (tx, mut rx) = channel::watch(0);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                for value in 1..=4 {
                    cx.sleep(SHORT)?;
                    tx.send(value);
                }
                drop(tx);
                Ok(())
            });
            let mut last = 0;
            let outcome = trial.run(cx, |cx| -> Result<(), OrCancelled<RecvError>> {
                last = *rx.recv(cx)?;
                assert_eq!(last, 1);
                last = *rx.next(cx)?.expect("it is not the last");
                assert_eq!(last, 2);
                last = *rx.wait_for(cx, |value| *value == 4)?;
                assert_eq!(last, 4);
                Ok(())
            });
            if was_cancelled(trial, &outcome) {
                // A new value is not lost, however long nobody looks.
                cx.sleep(SHORT * 10)?;
                assert!(rx.has_changed());
                assert_eq!(*rx.recv(cx).unwrap(), 4);
            }
            assert!(matches!(rx.recv(cx), Err(OrCancelled::Failed(RecvError::Ended))));
            assert!(rx.next(cx).unwrap().is_none());
            assert!(rx.wait_for(cx, |value| *value == 0).is_err());
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_value_is_seen_by_all_who_look() {
    in_all_orders(|cx| {
        let (tx, mut rx) = channel::watch(vec![0]);
        let mut other = rx.clone();
        assert!(!rx.has_changed());
        tx.update(|old| [old.as_slice(), &[1]].concat());
        assert_eq!(*other.recv(cx).unwrap(), [0, 1]);
        assert!(rx.has_changed() && !other.has_changed() && !tx.subscribe().has_changed());
        assert_eq!(tx.send(vec![2]).as_slice(), [0, 1]);
        assert_eq!((rx.value(), tx.value()), (Arc::new(vec![2]), Arc::new(vec![2])));
        let chosen = cx.select((rx.changing(), after(SHORT))).unwrap();
        assert!(matches!(chosen, OneOf2::First(Ok(value)) if *value == [2]));
        let second = tx.clone();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                cx.sleep(SHORT)?;
                second.send(vec![3]);
                Ok(())
            });
            let chosen = cx.select((after(SHORT * 9), rx.changing()))?;
            assert!(matches!(chosen, OneOf2::Second(Ok(value)) if *value == [3]));
            Ok(())
        })
        .unwrap();
        drop((tx, second));
        assert!(matches!(cx.select([rx.changing()]), Ok((0, Err(RecvError::Ended)))));
    });
}

// N17: channel::BroadcastReceiver::recv
// spec: N17
#[test]
fn a_cancelled_receive_of_a_broadcast_has_taken_nothing() {
    at_every_point(4, |cx, trial| {
        let (tx, mut rx) = channel::broadcast(2);
        let mut slow = tx.subscribe();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                cx.sleep(SHORT)?;
                assert_eq!(tx.send(0), 2);
                assert_eq!(tx.send(1), 2);
                cx.sleep(SHORT)?;
                tx.send(2);
                drop(tx);
                Ok(())
            });
            let mut got = Vec::new();
            let outcome = trial.run(cx, |cx| -> Result<(), OrCancelled<BroadcastError>> {
                for _ in 0..3 {
                    got.push(rx.recv(cx)?);
                }
                Ok(())
            });
            let was_late = was_cancelled(trial, &outcome);
            loop {
                match rx.recv(cx) {
                    Ok(item) => got.push(item),
                    // It may have waited so long for the next call that one is gone.
                    Err(OrCancelled::Failed(BroadcastError::Lagged(1))) if was_late => got.push(0),
                    Err(OrCancelled::Failed(BroadcastError::Gone(RecvError::Ended))) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(got, [0, 1, 2]);
            assert!(matches!(slow.try_recv(), Some(Err(BroadcastError::Lagged(1)))));
            assert!(matches!(cx.select([slow.receiving()])?, (0, Ok(1))));
            assert_eq!(slow.clone().recv(cx).unwrap(), 2);
            assert_eq!(slow.recv(cx).unwrap(), 2);
            assert!(matches!(slow.try_recv(), Some(Err(BroadcastError::Gone(_)))));
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_broadcast_keeps_nothing_for_nobody() {
    let (tx, rx) = channel::broadcast(4);
    let item = Arc::new(());
    tx.send(Arc::clone(&item));
    let late = tx.subscribe();
    drop(rx);
    assert_eq!(Arc::strong_count(&item), 2);
    drop(late);
    assert_eq!(Arc::strong_count(&item), 1);
    assert_eq!(tx.send(Arc::clone(&item)), 0);
    assert_eq!(Arc::strong_count(&item), 1);
    let mut again = tx.clone().subscribe();
    assert!(again.try_recv().is_none());
    tx.send(item);
    assert!(again.try_recv().unwrap().is_ok());
}

#[test]
fn a_broadcast_wakes_all_who_wait() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::broadcast(1);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for kind in 0..4 {
                let mut rx = rx.clone();
                n.spawn(move |cx| {
                    if kind % 2 == 0 {
                        assert_eq!(rx.recv(cx).unwrap(), 5);
                    } else {
                        let chosen = cx.select((after(SHORT), rx.receiving()))?;
                        assert!(matches!(chosen, OneOf2::Second(Ok(5))));
                    }
                    Ok(())
                });
            }
            settle(cx)?;
            assert_eq!(tx.send(5), 5);
            Ok(())
        })
        .unwrap();
    });
}
