//! The questions about single operations, and what an answer should be.
//!
//! What would change our minds: a question that a user's program never asks goes; one that it asks all
//! the time and that is missing here comes in. A goal stands until a rival does better.

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Conbrio,
    TokioCurrent,
    TokioMulti,
}

impl System {
    pub(crate) const ALL: [System; 3] = [System::Conbrio, System::TokioCurrent, System::TokioMulti];

    pub(crate) fn key(self) -> &'static str {
        match self {
            System::Conbrio => "conbrio",
            System::TokioCurrent => "tokio-current",
            System::TokioMulti => "tokio-multi",
        }
    }
}

/// What is measured. The same work is written once for each system, in `conbrio_side` and `tokio_side`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Yield,
    YieldAmong(usize),
    SpawnJoin,
    SpawnBatch,
    SpawnNursery,
    EmptyNursery,
    Checkpoint,
    Scope,
    Timeout,
    TimeoutAcrossYield,
    SleepersLife,
    SleepersCancel,
}

/// What an answer should be at most.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// A part of what the better of tokio's two runtimes needs.
    OfTokio(f64),
    /// A part of what tokio's current-thread runtime needs.
    OfCurrent(f64),
    /// Nanoseconds. The words say where the figure comes from.
    Ns(f64, &'static str),
    Open,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) key: &'static str,
    pub(crate) text: &'static str,
    pub(crate) work: Work,
    pub(crate) workers: usize,
    pub(crate) goal: Goal,
}

impl Question {
    pub(crate) fn by_key(key: &str) -> Option<Question> {
        QUESTIONS.iter().copied().find(|question| question.key == key)
    }

    /// A current-thread runtime has one worker, and no answer to a question about two.
    pub(crate) fn is_for(&self, system: System) -> bool {
        system != System::TokioCurrent || self.workers == 1
    }
}

const fn question(
    key: &'static str,
    text: &'static str,
    work: Work,
    workers: usize,
    goal: Goal,
) -> Question {
    Question { key, text, work, workers, goal }
}

pub(crate) const BATCH: usize = 1_000;
pub(crate) const SLEEPERS: usize = 100_000;

pub(crate) const QUESTIONS: &[Question] = &[
    question("yield-1", "yield, 1 task", Work::Yield, 1, Goal::Ns(18.0, "0.2 × Go's 92")),
    question("yield-1k", "yield, 1,000 tasks", Work::YieldAmong(1_000), 1, Goal::OfCurrent(0.4)),
    question(
        "yield-100k",
        "yield, 100,000 tasks",
        Work::YieldAmong(100_000),
        1,
        Goal::OfCurrent(0.5),
    ),
    question("spawn-join", "spawn + join, one by one", Work::SpawnJoin, 1, Goal::OfTokio(0.25)),
    question(
        "spawn-batch",
        "spawn + join, batches of 1,000",
        Work::SpawnBatch,
        1,
        Goal::OfTokio(0.25),
    ),
    question(
        "spawn-nursery",
        "per child, nursery of 1,000 / JoinSet",
        Work::SpawnNursery,
        1,
        Goal::OfTokio(0.25),
    ),
    question("nursery", "empty nursery / empty JoinSet", Work::EmptyNursery, 1, Goal::Open),
    question(
        "checkpoint",
        "checkpoint / consume_budget",
        Work::Checkpoint,
        1,
        Goal::Ns(2.0, "a branch"),
    ),
    question(
        "scope",
        "cancel scope / child CancellationToken",
        Work::Scope,
        1,
        Goal::Ns(6.0, "no allocation"),
    ),
    question("timeout", "timeout around nothing, does not fire", Work::Timeout, 1, Goal::Open),
    question(
        "timeout-yield",
        "timeout around a yield, does not fire",
        Work::TimeoutAcrossYield,
        1,
        Goal::OfTokio(0.1),
    ),
    question(
        "sleepers",
        "100,000 sleepers: whole life, per task",
        Work::SleepersLife,
        1,
        Goal::OfTokio(0.6),
    ),
    question(
        "sleepers-cancel",
        "100,000 sleepers: cancel and join, per task",
        Work::SleepersCancel,
        1,
        Goal::Open,
    ),
    question(
        "spawn-join-2",
        "spawn + join, one by one, 2 workers",
        Work::SpawnJoin,
        2,
        Goal::OfTokio(0.4),
    ),
    question(
        "spawn-batch-2",
        "spawn + join, batches of 1,000, 2 workers",
        Work::SpawnBatch,
        2,
        Goal::OfTokio(0.4),
    ),
    question(
        "spawn-nursery-2",
        "per child, nursery of 1,000 / JoinSet, 2 workers",
        Work::SpawnNursery,
        2,
        Goal::OfTokio(0.4),
    ),
];
