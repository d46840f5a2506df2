//! The work of each question, in tokio.
//!
//! It runs in a spawned task, as all work in conbrio does: the future of `block_on` is none, and on the
//! multi-thread runtime does not even run on a worker.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};
use tokio_util::sync::CancellationToken;

use conbrio_benches::meter::Meter;

use crate::census::{Census, WARM_ROUNDS};
use crate::question::{BATCH, SLEEPERS, System, Work};

/// tokio's runtime as the question wants it.
pub(crate) fn runtime(system: System, workers: usize) -> Runtime {
    let mut builder = match system {
        System::TokioCurrent => Builder::new_current_thread(),
        System::TokioMulti => Builder::new_multi_thread(),
        System::Conbrio => unreachable!("conbrio is measured in `conbrio_side`"),
    };
    builder.worker_threads(workers).enable_all().build().expect("a tokio runtime")
}

/// Nanoseconds per operation.
pub(crate) fn measure(system: System, work: Work, workers: usize, mut meter: Meter) -> f64 {
    let task = async move {
        if let Work::YieldAmong(tasks) = work {
            return yield_among(tasks, meter.budget()).await;
        }
        while meter.wants_more() {
            pass(work, &mut meter).await;
        }
        meter.ns_per_operation()
    };
    runtime(system, workers).block_on(async { tokio::spawn(task).await.expect("no panic") })
}

async fn pass(work: Work, meter: &mut Meter) {
    match work {
        Work::Yield => repeated(meter, 100_000, yield_now).await,
        Work::YieldAmong(_) => unreachable!("measured as a whole"),
        Work::SpawnJoin => {
            repeated(meter, SPAWNS, || async {
                black_box(tokio::spawn(async { black_box(1_u64) }).await.expect("no panic"));
            })
            .await;
        }
        Work::SpawnBatch => {
            let pass = meter.start();
            for _ in 0..SPAWNS / BATCH {
                spawn_batch().await;
            }
            meter.stop(pass, SPAWNS);
        }
        Work::SpawnNursery => {
            let pass = meter.start();
            for _ in 0..SPAWNS / BATCH {
                spawn_set().await;
            }
            meter.stop(pass, SPAWNS);
        }
        Work::EmptyNursery => {
            repeated(meter, 100_000, || async {
                black_box(JoinSet::<()>::new().join_next().await.is_none());
            })
            .await;
        }
        Work::Checkpoint => {
            repeated(meter, 1_000_000, tokio::task::coop::consume_budget).await;
        }
        Work::Scope => {
            let outer = CancellationToken::new();
            repeated(meter, 100_000, || async {
                let scope = outer.child_token();
                black_box(scope.run_until_cancelled(async { black_box(1_u64) }).await);
            })
            .await;
        }
        Work::Timeout => {
            repeated(meter, 100_000, || async {
                black_box(tokio::time::timeout(LONG, async { black_box(1_u64) }).await.is_ok());
            })
            .await;
        }
        Work::TimeoutAcrossYield => {
            repeated(meter, 100_000, || async {
                black_box(tokio::time::timeout(LONG, yield_now()).await.is_ok());
            })
            .await;
        }
        Work::SleepersLife => sleepers(meter, true).await,
        Work::SleepersCancel => sleepers(meter, false).await,
    }
}

async fn repeated<F: Future<Output = ()>>(
    meter: &mut Meter,
    times: usize,
    mut operation: impl FnMut() -> F,
) {
    let pass = meter.start();
    for _ in 0..times {
        operation().await;
    }
    meter.stop(pass, times);
}

/// With handles: each value is asked for.
async fn spawn_batch() {
    let handles: Vec<_> = (0..BATCH).map(|_| tokio::spawn(async { black_box(1_u64) })).collect();
    for handle in handles {
        black_box(handle.await.expect("no panic"));
    }
}

/// Without handles: the set joins.
async fn spawn_set() {
    let mut set = JoinSet::new();
    for _ in 0..BATCH {
        set.spawn(async { black_box(1_u64) });
    }
    while let Some(ended) = set.join_next().await {
        black_box(ended.expect("no panic"));
    }
}

async fn yield_among(tasks: usize, budget: Duration) -> f64 {
    let census = Arc::new(Census::default());
    let mut handles = Vec::with_capacity(tasks);
    for _ in 0..tasks {
        let census = Arc::clone(&census);
        handles.push(tokio::spawn(async move {
            let mut tally = census.enter();
            while census.goes_on(&mut tally) {
                yield_now().await;
            }
            census.leave(tally);
        }));
    }
    while census.started() < tasks {
        yield_now().await;
    }
    for _ in 0..WARM_ROUNDS {
        yield_now().await;
    }
    let begun = census.begin();
    while begun.elapsed() < budget {
        yield_now().await;
    }
    let elapsed = census.end(begun);
    for handle in handles {
        handle.await.expect("no panic");
    }
    census.ns_per_yield(elapsed)
}

async fn sleepers(meter: &mut Meter, from_birth: bool) {
    let asleep = Arc::new(AtomicUsize::new(0));
    let birth = meter.start();
    let mut set = JoinSet::new();
    for _ in 0..SLEEPERS {
        let asleep = Arc::clone(&asleep);
        set.spawn(async move {
            asleep.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(LONG).await;
        });
    }
    while asleep.load(Ordering::Relaxed) < SLEEPERS {
        yield_now().await;
    }
    let death = meter.start();
    set.shutdown().await;
    meter.stop(if from_birth { birth } else { death }, SLEEPERS);
}

const SPAWNS: usize = 100_000;
const LONG: Duration = Duration::from_secs(3600);
