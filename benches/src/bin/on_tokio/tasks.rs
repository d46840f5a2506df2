//! Switching, spawning, sets of tasks, tokens.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use conbrio_bench_kit::census::Census;
use conbrio_bench_kit::counts::{BATCH, BRANCHES, LONG, OPERATIONS, SPAWNS, WARM_ROUNDS, batches};
use conbrio_bench_kit::meter::Meter;
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, LocalSet, yield_now};
use tokio_util::sync::CancellationToken;

use crate::NO_PANIC;

pub(crate) async fn measure(question: &str, tasks: usize, meter: &mut Meter) -> Option<f64> {
    match question {
        "yield" if tasks > 1 => return Some(yield_among(tasks, meter.budget()).await),
        "yield" => repeated(meter, OPERATIONS, yield_now).await,
        "spawn-join" => {
            repeated(meter, SPAWNS, || async {
                black_box(tokio::spawn(async { black_box(1_u64) }).await.expect(NO_PANIC));
            })
            .await;
        }
        "spawn-batch" => {
            let children = if tasks > 1 { tasks } else { BATCH };
            let times = batches(children);
            while meter.wants_more() {
                let pass = meter.start();
                for _ in 0..times {
                    spawn_batch(children).await;
                }
                meter.stop(pass, times * children);
            }
        }
        "spawn-nursery" => {
            let times = batches(BATCH);
            while meter.wants_more() {
                let pass = meter.start();
                for _ in 0..times {
                    spawn_set().await;
                }
                meter.stop(pass, times * BATCH);
            }
        }
        "nursery" => {
            repeated(meter, OPERATIONS, || async {
                black_box(JoinSet::<()>::new().join_next().await.is_none());
            })
            .await;
        }
        "checkpoint" => repeated(meter, BRANCHES, tokio::task::coop::consume_budget).await,
        "scope" => {
            let outer = CancellationToken::new();
            repeated(meter, OPERATIONS, || async {
                let scope = outer.child_token();
                black_box(scope.run_until_cancelled(async { black_box(1_u64) }).await);
            })
            .await;
        }
        "timeout" => {
            repeated(meter, OPERATIONS, || async {
                black_box(tokio::time::timeout(LONG, async { black_box(1_u64) }).await.is_ok());
            })
            .await;
        }
        "timeout-yield" => {
            repeated(meter, OPERATIONS, || async {
                black_box(tokio::time::timeout(LONG, yield_now()).await.is_ok());
            })
            .await;
        }
        _ => return None,
    }
    Some(meter.ns_per_operation())
}

async fn repeated<F: Future<Output = ()>>(
    meter: &mut Meter,
    times: usize,
    mut operation: impl FnMut() -> F,
) {
    while meter.wants_more() {
        let pass = meter.start();
        for _ in 0..times {
            operation().await;
        }
        meter.stop(pass, times);
    }
}

/// In the set's own future: tokio has no other place for tasks that are not `Send`.
pub(crate) fn spawn_local(runtime: &Runtime, meter: &mut Meter) -> f64 {
    LocalSet::new().block_on(runtime, async {
        // A local task of its own, as the work of the other questions is a task.
        let mut own = Meter::new(meter.budget());
        let work = async move {
            repeated(&mut own, SPAWNS, || async {
                let child = tokio::task::spawn_local(async { black_box(1_u64) });
                black_box(child.await.expect(NO_PANIC));
            })
            .await;
            own.ns_per_operation()
        };
        tokio::task::spawn_local(work).await.expect(NO_PANIC)
    })
}

/// With handles: each value is asked for.
async fn spawn_batch(children: usize) {
    let handles: Vec<_> = (0..children).map(|_| tokio::spawn(async { black_box(1_u64) })).collect();
    for handle in handles {
        black_box(handle.await.expect(NO_PANIC));
    }
}

/// Without handles: the set joins.
async fn spawn_set() {
    let mut set = JoinSet::new();
    for _ in 0..BATCH {
        set.spawn(async { black_box(1_u64) });
    }
    while let Some(ended) = set.join_next().await {
        black_box(ended.expect(NO_PANIC));
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
        handle.await.expect(NO_PANIC);
    }
    census.ns_per_yield(elapsed)
}
