//! Every wait, cancelled at every point: no item is lost, doubled, or sent all the same.

use std::time::Duration;

use conbrio::channel::{self, OneOf2};
use conbrio::prelude::*;

use super::support::*;

const SHORT: Duration = Duration::from_millis(1);

/// Runs `body` beside a child.
#[track_caller]
fn beside<'env, R>(
    cx: &mut Cx,
    child: impl FnOnce(&mut Cx) -> Result<(), Cancelled> + Send + 'env,
    body: impl FnOnce(&mut Cx) -> R,
) -> R {
    cx.nursery(|cx, n| -> Result<R, Cancelled> {
        n.spawn(child);
        Ok(body(cx))
    })
    .expect("the child does not fail")
}

// N17: channel::Receiver::{recv, next, for_each, iter}
// spec: N17
#[test]
fn a_cancelled_receive_has_taken_nothing() {
    for capacity in [0, 1] {
        at_every_point(4, move |cx, trial| {
            let (tx, rx) = channel::bounded(capacity);
            beside(
                cx,
                |cx| {
                    cx.sleep(SHORT)?;
                    for item in 0..3 {
                        tx.send(cx, item).unwrap();
                    }
                    drop(tx);
                    Ok(())
                },
                |cx| {
                    let mut got = Vec::new();
                    let outcome = trial.run(cx, |cx| -> Result<(), OrCancelled<_>> {
                        got.push(rx.recv(cx)?);
                        got.extend(rx.next(cx)?);
                        rx.for_each(cx, |_, item| {
                            got.push(item);
                            Ok(())
                        })
                    });
                    was_cancelled(trial, &outcome);
                    for item in rx.iter(cx) {
                        got.push(item.unwrap());
                    }
                    assert_eq!(got, [0, 1, 2]);
                },
            );
        });
    }
}

// N17: channel::Receiver::iter
// spec: N17
#[test]
fn a_cancelled_iterator_has_taken_nothing() {
    at_every_point(4, |cx, trial| {
        let (tx, rx) = channel::bounded(0);
        beside(
            cx,
            |cx| {
                for item in 0..3 {
                    cx.sleep(SHORT)?;
                    tx.send(cx, item).unwrap();
                }
                drop(tx);
                Ok(())
            },
            |cx| {
                let mut got = Vec::new();
                let outcome: Result<(), OrCancelled<_>> = trial.run(cx, |cx| {
                    for item in rx.iter(cx) {
                        got.push(item?);
                    }
                    Ok(())
                });
                was_cancelled(trial, &outcome);
                got.extend(rx.iter(cx).map(Result::unwrap));
                assert_eq!(got, [0, 1, 2]);
            },
        );
    });
}

// N17: channel::Sender::send
// spec: N17
#[test]
fn a_cancelled_send_hands_the_item_back() {
    for capacity in [0, 1] {
        at_every_point(3, move |cx, trial| {
            let (tx, rx) = channel::bounded(capacity);
            (0..capacity).for_each(|_| tx.try_send(0).unwrap());
            beside(
                cx,
                |cx| {
                    cx.sleep(SHORT)?;
                    while let Some(item) = rx.next(cx).unwrap() {
                        if item == 9 {
                            break;
                        }
                        assert_eq!(item, 0);
                        cx.yield_now()?;
                    }
                    Ok(())
                },
                |cx| {
                    let sent = trial.run(cx, |cx| tx.send(cx, 9));
                    if was_cancelled(trial, &sent) {
                        // It was not sent: this is the only one that comes.
                        tx.send(cx, sent.unwrap_err().item).unwrap();
                    }
                    assert_eq!(tx.statistics().senders_waiting, 0);
                },
            );
            assert_empty(rx.try_recv());
        });
    }
}

// N17: channel::Sender::reserve
// spec: N17
#[test]
fn a_cancelled_reservation_holds_nothing() {
    at_every_point(3, |cx, trial| {
        let (tx, rx) = channel::bounded(1);
        tx.try_send(0).unwrap();
        beside(
            cx,
            |cx| {
                cx.sleep(SHORT)?;
                assert_eq!(rx.recv(cx).unwrap(), 0);
                Ok(())
            },
            |cx| {
                let permit = trial.run(cx, |cx| tx.reserve(cx));
                let reserved = usize::from(!was_cancelled(trial, &permit));
                assert_eq!(tx.statistics().reserved, reserved);
                drop(permit);
                assert_eq!(tx.statistics().reserved, 0);
            },
        );
        tx.try_send(1).unwrap();
    });
}

// N17: Cx::{select, select_in_order}
// spec: N17
#[test]
fn a_cancelled_select_has_done_nothing() {
    for capacity in [0, 1] {
        at_every_point(3, move |cx, trial| {
            let (tx, rx) = channel::bounded(capacity);
            let (tx2, rx2) = channel::bounded(capacity);
            (0..capacity).for_each(|_| tx2.try_send(0).unwrap());
            beside(
                cx,
                |cx| {
                    cx.sleep(SHORT)?;
                    tx.try_send(1).ok();
                    for _ in 0..capacity {
                        assert_eq!(rx2.recv(cx).unwrap(), 0);
                    }
                    Ok(())
                },
                |cx| {
                    let mut sending = tx2.sending(2);
                    let outcome = trial.run(cx, |cx| cx.select((rx.receiving(), &mut sending)));
                    let left = sending.into_item();
                    let mut sent = 0;
                    let mut got = 0;
                    match outcome {
                        Ok(OneOf2::First(item)) => got += item.unwrap(),
                        Ok(OneOf2::Second(outcome)) => {
                            outcome.unwrap();
                            sent = 1;
                        }
                        Err(_) => assert!(trial.is_cancelled()),
                    }
                    assert_eq!(left.is_none(), sent == 1);
                    // Nobody else has taken what was sent to us, if it was.
                    cx.sleep(SHORT * 2).unwrap();
                    if capacity == 1 {
                        got += rx.try_recv().unwrap_or(0);
                        assert_eq!(got, 1);
                    }
                    assert_eq!(rx2.try_iter().filter(|item| *item == 2).count(), sent);
                    assert_eq!(rx.statistics().receivers_waiting, 0);
                    assert_eq!(tx2.statistics().senders_waiting, 0);
                },
            );
        });
    }
    at_every_point(2, |cx, trial| {
        let (tx, rx) = channel::bounded(1);
        tx.try_send(1).unwrap();
        let outcome = trial.run(cx, |cx| cx.select_in_order([rx.receiving(), rx.receiving()]));
        let left = usize::from(outcome.is_err());
        assert_eq!(tx.statistics().len, left);
        // And one that waits.
        let waited = trial
            .run(cx, |cx| cx.select_in_order((channel::after(SHORT), channel::after(SHORT * 2))));
        assert!(matches!(waited, Ok(OneOf2::First(())) | Err(_)));
    });
}
