//! Starting a program that ends at once, and waiting for it, by so many threads.

use std::process::Command;
use std::thread;

use conbrio_bench_kit::counts::{PROCESSES, PROGRAM};
use conbrio_bench_kit::meter::Meter;

pub(crate) fn measure(threads: usize, meter: &mut Meter) -> f64 {
    let times = PROCESSES / threads;
    meter.passes(times * threads, || {
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..times {
                        assert!(Command::new(PROGRAM).status().expect(PROGRAM).success());
                    }
                });
            }
        });
    })
}
