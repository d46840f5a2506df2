//! The rules, one function for each kind of event.

use crate::program::{Id, TaskId};
use crate::trace::{
    Canary, Failure, Left, Notice, NurseryLeft, Outcome, Payload, Reason, Source, StartResult,
    Wait, Waited, What,
};

use super::tree::{Failed, NoticeId, State, Waiting};
use super::{Checked, Oracle, broken, check, decided};

impl Oracle {
    pub(super) fn step(&mut self, actor: TaskId, what: &What) -> Checked {
        match what {
            What::TaskBegan { .. } => return self.began(actor),
            What::Waited { id, result, .. } => return self.waited(actor, *id, result),
            What::Started { id, result, .. } => return self.started(actor, *id, result),
            What::NurseryLeft { nursery, left, .. } => {
                return self.nursery_left(actor, *nursery, left);
            }
            _ => {}
        }
        let state = &self.tree.task(actor).state;
        check("a task that waits does nothing", *state == State::Running, || {
            format!("t{actor} was {state:?}")
        })?;
        match what {
            What::TaskEnded { outcome, .. } => self.ended(actor, outcome),
            What::Waits { id, wait, .. } => self.waits(actor, *id, *wait),
            What::ScopeEntered { scope, shield, deadline, .. } => {
                self.tree.enter(actor, *scope, *shield, *deadline, false);
                Ok(())
            }
            What::ScopeBody { .. } => self.scope_body(what),
            What::ScopeLeft { scope, left, .. } => self.scope_left(*scope, left),
            What::NurseryEntered { nursery, .. } => {
                self.tree.enter(actor, *nursery, false, crate::trace::NEVER, true);
                Ok(())
            }
            What::NurseryBody { nursery, outcome, .. } => {
                self.nursery_body(actor, *nursery, outcome)
            }
            What::Spawned { nursery, task, .. } => {
                self.spawned(actor, *nursery, *task);
                Ok(())
            }
            What::Ready { .. } => self.ready(actor),
            What::HandleGone { task, .. } => {
                self.tree.task(*task).handle_gone = true;
                self.ledger.owe(Canary::Value(*task));
                Ok(())
            }
            What::Asked { target, asked, .. } => {
                self.tree.ask(actor, *target, *asked);
                decided(!self.has_lag || self.tree.scope_ref(*target).lag.is_clear)
            }
            What::ChildCancelled { task, .. } => {
                self.cancel_child(actor, *task);
                Ok(())
            }
            What::Unparked { gate, .. } => {
                // Too late, if nobody waits there any more.
                if let Some(waiting) = self.waiting_at(*gate) {
                    waiting.woken = true;
                }
                Ok(())
            }
            What::UnwindBegan { .. } | What::UnwindEnded { .. } => {
                self.tree.task(actor).unwinding = matches!(what, What::UnwindBegan { .. });
                Ok(())
            }
            What::Caught { payload, .. } => only_bombs(payload),
            _ => self.read(actor, what),
        }
    }

    fn began(&mut self, task: TaskId) -> Checked {
        let state = &self.tree.task(task).state;
        check("a task begins once", *state == State::Unstarted, || {
            format!("t{task} was {state:?}")
        })?;
        self.tree.task(task).state = State::Running;
        Ok(())
    }

    fn spawned(&mut self, by: TaskId, nursery: Id, task: TaskId) {
        self.ledger.made(Canary::Closure(task));
        if self.tree.task(by).unwinding {
            // Refused: it counts as ended.
            let refused = self.tree.task(task);
            refused.state = State::Ended { value: false };
            refused.parent = Some(nursery);
            self.ledger.owe(Canary::Closure(task));
            return;
        }
        self.adopt(nursery, task);
        self.tree.task(task).state = State::Unstarted;
    }

    fn adopt(&mut self, nursery: Id, task: TaskId) {
        self.tree.task(task).parent = Some(nursery);
        let children = self.tree.children(nursery);
        children.live += 1;
        children.all.push(task);
    }

