//! The state of the reference model: a tree of tasks and scopes, virtual time, and what is in force where.
//!
//! Nothing is cached: what is in force for a task is found by walking from its innermost scope to the
//! root, every time it is asked. All rules about cancellation are in this file:
//!
//! 1. A scope keeps its first request. A nursery is a scope whose inside is also its children.
//! 2. What is in force inside a scope is what is in force outside, unless it is shielded, and else its
//!    own request: the outermost wins.
//! 3. A child stands inside its nursery; its own request counts where nothing outside does.
//! 4. A deadline is a request that is made when time reaches it.
//! 5. A shutdown travels like a cancellation, and a deadline in force is the earliest up to a shield.

use crate::program::{Id, TaskId};
use crate::trace::{Asked, NEVER, Notice, Payload, Reason, Source, Wait};

use super::lag::Lag;

/// Names a request that was recorded.
pub(super) type NoticeId = usize;

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) now: u64,
    /// Requests, and for that of one child the nursery it is in.
    notices: Vec<(Notice, Option<Id>)>,
    /// By the statement that entered it.
    pub(super) scopes: Vec<Option<Scope>>,
    pub(super) tasks: Vec<Task>,
    /// Nothing was asked for since time moved last.
    pub(super) is_settled: bool,
}

#[derive(Debug)]
pub(super) struct Scope {
    pub(super) owner: TaskId,
    pub(super) outer: Option<Id>,
    pub(super) shield: bool,
    /// The first request.
    pub(super) cancel: Option<NoticeId>,
    /// See `lag`.
    pub(super) lag: Lag,
    shutdown: bool,
    deadline: u64,
    /// What the deadline is when it has passed: a timeout, or the end of a grace period.
    deadline_source: Source,
    pub(super) open: bool,
    /// A handle asked for it when the scope had been left.
    pub(super) cancelled_late: bool,
    pub(super) nursery: Option<Children>,
}

/// What makes a scope a nursery.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// Children that have not ended, and places kept for some that are being started.
    pub(super) live: usize,
    pub(super) all: Vec<TaskId>,
    pub(super) failures: Vec<Failed>,
    pub(super) panics: Vec<Payload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Raised(Id),
    Cancelled(NoticeId),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Task {
    pub(super) state: State,
    /// The nursery that it is a child of.
    pub(super) parent: Option<Id>,
    pub(super) innermost: Option<Id>,
    /// The cancellation of this child alone.
    pub(super) request: Option<NoticeId>,
    /// Whether it was made since time moved last.
    pub(super) is_request_new: bool,
    pub(super) unwinding: bool,
    pub(super) handle_gone: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Unknown,
    Unstarted,
    Running,
    Waiting(Waiting),
    /// Waits for the children of this nursery.
    Joining(Id),
    Ended {
        value: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: Id,
    pub(super) wait: Wait,
    /// It began with a cancellation in force.
    pub(super) was_cancelled: bool,
    pub(super) armed: bool,
    pub(super) woken: bool,
}

/// What is in force at some place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Force {
    pub(super) cancel: Option<NoticeId>,
    pub(super) shutdown: bool,
    pub(super) deadline: u64,
}

const NOTHING: Force = Force { cancel: None, shutdown: false, deadline: NEVER };

impl Tree {
    pub(super) fn new(tasks: usize, statements: usize) -> Tree {
        Tree {
            now: 0,
            notices: Vec::new(),
            scopes: (0..statements).map(|_| None).collect(),
            tasks: vec![Task::default(); tasks],
            is_settled: true,
        }
    }

    pub(super) fn task(&mut self, task: TaskId) -> &mut Task {
        &mut self.tasks[usize::from(task)]
    }

    pub(super) fn scope(&mut self, scope: Id) -> &mut Scope {
        self.scopes[usize::from(scope)].as_mut().expect("a scope is entered before it is used")
    }

    pub(super) fn scope_ref(&self, scope: Id) -> &Scope {
        self.scopes[usize::from(scope)].as_ref().expect("a scope is entered before it is used")
    }

    pub(super) fn children(&mut self, nursery: Id) -> &mut Children {
        self.scope(nursery).nursery.as_mut().expect("it is a nursery")
    }

    pub(super) fn live(&self, nursery: Id) -> usize {
        self.scope_ref(nursery).nursery.as_ref().map_or(0, |children| children.live)
    }

    pub(super) fn notice(&self, id: NoticeId) -> Notice {
        self.notices[id].0
    }

    pub(super) fn add_notice(&mut self, notice: Notice, child_of: Option<Id>) -> NoticeId {
        self.notices.push((notice, child_of));
        self.notices.len() - 1
    }

    /// A request that nobody made: the task unwinds, and may not wait.
    pub(super) fn unwinding_notice(&mut self) -> NoticeId {
        let notice =
            Notice { source: Source::Unwinding, reason: Reason::None, by: None, located: false };
        self.add_notice(notice, None)
    }

    /// Rule 2, read from the inside out.
    pub(super) fn inside(&self, scope: Id) -> Force {
        let here = self.scope_ref(scope);
        let outside = match (here.shield, here.outer) {
            (true, _) => NOTHING,
            (false, Some(outer)) => self.inside(outer),
            (false, None) => self.around(here.owner),
        };
        Force {
            cancel: outside.cancel.or(here.cancel),
            shutdown: outside.shutdown || here.shutdown,
            deadline: outside.deadline.min(here.deadline),
        }
    }

