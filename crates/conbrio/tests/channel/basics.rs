//! Items, buffers, order, fairness and numbers.

use std::sync::Mutex;
use std::time::Duration;

use conbrio::channel::{self, Options, Overflow, RecvError};
use conbrio::prelude::*;
use conbrio::testing::assert_checkpoints;

use super::support::*;

const SHORT: Duration = Duration::from_millis(1);

// spec: test_channel.channel
#[test]
fn a_channel_from_its_begin_to_its_end() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = channel::bounded(2);
        assert_empty(rx.try_recv());
        tx.try_send(1).unwrap();
        tx.send(cx, 2).unwrap();
        assert_full(tx.try_send(3));
        assert_eq!(rx.try_recv().unwrap(), 1);
        tx.try_send(3).unwrap();
        let other = tx.clone();
        tx.close();
        tx.close();
        assert!(tx.is_closed());
        assert_send_closed(tx.try_send(4));
        let error = tx.send(cx, 4).unwrap_err();
        assert!(error.is_closed());
        assert_eq!(error.item, 4);
        assert_send_closed(tx.clone().try_send(4));
        drop(other);
        assert_eq!(rx.recv(cx).unwrap(), 2);
        assert_eq!(rx.recv(cx).unwrap(), 3);
        for _ in 0..2 {
            assert_ended(rx.try_recv());
            assert!(matches!(rx.recv(cx), Err(OrCancelled::Failed(RecvError::Ended))));
            assert!(rx.next(cx).unwrap().is_none());
        }
        rx.close();
        rx.close();
        assert_recv_closed(rx.try_recv());
        assert_recv_closed(rx.clone().try_recv());
        assert!(matches!(rx.recv(cx), Err(OrCancelled::Failed(RecvError::Closed))));
    });
}

#[test]
#[should_panic = "use `channel::unbounded`"]
fn a_capacity_without_end_is_refused() {
    let _ = channel::bounded::<u8>(usize::MAX);
}

// spec: test_channel.inf_capacity
#[test]
fn an_unbounded_channel_takes_everything() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = channel::unbounded();
        for number in 0..10_000 {
            tx.try_send(number).unwrap();
        }
        assert_eq!(tx.statistics().capacity, None);
        drop(tx);
        assert!(rx.iter(cx).map(Result::unwrap).eq(0..10_000));
    });
}

// spec: test_channel.553
#[test]
fn a_cancelled_receive_leaves_no_ghost() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = channel::bounded(1);
        let outcome = cx.move_on_after(SHORT, |cx| rx.recv(cx));
        assert!(matches!(outcome, Ok(None)));
        tx.try_send(1).unwrap();
        assert_full(tx.try_send(2));
        assert_eq!(rx.recv(cx).unwrap(), 1);
    });
}

// spec: test_channel.channel_multiple_producers
#[test]
fn items_of_ten_producers_all_come_before_the_end() {
    in_all_orders(|cx| {
        for capacity in [0, 1, 4] {
            let (tx, rx) = channel::bounded(capacity);
            let mut got = cx
                .nursery(|cx, n| -> Result<Vec<u32>, Cancelled> {
                    for producer in 0..10 {
                        let tx = tx.clone();
                        n.spawn(move |cx| {
                            for item in 0..3 {
                                tx.send(cx, producer * 3 + item).map_err(|_| ()).unwrap();
                            }
                            Ok(())
                        });
                    }
                    drop(tx);
                    Ok(rx.iter(cx).map(Result::unwrap).collect())
                })
                .unwrap();
            got.sort_unstable();
            assert!(got.into_iter().eq(0..30));
        }
    });
}

// spec: test_channel.channel_multiple_consumers
#[test]
fn five_consumers_all_get_some_and_each_item_goes_to_one() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded(1);
        let got = Mutex::new(vec![Vec::new(); 5]);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for consumer in 0..5 {
                let (rx, got) = (rx.clone(), &got);
                n.spawn(move |cx| {
                    while let Some(item) = rx.next(cx).unwrap() {
                        got.lock().unwrap()[consumer].push(item);
                    }
                    Ok(())
                });
            }
            settle(cx)?;
            for item in 0..10 {
                tx.send(cx, item).unwrap();
            }
            drop(tx);
            Ok(())
        })
        .unwrap();
        let got = got.into_inner().unwrap();
        assert!(got.iter().all(|items| !items.is_empty()), "{got:?}");
        let mut all = got.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..10));
    });
}

