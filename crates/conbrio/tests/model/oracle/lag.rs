//! What the model allows while a request is on its way from worker to worker.
//!
//! With one worker a request is in force everywhere when the call that made it returns. With several, a
//! task sees it when its worker has been told: until then it may see what was in force before. But before
//! time moves, everybody has been told, because time moves only when nobody has anything left to do. So
//! the model keeps, for each scope, what it has been since time moved last, and allows for a task
//! whatever some mixture of that along its chain makes possible.

use crate::program::{Id, TaskId};
use crate::trace::{Asked, Wait, Waited};

use super::rules::End;
use super::tree::{NoticeId, Tree, Waiting};
use super::{Checked, Oracle, broken, decided};

/// What a scope has been since time moved last.
#[derive(Debug)]
pub(super) struct Lag {
    pub(super) was_uncancelled: bool,
    was_open: bool,
    was_shielded: bool,
    /// Requests that may have been the first one, where they came in on different ways at once.
    pub(super) rivals: Vec<NoticeId>,
    /// How often the deadline was moved.
    moves: u32,
    /// The model knows what became of it.
    pub(super) is_clear: bool,
}

impl Lag {
    pub(super) fn new(shield: bool) -> Lag {
        Lag {
            was_uncancelled: true,
            was_open: !shield,
            was_shielded: shield,
            rivals: Vec::new(),
            moves: 0,
            is_clear: true,
        }
    }

    /// A request is about to be made.
    pub(super) fn note(&mut self, asked: Asked, has_expired: bool, is_nursery: bool) {
        match asked {
            Asked::Cancel(_) => {}
            Asked::Shield(true) => self.was_shielded = true,
            Asked::Shield(false) => self.was_open = true,
            Asked::Deadline(_) | Asked::Shutdown(_) => {
                self.moves += 1;
                // A deadline that passes now and is moved at the same time: either may come first.
                if has_expired && self.was_uncancelled {
                    self.is_clear = false;
                }
                // A nursery takes what comes by its handles before what comes from its inside.
                if is_nursery && self.moves > 1 {
                    self.is_clear = false;
                }
            }
        }
    }
}

/// What may be in force.
#[derive(Debug)]
pub(super) struct Possible {
    /// Perhaps nothing.
    pub(super) none: bool,
    /// Perhaps one of these.
    pub(super) notices: Vec<NoticeId>,
}

impl Tree {
    /// Time is about to move: everybody has been told everything.
    pub(super) fn settle(&mut self) {
        self.is_settled = true;
        for scope in self.scopes.iter_mut().flatten() {
            scope.lag.was_uncancelled = scope.cancel.is_none();
            scope.lag.was_open = !scope.shield;
            scope.lag.was_shielded = scope.shield;
            scope.lag.moves = 0;
        }
        for task in &mut self.tasks {
            task.is_request_new = false;
        }
    }

    pub(super) fn possible_inside(&self, scope: Id) -> Possible {
        let here = self.scope_ref(scope);
        let mut outside = match here.outer {
            Some(outer) => self.possible_inside(outer),
            None => self.possible_around(here.owner),
        };
        if !here.lag.was_open {
            outside = Possible { none: true, notices: Vec::new() };
        }
        outside.none |= here.lag.was_shielded;
        if outside.none {
            outside.notices.extend(here.cancel);
            outside.notices.extend(&here.lag.rivals);
            outside.none = here.lag.was_uncancelled;
        }
        outside
    }

    fn possible_around(&self, task: TaskId) -> Possible {
        let task = &self.tasks[usize::from(task)];
        let Some(parent) = task.parent else {
            return Possible { none: true, notices: Vec::new() };
        };
        let mut possible = self.possible_inside(parent);
        if possible.none {
            possible.notices.extend(task.request);
            possible.none = task.request.is_none() || task.is_request_new;
        }
        possible
    }

    fn possible(&self, task: TaskId) -> Possible {
        match self.tasks[usize::from(task)].innermost {
            Some(scope) => self.possible_inside(scope),
            None => self.possible_around(task),
        }
    }

    /// Whether somebody around the task, shielded or not, was asked to end.
    fn may_be_shut_down(&self, task: TaskId) -> bool {
        !self.is_settled || self.force(task).shutdown
    }
}

impl Oracle {
    /// The rules for the end of a wait, where there is lag. Returns what it was cancelled by.
    pub(super) fn waited_with_lag(
        &mut self,
        task: TaskId,
        waiting: &Waiting,
        result: &Waited,
    ) -> Checked<Option<NoticeId>> {
        let mut possible = self.tree.possible(task);
        let is_cancelled = !possible.notices.is_empty();
        let (may_be_done, must_be_done) = match waiting.wait {
            Wait::ShieldedTurn => (true, true),
            Wait::Look | Wait::Turn => (possible.none, !is_cancelled),
            Wait::Until(at) => (self.tree.now >= at, false),
            Wait::Ever | Wait::Start { .. } => (false, false),
            Wait::Shutdown => (possible.none && self.tree.may_be_shut_down(task), false),
            // Whoever has begun to wait takes what has come.
            Wait::Gate | Wait::OpenGate => (waiting.woken, waiting.woken && waiting.armed),
            Wait::StubbornGate => (waiting.woken || is_cancelled, waiting.woken && waiting.armed),
            Wait::Child(child) => match self.end_of_join(child) {
                End::Done => (true, false),
                End::Never => (false, false),
                End::Failed(notice) => {
                    possible.notices.push(notice);
                    if let Some(nursery) = self.tree.task(child).parent {
                        possible.notices.extend(self.tree.possible_inside(nursery).notices);
                    }
                    (false, false)
                }
            },
        };
        match result {
            Waited::Done if may_be_done => Ok(None),
            Waited::Done => {
                self.wrong(task, result, possible.notices.first().copied()).map(|()| None)
            }
            Waited::Cancelled(_) if must_be_done => {
                broken("what has happened wins over a cancellation", format!("t{task}: {result:?}"))
            }
            Waited::Cancelled(seen) => {
                possible.notices.sort_unstable();
                possible.notices.dedup();
                possible.notices.retain(|notice| self.tree.notice(*notice) == *seen);
                match possible.notices[..] {
                    [] => self.wrong(task, result, None).map(|()| None),
                    [notice] => Ok(Some(notice)),
                    // Two that say the same of themselves.
                    _ => decided(false).map(|()| None),
                }
            }
        }
    }
}
