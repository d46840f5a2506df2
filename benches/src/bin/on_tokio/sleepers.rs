//! Tasks that sleep, end by an abort or by their deadline, or only wait while memory is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conbrio_bench_kit::counts::{LONG, patience};
use conbrio_bench_kit::meter::Meter;
use conbrio_bench_kit::program::Parked;
use tokio::task::{JoinSet, yield_now};

use crate::NO_PANIC;

pub(crate) async fn measure(question: &str, tasks: usize, meter: &mut Meter) -> Option<f64> {
    let pass = match question {
        "sleepers" | "sleepers-cancel" | "sleepers-fire" => question,
        _ => return None,
    };
    while meter.wants_more() {
        match pass {
            "sleepers" => aborted(tasks, meter, true).await,
            "sleepers-cancel" => aborted(tasks, meter, false).await,
            _ => fired(tasks, meter).await,
        }
    }
    Some(meter.ns_per_operation())
}

async fn asleep(tasks: usize, until: tokio::time::Instant) -> JoinSet<()> {
    let asleep = Arc::new(AtomicUsize::new(0));
    let mut set = JoinSet::new();
    for _ in 0..tasks {
        let asleep = Arc::clone(&asleep);
        set.spawn(async move {
            asleep.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep_until(until).await;
        });
    }
    while asleep.load(Ordering::Relaxed) < tasks {
        yield_now().await;
    }
    set
}

async fn aborted(tasks: usize, meter: &mut Meter, from_birth: bool) {
    let birth = meter.start();
    let mut set = asleep(tasks, tokio::time::Instant::now() + LONG).await;
    let death = meter.start();
    set.shutdown().await;
    meter.stop(if from_birth { birth } else { death }, tasks);
}

async fn fired(tasks: usize, meter: &mut Meter) {
    let deadline = Instant::now() + patience(tasks);
    let mut set = asleep(tasks, deadline.into()).await;
    let is_late = meter.is_warm() && Instant::now() >= deadline;
    while let Some(ended) = set.join_next().await {
        ended.expect(NO_PANIC);
    }
    // If some woke before all slept, the pass does not count.
    if !is_late {
        meter.stop_since(deadline, tasks);
    }
}

/// So many tasks that wait for ever, in a `JoinSet`, as the children of a nursery are counted.
pub(crate) fn park(tasks: usize, parked: Parked) {
    crate::runtime(1).block_on(async move {
        let work = async move {
            let started = Arc::new(AtomicUsize::new(0));
            let mut set = JoinSet::new();
            for _ in 0..tasks {
                let started = Arc::clone(&started);
                set.spawn(async move {
                    started.fetch_add(1, Ordering::Relaxed);
                    std::future::pending::<()>().await;
                });
            }
            while started.load(Ordering::Relaxed) < tasks {
                yield_now().await;
            }
            parked();
            set.shutdown().await;
            drop(set);
            tokio::time::sleep(Duration::from_secs(5)).await;
            parked();
        };
        tokio::spawn(work).await.expect(NO_PANIC);
    });
}