// spec: test_channel.channel_fairness
#[test]
fn what_is_freed_belongs_to_whoever_waits() {
    conbrio::testing::run(|cx| {
        // A receiver that waits owns the item that is sent, although others could take it first.
        let (tx, rx) = channel::bounded(1);
        let mut got = None;
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let waiting = rx.clone();
            let mut child = n.spawn(move |cx| Ok(waiting.recv(cx).unwrap()));
            settle(cx)?;
            tx.try_send(1).unwrap();
            assert_empty(rx.try_recv());
            got = Some(child.join(cx)?);
            Ok(())
        })
        .unwrap();
        assert_eq!(got, Some(1));
        // A sender that waits owns the slot that is freed.
        tx.try_send(1).unwrap();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                tx.send(cx, 2).unwrap();
                Ok(())
            });
            settle(cx)?;
            assert_eq!(rx.try_recv().unwrap(), 1);
            assert_full(tx.try_send(3));
            assert_eq!(rx.try_recv().unwrap(), 2);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_channel.unbuffered
#[test]
fn without_a_buffer_both_sides_meet() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = channel::bounded(0);
        assert_empty(rx.try_recv());
        assert_full(tx.try_send(1));
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut sent = n.spawn(|cx| {
                assert_checkpoints(cx, |cx| tx.send(cx, 7).unwrap());
                Ok(())
            });
            settle(cx)?;
            assert!(!sent.is_finished());
            let got = assert_checkpoints(cx, |cx| rx.recv(cx).unwrap());
            assert_eq!(got, 7);
            sent.join(cx)
        })
        .unwrap();
        assert_empty(rx.try_recv());
        assert_full(tx.try_send(1));
        let numbers = rx.statistics();
        assert_eq!((numbers.len, numbers.senders_waiting, numbers.receivers_waiting), (0, 0, 0));
    });
}

// spec: test_channel.statistics
#[test]
fn statistics_count_items_ends_and_who_waits() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = channel::bounded(2);
        let (tx2, rx2) = (tx.clone(), rx.clone());
        let numbers = tx.statistics();
        assert_eq!((numbers.len, numbers.capacity, numbers.peak), (0, Some(2), 0));
        assert_eq!((numbers.senders, numbers.receivers), (2, 2));
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        rx.try_recv().unwrap();
        let numbers = rx.statistics();
        assert_eq!((numbers.len, numbers.peak), (1, 2));
        tx.try_send(3).unwrap();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| -> Result<(), Cancelled> {
                let error = tx2.send(cx, 4).unwrap_err();
                error.why.into_failed().map(|why| panic!("{why}"))
            });
            settle(cx)?;
            assert_eq!(rx.statistics().senders_waiting, 1);
            n.cancel();
            Ok(())
        })
        .unwrap();
        assert_eq!(rx.statistics().senders_waiting, 0);
        drop((tx2, rx2));
        let numbers = rx.statistics();
        assert_eq!((numbers.senders, numbers.receivers, numbers.len), (1, 1, 2));
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [2, 3]);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| match rx.recv(cx) {
                Err(OrCancelled::Cancelled(cancelled)) => Err::<(), _>(cancelled),
                other => panic!("{other:?}"),
            });
            settle(cx)?;
            assert_eq!(tx.statistics().receivers_waiting, 1);
            n.cancel();
            Ok(())
        })
        .unwrap();
        assert_eq!(tx.statistics().receivers_waiting, 0);
    });
}

#[test]
fn a_full_buffer_does_what_the_channel_was_made_for() {
    let overflow = |capacity, overflow| {
        let (tx, rx) = Options::new().capacity(capacity).overflow(overflow).make();
        (0..5).for_each(|item| tx.try_send(item).unwrap());
        let dropped = tx.statistics().dropped;
        (rx.try_iter().collect::<Vec<_>>(), dropped)
    };
    assert_eq!(overflow(3, Overflow::DropOldest), (vec![2, 3, 4], 2));
    assert_eq!(overflow(3, Overflow::DropNewest), (vec![0, 1, 2], 2));
    assert_eq!(overflow(3, Overflow::Conflate), (vec![0, 1, 4], 2));
    assert_eq!(overflow(1, Overflow::Conflate), (vec![4], 4));
    for policy in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Conflate] {
        assert_eq!(overflow(0, policy), (vec![], 5));
    }
}

