//! Channels between tasks, threads and async programs.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use conbrio::channel::{self, RecvError, TryRecvError};
use conbrio::prelude::*;

use super::support::*;

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn waker() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes::default());
    (Arc::clone(&wakes), Waker::from(wakes))
}

#[test]
fn a_future_gets_the_item_that_comes() {
    for capacity in [0, 1] {
        let (tx, rx) = channel::bounded(capacity);
        let (wakes, waker) = waker();
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(rx.recv_async());
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert_eq!(rx.statistics().receivers_waiting, 1);
        tx.try_send(7).unwrap();
        assert_eq!(wakes.0.load(SeqCst), 1);
        assert_empty(rx.try_recv());
        assert!(matches!(future.as_mut().poll(&mut context), Poll::Ready(Ok(7))));
    }
}

#[test]
fn the_last_waker_is_woken() {
    let (tx, rx) = channel::bounded(0);
    let ((first, one), (second, other)) = (waker(), waker());
    let mut future = pin!(rx.recv_async());
    assert!(future.as_mut().poll(&mut Context::from_waker(&one)).is_pending());
    assert!(future.as_mut().poll(&mut Context::from_waker(&other)).is_pending());
    tx.try_send(7).unwrap();
    assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (0, 1));
    assert!(matches!(future.as_mut().poll(&mut Context::from_waker(&one)), Poll::Ready(Ok(7))));
}

