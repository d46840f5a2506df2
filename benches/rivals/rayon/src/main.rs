//! The work of the questions that rayon has an answer to: spawning, and recursion by forks.

use std::hint::black_box;
use std::process::ExitCode;

use conbrio_bench_kit::counts::{BATCH, FIB, FORKS, SPAWNS, batches};
use conbrio_bench_kit::program::{self, Abilities, Sample};

fn main() -> ExitCode {
    program::main(Abilities { sample, park: None, serve: program::serves_nothing })
}

fn sample(sample: Sample<'_>) -> Option<f64> {
    let Sample { question, tasks, workers, mut meter } = sample;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build().expect("a pool");
    pool.install(|| {
        let ns = match question {
            // A scope waits for its spawns: one of a single spawn is spawn and join.
            "spawn-join" => meter.passes(SPAWNS, || (0..SPAWNS).for_each(|_| spawn(1))),
            "spawn-batch" | "spawn-nursery" => {
                let children = if tasks > 1 { tasks } else { BATCH };
                let times = batches(children);
                meter.passes(times * children, || (0..times).for_each(|_| spawn(children)))
            }
            "fib" => meter.passes(FORKS, || {
                black_box(fib(black_box(FIB)));
            }),
            _ => return None,
        };
        Some(ns)
    })
}

fn spawn(children: usize) {
    rayon::scope(|scope| {
        for _ in 0..children {
            scope.spawn(|_| {
                black_box(1_u64);
            });
        }
    });
}

fn fib(n: u32) -> u64 {
    if n < 2 {
        return u64::from(n);
    }
    let (a, b) = rayon::join(|| fib(n - 1), || fib(n - 2));
    a + b
}
