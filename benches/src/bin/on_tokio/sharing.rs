//! Channels, locks, waiting for one of several things.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conbrio_bench_kit::counts::{CAPACITY, ITEMS, OPERATIONS, PARTIES};
use conbrio_bench_kit::meter::Meter;
use tokio::sync::{Mutex, Semaphore, broadcast, mpsc};
use tokio::task::{JoinSet, yield_now};

use crate::NO_PANIC;

pub(crate) async fn measure(question: &str, meter: &mut Meter) -> Option<f64> {
    let mutex = Mutex::new(0_u64);
    let semaphore = Semaphore::new(1);
    let operations = match question {
        "mutex" | "semaphore" => OPERATIONS,
        _ => ITEMS,
    };
    while meter.wants_more() {
        let pass = meter.start();
        match question {
            "ping-pong" => ping_pong().await,
            "fan-in" => fan_in().await,
            "broadcast" => broadcast_to_all().await,
            "select" => select().await,
            "mutex" => {
                for _ in 0..OPERATIONS {
                    *mutex.lock().await += 1;
                }
            }
            "semaphore" => {
                for _ in 0..OPERATIONS {
                    drop(semaphore.acquire().await.expect(OPEN));
                }
            }
            "mutex-contended" => contended(false).await,
            "semaphore-contended" => contended(true).await,
            _ => return None,
        }
        meter.stop(pass, operations);
    }
    Some(meter.ns_per_operation())
}

async fn join_all(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.expect(NO_PANIC);
    }
}

async fn ping_pong() {
    let (ping, pinged) = mpsc::channel(1);
    let (pong, mut ponged) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    tasks.spawn(answer(pinged, pong));
    ask(ping, &mut ponged).await;
    join_all(tasks).await;
}

async fn answer(mut pinged: mpsc::Receiver<usize>, pong: mpsc::Sender<usize>) {
    for _ in 0..ITEMS {
        let item = pinged.recv().await.expect(OPEN);
        pong.send(item).await.expect(OPEN);
    }
}

async fn ask(ping: mpsc::Sender<usize>, ponged: &mut mpsc::Receiver<usize>) {
    for item in 0..ITEMS {
        ping.send(item).await.expect(OPEN);
        black_box(ponged.recv().await.expect(OPEN));
    }
}

/// The same between two runtimes of one thread each: the only way to be sure of two threads.
pub(crate) fn wake_across(meter: &mut Meter) -> f64 {
    meter.passes(ITEMS, || {
        let (ping, pinged) = mpsc::channel(1);
        let (pong, mut ponged) = mpsc::channel(1);
        let other = std::thread::spawn(move || crate::runtime(1).block_on(answer(pinged, pong)));
        crate::runtime(1).block_on(ask(ping, &mut ponged));
        other.join().expect(NO_PANIC);
    })
}

async fn fan_in() {
    let (tx, mut rx) = mpsc::channel(CAPACITY);
    let mut tasks = JoinSet::new();
    for _ in 0..PARTIES {
        let tx = tx.clone();
        tasks.spawn(async move {
            for item in 0..ITEMS / PARTIES {
                tx.send(item).await.expect(OPEN);
            }
        });
    }
    drop(tx);
    while let Some(item) = rx.recv().await {
        black_box(item);
    }
    join_all(tasks).await;
}

async fn broadcast_to_all() {
    let (tx, rx) = broadcast::channel(CAPACITY);
    let received = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..PARTIES {
        let (mut rx, received) = (tx.subscribe(), Arc::clone(&received));
        tasks.spawn(async move {
            loop {
                match rx.recv().await {
                    Ok(item) => {
                        black_box::<usize>(item);
                        received.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                    Err(lagged) => panic!("{lagged}: not the same work"),
                }
            }
        });
    }
    drop(rx);
    for item in 0..ITEMS {
        tx.send(item).expect(OPEN);
        while (item + 1) % (CAPACITY / 2) == 0
            && received.load(Ordering::Relaxed) < (item + 1) * PARTIES
        {
            yield_now().await;
        }
    }
    drop(tx);
    join_all(tasks).await;
}

async fn select() {
    let (left, mut from_left) = mpsc::channel(CAPACITY);
    let (right, mut from_right) = mpsc::channel(CAPACITY);
    // They stay open, so that no end is received instead of an item.
    let _open = (left.clone(), right.clone());
    let mut tasks = JoinSet::new();
    for tx in [left, right] {
        tasks.spawn(async move {
            for item in 0..ITEMS / 2 {
                tx.send(item).await.expect(OPEN);
            }
        });
    }
    for _ in 0..ITEMS {
        let item = tokio::select! {
            item = from_left.recv() => item,
            item = from_right.recv() => item,
        };
        black_box::<usize>(item.expect(OPEN));
    }
    join_all(tasks).await;
}

/// Those that hold it give way, so that the others always wait.
async fn contended(by_permits: bool) {
    let mutex = Arc::new(Mutex::new(0_u64));
    let semaphore = Arc::new(Semaphore::new(1));
    let mut tasks = JoinSet::new();
    for _ in 0..PARTIES {
        let (mutex, semaphore) = (Arc::clone(&mutex), Arc::clone(&semaphore));
        tasks.spawn(async move {
            for _ in 0..ITEMS / PARTIES {
                if by_permits {
                    let _permit = semaphore.acquire().await.expect(OPEN);
                    yield_now().await;
                } else {
                    let mut value = mutex.lock().await;
                    yield_now().await;
                    *value += 1;
                }
            }
        });
    }
    join_all(tasks).await;
}

/// Why sending, receiving and acquiring do not fail here.
const OPEN: &str = "the other side is there";