    /// Rule 3: what reaches a task from outside.
    fn around(&self, task: TaskId) -> Force {
        let task = &self.tasks[usize::from(task)];
        let Some(parent) = task.parent else { return NOTHING };
        let force = self.inside(parent);
        Force { cancel: force.cancel.or(task.request), ..force }
    }

    /// What is in force where the task is now.
    pub(super) fn force(&self, task: TaskId) -> Force {
        match self.tasks[usize::from(task)].innermost {
            Some(scope) => self.inside(scope),
            None => self.around(task),
        }
    }

    /// Whether a scope or nursery takes this cancellation back.
    pub(super) fn owns(&self, scope: Id, notice: NoticeId) -> bool {
        let here = self.scope_ref(scope);
        here.cancel == Some(notice)
            || here.lag.rivals.contains(&notice)
            || self.notices[notice].1 == Some(scope)
    }

    pub(super) fn enter(
        &mut self,
        owner: TaskId,
        id: Id,
        shield: bool,
        deadline: u64,
        nursery: bool,
    ) {
        let outer = self.task(owner).innermost.replace(id);
        self.scopes[usize::from(id)] = Some(Scope {
            owner,
            outer,
            shield,
            cancel: None,
            lag: Lag::new(shield),
            shutdown: false,
            deadline,
            deadline_source: Source::Deadline,
            open: true,
            cancelled_late: false,
            nursery: nursery.then(Children::default),
        });
        self.expire(id);
    }

    /// The scope must be the innermost of its task.
    pub(super) fn leave(&mut self, id: Id) -> bool {
        let (owner, outer) = (self.scope_ref(id).owner, self.scope_ref(id).outer);
        self.scope(id).open = false;
        self.task(owner).innermost == Some(id) && {
            self.task(owner).innermost = outer;
            true
        }
    }

    /// Rule 1.
    pub(super) fn cancel(&mut self, id: Id, notice: Notice) {
        if self.scope_ref(id).cancel.is_none() {
            let notice = self.add_notice(notice, None);
            self.scope(id).cancel = Some(notice);
        } else if self.scope_ref(id).lag.was_uncancelled {
            let notice = self.add_notice(notice, None);
            self.scope(id).lag.rivals.push(notice);
        }
        self.is_settled = false;
    }

    pub(super) fn ask(&mut self, by: TaskId, id: Id, asked: Asked) {
        let now = self.now;
        self.is_settled = false;
        let scope = self.scope(id);
        if !scope.open {
            // Too late for everything but the answer of `CancelHandle::is_cancelled`.
            scope.cancelled_late |= matches!(asked, Asked::Cancel(_));
            return;
        }
        scope.lag.note(asked, scope.deadline <= now, scope.nursery.is_some());
        match asked {
            Asked::Cancel(reason) => {
                let notice =
                    Notice { source: Source::Explicit, reason, by: Some(by), located: true };
                self.cancel(id, notice);
            }
            Asked::Shutdown(grace_ends) => {
                scope.shutdown = true;
                // A grace period only ever shortens what there is.
                if grace_ends < scope.deadline {
                    scope.deadline = grace_ends;
                    scope.deadline_source = Source::Grace;
                }
            }
            Asked::Deadline(deadline) => {
                scope.deadline = deadline;
                scope.deadline_source = Source::Deadline;
            }
            Asked::Shield(shield) => scope.shield = shield,
        }
        self.expire(id);
    }

    /// Rule 4.
    fn expire(&mut self, id: Id) {
        let now = self.now;
        let scope = self.scope_ref(id);
        if scope.deadline <= now {
            let source = scope.deadline_source;
            self.cancel(id, Notice { source, reason: Reason::None, by: None, located: false });
        }
    }

    /// The next point in time at which something is due.
    pub(super) fn next_due(&self) -> u64 {
        let deadlines = self.scopes.iter().flatten().filter(|scope| scope.open);
        let deadlines = deadlines.map(|scope| scope.deadline);
        let sleeps = self.tasks.iter().filter_map(|task| match &task.state {
            State::Waiting(Waiting { wait: Wait::Until(at), .. }) => Some(*at),
            _ => None,
        });
        deadlines.chain(sleeps).filter(|at| *at > self.now).min().unwrap_or(NEVER)
    }

    /// Time has come to a point.
    pub(super) fn set_time(&mut self, now: u64) {
        self.now = now;
        for id in 0..self.scopes.len() {
            if self.scopes[id].as_ref().is_some_and(|scope| scope.open) {
                self.expire(id as Id);
            }
        }
    }

    /// Whether something must happen before time goes on: the task can go on.
    pub(super) fn is_ready(&self, task: TaskId) -> bool {
        let is_cancelled = || self.force(task).cancel.is_some();
        match &self.tasks[usize::from(task)].state {
            State::Unknown | State::Ended { .. } => false,
            State::Unstarted | State::Running => true,
            State::Joining(nursery) => self.live(*nursery) == 0,
            State::Waiting(waiting) => match waiting.wait {
                Wait::Look | Wait::Turn | Wait::ShieldedTurn => true,
                Wait::Until(at) => self.now >= at || is_cancelled(),
                Wait::Ever => is_cancelled(),
                Wait::Shutdown => is_cancelled() || self.force(task).shutdown,
                Wait::Gate | Wait::OpenGate | Wait::StubbornGate => waiting.woken || is_cancelled(),
                Wait::Child(child) => self.has_ended(child) || is_cancelled(),
                Wait::Start { .. } => self.live(waiting.id) == 0,
            },
        }
    }

    pub(super) fn has_ended(&self, task: TaskId) -> bool {
        matches!(self.tasks[usize::from(task)].state, State::Ended { .. })
    }
}
