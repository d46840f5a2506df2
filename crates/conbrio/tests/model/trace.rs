//! What a run reports of itself, step by step, in words that neither side owns: the runner writes them,
//! the oracle reads them, and a failure prints them.

use std::fmt;

use crate::program::{Id, TaskId};

#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Virtual nanoseconds since the start; `NO_TIME` where the runner could not ask.
    pub(crate) at: u64,
    pub(crate) what: What,
}

pub(crate) const NO_TIME: u64 = u64::MAX;
/// A deadline that there is not.
pub(crate) const NEVER: u64 = u64::MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    TaskBegan {
        task: TaskId,
    },
    /// The last thing in a task's closure.
    TaskEnded {
        task: TaskId,
        outcome: Outcome,
    },
    /// The next thing is a call that may stop the task.
    Waits {
        task: TaskId,
        id: Id,
        wait: Wait,
    },
    /// That call has returned.
    Waited {
        task: TaskId,
        id: Id,
        result: Waited,
    },
    ScopeEntered {
        task: TaskId,
        scope: Id,
        shield: bool,
        deadline: u64,
    },
    /// The closure of a scope is about to return.
    ScopeBody {
        task: TaskId,
        scope: Id,
        outcome: Outcome,
    },
    ScopeLeft {
        task: TaskId,
        scope: Id,
        left: Left,
    },
    NurseryEntered {
        task: TaskId,
        nursery: Id,
    },
    NurseryBody {
        task: TaskId,
        nursery: Id,
        outcome: Outcome,
    },
    NurseryLeft {
        task: TaskId,
        nursery: Id,
        left: NurseryLeft,
    },
    Spawned {
        by: TaskId,
        nursery: Id,
        task: TaskId,
    },
    /// `Started::ready` has returned.
    Ready {
        task: TaskId,
    },
    Started {
        by: TaskId,
        id: Id,
        result: StartResult,
    },
    /// The handle of a child was dropped.
    HandleGone {
        by: TaskId,
        task: TaskId,
    },
    Asked {
        by: TaskId,
        target: Id,
        id: Id,
        asked: Asked,
    },
    ChildCancelled {
        by: TaskId,
        task: TaskId,
    },
    Armed {
        gate: Id,
    },
    Unparked {
        by: TaskId,
        gate: Id,
    },
    ReadDeadline {
        task: TaskId,
        deadline: u64,
    },
    ReadShutdown {
        task: TaskId,
        requested: bool,
    },
    ReadHandle {
        by: TaskId,
        scope: Id,
        cancelled: bool,
        open: bool,
    },
    ReadChild {
        by: TaskId,
        task: TaskId,
        finished: bool,
    },
    ReadNursery {
        by: TaskId,
        nursery: Id,
        children: usize,
        cancelled: bool,
    },
    /// The task runs a destructor while it unwinds.
    UnwindBegan {
        task: TaskId,
    },
    UnwindEnded {
        task: TaskId,
    },
    Caught {
        task: TaskId,
        payload: Payload,
    },
    /// A value that belongs to the task was dropped.
    Dropped(Canary),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Never stops the task.
    Look,
    /// Gives way, or may do so; needs nobody to go on.
    Turn,
    /// As `Turn`, and never fails.
    ShieldedTurn,
    Until(u64),
    Ever,
    Shutdown,
    Gate,
    /// A gate that opens as soon as somebody waits there.
    OpenGate,
    /// A gate that cannot be called off.
    StubbornGate,
    Child(TaskId),
    /// `n.start` of this task into this nursery.
    Start {
        nursery: Id,
        task: TaskId,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Done,
    Cancelled(Notice),
}

/// What a cancellation says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) source: Source,
    pub(crate) reason: Reason,
    pub(crate) by: Option<TaskId>,
    /// Whether it names a place in the source code.
    pub(crate) located: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Explicit,
    Deadline,
    Grace,
    ChildFailed,
    ChildPanicked,
    Unwinding,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    None,
    /// The number of the statement that asked.
    Given(Id),
    ChildFailed,
    BodyFailed,
    ChildPanicked,
    BodyPanicked,
    Unknown,
}

/// How a closure of the program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed(Failure),
    Panicked(Payload),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// An error of the program; the statement that raised it.
    Raised(Id),
    /// A cancellation; the statement that it came out of first.
    Cancelled(Id),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Of the statement `Panic`.
    Bomb(Id),
    /// A `NurseryPanic`: its payloads and its errors.
    Several(Vec<Payload>, Vec<Id>),
    /// The text of a panic that no program asked for.
    Foreign(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Value,
    /// `None`, or `TimedOut`.
    Absorbed,
    Failed(Failure),
    Panicked(Payload),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NurseryLeft {
    Value,
    /// The statements that raised the errors.
    Failed(Vec<Id>),
    Cancelled(Notice),
    Stopped,
    Panicked(Payload),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StartResult {
    Value,
    Failed(Id),
    Cancelled(Notice),
    NeverReady,
    Panicked(Payload),
}

/// A request, with points in time instead of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Cancel(Reason),
    Shutdown(u64),
    Deadline(u64),
    Shield(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Canary {
    /// What the closure of the task captured.
    Closure(TaskId),
    /// What the closure returned.
    Value(TaskId),
    /// What the task handed over with `ready`.
    Ready(TaskId),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            NO_TIME => write!(f, "{:>12}", "")?,
            at => write!(f, "{at:>12}")?,
        }
        write!(f, "  {:?}", self.what)
    }
}
