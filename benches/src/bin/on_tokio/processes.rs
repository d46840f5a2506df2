//! Starting a program that ends at once, and waiting for it, by so many tasks.

use conbrio_bench_kit::counts::{PROCESSES, PROGRAM};
use conbrio_bench_kit::meter::Meter;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::NO_PANIC;

pub(crate) async fn measure(question: &str, tasks: usize, meter: &mut Meter) -> Option<f64> {
    if question != "process" {
        return None;
    }
    let times = PROCESSES / tasks;
    while meter.wants_more() {
        let pass = meter.start();
        let mut starters = JoinSet::new();
        for _ in 0..tasks {
            starters.spawn(async move {
                for _ in 0..times {
                    assert!(Command::new(PROGRAM).status().await.expect(PROGRAM).success());
                }
            });
        }
        while let Some(ended) = starters.join_next().await {
            ended.expect(NO_PANIC);
        }
        meter.stop(pass, times * tasks);
    }
    Some(meter.ns_per_operation())
}
