//! Nanoseconds per operation, for each question and each system.

use std::io;

use conbrio_bench_kit::child::Program;

use crate::Plan;
use crate::questions::{FILES, MANY, ONE_WORKER, PROCESSES, Question, TWO_WORKERS};
use crate::systems::{
    CONBRIO, CONBRIO_EPOLL, CONBRIO_URING, CURRENT, GO, KERNEL, MAY, MULTI, PREAD, Programs, RAYON,
    RING, SMOL, System,
};
use crate::table::{Answers, Asked};

const SYSTEMS: &[System] = &[CONBRIO, CURRENT, MULTI, SMOL, MAY, RAYON, GO, KERNEL];
/// Those that can hold a million tasks, one of a kind.
const OF_MANY: &[System] = &[CONBRIO, CURRENT, GO];
const OF_FILES: &[System] = &[CONBRIO_URING, CONBRIO_EPOLL, PREAD, RING, CURRENT, GO];

const OF_PROCESSES: &[System] = &[CONBRIO_EPOLL, CONBRIO_URING, CURRENT, MULTI, KERNEL];

pub(crate) fn run(plan: &Plan, programs: &Programs) -> io::Result<String> {
    let one = ask_all("One worker", plan, programs, SYSTEMS, ONE_WORKER)?;
    let two = ask_all("Two workers", plan, programs, SYSTEMS, TWO_WORKERS)?;
    Ok(format!("{one}{two}"))
}

pub(crate) fn many(plan: &Plan, programs: &Programs) -> io::Result<String> {
    if plan.is_quick {
        return Ok("LEFT OUT of a quick run.\n".to_owned());
    }
    ask_all("One worker", plan, programs, OF_MANY, MANY)
}

pub(crate) fn files(plan: &Plan, programs: &Programs) -> io::Result<String> {
    ask_all("One worker", plan, programs, OF_FILES, FILES)
}

pub(crate) fn processes(plan: &Plan, programs: &Programs) -> io::Result<String> {
    ask_all("One worker", plan, programs, OF_PROCESSES, PROCESSES)
}

fn ask_all(
    title: &str,
    plan: &Plan,
    programs: &Programs,
    systems: &'static [System],
    questions: &[Question],
) -> io::Result<String> {
    let questions: Vec<Question> =
        questions.iter().copied().filter(|q| plan.wants(q.key, q.text)).collect();
    if questions.is_empty() {
        return Ok(String::new());
    }
    let budget_ms = if plan.is_quick { "5" } else { "40" };
    let there: Vec<Option<Program>> = systems.iter().map(|system| programs.of(*system)).collect();
    let mut answers = Answers::new(systems, questions);
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for (question, samples) in answers.iter_mut() {
            for (program, samples) in there.iter().zip(samples) {
                let Some(program) = program else {
                    *samples = Asked::Missing;
                    continue;
                };
                if samples.is_still_open() {
                    let workers = question.workers.to_string();
                    let words = ["sample", question.key, &workers, budget_ms];
                    samples.add(program.answer(&words).map(|ns| ns.map(|ns| ns[0])));
                }
            }
        }
    }
    Ok(format!("### {title}: nanoseconds per operation\n\n{answers}\n"))
}

/// Odd, so that the median is a sample.
const ROUNDS: usize = 5;
