//! The cancel tree of a runtime.
//!
//! ```text
//! Branch (one per task) ── outermost ScopeNode ── … ── innermost ScopeNode      on the task's stack
//!                                   │ a nursery's node
//!                                   └─ Group ── Branch of child, Branch of child, …
//! ```
//!
//! Every task has a branch: a chain of the scopes it is in, linked through its own stack frames. The node
//! of a nursery owns a group, which holds the branches of the children. What is in force for a task
//! (`Branch::current`) is computed by walking the chain from the outside in, starting with what is in
//! force for its group, and is cached; the runnable's `CANCELLED` flag is one bit of it, and the only
//! thing that a checkpoint looks at.
//!
//! Rules:
//! 1. A branch and its nodes are read and written by the home worker of their task only (before the task
//!    has a home: by its creator). Entering and leaving a scope takes no lock and allocates nothing.
//! 2. Other threads leave requests in the group (nurseries) or in a `ScopeShared` (handles), and poke the
//!    task that owns the node. The home worker carries requests over when it refreshes the branch.
//! 3. What is in force for the children stands in their group, under its lock. It is written by the home
//!    worker of the owner, and by whoever cancels the nursery, so that a nursery's own cancellation is
//!    seen at once by whoever asked for it.
//! 4. A group's list holds exactly the branches whose tasks have not counted themselves down. The count
//!    is the last thing that a task does to its group, under the lock, which is a `BriefLock`: the owner
//!    may free the group as soon as it has seen zero under that lock.
//! 5. Nothing here recurses: a change goes one level down by poking the tasks there, and each of them
//!    refreshes its own branch. Cost is linear in the tasks reached and in the nodes of their chains.

mod branch;
mod group;
#[cfg(all(test, loom))]
mod loom_tests;
mod node;
mod shared;

use std::sync::Arc;

use crate::clock::{NEVER, Ticks};
use crate::sched::Worker;

use super::cancelled::Notice;

pub(crate) use branch::Branch;
pub(crate) use group::{Group, Joiner, Waiter};
pub(crate) use node::ScopeNode;
pub(crate) use shared::ScopeShared;

/// What was asked of a scope, or is asked of the code at some place of the tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requested {
    pub(crate) cancel: Option<Arc<Notice>>,
    pub(crate) shutdown: Option<Arc<Notice>>,
}

impl Requested {
    fn is_nothing(&self) -> bool {
        self.cancel.is_none() && self.shutdown.is_none()
    }
}

/// What is in force at some place of the tree: of each sort the outermost that no shield hides.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    pub(crate) requested: Requested,
    /// The earliest deadline.
    pub(crate) deadline: Ticks,
}

impl Default for Effective {
    fn default() -> Effective {
        Effective { requested: Requested::default(), deadline: NEVER }
    }
}

impl Effective {
    fn same(&self, other: &Effective) -> bool {
        let same = |a: &Option<Arc<Notice>>, b: &Option<Arc<Notice>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same(&self.requested.cancel, &other.requested.cancel)
            && same(&self.requested.shutdown, &other.requested.shutdown)
            && self.deadline == other.deadline
    }
}

/// What other threads ask of a scope (rule 2).
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) cancel: Option<Arc<Notice>>,
    pub(crate) shutdown: Option<Arc<Notice>>,
    /// Where the deadline is put.
    pub(crate) deadline: Option<Ticks>,
    /// The earliest end of a grace period that was asked for after that.
    pub(crate) grace: Option<Ticks>,
    pub(crate) shield: Option<bool>,
}

impl Requests {
    /// Several requests may come in before they are taken over: the last one decides where the deadline
    /// is put.
    fn set_deadline(&mut self, deadline: Ticks) {
        self.deadline = Some(deadline);
        self.grace = None;
    }
}

fn shutdown_into(requests: &mut Requests, notice: Notice, deadline: Ticks) {
    if requests.shutdown.is_none() {
        requests.shutdown = Some(Arc::new(notice));
    }
    // A grace period only ever shortens what there is.
    requests.grace = Some(requests.grace.map_or(deadline, |grace| grace.min(deadline)));
}

/// Lets pokes of tasks of this very worker take effect before the call that made them returns.
fn settle_here() {
    if let Some(worker) = Worker::current() {
        worker.drain_inbox();
    }
}
