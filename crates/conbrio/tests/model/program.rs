//! The programs of the campaign: trees of statements, one body per task.
//!
//! No statement runs twice, so that the number of a statement also names the scope or nursery that it
//! opens, the request that it makes and the error that it raises. A program is never edited: to make it
//! smaller, statements are dropped by number (see `Dropped`), and a dropped one does nothing.

use std::fmt;

/// Names a statement, and what it makes.
pub(crate) type Id = u16;
/// Names a task; the main task is 0.
pub(crate) type TaskId = u16;

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) seed: u64,
    /// What a duration of 1 means, in nanoseconds.
    pub(crate) unit: u64,
    /// Numbers of statements are below this.
    pub(crate) statements: Id,
    pub(crate) tasks: Vec<Vec<Statement>>,
    /// Whether it passes so many checkpoints that a task may give way at any of them.
    pub(crate) spins: bool,
    pub(crate) crew: Crew,
}

/// What a program runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crew {
    /// The runtime as it is, with one worker.
    Real,
    /// The simulator, with so many workers.
    Simulated(usize),
}

#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) id: Id,
    pub(crate) on_failure: OnFailure,
    pub(crate) op: Op,
}

/// What becomes of the error of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    Propagate,
    Ignore,
    /// Kept, to be raised later by `Op::RaiseStashed`: perhaps outside of the scope it came from.
    Stash,
}

#[derive(Debug)]
pub(crate) enum Op {
    Checkpoint,
    CheckIfCancelled,
    Yield,
    YieldShielded,
    /// That many checkpoints.
    Spin(u16),
    Sleep(u64),
    SleepUntil(u64),
    SleepForever,
    WaitShutdown,
    /// Waits with `park_on` for an `Unpark`.
    Gate(Aborting),
    Unpark(Id),
    ReadDeadline,
    ReadShutdown,
    ReadHandle(Id),
    Raise,
    RaiseStashed,
    Panic,
    Scope {
        kind: ScopeKind,
        publish: bool,
        body: Vec<Statement>,
    },
    Nursery {
        publish: bool,
        body: Vec<Statement>,
    },
    Spawn {
        nursery: Id,
        task: TaskId,
        keep: bool,
    },
    /// Spawns a local child, runs `then`, and joins it or drops its handle.
    SpawnLocal {
        nursery: Id,
        task: TaskId,
        then: Vec<Statement>,
        join: bool,
    },
    Start {
        nursery: Id,
        task: TaskId,
    },
    /// Says that the running task is ready, if it was started and has not said so.
    Ready,
    Join {
        nursery: Id,
        task: TaskId,
    },
    DropHandle {
        nursery: Id,
        task: TaskId,
    },
    CancelChild {
        nursery: Id,
        task: TaskId,
    },
    ReadChild {
        nursery: Id,
        task: TaskId,
    },
    ReadNursery(Id),
    Ask {
        target: Id,
        by: By,
        request: Request,
    },
    Catch(Vec<Statement>),
    /// Runs `cleanup` in a destructor, after `body`.
    Guarded {
        body: Vec<Statement>,
        cleanup: Vec<Statement>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    CancelScope,
    MoveOnAfter(u64),
    MoveOnAt(u64),
    FailAfter(u64),
    FailAt(u64),
    Shield,
    Cleanup(u64),
}

/// What a wait does when it is to be called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aborting {
    Succeeds,
    /// It cannot be called off, and completes.
    Completes,
    /// It cannot be called off at once, and then was cancelled all the same.
    CancelsLate,
    /// It is over as soon as it begins.
    AtOnce,
}

/// The way a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// `scope.cancel()`, `n.cancel()`.
    Itself,
    Handle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Cancel,
    /// With the number of the statement as the reason.
    CancelWith,
    Shutdown(u64),
    /// So much from now; `None` takes it away.
    Deadline(Option<u64>),
    /// A point in time, which may have passed.
    DeadlineAt(u64),
    Shield(bool),
}

/// The statements of a program that do nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dropped(Vec<bool>);

impl Dropped {
    pub(crate) fn has(&self, id: Id) -> bool {
        self.0.get(usize::from(id)).copied().unwrap_or(false)
    }