    /// A child is counted down with its last step; its failure cancels the nursery.
    fn ended(&mut self, task: TaskId, outcome: &Outcome) -> Checked {
        self.running = None;
        let state = self.tree.task(task);
        state.state = State::Ended { value: *outcome == Outcome::Done };
        let (request, handle_gone) = (state.request, state.handle_gone);
        check(
            "scopes are left before their task ends",
            state.innermost.is_none() || task == 0,
            || format!("t{task} is in #{:?}", state.innermost),
        )?;
        let Some(nursery) = state.parent else { return Ok(()) };
        self.ledger.owe(Canary::Closure(task));
        match outcome {
            Outcome::Done => {
                self.ledger.made(Canary::Value(task));
                // What came out of `start` has no handle, ever.
                if handle_gone || self.is_started(task) {
                    self.ledger.owe(Canary::Value(task));
                }
            }
            Outcome::Failed(failure) => {
                let failed = self.failed(*failure)?;
                // A child that stopped because it was cancelled itself has not failed.
                if request.is_none_or(|request| failed != Failed::Cancelled(request)) {
                    self.fail(nursery, failed, Reason::ChildFailed, task);
                }
            }
            Outcome::Panicked(payload) => {
                only_bombs(payload)?;
                self.panicked(nursery, payload, Reason::ChildPanicked, task);
            }
        }
        self.tree.children(nursery).live -= 1;
        Ok(())
    }

    fn is_started(&self, task: TaskId) -> bool {
        self.started[usize::from(task)]
    }

    fn failed(&self, failure: Failure) -> Checked<Failed> {
        match failure {
            Failure::Raised(id) => Ok(Failed::Raised(id)),
            Failure::Cancelled(id) => match self.came_from[usize::from(id)] {
                Some(notice) => Ok(Failed::Cancelled(notice)),
                None => broken("a cancellation comes out of a wait", format!("of #{id}")),
            },
        }
    }

    fn fail(&mut self, nursery: Id, failed: Failed, reason: Reason, by: TaskId) {
        self.tree.children(nursery).failures.push(failed);
        let source = Source::ChildFailed;
        self.tree.cancel(nursery, Notice { source, reason, by: Some(by), located: false });
    }

    fn panicked(&mut self, nursery: Id, payload: &Payload, reason: Reason, by: TaskId) {
        self.tree.children(nursery).panics.push(payload.clone());
        let source = Source::ChildPanicked;
        self.tree.cancel(nursery, Notice { source, reason, by: Some(by), located: false });
    }

    fn cancel_child(&mut self, by: TaskId, child: TaskId) {
        if self.tree.has_ended(child) || self.tree.task(child).request.is_some() {
            return;
        }
        let notice =
            Notice { source: Source::Explicit, reason: Reason::None, by: Some(by), located: true };
        let nursery = self.tree.task(child).parent;
        let notice = self.tree.add_notice(notice, nursery);
        self.tree.task(child).request = Some(notice);
        self.tree.task(child).is_request_new = true;
        self.tree.is_settled = false;
    }

    // Scopes.

    fn scope_body(&mut self, what: &What) -> Checked {
        let What::ScopeBody { scope, outcome, .. } = what else { return Ok(()) };
        self.outcomes[usize::from(*scope)] = Some(outcome.clone());
        Ok(())
    }

    /// A scope takes back its own cancellation, and only that; a value counts always.
    fn scope_left(&mut self, scope: Id, left: &Left) -> Checked {
        let outcome = self.outcomes[usize::from(scope)].take();
        let expected = match outcome {
            None => return broken("a scope is left after its body", format!("#{scope}")),
            Some(Outcome::Done) => Left::Value,
            Some(Outcome::Panicked(payload)) => Left::Panicked(payload),
            Some(Outcome::Failed(failure)) => match self.failed(failure)? {
                Failed::Cancelled(notice) if self.tree.owns(scope, notice) => Left::Absorbed,
                _ => Left::Failed(failure),
            },
        };
        check(
            "a scope takes back its own cancellation, and nothing else",
            *left == expected,
            || format!("#{scope} was left with {left:?}, not {expected:?}"),
        )?;
        self.leave(scope)
    }

    fn leave(&mut self, scope: Id) -> Checked {
        check("scopes nest", self.tree.leave(scope), || format!("#{scope} was not the innermost"))
    }

    // Nurseries.

    fn nursery_body(&mut self, task: TaskId, nursery: Id, outcome: &Outcome) -> Checked {
        match outcome {
            Outcome::Done => {}
            Outcome::Failed(failure) => {
                let failed = self.failed(*failure)?;
                self.fail(nursery, failed, Reason::BodyFailed, task);
            }
            Outcome::Panicked(payload) => {
                only_bombs(payload)?;
                self.panicked(nursery, payload, Reason::BodyPanicked, task);
            }
        }
        self.outcomes[usize::from(nursery)] = Some(outcome.clone());
        self.tree.task(task).state = State::Joining(nursery);
        // With nobody to wait for, it does not stop.
        if self.tree.live(nursery) != 0 {
            self.running = None;
        }
        Ok(())
    }

