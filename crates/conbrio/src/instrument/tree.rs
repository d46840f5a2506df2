//! The tasks of a runtime as a tree, kept by an instrument.
//!
//! Tasks on other workers cannot be looked at while they run. So nobody looks: they are noted here as they
//! go, each by its own worker.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Instrument, TaskId, TaskInfo};

/// An instrument that knows which tasks there are, whose children they are, and what they do.
///
/// Tasks that were there before it was added appear when they have their next turn. Its `Display` writes
/// one line for each task, indented by its depth.
///
/// # Examples
///
/// ```
/// use conbrio::instrument::TaskTree;
/// use conbrio::prelude::*;
/// use std::{sync::Arc, time::Duration};
///
/// let tree = Arc::new(TaskTree::new());
/// conbrio::Builder::new().workers(1).instrument(tree.clone()).run(|cx| {
///     cx.nursery(|cx, n| -> Result<(), Cancelled> {
///         n.task("sleeper").spawn(|cx| cx.sleep_forever());
///         conbrio::testing::settle(cx, Duration::ZERO)?;
///         assert_eq!(
///             tree.to_string(),
///             "'main' runs, on worker 0\n  'sleeper' waits for ever (sleep_forever), on worker 0\n"
///         );
///         n.cancel();
///         Ok(())
///     })
///     .unwrap();
/// })?;
/// # Ok::<(), conbrio::RuntimeError>(())
/// ```
#[derive(Default)]
pub struct TaskTree {
    tasks: Mutex<BTreeMap<TaskId, TaskRecord>>,
}

/// One task of a [`TaskTree`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskRecord {
    /// The id of the task.
    pub id: TaskId,
    /// The task that opened the nursery it is a child of; none for the main task.
    pub parent: Option<TaskId>,
    /// How many ancestors it has.
    pub depth: usize,
    /// The name of the task.
    pub name: String,
    /// The worker that it runs on, if it has one yet.
    pub worker: Option<usize>,
    /// What it does.
    pub state: TaskState,
    /// Whether its innermost scope was cancelled when its worker last looked.
    pub is_cancelled: bool,
    /// How many turns it has had, or begun.
    pub steps: u64,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It has its turn.
    Running,
    /// It waits for its turn.
    Runnable,
    /// It waits for what the words say: they follow "waits for".
    Waiting(&'static str),
}

impl TaskTree {
    /// A tree that knows no tasks yet.
    pub fn new() -> TaskTree {
        TaskTree::default()
    }

    /// The tasks that there are: each before its children, and those in the order of their ids.
    pub fn snapshot(&self) -> Vec<TaskRecord> {
        let tasks = self.tasks();
        let mut children: BTreeMap<Option<TaskId>, Vec<&TaskRecord>> = BTreeMap::new();
        for task in tasks.values() {
            // A parent that is not known, or no more, counts as none.
            let parent = task.parent.filter(|parent| tasks.contains_key(parent));
            children.entry(parent).or_default().push(task);
        }
        // With a stack of its own: nurseries may be nested as deep as memory allows.
        let mut left: Vec<(&TaskRecord, usize)> = Vec::new();
        let mut add = |left: &mut Vec<_>, parent, depth| {
            let list = children.remove(&parent).unwrap_or_default();
            left.extend(list.into_iter().rev().map(|task| (task, depth)));
        };
        add(&mut left, None, 0);
        let mut snapshot = Vec::with_capacity(tasks.len());
        while let Some((task, depth)) = left.pop() {
            snapshot.push(TaskRecord { depth, ..task.clone() });
            add(&mut left, Some(task.id), depth + 1);
        }
        snapshot
    }

    /// The task with this id, unless it has ended.
    pub fn task(&self, id: TaskId) -> Option<TaskRecord> {
        self.snapshot().into_iter().find(|task| task.id == id)
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, TaskRecord>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is new of a task. Who is not known yet is entered.
    fn note(&self, task: &TaskInfo<'_>, change: impl FnOnce(&mut TaskRecord)) {
        let mut tasks = self.tasks();
        let record = tasks.entry(task.id()).or_insert_with(|| TaskRecord {
            id: task.id(),
            parent: task.parent(),
            depth: 0,
            name: task.name().to_owned(),
            worker: task.worker(),
            state: TaskState::Runnable,
            is_cancelled: task.is_cancelled(),
            steps: 0,
        });
        // `Nursery::start` takes a child from one parent to another.
        record.parent = task.parent();
        record.worker = task.worker();
        record.is_cancelled = task.is_cancelled();
        change(record);
    }
}

impl Instrument for TaskTree {
    fn task_spawned(&self, task: &TaskInfo<'_>) {
        self.note(task, |_| ());
    }

    fn task_scheduled(&self, task: &TaskInfo<'_>) {
        self.note(task, |record| record.state = TaskState::Runnable);
    }

    fn before_task_step(&self, task: &TaskInfo<'_>) {
        self.note(task, |record| {
            record.state = TaskState::Running;
            record.steps += 1;
        });
    }

    fn after_task_step(&self, task: &TaskInfo<'_>) {
        // One that has ended is not entered again.
        if !self.tasks().contains_key(&task.id()) {
            return;
        }
        self.note(task, |record| {
            // It may have been woken in its own turn.
            if record.state == TaskState::Running {
                record.state = TaskState::Waiting(task.waits_for());
            }
        });
    }

    fn task_exited(&self, task: &TaskInfo<'_>) {
        self.tasks().remove(&task.id());
    }
}

impl fmt::Debug for TaskTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskTree").field("tasks", &self.tasks().len()).finish_non_exhaustive()
    }
}

impl fmt::Display for TaskTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for task in self.snapshot() {
            write!(f, "{:1$}'{2}' ", "", 2 * task.depth, task.name.escape_debug())?;
            match task.state {
                TaskState::Running => f.write_str("runs")?,
                TaskState::Runnable => f.write_str("can run")?,
                TaskState::Waiting(what) => write!(f, "waits for {what}")?,
            }
            if let Some(worker) = task.worker {
                write!(f, ", on worker {worker}")?;
            }
            f.write_str(if task.is_cancelled { ", cancelled\n" } else { "\n" })?;
        }
        Ok(())
    }
}
