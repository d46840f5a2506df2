//! Tasks that fail now and then, and are started again: a feed, and two that work on what it brings.
//!
//! Run: `cargo run --example supervisor`
//! Expect: the feed loses its connection twice and is started again, with those that depend on it, each time
//! after a longer pause. Then the work is done. With `-- hopeless` the feed fails each time, and after three
//! restarts the supervisor gives up and says why.
//!
//! smoke:
//! smoke-expect: restarting after: feed: connection reset
//! smoke-expect: done: 10 items, sum 45
//! smoke: hopeless
//! smoke-expect: given up: task 'feed' has ended again, after 3 restarts

use conbrio::concurrent::{Restart, Schedule, Supervisor};
use conbrio::prelude::*;
use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const ITEMS: u64 = 10;

/// What the tasks share. It lies on the stack of `main`, and outlives every restart.
#[derive(Default)]
struct Shop {
    connections: AtomicU64,
    fed: AtomicU64,
    queue: Mutex<VecDeque<u64>>,
    done: AtomicU64,
    sum: AtomicU64,
}

fn feed(cx: &mut Cx, shop: &Shop, hopeless: bool) -> io::Result<()> {
    let connection = shop.connections.fetch_add(1, SeqCst) + 1;
    while shop.fed.load(SeqCst) < ITEMS {
        cx.sleep(Duration::from_millis(5))?;
        if hopeless || (connection < 3 && shop.fed.load(SeqCst) == connection * 3) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "connection reset"));
        }
        // It goes on where the last one stopped.
        let item = shop.fed.fetch_add(1, SeqCst);
        shop.queue.lock().unwrap().push_back(item);
    }
    Ok(())
}

fn work(cx: &mut Cx, shop: &Shop) -> io::Result<()> {
    while shop.done.load(SeqCst) < ITEMS {
        cx.sleep(Duration::from_millis(1))?;
        // Nothing waits between taking an item and having done it: a cancellation loses none.
        let item = shop.queue.lock().unwrap().pop_front();
        if let Some(item) = item {
            shop.sum.fetch_add(item, SeqCst);
            shop.done.fetch_add(1, SeqCst);
        }
    }
    Ok(())
}

fn main() {
    let hopeless = std::env::args().nth(1).is_some_and(|word| word == "hopeless");
    let shop = Shop::default();
    let ended = conbrio::run(|cx| {
        Supervisor::rest_for_one()
            .restarts_max(3, Duration::from_secs(60))
            .delays(Schedule::exponential(Duration::from_millis(10)).jitter(0.2))
            .on_restart(|name, ended| match ended {
                conbrio::concurrent::Ended::Failed(error) => {
                    println!("restarting after: {name}: {error}");
                }
                other => println!("restarting after: {name}: {other:?}"),
            })
            .task("feed", Restart::OnFailure, |cx| feed(cx, &shop, hopeless))
            .task("worker 1", Restart::OnFailure, |cx| work(cx, &shop))
            .task("worker 2", Restart::OnFailure, |cx| work(cx, &shop))
            .run(cx)
    });
    match ended {
        Ok(()) => {
            println!("done: {} items, sum {}", shop.done.into_inner(), shop.sum.into_inner());
        }
        Err(error) => println!("given up: {error}"),
    }
}
