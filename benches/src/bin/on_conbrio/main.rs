//! The work of every question, in conbrio, written as a user would write it.
//!
//! All work runs in tasks. `expect` says why a call cannot fail: nobody cancels here, except where that is the
//! question.

#[cfg(feature = "tls")]
mod encrypted;
mod files;
mod fork;
mod processes;
mod servers;
mod sharing;
mod sleepers;
mod tasks;

use std::process::ExitCode;

use conbrio::Builder;
use conbrio_bench_kit::program::{self, Abilities, Sample};

fn main() -> ExitCode {
    program::main(Abilities { sample, park: Some(sleepers::park), serve: servers::serve })
}

fn sample(sample: Sample<'_>) -> Option<f64> {
    let Sample { question, tasks, workers, mut meter } = sample;
    if question == "fiber-switch" {
        return Some(tasks::fiber_switch(&mut meter));
    }
    let run = Builder::new().workers(workers).run(move |cx| {
        tasks::measure(cx, question, tasks, &mut meter)
            .or_else(|| sleepers::measure(cx, question, tasks, &mut meter))
            .or_else(|| sharing::measure(cx, question, &mut meter))
            .or_else(|| files::measure(cx, question, tasks, &mut meter))
            .or_else(|| processes::measure(cx, question, tasks, &mut meter))
            .or_else(|| fork::measure(cx, question, &mut meter))
    });
    run.expect("a runtime")
}

/// Why a wait does not fail in these programs.
const NOBODY: &str = "nobody cancels or fails in this work";
