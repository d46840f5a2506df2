//! What the tasks of one run share: the program, the log, the handles and gates that anybody may use;
//! and the error and the values that they pass around.

use std::any::Any;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conbrio::lowlevel::Unparker;
use conbrio::{CancelHandle, CancelSource, Cancelled, Cx, MaybeCancelled, NurseryPanic};

use crate::program::{Dropped, Id, Program, TaskId};
use crate::trace::{
    Canary, Event, Failure, NEVER, NO_TIME, Notice, Outcome, Payload, Reason, Source, What,
};

pub(crate) struct World<'p> {
    pub(crate) program: &'p Program,
    pub(crate) dropped: &'p Dropped,
    pub(crate) origin: Instant,
    log: Mutex<Vec<Event>>,
    /// By scope and nursery.
    handles: Mutex<Vec<Option<CancelHandle>>>,
    /// By gate: who waits there.
    gates: Mutex<Vec<Option<Unparker>>>,
}

/// The error of all tasks.
#[derive(Debug)]
pub(crate) enum Fail {
    /// The number is that of the statement that it came out of first.
    Cancelled(Cancelled, Id),
    Raised(Id),
}

impl MaybeCancelled for Fail {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            Fail::Cancelled(cancelled, _) => Some(cancelled),
            Fail::Raised(_) => None,
        }
    }
}

impl Fail {
    pub(crate) fn seen(&self) -> Failure {
        match self {
            Fail::Cancelled(_, id) => Failure::Cancelled(*id),
            Fail::Raised(id) => Failure::Raised(*id),
        }
    }
}

/// The payload of a panic that the program asked for.
pub(crate) struct Bomb(pub(crate) Id);

/// Says when it is dropped.
pub(crate) struct Marked<'w> {
    pub(crate) world: &'w World<'w>,
    pub(crate) canary: Canary,
}

impl Drop for Marked<'_> {
    fn drop(&mut self) {
        self.world.note_untimed(What::Dropped(self.canary));
    }
}

impl<'p> World<'p> {
    pub(crate) fn new(program: &'p Program, dropped: &'p Dropped, origin: Instant) -> World<'p> {
        let places = usize::from(program.statements);
        World {
            program,
            dropped,
            origin,
            log: Mutex::new(Vec::with_capacity(128)),
            handles: Mutex::new((0..places).map(|_| None).collect()),
            gates: Mutex::new((0..places).map(|_| None).collect()),
        }
    }

    pub(crate) fn into_log(self) -> Vec<Event> {
        self.log.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, cx: &Cx, what: What) {
        let at = self.time_of(cx.now());
        lock(&self.log).push(Event { at, what });
    }

    pub(crate) fn note_untimed(&self, what: What) {
        lock(&self.log).push(Event { at: NO_TIME, what });
    }

    pub(crate) fn span(&self, units: u64) -> Duration {
        Duration::from_nanos(units * self.program.unit)
    }

    pub(crate) fn instant(&self, units: u64) -> Instant {
        self.origin + self.span(units)
    }

    pub(crate) fn time_of(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).unwrap_or(NO_TIME - 1)
    }

    pub(crate) fn time_of_deadline(&self, at: Option<Instant>) -> u64 {
        at.map_or(NEVER, |at| self.time_of(at))
    }

    pub(crate) fn publish(&self, id: Id, handle: CancelHandle) {
        lock(&self.handles)[usize::from(id)] = Some(handle);
    }

    pub(crate) fn handle(&self, id: Id) -> Option<CancelHandle> {
        lock(&self.handles)[usize::from(id)].clone()
    }

    pub(crate) fn close_gate(&self, id: Id, unparker: Unparker) {
        lock(&self.gates)[usize::from(id)] = Some(unparker);
    }

    pub(crate) fn open_gate(&self, id: Id) -> Option<Unparker> {
        lock(&self.gates)[usize::from(id)].take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a closure's end looks like in the trace.
pub(crate) fn outcome<R>(result: &std::thread::Result<Result<R, Fail>>) -> Outcome {
    match result {
        Ok(Ok(_)) => Outcome::Done,
        Ok(Err(fail)) => Outcome::Failed(fail.seen()),
        Err(payload) => Outcome::Panicked(payload_of(&**payload)),
    }
}

pub(crate) fn payload_of(payload: &(dyn Any + Send)) -> Payload {
    if let Some(bomb) = payload.downcast_ref::<Bomb>() {
        return Payload::Bomb(bomb.0);
    }
    if let Some(several) = payload.downcast_ref::<NurseryPanic>() {
        let panics = several.panics().iter().map(|payload| payload_of(&**payload)).collect();
        let errors = several.errors::<Fail>();
        let errors = errors.map(|errors| errors.iter().map(raised).collect()).unwrap_or_default();
        return Payload::Several(panics, errors);
    }
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Payload::Foreign(text.unwrap_or_else(|| "a payload of an unknown type".to_owned()))
}

/// The statement that raised an error of a nursery, among which no cancellation may be.
pub(crate) fn raised(fail: &Fail) -> Id {
    match fail {
        Fail::Raised(id) => *id,
        Fail::Cancelled(..) => Id::MAX,
    }
}

pub(crate) fn notice(cancelled: &Cancelled) -> Notice {
    let source = match cancelled.source() {
        CancelSource::Explicit => Source::Explicit,
        CancelSource::Deadline => Source::Deadline,
        CancelSource::ShutdownGrace => Source::Grace,
        CancelSource::ChildFailed => Source::ChildFailed,
        CancelSource::ChildPanicked => Source::ChildPanicked,
        CancelSource::Unwinding => Source::Unwinding,
        _ => Source::Unknown,
    };
    let reason = match cancelled.reason() {
        None => Reason::None,
        Some("the child failed") => Reason::ChildFailed,
        Some("the body failed") => Reason::BodyFailed,
        Some("the child panicked") => Reason::ChildPanicked,
        Some("the body panicked") => Reason::BodyPanicked,
        Some(other) => other.parse().map_or(Reason::Unknown, Reason::Given),
    };
    // The main task has no name of ours.
    let by = cancelled.source_task();
    let by = by.map(|name| name.strip_prefix('t').and_then(|id| id.parse().ok()).unwrap_or(MAIN));
    Notice { source, reason, by, located: cancelled.location().is_some() }
}

pub(crate) const MAIN: TaskId = 0;