    fn nursery_left(&mut self, task: TaskId, nursery: Id, left: &NurseryLeft) -> Checked {
        let is_joining = self.tree.task(task).state == State::Joining(nursery);
        check("a nursery is left after its body", is_joining, || format!("#{nursery}"))?;
        let live = self.tree.live(nursery);
        check("a nursery ends after its children", live == 0, || {
            format!("#{nursery} was left with {live} children")
        })?;
        let children = self.tree.children(nursery);
        let (all, panics) = (children.all.clone(), children.panics.clone());
        self.ledger.left_nursery(&all)?;
        let (raised, cancelled) = self.sort(nursery);
        let body = self.outcomes[usize::from(nursery)].take();
        let expected = if !panics.is_empty() {
            NurseryLeft::Panicked(together(panics, raised))
        } else if !raised.is_empty() {
            NurseryLeft::Failed(raised)
        } else if let Some(notice) = cancelled {
            self.came_from[usize::from(nursery)] = Some(notice);
            NurseryLeft::Cancelled(self.tree.notice(notice))
        } else if body == Some(Outcome::Done) {
            NurseryLeft::Value
        } else {
            NurseryLeft::Stopped
        };
        check("a nursery reports what happened in it", *left == expected, || {
            format!("#{nursery} reported {left:?}, not {expected:?}")
        })?;
        self.leave(nursery)?;
        self.tree.task(task).state = State::Running;
        Ok(())
    }

    /// Errors in order of time, and the first cancellation that is not the nursery's own.
    fn sort(&mut self, nursery: Id) -> (Vec<Id>, Option<NoticeId>) {
        let failures = self.tree.children(nursery).failures.clone();
        let (mut raised, mut cancelled) = (Vec::new(), None);
        for failed in failures {
            match failed {
                Failed::Raised(id) => raised.push(id),
                Failed::Cancelled(notice) if self.tree.owns(nursery, notice) => {}
                Failed::Cancelled(notice) => cancelled = cancelled.or(Some(notice)),
            }
        }
        (raised, cancelled)
    }

    // Start: a nursery around the child until it says that it is ready.

    fn begin_start(&mut self, by: TaskId, id: Id, nursery: Id, task: TaskId) {
        self.tree.enter(by, id, false, crate::trace::NEVER, true);
        self.adopt(id, task);
        self.tree.task(task).state = State::Unstarted;
        self.started[usize::from(task)] = true;
        self.ledger.made(Canary::Closure(task));
        // The nursery that it will belong to keeps a place.
        self.tree.children(nursery).live += 1;
    }

    fn ready(&mut self, task: TaskId) -> Checked {
        self.ledger.made(Canary::Ready(task));
        let parent = self.tree.task(task).parent;
        let Some(private) = parent.filter(|_| self.is_started(task)) else {
            return broken("who is started says once that it is ready", format!("t{task}"));
        };
        let owner = self.tree.scope_ref(private).owner;
        let state = &self.tree.task(owner).state;
        let State::Waiting(Waiting { wait: Wait::Start { nursery, .. }, .. }) = *state else {
            return broken("who starts a task waits for it", format!("t{owner} was {state:?}"));
        };
        if self.has_lag {
            let possible = self.tree.possible_inside(private);
            decided(!possible.none || possible.notices.is_empty())?;
        }
        // Cancelled meanwhile: it stays where it is.
        if self.tree.inside(private).cancel.is_none() {
            let from = self.tree.children(private);
            from.live -= 1;
            from.all.clear();
            self.tree.task(task).parent = Some(nursery);
            self.tree.children(nursery).all.push(task);
        }
        Ok(())
    }

    fn started(&mut self, by: TaskId, id: Id, result: &StartResult) -> Checked {
        let state = self.tree.task(by).state.clone();
        let State::Waiting(Waiting { wait: Wait::Start { nursery, task }, .. }) = state else {
            return broken("a start ends once", format!("t{by} was {state:?}"));
        };
        let live = self.tree.live(id);
        check("a start ends when the child has left it", live == 0, || format!("#{id}"))?;
        let panics = self.tree.children(id).panics.clone();
        let moved = self.tree.task(task).parent == Some(nursery);
        if !moved {
            self.tree.children(nursery).live -= 1;
        }
        let (raised, cancelled) = self.sort(id);
        let given = self.ledger.is_alive(Canary::Ready(task));
        let expected = if !panics.is_empty() {
            StartResult::Panicked(together(panics, raised))
        } else if let Some(raised) = raised.first() {
            StartResult::Failed(*raised)
        } else if let Some(notice) = cancelled {
            self.came_from[usize::from(id)] = Some(notice);
            StartResult::Cancelled(self.tree.notice(notice))
        } else if given {
            StartResult::Value
        } else {
            StartResult::NeverReady
        };
        check("a start reports what the child did", *result == expected, || {
            format!("#{id} reported {result:?}, not {expected:?}")
        })?;
        if *result == StartResult::Value {
            self.ledger.owe(Canary::Ready(task));
        } else {
            check("what a start does not return is dropped", !given, || format!("of t{task}"))?;
        }
        self.leave(id)?;
        self.tree.task(by).state = State::Running;
        Ok(())
    }