    pub(crate) fn set(&mut self, id: Id, dropped: bool) {
        let at = usize::from(id);
        if self.0.len() <= at {
            self.0.resize(at + 1, false);
        }
        self.0[at] = dropped;
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        (0..).zip(&self.0).filter_map(|(id, dropped)| dropped.then_some(id))
    }
}

impl Program {
    /// All statements, those of a body before those inside them.
    pub(crate) fn visit<'p>(&'p self, visit: &mut dyn FnMut(&'p Statement)) {
        for body in &self.tasks {
            visit_body(body, visit);
        }
    }

    /// Whether a task may be stopped at any checkpoint.
    pub(crate) fn stops_at_checkpoints(&self) -> bool {
        self.spins || self.crew != Crew::Real
    }

    /// Whether a request may take a while to reach everybody: from worker to worker.
    pub(crate) fn has_lag(&self) -> bool {
        matches!(self.crew, Crew::Simulated(workers) if workers > 1)
    }

    /// The program as text, without what is dropped.
    pub(crate) fn show<'p>(&'p self, dropped: &'p Dropped) -> Shown<'p> {
        Shown { program: self, dropped }
    }
}

fn visit_body<'p>(body: &'p [Statement], visit: &mut dyn FnMut(&'p Statement)) {
    for statement in body {
        visit(statement);
        for inner in statement.bodies() {
            visit_body(inner, visit);
        }
    }
}

impl Statement {
    /// The statements inside, by the list they are in.
    pub(crate) fn bodies(&self) -> Vec<&[Statement]> {
        match &self.op {
            Op::Scope { body, .. } | Op::Nursery { body, .. } | Op::Catch(body) => vec![body],
            Op::SpawnLocal { then, .. } => vec![then],
            Op::Guarded { body, cleanup } => vec![body, cleanup],
            _ => Vec::new(),
        }
    }
}

pub(crate) struct Shown<'p> {
    program: &'p Program,
    dropped: &'p Dropped,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Program { seed, unit, crew, .. } = self.program;
        writeln!(f, "program of seed {seed}, unit {unit} ns, on {crew:?}")?;
        self.task(f, 0, 0)
    }
}

impl Shown<'_> {
    fn task(&self, f: &mut fmt::Formatter<'_>, task: TaskId, depth: usize) -> fmt::Result {
        writeln!(f, "{}task t{task}:", "  ".repeat(depth))?;
        self.body(f, &self.program.tasks[usize::from(task)], depth + 1)
    }

    fn body(&self, f: &mut fmt::Formatter<'_>, body: &[Statement], depth: usize) -> fmt::Result {
        for statement in body.iter().filter(|statement| !self.dropped.has(statement.id)) {
            self.statement(f, statement, depth)?;
        }
        Ok(())
    }

    fn statement(
        &self,
        f: &mut fmt::Formatter<'_>,
        statement: &Statement,
        depth: usize,
    ) -> fmt::Result {
        let id = statement.id;
        write!(f, "{}#{id} ", "  ".repeat(depth))?;
        match &statement.op {
            Op::Scope { kind, publish, .. } => write!(f, "scope {kind:?} publish={publish}")?,
            Op::Nursery { publish, .. } => write!(f, "nursery publish={publish}")?,
            Op::SpawnLocal { nursery, task, join, .. } => {
                write!(f, "spawn_local t{task} in #{nursery} join={join}, then")?;
            }
            Op::Catch(_) => write!(f, "catch")?,
            Op::Guarded { .. } => write!(f, "with a destructor")?,
            other => write!(f, "{other:?}")?,
        }
        match statement.on_failure {
            OnFailure::Propagate => writeln!(f, " ?")?,
            OnFailure::Ignore => writeln!(f)?,
            OnFailure::Stash => writeln!(f, " (stash the error)")?,
        }
        if let Op::Guarded { body, cleanup } = &statement.op {
            self.body(f, body, depth + 1)?;
            writeln!(f, "{}destructor:", "  ".repeat(depth + 1))?;
            return self.body(f, cleanup, depth + 2);
        }
        for body in statement.bodies() {
            self.body(f, body, depth + 1)?;
        }
        match &statement.op {
            Op::Spawn { task, .. } | Op::SpawnLocal { task, .. } | Op::Start { task, .. } => {
                self.task(f, *task, depth + 1)
            }
            _ => Ok(()),
        }
    }
}
