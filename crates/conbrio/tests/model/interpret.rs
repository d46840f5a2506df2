//! Runs the statements of a program on the real runtime, and writes down what it sees.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use conbrio::lowlevel::{Abort, Finish, Unparker, Wait as Waiting};
use conbrio::{CancelHandle, CancelScope, Cancelled, Cx, NurseryError, OrTimedOut};

use crate::nursery::{Env, NurseryPort, ReadyPort};
use crate::program::{Aborting, By, Id, OnFailure, Op, Request, ScopeKind, Statement, TaskId};
use crate::trace::{Asked, Left, NEVER, NurseryLeft, Reason, Wait, Waited, What};
use crate::world::{Bomb, Fail, World, notice, outcome, payload_of, raised};

/// Where a statement stands.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) task: TaskId,
    /// The nurseries that can be seen from here.
    pub(crate) env: Option<&'a Env<'a>>,
    /// The scopes of this task around here.
    pub(crate) scopes: Option<&'a Scopes<'a>>,
    pub(crate) stash: &'a RefCell<Option<Fail>>,
    pub(crate) ready: Option<&'a dyn ReadyPort>,
}

pub(crate) struct Scopes<'a> {
    id: Id,
    scope: &'a CancelScope<'a>,
    outer: Option<&'a Scopes<'a>>,
}

pub(crate) type Ran = Result<(), Fail>;

/// Runs a list of statements, to its end or to the first failure that goes on.
pub(crate) fn execute(cx: &mut Cx, place: &Place<'_>, body: &[Statement]) -> Ran {
    for statement in body {
        if place.world.dropped.has(statement.id) {
            continue;
        }
        if let Err(fail) = step(cx, place, statement) {
            match statement.on_failure {
                OnFailure::Propagate => return Err(fail),
                OnFailure::Ignore => {}
                OnFailure::Stash => drop(place.stash.replace(Some(fail))),
            }
        }
    }
    Ok(())
}

fn step(cx: &mut Cx, place: &Place<'_>, statement: &Statement) -> Ran {
    let id = statement.id;
    let (world, task) = (place.world, place.task);
    match &statement.op {
        Op::Checkpoint => {
            let stops = world.program.stops_at_checkpoints();
            let kind = if stops { Wait::Turn } else { Wait::Look };
            wait(cx, place, id, kind, |cx| cx.checkpoint())
        }
        Op::CheckIfCancelled => wait(cx, place, id, Wait::Look, |cx| cx.checkpoint_if_cancelled()),
        Op::Yield => wait(cx, place, id, Wait::Turn, |cx| cx.yield_now()),
        Op::YieldShielded => wait(cx, place, id, Wait::ShieldedTurn, |cx| {
            cx.yield_shielded();
            Ok(())
        }),
        Op::Spin(times) => {
            wait(cx, place, id, Wait::Turn, |cx| (0..*times).try_for_each(|_| cx.checkpoint()))
        }
        Op::Sleep(units) => {
            let span = world.span(*units);
            let until = world.time_of(cx.now() + span);
            let kind = if span.is_zero() { Wait::Turn } else { Wait::Until(until) };
            wait(cx, place, id, kind, |cx| cx.sleep(span))
        }
        Op::SleepUntil(units) => {
            let at = world.instant(*units);
            let past = at <= cx.now();
            let kind = if past { Wait::Turn } else { Wait::Until(world.time_of(at)) };
            wait(cx, place, id, kind, |cx| cx.sleep_until(at))
        }
        Op::SleepForever => wait(cx, place, id, Wait::Ever, |cx| cx.sleep_forever()),
        Op::WaitShutdown => wait(cx, place, id, Wait::Shutdown, |cx| cx.wait_shutdown()),
        Op::Gate(aborting) => {
            let kind = match aborting {
                Aborting::Completes => Wait::StubbornGate,
                Aborting::AtOnce => Wait::OpenGate,
                _ => Wait::Gate,
            };
            let mut gate = Gate { world, id, aborting: *aborting };
            wait(cx, place, id, kind, |cx| cx.park_on(&mut gate))
        }
        Op::Unpark(gate) => {
            if let Some(unparker) = world.open_gate(*gate) {
                world.note(cx, What::Unparked { by: task, gate: *gate });
                unparker.unpark();
            }
            Ok(())
        }
        Op::ReadDeadline => {
            let deadline = world.time_of_deadline(cx.deadline());
            world.note(cx, What::ReadDeadline { task, deadline });
            Ok(())
        }
        Op::ReadShutdown => {
            let requested = cx.shutdown_requested();
            world.note(cx, What::ReadShutdown { task, requested });
            Ok(())
        }
        Op::ReadHandle(scope) => {
            if let Some(handle) = world.handle(*scope) {
                let (cancelled, open) = (handle.is_cancelled(), handle.is_open());
                world.note(cx, What::ReadHandle { by: task, scope: *scope, cancelled, open });
            }
            Ok(())
        }
        Op::Raise => Err(Fail::Raised(id)),
        Op::RaiseStashed => place.stash.take().map_or(Ok(()), Err),
        // Not `panic!`: the hook would print a million messages.
        Op::Panic => resume_unwind(Box::new(Bomb(id))),
        Op::Scope { kind, publish, body } => scope(cx, place, id, *kind, *publish, body),
        Op::Nursery { publish, body } => nursery(cx, place, id, *publish, body),
        Op::Ask { target, by, request } => {
            ask(cx, place, id, *target, *by, *request);
            Ok(())
        }
        Op::Catch(body) => catch(cx, place, body),
        Op::Guarded { body, cleanup } => {
            let guard = Guard { cx, place, cleanup };
            execute(guard.cx, place, body)
        }
        Op::Ready => {
            if let Some(ready) = place.ready {
                ready.ready(cx, place);
            }
            Ok(())
        }
        Op::Spawn { nursery, .. }
        | Op::SpawnLocal { nursery, .. }
        | Op::Start { nursery, .. }
        | Op::Join { nursery, .. }
        | Op::DropHandle { nursery, .. }
        | Op::CancelChild { nursery, .. }
        | Op::ReadChild { nursery, .. }
        | Op::ReadNursery(nursery) => match place.env.and_then(|env| env.find(*nursery)) {
            Some(port) => port.step(cx, place, statement),
            None => Ok(()),
        },
    }
}