#[test]
fn a_future_that_is_dropped_gives_its_item_back() {
    for capacity in [0, 1] {
        let (tx, rx) = channel::bounded(capacity);
        let (_, waker) = waker();
        let mut context = Context::from_waker(&waker);
        let mut dropped = Box::pin(rx.recv_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let mut next = Box::pin(rx.recv_async());
        assert!(next.as_mut().poll(&mut context).is_pending());
        tx.try_send(1).unwrap();
        // It goes to the one who waits longest then.
        drop(dropped);
        assert!(matches!(next.as_mut().poll(&mut context), Poll::Ready(Ok(1))));
        drop(next);
        // Nobody waits: it is the next item, before all others.
        let mut dropped = Box::pin(rx.recv_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        tx.try_send(2).unwrap();
        tx.try_send(3).ok();
        drop(dropped);
        assert_eq!(rx.try_recv().unwrap(), 2);
    }
}

// An item that may come back is not the end.
#[test]
fn the_end_is_told_when_no_item_can_come_back() {
    for capacity in [0, 1] {
        let (tx, rx) = channel::bounded(capacity);
        let (_, waker) = waker();
        let mut context = Context::from_waker(&waker);
        let mut first = Box::pin(rx.recv_async());
        assert!(first.as_mut().poll(&mut context).is_pending());
        tx.try_send(1).unwrap();
        drop(tx);
        // It is with the first one, who may let it go.
        assert_empty(rx.try_recv());
        let [mut second, mut third] = [(); 2].map(|()| Box::pin(rx.recv_async()));
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(third.as_mut().poll(&mut context).is_pending());
        drop(first);
        // Now the second one has it, and the third one must go on waiting.
        assert!(third.as_mut().poll(&mut context).is_pending());
        assert!(matches!(second.as_mut().poll(&mut context), Poll::Ready(Ok(1))));
        assert!(matches!(third.as_mut().poll(&mut context), Poll::Ready(Err(RecvError::Ended))));
        assert!(matches!(rx.try_recv(), Err(TryRecvError::Gone(RecvError::Ended))));
    }
}

#[test]
fn the_end_follows_an_item_that_came_back_to_a_task() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded(1);
        let (_, waker) = waker();
        let mut context = Context::from_waker(&waker);
        let mut lent = Box::pin(rx.recv_async());
        assert!(lent.as_mut().poll(&mut context).is_pending());
        tx.try_send(7).unwrap();
        drop(tx);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut both = [(); 2].map(|()| n.spawn(|cx| Ok(rx.recv(cx).ok())));
            while rx.statistics().receivers_waiting < 2 {
                cx.yield_now()?;
            }
            drop(lent);
            let mut got = [both[0].join(cx)?, both[1].join(cx)?];
            got.sort();
            assert_eq!(got, [None, Some(7)]);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_send_future_waits_for_room() {
    let (tx, rx) = channel::bounded(1);
    tx.try_send(0).unwrap();
    let (wakes, waker) = waker();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(tx.send_async(1));
    assert!(future.as_mut().poll(&mut context).is_pending());
    {
        // One that is dropped has sent nothing.
        let mut dropped = pin!(tx.send_async(9));
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        assert_eq!(rx.statistics().senders_waiting, 2);
    }
    assert_eq!(rx.statistics().senders_waiting, 1);
    assert_eq!(rx.try_recv().unwrap(), 0);
    assert_eq!(wakes.0.load(SeqCst), 1);
    assert!(matches!(future.as_mut().poll(&mut context), Poll::Ready(Ok(()))));
    drop(tx.clone());
    assert_eq!(rx.try_recv().unwrap(), 1);
    let mut refused = pin!(tx.send_async(2));
    tx.try_send(3).unwrap();
    assert!(refused.as_mut().poll(&mut context).is_pending());
    drop(rx);
    match refused.as_mut().poll(&mut context) {
        Poll::Ready(Err(error)) => assert_eq!((error.is_broken(), error.item), (true, 2)),
        other => panic!("{other:?}"),
    }
}

/// All kinds of parties at one channel: each item arrives once, and all learn of the end.
#[test]
fn tasks_threads_and_futures_share_a_channel() {
    for capacity in [0, 1, 64] {
        let (tx, rx) = channel::bounded(capacity);
        let sum = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..2 {
                let (tx, rx, sum) = (tx.clone(), rx.clone(), &sum);
                s.spawn(move || {
                    for _ in 0..500 {
                        tx.send_blocking(1).unwrap();
                    }
                });
                s.spawn(move || {
                    while let Ok(item) = rx.recv_blocking() {
                        sum.fetch_add(item, SeqCst);
                    }
                });
            }
            conbrio::Builder::new()
                .workers(2)
                .run(|cx| {
                    cx.nursery(|_, n| -> Result<(), Cancelled> {
                        for _ in 0..2 {
                            let (tx, rx, sum) = (tx.clone(), rx.clone(), &sum);
                            n.spawn(move |cx| {
                                for _ in 0..500 {
                                    tx.send(cx, 1).unwrap();
                                }
                                for _ in 0..500 {
                                    cx.wait(tx.send_async(1))?.unwrap();
                                }
                                Ok(())
                            });
                            let received = rx.clone();
                            n.spawn(move |cx| {
                                for item in received.iter(cx) {
                                    sum.fetch_add(item.unwrap(), SeqCst);
                                }
                                Ok(())
                            });
                            n.spawn(move |cx| {
                                while let Ok(item) = cx.wait(rx.recv_async())? {
                                    sum.fetch_add(item, SeqCst);
                                }
                                Ok(())
                            });
                        }
                        drop((tx, rx));
                        Ok(())
                    })
                    .unwrap();
                })
                .unwrap();
        });
        assert_eq!(sum.into_inner(), 3_000);
    }
}

#[test]
fn a_thread_waits_for_a_while() {
    let (tx, rx) = channel::bounded::<u8>(1);
    let nothing = rx.recv_blocking_timeout(Duration::ZERO);
    assert!(matches!(nothing, Err(TryRecvError::Empty)));
    assert_eq!(rx.statistics().receivers_waiting, 0);
    tx.try_send(1).unwrap();
    assert_eq!(rx.recv_blocking_timeout(Duration::MAX).unwrap(), 1);
    drop(tx);
    assert!(matches!(
        rx.recv_blocking_timeout(Duration::MAX),
        Err(TryRecvError::Gone(RecvError::Ended))
    ));
}

#[test]
#[should_panic = "`recv_blocking` would block the worker"]
fn blocking_inside_a_task_is_refused() {
    let (_tx, rx) = channel::bounded::<u8>(1);
    let _ = conbrio::testing::run(|cx| {
        let _ = cx;
        rx.recv_blocking()
    });
}

#[test]
fn threads_of_the_runtime_may_block() {
    let (tx, rx) = channel::bounded(0);
    conbrio::Builder::new()
        .workers(1)
        .run(|cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| cx.blocking(|| tx.send_blocking(1).unwrap()));
                assert_eq!(rx.recv(cx).unwrap(), 1);
                Ok(())
            })
            .unwrap();
        })
        .unwrap();
}
