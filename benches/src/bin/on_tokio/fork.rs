//! Recursion by forks, races, mapping.

use std::hint::black_box;
use std::pin::Pin;

use conbrio_bench_kit::counts::{FIB, FORKS, MAP_LIMIT, MAPPED, OPERATIONS};
use conbrio_bench_kit::meter::Meter;
use tokio::task::{JoinSet, yield_now};

use crate::NO_PANIC;

pub(crate) async fn measure(question: &str, meter: &mut Meter) -> Option<f64> {
    while meter.wants_more() {
        let pass = meter.start();
        let operations = match question {
            "fib" => {
                black_box(fib(black_box(FIB)).await);
                FORKS
            }
            "race" => {
                for _ in 0..OPERATIONS / 10 {
                    black_box(race().await);
                }
                OPERATIONS / 10
            }
            "map" => {
                black_box(map().await);
                MAPPED
            }
            _ => return None,
        };
        meter.stop(pass, operations);
    }
    Some(meter.ns_per_operation())
}

fn fib(n: u32) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return u64::from(n);
        }
        let forked = tokio::spawn(fib(n - 1));
        let b = fib(n - 2).await;
        forked.await.expect(NO_PANIC) + b
    })
}

/// With tasks, as conbrio's arms are tasks; `select!` would poll both in this one.
async fn race() -> u64 {
    let mut arms = JoinSet::new();
    arms.spawn(std::future::pending());
    arms.spawn(async { black_box(2) });
    let winner = arms.join_next().await.expect("two arms").expect(NO_PANIC);
    arms.shutdown().await;
    winner
}

/// So many tasks at the same time, values in the order of the items.
async fn map() -> Vec<usize> {
    let mut values = vec![0; MAPPED];
    let mut running = JoinSet::new();
    for item in 0..MAPPED {
        if running.len() == MAP_LIMIT {
            let (item, value) = running.join_next().await.expect("some run").expect(NO_PANIC);
            values[item] = value;
        }
        running.spawn(async move {
            yield_now().await;
            (item, item + 1)
        });
    }
    while let Some(ended) = running.join_next().await {
        let (item, value) = ended.expect(NO_PANIC);
        values[item] = value;
    }
    values
}