    // Waits.

    fn waits(&mut self, task: TaskId, id: Id, wait: Wait) -> Checked {
        let unwinding = self.tree.task(task).unwinding;
        let was_cancelled = unwinding || self.tree.force(task).cancel.is_some();
        let waiting = Waiting { id, wait, was_cancelled, armed: false, woken: false };
        self.tree.task(task).state = State::Waiting(waiting);
        let may_stop = match wait {
            Wait::Look => false,
            Wait::Turn | Wait::ShieldedTurn => !unwinding,
            Wait::Start { nursery, task: child } => {
                self.begin_start(task, id, nursery, child);
                true
            }
            // Not even begun if it is cancelled already.
            _ => !was_cancelled || self.stops_at_checkpoints && !unwinding,
        };
        if may_stop {
            self.running = None;
        }
        Ok(())
    }

    fn waited(&mut self, task: TaskId, id: Id, result: &Waited) -> Checked {
        let state = self.tree.task(task).state.clone();
        let State::Waiting(waiting) = state else {
            return broken("a wait ends once", format!("t{task} was {state:?}"));
        };
        check("a wait ends once", waiting.id == id, || format!("#{id}, not #{}", waiting.id))?;
        if self.has_lag && !self.tree.task(task).unwinding {
            let came = self.waited_with_lag(task, &waiting, result)?;
            self.came_from[usize::from(id)] = came;
            return self.go_on(task, &waiting, result);
        }
        let cancel = if self.tree.task(task).unwinding {
            Some(self.tree.unwinding_notice())
        } else {
            self.tree.force(task).cancel
        };
        let expected = match self.end_of(task, &waiting) {
            End::Done => None,
            End::Never => Some(cancel),
            End::Failed(notice) => Some(Some(notice)),
        };
        let first_of_all = match waiting.wait {
            Wait::ShieldedTurn => None,
            _ if waiting.was_cancelled => cancel,
            _ => None,
        };
        let allowed = |expected: Option<NoticeId>| match (result, expected) {
            (Waited::Done, None) => true,
            (Waited::Cancelled(seen), Some(notice)) => *seen == self.tree.notice(notice),
            _ => false,
        };
        let came = match (first_of_all, expected) {
            (Some(notice), _) if allowed(Some(notice)) => Some(notice),
            // A checkpoint may have given way, and then it was cancelled no longer.
            (Some(_), _) if !self.stops_at_checkpoints => {
                return self.wrong(task, result, first_of_all);
            }
            (_, Some(None)) => {
                return broken("a wait ends for a reason", format!("t{task} got {result:?}"));
            }
            (_, expected) => {
                let expected = expected.flatten();
                let late = self.stops_at_checkpoints && cancel.is_some() && allowed(cancel);
                if !allowed(expected) && !late {
                    return self.wrong(task, result, expected);
                }
                if allowed(expected) { expected } else { cancel }
            }
        };
        self.came_from[usize::from(id)] = came;
        self.go_on(task, &waiting, result)
    }

    fn go_on(&mut self, task: TaskId, waiting: &Waiting, result: &Waited) -> Checked {
        if let Wait::Child(child) = waiting.wait
            && *result == Waited::Done
        {
            self.ledger.owe(Canary::Value(child));
        }
        self.tree.task(task).state = State::Running;
        Ok(())
    }

    pub(super) fn wrong(
        &self,
        task: TaskId,
        result: &Waited,
        expected: Option<NoticeId>,
    ) -> Checked {
        let expected = expected.map(|notice| self.tree.notice(notice));
        let rule = match (result, expected) {
            (Waited::Done, _) => "a wait inside a cancelled scope fails",
            (_, None) => "a wait that nobody cancelled does not fail",
            _ => "the outermost cancelled scope that no shield hides counts",
        };
        broken(rule, format!("t{task} got {result:?}, not {expected:?}"))
    }

