//! Workers, threads and futures that get in each other's way, and give up at any time: each item is got
//! once by one of them, or handed back.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Waker};
use std::time::Duration;

use conbrio::channel::{self, OneOf2, Receiver, Sender, after};
use conbrio::prelude::*;

/// What has gone in and come out.
#[derive(Default)]
struct Books {
    sent: AtomicU64,
    got: AtomicU64,
    given_up: AtomicUsize,
}

/// A short time, another one each time.
fn while_of(round: u64) -> Duration {
    Duration::from_nanos(round.wrapping_mul(0x9E37_79B9) % 3_000)
}

fn send_all(cx: &mut Cx, tx: &Sender<u64>, books: &Books, items: std::ops::Range<u64>) {
    for item in items {
        let mut left = Some(item);
        let mut tries = 0;
        while let Some(item) = left.take() {
            tries += 1;
            left = match item % 3 {
                // Patience grows, or nobody would ever meet in simulated time.
                _ if tries > 3 => tx.send(cx, item).err().map(|error| error.item),
                0 => {
                    let outcome = cx.move_on_after(while_of(item), |cx| {
                        Ok::<_, std::convert::Infallible>(tx.send(cx, item))
                    });
                    outcome.unwrap().and_then(|sent| sent.err().map(|error| error.item))
                }
                1 => {
                    let mut sending = tx.sending(item);
                    let _ = cx.select((&mut sending, after(while_of(item)))).unwrap();
                    sending.into_item()
                }
                _ => {
                    // A future that is polled once, and dropped when it has not been accepted.
                    let mut future = pin!(tx.send_async(item));
                    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    let before = tx.statistics().len;
                    std::hint::black_box(before);
                    if polled.is_ready() {
                        None
                    } else {
                        cx.wait(future).unwrap().err().map(|e| e.item)
                    }
                }
            };
            books.given_up.fetch_add(usize::from(left.is_some()), SeqCst);
        }
        books.sent.fetch_add(item, SeqCst);
    }
}

fn receive_all(cx: &mut Cx, rx: &Receiver<u64>, books: &Books) {
    for round in 0.. {
        let got = match round % 3 {
            0 => match cx.move_on_after(while_of(round), |cx| rx.recv(cx)) {
                Ok(Some(item)) => Some(item),
                Ok(None) => None,
                Err(_) => return,
            },
            1 => match cx.select((rx.receiving(), after(while_of(round)))).unwrap() {
                OneOf2::First(Ok(item)) => Some(item),
                OneOf2::First(Err(_)) => return,
                OneOf2::Second(()) => None,
            },
            _ => {
                // A future that is dropped at once: what it was given meanwhile goes back.
                let mut future = Box::pin(rx.recv_async());
                match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    std::task::Poll::Ready(Ok(item)) => Some(item),
                    std::task::Poll::Ready(Err(_)) => return,
                    std::task::Poll::Pending => None,
                }
            }
        };
        match got {
            Some(item) => drop(books.got.fetch_add(item, SeqCst)),
            None => drop(books.given_up.fetch_add(1, SeqCst)),
        }
    }
}

fn storm(builder: impl FnOnce(&(dyn Fn(&mut Cx) + Sync)), capacity: usize, threads: u64) {
    const ITEMS: u64 = 300;
    let books = Books::default();
    let (tx, rx) = channel::bounded(capacity);
    std::thread::scope(|s| {
        for thread in 0..threads {
            let (tx, rx, books) = (tx.clone(), rx.clone(), &books);
            s.spawn(move || {
                for item in 0..ITEMS {
                    tx.send_blocking(thread * ITEMS + item).unwrap();
                    books.sent.fetch_add(thread * ITEMS + item, SeqCst);
                }
            });
            s.spawn(move || {
                loop {
                    match rx.recv_blocking_timeout(Duration::from_micros(1)) {
                        Ok(item) => drop(books.got.fetch_add(item, SeqCst)),
                        Err(channel::TryRecvError::Empty) => {}
                        Err(_) => return,
                    }
                }
            });
        }
        builder(&|cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for task in 0..3_u64 {
                    let (tx, books) = (tx.clone(), &books);
                    n.spawn(move |cx| {
                        send_all(cx, &tx, books, task * ITEMS..(task + 1) * ITEMS);
                        Ok(())
                    });
                    let rx = rx.clone();
                    n.spawn(move |cx| {
                        receive_all(cx, &rx, books);
                        Ok(())
                    });
                }
                tx.close();
                Ok(())
            })
            .unwrap();
        });
    });
    assert_eq!(books.got.into_inner(), books.sent.into_inner());
    let left = rx.statistics();
    assert_eq!((left.len, left.senders_waiting, left.receivers_waiting), (0, 0, 0));
}

#[test]
fn items_survive_a_storm_of_workers_and_threads() {
    for capacity in [0, 1, 8] {
        let run = |main: &(dyn Fn(&mut Cx) + Sync)| {
            conbrio::Builder::new().workers(2).run(main).unwrap();
        };
        storm(run, capacity, 2);
    }
}

#[test]
fn items_survive_a_storm_in_many_orders() {
    for seed in 0..10 {
        for capacity in [0, 1, 8] {
            let run = |main: &(dyn Fn(&mut Cx) + Sync)| {
                conbrio::testing::Builder::new().workers(3).seed(seed).delay_one_in(8).run(main);
            };
            storm(run, capacity, 0);
        }
    }
}
