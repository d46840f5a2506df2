//! Where unsafe code may stand: the list, and nothing else.
//!
//! An entry is a path from the workspace root; one that ends with `/` covers the folder. Whoever adds
//! an entry says in a few words what it needs unsafe code for.

pub(super) const ALLOWED: &[(&str, &str)] = &[
    ("crates/conbrio-fiber/", "stacks and switching"),
    ("crates/conbrio-reactor/", "system calls and memory that the kernel writes"),
    ("crates/conbrio/src/util/", "cells and intrusive lists that the layers above share"),
    ("crates/conbrio/src/sched/", "the worker resumes fibers and shares runnables between threads"),
    ("crates/conbrio/src/task/", "the task cell and its state"),
    ("crates/conbrio/src/cancel/", "scopes live on the stacks of waiting tasks"),
    ("crates/conbrio/src/nursery/", "children borrow from their parent's stack"),
    ("crates/conbrio/src/scope/", "scopes live on the stacks of waiting tasks"),
    (
        "crates/conbrio/src/blocking/",
        "a call on another thread borrows from the task that waits for it",
    ),
    ("crates/conbrio/src/run/", "the first task borrows from the caller of `run`"),
    ("crates/conbrio/src/lowlevel/", "the one proof that borrowed buffers outlive their operation"),
    ("crates/conbrio/tests/attack/", "a signal handler, to see it run on a task's stack"),
    ("crates/conbrio/tests/sched/", "an alarm that ends a child process that hangs"),
    ("crates/conbrio/tests/allocations/", "an allocator that counts"),
    ("crates/conbrio/tests/sync/allocations.rs", "an allocator that counts"),
    (
        "crates/conbrio/tests/process/support.rs",
        "the default action of signals, for child processes that signals are to end",
    ),
];