    /// How a wait ends now if it was not refused at its beginning. What has happened wins over a
    /// cancellation.
    fn end_of(&mut self, task: TaskId, waiting: &Waiting) -> End {
        let is_cancelled = self.tree.force(task).cancel.is_some();
        let is_over = match waiting.wait {
            Wait::ShieldedTurn => true,
            Wait::Look | Wait::Turn => !is_cancelled && !self.tree.task(task).unwinding,
            Wait::Until(at) => self.tree.now >= at,
            Wait::Ever | Wait::Start { .. } => false,
            Wait::Shutdown => !is_cancelled && self.tree.force(task).shutdown,
            Wait::Gate | Wait::OpenGate => waiting.woken,
            Wait::StubbornGate => waiting.woken || (is_cancelled && waiting.armed),
            Wait::Child(child) => return self.end_of_join(child),
        };
        if is_over { End::Done } else { End::Never }
    }

    pub(super) fn end_of_join(&mut self, child: TaskId) -> End {
        let State::Ended { value } = self.tree.task(child).state else { return End::Never };
        if value {
            return End::Done;
        }
        // The child's own request, or that of its nursery, which its failure has cancelled.
        let own = self.tree.task(child).request;
        let nursery = self.tree.task(child).parent;
        let reason = own.or_else(|| nursery.and_then(|nursery| self.tree.inside(nursery).cancel));
        // Nobody is to blame for a child that was refused.
        End::Failed(reason.unwrap_or_else(|| self.tree.unwinding_notice()))
    }

    fn waiting_at(&mut self, gate: Id) -> Option<&mut Waiting> {
        self.tree.tasks.iter_mut().find_map(|task| match &mut task.state {
            State::Waiting(waiting) if waiting.id == gate => Some(waiting),
            _ => None,
        })
    }

    pub(super) fn armed(&mut self, gate: Id) -> Checked {
        let stops = self.stops_at_checkpoints;
        let Some(waiting) = self.waiting_at(gate) else {
            return broken("who arms a wait waits", format!("#{gate}"));
        };
        waiting.armed = true;
        waiting.woken = waiting.wait == Wait::OpenGate;
        check(
            "a wait inside a cancelled scope is not begun",
            !waiting.was_cancelled || stops,
            || format!("#{gate}"),
        )
    }

    // What can be read.

    fn read(&mut self, actor: TaskId, what: &What) -> Checked {
        // While a request travels, some know of it and some do not.
        let travels = self.has_lag && !self.tree.is_settled;
        let (rule, holds, expected) = match *what {
            What::ReadDeadline { deadline, .. } => {
                let force = self.tree.force(actor);
                let expected = if force.cancel.is_some() { 0 } else { force.deadline };
                (
                    "the earliest deadline in force",
                    travels || deadline == expected,
                    expected.to_string(),
                )
            }
            What::ReadShutdown { requested, .. } => {
                let force = self.tree.force(actor);
                let expected = force.shutdown || force.cancel.is_some();
                (
                    "whether a shutdown is in force",
                    travels || requested == expected,
                    expected.to_string(),
                )
            }
            What::ReadHandle { scope, cancelled, open, .. } => {
                let scope = self.tree.scope_ref(scope);
                let is_cancelled = scope.cancel.is_some() || scope.cancelled_late;
                let expected = (is_cancelled, scope.open);
                let holds = open == expected.1 && (travels || cancelled == expected.0);
                ("what a handle says", holds, format!("{expected:?}"))
            }
            What::ReadChild { task, finished, .. } => {
                let expected = self.tree.has_ended(task);
                ("whether a child has ended", finished == expected, expected.to_string())
            }
            What::ReadNursery { nursery, children, cancelled, .. } => {
                let is_cancelled = self.tree.scope_ref(nursery).cancel.is_some();
                let expected = (self.tree.live(nursery), is_cancelled);
                let holds = children == expected.0 && (travels || cancelled == expected.1);
                ("what a nursery says", holds, format!("{expected:?}"))
            }
            _ => unreachable!("dealt with before"),
        };
        check(rule, holds, || format!("{what:?}, not {expected}"))
    }
}

pub(super) enum End {
    Done,
    /// It is not over: only a cancellation ends it.
    Never,
    Failed(NoticeId),
}

/// The payload that goes on after a nursery.
fn together(mut panics: Vec<Payload>, raised: Vec<Id>) -> Payload {
    if panics.len() == 1 && raised.is_empty() {
        return panics.remove(0);
    }
    Payload::Several(panics, raised)
}

/// The runtime itself has not panicked.
fn only_bombs(payload: &Payload) -> Checked {
    match payload {
        Payload::Bomb(_) => Ok(()),
        Payload::Several(panics, _) => panics.iter().try_for_each(only_bombs),
        Payload::Foreign(text) => broken("nobody else panics", text.clone()),
    }
}
