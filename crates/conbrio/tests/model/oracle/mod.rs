//! The reference model: replays a trace against Trio's rules and says which event breaks which rule.
//!
//! The order in which ready tasks run is free, so the model does not predict it: it follows the order of
//! the trace and checks that each step was allowed there. What it does predict is everything else: the
//! result of every wait, who takes which cancellation back, what nurseries report, when time moves.

mod lag;
mod ledger;
mod rules;
mod tree;

use std::fmt;

use crate::program::{Program, TaskId};
use crate::trace::{Event, NEVER, NO_TIME, Outcome, What};

use ledger::Ledger;
use tree::{NoticeId, State, Tree};

/// An event that a rule does not allow.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Its place in the trace; the length of the trace for what is wrong at the end.
    pub(crate) at: usize,
    pub(crate) rule: &'static str,
    pub(crate) detail: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {}: {}: {}", self.at, self.rule, self.detail)
    }
}

/// What a rule says when it is broken: its name, and what was found.
type Checked<T = ()> = Result<T, (&'static str, String)>;

fn broken<T>(rule: &'static str, detail: impl Into<String>) -> Checked<T> {
    Err((rule, detail.into()))
}

fn check(rule: &'static str, holds: bool, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { broken(rule, detail()) }
}

/// Whether the model knew everything that it had to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Whole,
    /// Something has happened whose outcome the trace does not show: the rest was not checked.
    Partly,
}

/// Ends the judgement where the model cannot know.
fn decided(is: bool) -> Checked {
    if is { Ok(()) } else { broken(UNDECIDED, "") }
}

const UNDECIDED: &str = "undecided";

/// Checks a trace; the first broken rule is the error.
pub(crate) fn judge(program: &Program, trace: &[Event]) -> Result<Judged, Broken> {
    let mut oracle = Oracle {
        tree: Tree::new(program.tasks.len(), usize::from(program.statements)),
        ledger: Ledger::new(program.tasks.len()),
        came_from: vec![None; usize::from(program.statements)],
        outcomes: vec![None; usize::from(program.statements)],
        started: vec![false; program.tasks.len()],
        running: None,
        stops_at_checkpoints: program.stops_at_checkpoints(),
        has_lag: program.has_lag(),
    };
    let main = oracle.tree.task(0);
    main.state = State::Unstarted;
    for (at, event) in trace.iter().enumerate() {
        let checked = oracle.move_time(event.at).and_then(|()| oracle.event(&event.what));
        match checked {
            Ok(()) => {}
            Err((UNDECIDED, _)) => return Ok(Judged::Partly),
            Err((rule, detail)) => return Err(Broken { at, rule, detail }),
        }
    }
    match oracle.end() {
        Ok(()) => Ok(Judged::Whole),
        Err((rule, detail)) => Err(Broken { at: trace.len(), rule, detail }),
    }
}

struct Oracle {
    tree: Tree,
    ledger: Ledger,
    /// By the statement that a cancellation came out of: which one it is.
    came_from: Vec<Option<NoticeId>>,
    /// By the scope or nursery: how its body has ended.
    outcomes: Vec<Option<Outcome>>,
    /// The tasks that were begun with `start`.
    started: Vec<bool>,
    /// The task that has not stopped since the last event.
    running: Option<TaskId>,
    /// Any checkpoint may stop a task.
    stops_at_checkpoints: bool,
    /// Requests take a while from worker to worker (see `lag`).
    has_lag: bool,
}

impl Oracle {
    /// Time moves only when nobody can run, and only to where something is due.
    fn move_time(&mut self, to: u64) -> Checked {
        if to == NO_TIME {
            return Ok(());
        }
        check("time does not go back", to >= self.tree.now, || {
            format!("from {} to {to}", self.tree.now)
        })?;
        while to > self.tree.now {
            self.nobody_is_ready()?;
            let next = self.tree.next_due();
            check("time goes to where something is due", next <= to, || match next {
                NEVER => format!("it went from {} to {to}, and nothing is due", self.tree.now),
                next => format!("it went from {} to {to}; next is {next}", self.tree.now),
            })?;
            self.tree.settle();
            self.tree.set_time(next);
        }
        Ok(())
    }

    fn nobody_is_ready(&self) -> Checked {
        for task in (0..).take(self.tree.tasks.len()) {
            check("time waits for whoever can run", !self.tree.is_ready(task), || {
                let state = &self.tree.tasks[usize::from(task)].state;
                format!("t{task} can go on since {}: {state:?}", self.tree.now)
            })?;
        }
        Ok(())
    }

    fn event(&mut self, what: &What) -> Checked {
        if let What::Dropped(canary) = what {
            return self.ledger.dropped(*canary);
        }
        self.ledger.nothing_owed()?;
        if let What::Armed { gate } = what {
            return self.armed(*gate);
        }
        let actor = actor(what);
        if let Some(running) = self.running {
            check("tasks change only where they wait", running == actor, || {
                format!("t{actor} acts, and t{running} has not stopped")
            })?;
        }
        self.running = Some(actor);
        self.step(actor, what)
    }

    /// After the last event.
    fn end(&self) -> Checked {
        for (task, state) in (0..).zip(self.tree.tasks.iter().map(|task| &task.state)) {
            let is_over = matches!(state, State::Ended { .. } | State::Unknown);
            check("every task ends", is_over, || format!("t{task}: {state:?}"))?;
        }
        self.ledger.nothing_owed()?;
        self.ledger.all_dropped()
    }
}

/// The task that did it.
fn actor(what: &What) -> TaskId {
    match *what {
        What::TaskBegan { task }
        | What::TaskEnded { task, .. }
        | What::Waits { task, .. }
        | What::Waited { task, .. }
        | What::ScopeEntered { task, .. }
        | What::ScopeBody { task, .. }
        | What::ScopeLeft { task, .. }
        | What::NurseryEntered { task, .. }
        | What::NurseryBody { task, .. }
        | What::NurseryLeft { task, .. }
        | What::Ready { task }
        | What::ReadDeadline { task, .. }
        | What::ReadShutdown { task, .. }
        | What::UnwindBegan { task }
        | What::UnwindEnded { task }
        | What::Caught { task, .. } => task,
        What::Spawned { by, .. }
        | What::Started { by, .. }
        | What::HandleGone { by, .. }
        | What::Asked { by, .. }
        | What::ChildCancelled { by, .. }
        | What::Unparked { by, .. }
        | What::ReadHandle { by, .. }
        | What::ReadChild { by, .. }
        | What::ReadNursery { by, .. } => by,
        What::Armed { .. } | What::Dropped(_) => unreachable!("dealt with before"),
    }
}