/// A policy that drops never takes what was promised by a permit.
#[test]
fn reserved_room_is_not_given_away() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = Options::new().capacity(1).overflow(Overflow::DropOldest).make();
        let permit = tx.reserve(cx).unwrap();
        tx.send(cx, 1).unwrap();
        assert_eq!(tx.statistics().dropped, 1);
        permit.send(2).unwrap();
        assert_eq!(rx.recv(cx).unwrap(), 2);
        assert_eq!(rx.statistics().reserved, 0);
    });
}

#[test]
fn permits_hold_room_and_give_it_back() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = channel::bounded(2);
        let (first, second) = (tx.try_reserve().unwrap(), tx.reserve(cx).unwrap());
        assert!(tx.try_reserve().is_err());
        assert_full(tx.try_send(0));
        assert_eq!(rx.statistics().reserved, 2);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            // One that waits for an item, and one that waits for room: the item goes by the buffer, which is
            // all reserved, straight to the receiver.
            let mut got = n.spawn(|cx| Ok(rx.recv(cx).unwrap()));
            settle(cx)?;
            let mut sent = n.spawn(|cx| {
                tx.send(cx, 1).unwrap();
                Ok(())
            });
            sent.join(cx)?;
            assert_eq!(got.join(cx)?, 1);
            // The room that is given back belongs to those who wait, in their order.
            let mut reserved = n.spawn(|cx| Ok(tx.reserve(cx).unwrap()));
            settle(cx)?;
            drop(first);
            let third = reserved.join(cx)?;
            third.send(3).unwrap();
            second.send(2).unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [3, 2]);
        // The channel does not end while there is a permit.
        let permit = tx.reserve(cx).unwrap();
        tx.close();
        assert_empty(rx.try_recv());
        permit.send(4).unwrap();
        assert_eq!(rx.try_recv().unwrap(), 4);
        assert_ended(rx.try_recv());
    });
}

#[test]
#[should_panic = "a channel of capacity 0 has no slot to reserve"]
fn without_a_buffer_nothing_can_be_reserved() {
    conbrio::testing::run(|cx| {
        let (tx, _rx) = channel::bounded::<u8>(0);
        let _permit = tx.reserve(cx);
    });
}

/// Every operation gives way and sees a cancellation, also where it need not wait.
#[test]
fn every_operation_is_a_checkpoint() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = channel::bounded(8);
        assert_checkpoints(cx, |cx| tx.send(cx, 1).unwrap());
        drop(assert_checkpoints(cx, |cx| tx.reserve(cx).unwrap()));
        assert_eq!(assert_checkpoints(cx, |cx| rx.recv(cx).unwrap()), 1);
        tx.try_send(2).unwrap();
        assert!(assert_checkpoints(cx, |cx| cx.select([rx.receiving()])).is_ok());
        drop(tx);
        assert!(assert_checkpoints(cx, |cx| rx.recv(cx)).is_err());
    });
}

/// The closures of `for` loops and adapters: ordinary control flow, no combinators.
// spec: S17
#[test]
fn items_come_in_loops() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = channel::unbounded();
        (0..6).for_each(|item| tx.try_send(item).unwrap());
        tx.close_with_error("no more paper");
        let mut got = Vec::new();
        let ended = loop {
            match rx.next(cx) {
                Ok(Some(item)) if item < 2 => got.push(item),
                Ok(Some(item)) => {
                    got.push(item);
                    break rx.for_each(cx, |cx, item| {
                        cx.checkpoint()?;
                        got.push(item);
                        Ok::<(), OrCancelled<RecvError>>(())
                    });
                }
                other => panic!("{other:?}"),
            }
        };
        let error = ended.unwrap_err();
        assert!(error.to_string().contains("no more paper"), "{error}");
        assert_eq!(got, [0, 1, 2, 3, 4, 5]);
    });
}