/// A call that may wait, between two lines of the trace.
pub(crate) fn wait(
    cx: &mut Cx,
    place: &Place<'_>,
    id: Id,
    wait: Wait,
    call: impl FnOnce(&mut Cx) -> Result<(), Cancelled>,
) -> Ran {
    let (world, task) = (place.world, place.task);
    world.note(cx, What::Waits { task, id, wait });
    let result = call(cx);
    let seen = match &result {
        Ok(()) => Waited::Done,
        Err(cancelled) => Waited::Cancelled(notice(cancelled)),
    };
    world.note(cx, What::Waited { task, id, result: seen });
    result.map_err(|cancelled| Fail::Cancelled(cancelled, id))
}

/// A wait that another task ends.
struct Gate<'w> {
    world: &'w World<'w>,
    id: Id,
    aborting: Aborting,
}

impl Waiting for Gate<'_> {
    fn arm(&mut self, unparker: Unparker) {
        self.world.note_untimed(What::Armed { gate: self.id });
        if self.aborting == Aborting::AtOnce {
            unparker.unpark();
        } else {
            self.world.close_gate(self.id, unparker);
        }
    }

    fn abort(&mut self) -> Abort {
        if self.aborting == Aborting::Succeeds || self.aborting == Aborting::AtOnce {
            // The unparker stays where it is: whoever uses it comes too late, and must not end another
            // wait with it.
            return Abort::Succeeded;
        }
        // The end comes late, but it comes.
        if let Some(unparker) = self.world.open_gate(self.id) {
            unparker.unpark();
        }
        Abort::Pending
    }

    fn finish(&mut self) -> Finish {
        match self.aborting {
            Aborting::CancelsLate => Finish::Cancelled,
            _ => Finish::Completed,
        }
    }
}

