//! How channels end: each end by itself, in good order or not, seen by whoever waits.

use std::sync::Arc;

use conbrio::channel::{self, NotTaken, Receiver, RecvError, SendError, Sender};
use conbrio::prelude::*;

use super::support::*;

type Recv<T> = Result<T, OrCancelled<RecvError>>;

#[track_caller]
fn assert_item<T: PartialEq + std::fmt::Debug>(
    result: Result<(), SendError<T>>,
    item: T,
    expected: NotTaken,
) {
    let error = result.unwrap_err();
    assert_eq!(error.item, item);
    assert!(matches!(error.why, OrCancelled::Failed(why) if why == expected), "{error}");
}

/// Runs `waiting` in a task, and `ends` when that waits.
fn while_waiting<R: Send>(
    cx: &mut Cx,
    waiting: impl FnOnce(&mut Cx) -> R + Send,
    ends: impl FnOnce(),
) -> R {
    cx.nursery(|cx, n| -> Result<R, Cancelled> {
        let mut child = n.spawn(|cx| Ok(waiting(cx)));
        settle(cx)?;
        assert!(!child.is_finished(), "it does not wait");
        ends();
        child.join(cx)
    })
    .unwrap()
}

// spec: test_channel.close_basics, test_channel.close_sync, S13
#[test]
fn who_closes_what_and_who_learns_of_it() {
    in_all_orders(|cx| {
        // A sender is closed while a task sends through it.
        let (tx, rx) = channel::bounded(0);
        let sent = while_waiting(cx, |cx| tx.send(cx, 1), || tx.close());
        assert_item(sent, 1, NotTaken::Closed);
        assert_item(tx.send(cx, 1), 1, NotTaken::Closed);
        assert!(matches!(rx.recv(cx), Err(OrCancelled::Failed(RecvError::Ended))));
        assert_ended(rx.try_recv());

        // The receiver is closed while a task sends.
        let (tx, rx) = channel::bounded(0);
        let sent = while_waiting(cx, |cx| tx.send(cx, 2), || rx.close());
        assert_item(sent, 2, NotTaken::Broken);
        assert_item(tx.send(cx, 2), 2, NotTaken::Broken);
        assert!(tx.is_broken());
        assert_recv_closed(rx.try_recv());

        // The receiver is closed while a task receives from it.
        let (_tx, rx) = channel::bounded::<u8>(0);
        let got: Recv<u8> = while_waiting(cx, |cx| rx.recv(cx), || rx.close());
        assert!(matches!(got, Err(OrCancelled::Failed(RecvError::Closed))));
        assert_recv_closed(rx.try_recv());

        // The last sender is closed while a task receives.
        let (tx, rx) = channel::bounded::<u8>(0);
        let got: Recv<u8> = while_waiting(cx, |cx| rx.recv(cx), || drop(tx));
        assert!(matches!(got, Err(OrCancelled::Failed(RecvError::Ended))));
    });
}

// spec: test_channel.receive_channel_clone_and_close
#[test]
fn sends_work_until_the_last_receiver_is_gone() {
    conbrio::testing::run(|cx| {
        let (tx, rx) = channel::bounded(10);
        let (rx2, rx3) = (rx.clone(), rx.clone());
        rx.close();
        assert_recv_closed(rx.clone().try_recv());
        drop(rx2);
        tx.send(cx, 1).unwrap();
        drop(rx3);
        assert_broken(tx.try_send(2));
        assert_item(tx.send(cx, 2), 2, NotTaken::Broken);
        assert_eq!(tx.statistics().len, 0);
    });
}

// spec: test_channel.close_multiple_send_handles
#[test]
fn only_what_waits_through_the_closed_sender_is_refused() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded(0);
        let tx2 = tx.clone();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut first = n.spawn(|cx| Ok(tx.send(cx, 1)));
            let mut second = n.spawn(|cx| Ok(tx2.send(cx, 2)));
            settle(cx)?;
            tx.close();
            assert_item(first.join(cx)?, 1, NotTaken::Closed);
            assert_eq!(rx.recv(cx).unwrap(), 2);
            assert!(second.join(cx)?.is_ok());
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_channel.close_multiple_receive_handles
#[test]
fn only_what_waits_through_the_closed_receiver_is_refused() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded(0);
        let rx2 = rx.clone();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut first = n.spawn(|cx| Ok(rx.recv(cx)));
            let mut second = n.spawn(|cx| Ok(rx2.recv(cx)));
            settle(cx)?;
            rx.close();
            assert!(matches!(first.join(cx)?, Err(OrCancelled::Failed(RecvError::Closed))));
            tx.send(cx, 7).unwrap();
            assert_eq!(second.join(cx)?.unwrap(), 7);
            Ok(())
        })
        .unwrap();
    });
}

// spec: S12
#[test]
fn without_a_receiver_senders_fail_at_once() {
    in_all_orders(|cx| {
        for capacity in [Some(0), Some(1), None] {
            let make = || match capacity {
                Some(capacity) => channel::bounded(capacity),
                None => channel::unbounded(),
            };
            let (tx, rx): (Sender<u8>, Receiver<u8>) = make();
            drop(rx);
            assert_broken(tx.try_send(1));
            assert_item(tx.send(cx, 1), 1, NotTaken::Broken);
            let Some(capacity) = capacity else { continue };
            // Those that wait already, each with its own item.
            let (tx, rx) = make();
            (0..capacity).for_each(|_| tx.try_send(0).unwrap());
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                for item in 1..=3 {
                    let tx = tx.clone();
                    n.spawn(move |cx| {
                        assert_item(tx.send(cx, item), item, NotTaken::Broken);
                        Ok(())
                    });
                }
                settle(cx)?;
                drop(rx);
                Ok(())
            })
            .unwrap();
        }
    });
}

