//! The work of every question, in tokio, by the runtime that the variable `TOKIO_RUNTIME` names.
//!
//! It runs in a spawned task, as all work in conbrio does: the future of `block_on` is none, and on the
//! multi-thread runtime does not even run on a worker.

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

use conbrio_bench_kit::program::{self, Abilities, Sample};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    program::main(Abilities { sample, park: Some(sleepers::park), serve: servers::serve })
}

fn is_current_thread() -> bool {
    std::env::var("TOKIO_RUNTIME").is_ok_and(|name| name == "current-thread")
}

fn runtime(workers: usize) -> Runtime {
    let mut builder = if is_current_thread() {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder.worker_threads(workers).enable_all().build().expect("a tokio runtime")
}

fn sample(sample: Sample<'_>) -> Option<f64> {
    let Sample { question, tasks, workers, mut meter } = sample;
    if is_current_thread() && workers > 1 {
        return None;
    }
    if question == "wake-across" {
        return Some(sharing::wake_across(&mut meter));
    }
    if question == "spawn-local" {
        return is_current_thread().then(|| tasks::spawn_local(&runtime(1), &mut meter));
    }
    let question = question.to_owned();
    let work = async move {
        if let Some(ns) = tasks::measure(&question, tasks, &mut meter).await {
            return Some(ns);
        }
        if let Some(ns) = sleepers::measure(&question, tasks, &mut meter).await {
            return Some(ns);
        }
        if let Some(ns) = sharing::measure(&question, &mut meter).await {
            return Some(ns);
        }
        if let Some(ns) = files::measure(&question, tasks, &mut meter).await {
            return Some(ns);
        }
        if let Some(ns) = processes::measure(&question, tasks, &mut meter).await {
            return Some(ns);
        }
        fork::measure(&question, &mut meter).await
    };
    runtime(workers).block_on(async { tokio::spawn(work).await.expect(NO_PANIC) })
}

/// Why a join does not fail in these programs.
const NO_PANIC: &str = "nobody panics or is aborted in this work";