fn scope(
    cx: &mut Cx,
    place: &Place<'_>,
    id: Id,
    kind: ScopeKind,
    publish: bool,
    body: &[Statement],
) -> Ran {
    let (world, task) = (place.world, place.task);
    let from_now = |cx: &Cx, units| world.time_of(cx.now() + world.span(units));
    let deadline = match kind {
        ScopeKind::CancelScope | ScopeKind::Shield => NEVER,
        ScopeKind::MoveOnAfter(units) | ScopeKind::FailAfter(units) | ScopeKind::Cleanup(units) => {
            from_now(cx, units)
        }
        ScopeKind::MoveOnAt(units) | ScopeKind::FailAt(units) => {
            world.time_of(world.instant(units))
        }
    };
    let shield = matches!(kind, ScopeKind::Shield | ScopeKind::Cleanup(_));
    let inside = |cx: &mut Cx, scope: Option<&CancelScope<'_>>| {
        world.note(cx, What::ScopeEntered { task, scope: id, shield, deadline });
        let result = catch_unwind(AssertUnwindSafe(|| match scope {
            None => execute(cx, place, body),
            Some(scope) => {
                if publish {
                    world.publish(id, scope.handle());
                }
                let scopes = Scopes { id, scope, outer: place.scopes };
                execute(cx, &Place { scopes: Some(&scopes), ..*place }, body)
            }
        }));
        world.note(cx, What::ScopeBody { task, scope: id, outcome: outcome(&result) });
        result.unwrap_or_else(|payload| resume_unwind(payload))
    };
    let timed_out = |result: Result<(), OrTimedOut<Fail>>| match result {
        Ok(()) => Ok(Some(())),
        Err(OrTimedOut::TimedOut(_)) => Ok(None),
        Err(OrTimedOut::Failed(fail)) => Err(fail),
    };
    let result = catch_unwind(AssertUnwindSafe(|| match kind {
        ScopeKind::CancelScope => cx.cancel_scope(|cx, scope| inside(cx, Some(scope))),
        ScopeKind::MoveOnAfter(units) => cx.move_on_after(world.span(units), |cx| inside(cx, None)),
        ScopeKind::MoveOnAt(units) => cx.move_on_at(world.instant(units), |cx| inside(cx, None)),
        ScopeKind::FailAfter(units) => {
            timed_out(cx.fail_after(world.span(units), |cx| inside(cx, None)))
        }
        ScopeKind::FailAt(units) => {
            timed_out(cx.fail_at(world.instant(units), |cx| inside(cx, None)))
        }
        ScopeKind::Shield => cx.shield(|cx| inside(cx, None)).map(Some),
        ScopeKind::Cleanup(units) => cx.cleanup(world.span(units), |cx| inside(cx, None)),
    }));
    let left = match &result {
        Ok(Ok(Some(()))) => Left::Value,
        Ok(Ok(None)) => Left::Absorbed,
        Ok(Err(fail)) => Left::Failed(fail.seen()),
        Err(payload) => Left::Panicked(payload_of(&**payload)),
    };
    world.note(cx, What::ScopeLeft { task, scope: id, left });
    let is_timeout = matches!(kind, ScopeKind::FailAfter(_) | ScopeKind::FailAt(_));
    match result {
        Ok(Ok(None)) if is_timeout => Err(Fail::Raised(id)),
        Ok(result) => result.map(|_| ()),
        Err(payload) => resume_unwind(payload),
    }
}

fn nursery(cx: &mut Cx, place: &Place<'_>, id: Id, publish: bool, body: &[Statement]) -> Ran {
    let (world, task) = (place.world, place.task);
    let outer = place.env;
    let result = catch_unwind(AssertUnwindSafe(|| {
        cx.nursery(|cx, n| {
            world.note(cx, What::NurseryEntered { task, nursery: id });
            if publish {
                world.publish(id, n.handle());
            }
            let port = NurseryPort::new(id, n, outer, world);
            let result = catch_unwind(AssertUnwindSafe(|| {
                let env = Env { port: &port };
                execute(cx, &Place { env: Some(&env), ..*place }, body)
            }));
            drop(port);
            world.note(cx, What::NurseryBody { task, nursery: id, outcome: outcome(&result) });
            result.unwrap_or_else(|payload| resume_unwind(payload))
        })
    }));
    let left = match &result {
        Ok(Ok(())) => NurseryLeft::Value,
        Ok(Err(NurseryError::Failed(errors))) => {
            NurseryLeft::Failed(errors.iter().map(raised).collect())
        }
        Ok(Err(NurseryError::Cancelled(cancelled))) => NurseryLeft::Cancelled(notice(cancelled)),
        Ok(Err(NurseryError::Stopped(_))) => NurseryLeft::Stopped,
        Err(payload) => NurseryLeft::Panicked(payload_of(&**payload)),
    };
    world.note(cx, What::NurseryLeft { task, nursery: id, left });
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(NurseryError::Cancelled(cancelled))) => Err(Fail::Cancelled(cancelled, id)),
        Ok(Err(_)) => Err(Fail::Raised(id)),
        Err(payload) => resume_unwind(payload),
    }
}