/// What nobody can receive any more is dropped at once, not with the last sender.
#[test]
fn with_the_last_receiver_goes_what_is_left() {
    let (tx, rx) = channel::bounded(2);
    let item = Arc::new(());
    tx.try_send(Arc::clone(&item)).unwrap();
    tx.try_send(Arc::clone(&item)).unwrap();
    drop(rx);
    assert_eq!(Arc::strong_count(&item), 1);
}

// spec: S10
#[test]
fn a_broken_channel_gives_what_was_sent_and_then_the_cause() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded(2);
        let other = tx.clone();
        tx.send(cx, 1).unwrap();
        tx.close_with_error("disk full");
        tx.close_with_error("a later error does not count");
        assert_broken(other.try_send(2));
        assert_send_closed(tx.try_send(2));
        assert_eq!(rx.recv(cx).unwrap(), 1);
        for _ in 0..2 {
            match rx.recv(cx) {
                Err(OrCancelled::Failed(RecvError::Broken(cause))) => {
                    assert_eq!(cause.to_string(), "disk full");
                    assert!(!cause.is_panic() && cause.error().is_some());
                }
                other => panic!("{other:?}"),
            }
            assert!(rx.next(cx).is_err());
        }
    });
}

/// The tasks have no scope in common that could be cancelled.
// spec: S11
#[test]
fn breaking_a_channel_ends_waits_in_nurseries_that_know_nothing_of_each_other() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded::<u8>(0);
        let (tx2, other_way) = channel::bounded(0);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                cx.nursery(|cx, _| -> Result<(), OrCancelled<RecvError>> {
                    match rx.recv(cx) {
                        Err(OrCancelled::Failed(RecvError::Broken(_))) => Ok(()),
                        other => panic!("{other:?}"),
                    }
                })
                .unwrap();
                Ok(())
            });
            n.spawn(|cx| {
                cx.nursery(|cx, _| -> Result<(), Cancelled> {
                    assert_item(tx2.send(cx, 5), 5, NotTaken::Broken);
                    Ok(())
                })
                .unwrap();
                Ok(())
            });
            settle(cx)?;
            tx.close_with_error("stop");
            tx2.close_with_error("stop");
            Ok(())
        })
        .unwrap();
        drop(other_way);
    });
}

/// The sender dies by a panic that does not take the receiver along: the end is no clean one.
// spec: S10, S14, S8
#[test]
fn a_sender_that_dies_by_a_panic_leaves_no_clean_end() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded(2);
        let other = tx.clone();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let tx = tx;
            tx.try_send(1).unwrap();
            std::panic::resume_unwind(Box::new("the producer fails"));
        }));
        assert!(panicked.is_err());
        // Others go on until they have ended, too.
        other.send(cx, 2).unwrap();
        let got = while_waiting(
            cx,
            |cx| {
                assert_eq!((rx.recv(cx).unwrap(), rx.recv(cx).unwrap()), (1, 2));
                rx.recv(cx)
            },
            || drop(other),
        );
        match got {
            Err(OrCancelled::Failed(RecvError::Broken(cause))) => assert!(cause.is_panic()),
            other => panic!("{other:?}"),
        }
    });
}

/// A child that panics cancels its siblings: a receiver among them does not hang, and gets no clean end.
// spec: S14
#[test]
fn a_panic_of_the_producer_reaches_the_consumer() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded::<u8>(1);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cx.nursery(|cx, n| -> Result<(), OrCancelled<RecvError>> {
                n.spawn(move |_| -> Result<(), _> {
                    let _tx = tx;
                    std::panic::resume_unwind(Box::new("the producer fails"));
                });
                match rx.recv(cx) {
                    Err(OrCancelled::Failed(RecvError::Ended)) => panic!("a clean end"),
                    Err(error) => Err(error),
                    Ok(item) => panic!("{item}"),
                }
            })
        }));
        assert!(outcome.is_err());
    });
}

#[test]
fn errors_say_what_is_wrong_and_convert() {
    let (tx, rx) = channel::bounded(1);
    drop(rx);
    let error = tx.try_send(1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the channel is broken: all receivers are gone, or a sender broke off"
    );
    assert_eq!(error.into_item(), 1);
    conbrio::testing::run(|cx| {
        let io: std::io::Error = tx.send(cx, 1).unwrap_err().into();
        assert_eq!(io.kind(), std::io::ErrorKind::BrokenPipe);
        let cancelled = cx.cancel_scope(|cx, scope| -> Result<(), std::io::Error> {
            scope.cancel();
            // Not taken for a failure: the scope finds its own cancellation inside.
            tx.send(cx, 1)?;
            Ok(())
        });
        assert!(matches!(cancelled, Ok(None)), "{cancelled:?}");
        let boxed =
            cx.cancel_scope(|cx, scope| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
                scope.cancel();
                tx.send(cx, 1)?;
                Ok(())
            });
        assert!(matches!(boxed, Ok(None)), "{boxed:?}");
    });
}
