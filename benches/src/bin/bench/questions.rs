//! The questions about single operations, and what an answer should be.
//!
//! What would change our minds: a question that a user's program never asks goes; one that it asks all
//! the time and that is missing here comes in. A goal stands until a rival does better.

use crate::systems::{CURRENT, GO, MULTI, PREAD, RAYON, RING, System};

/// What an answer should be at most.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// A part of what the best of these needs. The words name them.
    Of(f64, &'static [System], &'static str),
    /// Nanoseconds. The words say where the figure comes from.
    Ns(f64, &'static str),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// What the programs know it by.
    pub(crate) key: &'static str,
    pub(crate) text: &'static str,
    pub(crate) workers: usize,
    pub(crate) goals: &'static [Goal],
}

const TOKIO: &[System] = &[CURRENT, MULTI];

const fn of_tokio(part: f64) -> Goal {
    Goal::Of(part, TOKIO, "tokio")
}

const fn one(key: &'static str, text: &'static str, goals: &'static [Goal]) -> Question {
    Question { key, text, workers: 1, goals }
}

const fn two(key: &'static str, text: &'static str, goals: &'static [Goal]) -> Question {
    Question { key, text, workers: 2, goals }
}

pub(crate) const ONE_WORKER: &[Question] = &[
    one("fiber-switch", "fiber resume + suspend", &[Goal::Ns(4.0, "the prototype's 3.0")]),
    one("yield-1", "yield, 1 task", &[Goal::Of(0.2, &[GO], "Go")]),
    one("yield-1000", "yield, 1,000 tasks", &[Goal::Of(0.4, &[CURRENT], "tokio current-thread")]),
    one(
        "yield-100000",
        "yield, 100,000 tasks",
        &[Goal::Of(0.5, &[CURRENT], "tokio current-thread")],
    ),
    one(
        "spawn-join",
        "spawn + join, one by one",
        &[of_tokio(0.25), Goal::Of(1.2, &[RAYON], "rayon")],
    ),
    one("spawn-batch", "spawn + join, batches of 1,000", &[of_tokio(0.25)]),
    one("spawn-nursery", "per child, nursery of 1,000 / JoinSet", &[of_tokio(0.25)]),
    one("spawn-local", "spawn_local + join, one by one", &[]),
    one("nursery", "empty nursery / empty JoinSet", &[]),
    one("checkpoint", "checkpoint / consume_budget", &[Goal::Ns(2.0, "a branch")]),
    one("scope", "cancel scope / child CancellationToken", &[Goal::Ns(6.0, "no allocation")]),
    one("timeout", "timeout around nothing, does not fire", &[]),
    one("timeout-yield", "timeout around a yield, does not fire", &[of_tokio(0.1)]),
    one("fib", "fork-join recursion, per fork", &[]),
    one("race", "race of two tasks", &[]),
    one("map", "map 10,000 items, 16 at a time, per item", &[]),
    one("ping-pong", "ping-pong, channel of 1", &[of_tokio(0.4)]),
    one("fan-in", "4 producers, 1 consumer, capacity 1,024", &[of_tokio(0.25)]),
    one("broadcast", "broadcast to 4, per item", &[]),
    one("select", "select of 2 channels, per item", &[]),
    one("mutex", "mutex, free", &[]),
    one("mutex-contended", "mutex, 4 tasks", &[]),
    one("semaphore", "semaphore, free", &[]),
    one("semaphore-contended", "semaphore of 1, 4 tasks", &[]),
    one("sleepers-100000", "100,000 sleepers: whole life, per task", &[of_tokio(0.6)]),
    one("sleepers-cancel-100000", "100,000 sleepers: cancel and join, per task", &[]),
    one("sleepers-fire-100000", "100,000 sleepers: fire and join, per task", &[]),
];

/// Seconds for each sample: a group of their own.
pub(crate) const MANY: &[Question] = &[
    one(
        "sleepers-1000000",
        "1,000,000 sleepers: whole life, per task",
        &[Goal::Of(0.6, &[CURRENT], "tokio current-thread")],
    ),
    one("sleepers-cancel-1000000", "1,000,000 sleepers: cancel and join, per task", &[]),
    one("sleepers-fire-1000000", "1,000,000 sleepers: fire and join, per task", &[]),
];

pub(crate) const FILES: &[Question] = &[
    one(
        "file-read-1",
        "4 KiB at random from the page cache, one by one",
        &[Goal::Of(1.2, &[PREAD], "pread"), Goal::Of(0.025, &[CURRENT], "tokio::fs")],
    ),
    one(
        "file-read-32",
        "4 KiB at random from the page cache, 32 at a time",
        &[Goal::Of(1.1, &[RING], "a raw ring"), Goal::Of(0.025, &[CURRENT], "tokio::fs")],
    ),
];

pub(crate) const PROCESSES: &[Question] = &[
    one("process-1", "start a program and wait for its end, one by one", &[of_tokio(1.0)]),
    one("process-16", "start a program and wait for its end, 16 at a time", &[of_tokio(1.0)]),
];

pub(crate) const TWO_WORKERS: &[Question] = &[
    two("spawn-join", "spawn + join, one by one", &[of_tokio(0.4)]),
    two("spawn-batch", "spawn + join, batches of 1,000", &[of_tokio(0.4)]),
    two("spawn-nursery", "per child, nursery of 1,000 / JoinSet", &[of_tokio(0.4)]),
    two("fib", "fork-join recursion, per fork", &[]),
    two("map", "map 10,000 items, 16 at a time, per item", &[]),
    two("ping-pong", "ping-pong, channel of 1, wherever the tasks run", &[of_tokio(1.0)]),
    two("wake-across", "ping-pong, each task on a thread of its own", &[of_tokio(1.0)]),
    two("fan-in", "4 producers, 1 consumer, capacity 1,024", &[of_tokio(0.5)]),
    two("mutex-contended", "mutex, 4 tasks", &[]),
];