fn ask(cx: &mut Cx, place: &Place<'_>, id: Id, target: Id, by: By, request: Request) {
    let world = place.world;
    let asked = match request {
        Request::Cancel => Asked::Cancel(Reason::None),
        Request::CancelWith => Asked::Cancel(Reason::Given(id)),
        Request::Shutdown(units) => Asked::Shutdown(world.time_of(cx.now() + world.span(units))),
        Request::Deadline(None) => Asked::Deadline(NEVER),
        Request::Deadline(Some(units)) => {
            Asked::Deadline(world.time_of(cx.now() + world.span(units)))
        }
        Request::DeadlineAt(units) => Asked::Deadline(world.time_of(world.instant(units))),
        Request::Shield(shield) => Asked::Shield(shield),
    };
    let what = What::Asked { by: place.task, target, id, asked };
    let now = cx.now();
    let deadline = match request {
        Request::Deadline(units) => units.map(|units| now + world.span(units)),
        Request::DeadlineAt(units) => Some(world.instant(units)),
        _ => None,
    };
    if by == By::Handle {
        if let Some(handle) = world.handle(target) {
            world.note(cx, what);
            ask_handle(&handle, id, request, deadline, world);
        }
        return;
    }
    let mut scopes = place.scopes;
    while let Some(here) = scopes {
        if here.id == target {
            world.note(cx, what);
            return ask_scope(here.scope, id, request, deadline, world);
        }
        scopes = here.outer;
    }
    if let Some(port) = place.env.and_then(|env| env.find(target)) {
        match request {
            Request::Cancel | Request::CancelWith | Request::Shutdown(_) => world.note(cx, what),
            // Nurseries have these by their handles only.
            Request::Deadline(_) | Request::DeadlineAt(_) | Request::Shield(_) => return,
        }
        port.ask(id, request, world);
    }
}

fn ask_handle(
    handle: &CancelHandle,
    id: Id,
    request: Request,
    deadline: Option<std::time::Instant>,
    world: &World<'_>,
) {
    match request {
        Request::Cancel => handle.cancel(),
        Request::CancelWith => handle.cancel_with(id.to_string()),
        Request::Shutdown(units) => handle.shutdown(world.span(units)),
        Request::Deadline(_) | Request::DeadlineAt(_) => handle.set_deadline(deadline),
        Request::Shield(shield) => handle.set_shield(shield),
    }
}

fn ask_scope(
    scope: &CancelScope<'_>,
    id: Id,
    request: Request,
    deadline: Option<std::time::Instant>,
    world: &World<'_>,
) {
    match request {
        Request::Cancel => scope.cancel(),
        Request::CancelWith => scope.cancel_with(id.to_string()),
        Request::Shutdown(units) => scope.shutdown(world.span(units)),
        Request::Deadline(Some(units)) => scope.set_timeout(world.span(units)),
        Request::Deadline(None) | Request::DeadlineAt(_) => scope.set_deadline(deadline),
        Request::Shield(shield) => scope.set_shield(shield),
    }
}

fn catch(cx: &mut Cx, place: &Place<'_>, body: &[Statement]) -> Ran {
    match catch_unwind(AssertUnwindSafe(|| execute(cx, place, body))) {
        Ok(result) => result,
        Err(payload) => {
            let payload = payload_of(&*payload);
            place.world.note(cx, What::Caught { task: place.task, payload });
            Ok(())
        }
    }
}

/// Runs statements when it is dropped.
struct Guard<'c, 'a> {
    cx: &'c mut Cx,
    place: &'c Place<'a>,
    cleanup: &'c [Statement],
}

impl Drop for Guard<'_, '_> {
    fn drop(&mut self) {
        let (world, task) = (self.place.world, self.place.task);
        let unwinding = std::thread::panicking();
        if unwinding {
            world.note(self.cx, What::UnwindBegan { task });
        }
        // A destructor has nobody to tell.
        let _ = execute(self.cx, self.place, self.cleanup);
        if unwinding {
            world.note(self.cx, What::UnwindEnded { task });
        }
    }
}
