//! Channels, locks, waiting for one of several things.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conbrio::channel::{self, BroadcastError, OneOf2};
use conbrio::sync::{Mutex, Semaphore};
use conbrio::{Cancelled, Cx};
use conbrio_bench_kit::counts::{CAPACITY, ITEMS, OPERATIONS, PARTIES};
use conbrio_bench_kit::meter::Meter;

use crate::NOBODY;

pub(crate) fn measure(cx: &mut Cx, question: &str, meter: &mut Meter) -> Option<f64> {
    let ns = match question {
        "ping-pong" => meter.passes(ITEMS, || ping_pong(cx, false)),
        "wake-across" => meter.passes(ITEMS, || ping_pong(cx, true)),
        "fan-in" => meter.passes(ITEMS, || fan_in(cx)),
        "broadcast" => meter.passes(ITEMS, || broadcast(cx)),
        "select" => meter.passes(ITEMS, || select(cx)),
        "mutex" => {
            let mutex = Mutex::new(0_u64);
            meter.passes(OPERATIONS, || {
                (0..OPERATIONS).for_each(|_| *mutex.lock(cx).expect(NOBODY) += 1);
            })
        }
        "mutex-contended" => meter.passes(ITEMS, || contended(cx, false)),
        "semaphore" => {
            let semaphore = Semaphore::new(1);
            meter.passes(OPERATIONS, || {
                (0..OPERATIONS).for_each(|_| drop(semaphore.acquire(cx).expect(NOBODY)));
            })
        }
        "semaphore-contended" => meter.passes(ITEMS, || contended(cx, true)),
        _ => return None,
    };
    Some(ns)
}

/// Round trips between two tasks over two channels of one place; `is_apart`: on two workers.
fn ping_pong(cx: &mut Cx, is_apart: bool) {
    let (ping, pinged) = channel::bounded(1);
    let (pong, ponged) = channel::bounded(1);
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        let answer = move |cx: &mut Cx| {
            for _ in 0..ITEMS {
                let item: usize = pinged.recv(cx).expect(NOBODY);
                pong.send(cx, item).expect(NOBODY);
            }
            Ok(())
        };
        if is_apart {
            elsewhere(cx, n, answer)?;
        } else {
            n.spawn(answer);
        }
        for item in 0..ITEMS {
            ping.send(cx, item).expect(NOBODY);
            black_box(ponged.recv(cx).expect(NOBODY));
        }
        Ok(())
    })
    .expect(NOBODY);
}

/// Runs `work` in a child on another worker. A child stays where it first runs, so children that take a while
/// are spawned, of which other workers take some; the first of those goes on with the work.
fn elsewhere<'scope>(
    cx: &mut Cx,
    n: &'scope conbrio::Nursery<'scope, '_, Cancelled>,
    work: impl FnOnce(&mut Cx) -> Result<(), Cancelled> + Send + 'scope,
) -> Result<(), Cancelled> {
    let here = cx.runtime().worker;
    let work = Arc::new(std::sync::Mutex::new(Some(work)));
    while work.lock().expect(NOBODY).is_some() {
        for _ in 0..BURST {
            let work = work.clone();
            n.spawn(move |cx| {
                if cx.runtime().worker == here {
                    spin(BUSY);
                    return Ok(());
                }
                let work = work.lock().expect(NOBODY).take();
                work.map_or(Ok(()), |work| work(cx))
            });
        }
        cx.sleep(BUSY * BURST)?;
    }
    Ok(())
}

fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

const BURST: u32 = 20;
const BUSY: Duration = Duration::from_micros(100);

fn fan_in(cx: &mut Cx) {
    let (tx, rx) = channel::bounded(CAPACITY);
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        for _ in 0..PARTIES {
            let tx = tx.clone();
            n.spawn(move |cx| {
                for item in 0..ITEMS / PARTIES {
                    tx.send(cx, item).expect(NOBODY);
                }
                Ok(())
            });
        }
        drop(tx);
        while let Ok(item) = rx.recv(cx) {
            black_box(item);
        }
        Ok(())
    })
    .expect(NOBODY);
}

/// Every item to each of the receivers; the sender waits before the buffer is full.
fn broadcast(cx: &mut Cx) {
    let (tx, rx) = channel::broadcast(CAPACITY);
    let received = AtomicUsize::new(0);
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        for _ in 0..PARTIES {
            let (mut rx, received) = (tx.subscribe(), &received);
            n.spawn(move |cx| {
                loop {
                    match rx.recv(cx) {
                        Ok(item) => {
                            black_box::<usize>(item);
                            received.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(conbrio::OrCancelled::Failed(BroadcastError::Lagged(missed))) => {
                            panic!("{missed} items were missed: not the same work");
                        }
                        Err(_) => return Ok(()),
                    }
                }
            });
        }
        drop(rx);
        for item in 0..ITEMS {
            tx.send(item);
            while (item + 1) % (CAPACITY / 2) == 0
                && received.load(Ordering::Relaxed) < (item + 1) * PARTIES
            {
                cx.yield_now()?;
            }
        }
        drop(tx);
        Ok(())
    })
    .expect(NOBODY);
}

/// Items from two producers, received by whichever channel has one.
fn select(cx: &mut Cx) {
    let (left, from_left) = channel::bounded(CAPACITY);
    let (right, from_right) = channel::bounded(CAPACITY);
    // They stay open, so that no end is received instead of an item.
    let _open = (left.clone(), right.clone());
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        for tx in [left, right] {
            n.spawn(move |cx| {
                for item in 0..ITEMS / 2 {
                    tx.send(cx, item).expect(NOBODY);
                }
                Ok(())
            });
        }
        for _ in 0..ITEMS {
            match cx.select((from_left.receiving(), from_right.receiving()))? {
                OneOf2::First(item) | OneOf2::Second(item) => {
                    let _ = black_box::<usize>(item.expect(NOBODY));
                }
            }
        }
        Ok(())
    })
    .expect(NOBODY);
}

/// Those that hold it give way, so that the others always wait.
fn contended(cx: &mut Cx, by_permits: bool) {
    let (mutex, semaphore) = (Mutex::new(0_u64), Semaphore::new(1));
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        for _ in 0..PARTIES {
            n.spawn(|cx| {
                for _ in 0..ITEMS / PARTIES {
                    if by_permits {
                        let _permit = semaphore.acquire(cx)?;
                        cx.yield_now()?;
                    } else {
                        let mut value = mutex.lock(cx).expect(NOBODY);
                        cx.yield_now()?;
                        *value += 1;
                    }
                }
                Ok(())
            });
        }
        Ok(())
    })
    .expect(NOBODY);
}
