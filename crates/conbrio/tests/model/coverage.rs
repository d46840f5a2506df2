//! What a campaign has met, so that a generator that makes only dull programs is noticed.

use crate::oracle::Judged;
use crate::trace::{
    Asked, Event, Left, NurseryLeft, Outcome, Payload, Source, StartResult, Wait, Waited, What,
};

/// How many programs have shown each of [`SIGHTS`].
#[derive(Debug)]
pub(crate) struct Coverage {
    pub(crate) programs: u64,
    /// Those that the model could not judge to the end.
    pub(crate) partly: u64,
    pub(crate) events: u64,
    seen: Vec<u64>,
}

type Sight = (&'static str, fn(&What) -> bool);

/// What must not be missing.
const SIGHTS: &[Sight] = &[
    ("a scope takes back a cancellation", |what| {
        matches!(what, What::ScopeLeft { left: Left::Absorbed, .. })
    }),
    ("a scope passes a cancellation on", |what| {
        matches!(
            what,
            What::ScopeLeft { left: Left::Failed(crate::trace::Failure::Cancelled(_)), .. }
        )
    }),
    ("a nursery fails", |what| {
        matches!(what, What::NurseryLeft { left: NurseryLeft::Failed(_), .. })
    }),
    (
        "a nursery fails with several errors",
        |what| matches!(what, What::NurseryLeft { left: NurseryLeft::Failed(errors), .. } if errors.len() > 1),
    ),
    ("a nursery is cancelled from outside", |what| {
        matches!(what, What::NurseryLeft { left: NurseryLeft::Cancelled(_), .. })
    }),
    ("a nursery is stopped", |what| {
        matches!(what, What::NurseryLeft { left: NurseryLeft::Stopped, .. })
    }),
    ("a nursery panics with one payload", |what| {
        matches!(what, What::NurseryLeft { left: NurseryLeft::Panicked(Payload::Bomb(_)), .. })
    }),
    ("a nursery panics with several payloads", |what| {
        matches!(what, What::NurseryLeft { left: NurseryLeft::Panicked(Payload::Several(..)), .. })
    }),
    ("a panic is caught", |what| matches!(what, What::Caught { .. })),
    ("a start returns a value", |what| {
        matches!(what, What::Started { result: StartResult::Value, .. })
    }),
    ("a start fails", |what| matches!(what, What::Started { result: StartResult::Failed(_), .. })),
    ("a start is cancelled", |what| {
        matches!(what, What::Started { result: StartResult::Cancelled(_), .. })
    }),
    ("a start is never ready", |what| {
        matches!(what, What::Started { result: StartResult::NeverReady, .. })
    }),
    ("a start panics", |what| {
        matches!(what, What::Started { result: StartResult::Panicked(_), .. })
    }),
    ("a wait is cancelled by request", |what| is_cancelled_by(what, Source::Explicit)),
    ("a wait is cancelled by a deadline", |what| is_cancelled_by(what, Source::Deadline)),
    ("a wait is cancelled by the end of a grace", |what| is_cancelled_by(what, Source::Grace)),
    ("a wait is cancelled by an error", |what| is_cancelled_by(what, Source::ChildFailed)),
    ("a wait is cancelled by a panic", |what| is_cancelled_by(what, Source::ChildPanicked)),
    ("a wait is refused while unwinding", |what| is_cancelled_by(what, Source::Unwinding)),
    ("a gate is opened", |what| matches!(what, What::Unparked { .. })),
    ("a wait for a shutdown", |what| matches!(what, What::Waits { wait: Wait::Shutdown, .. })),
    ("a join", |what| matches!(what, What::Waits { wait: Wait::Child(_), .. })),
    ("a child is cancelled", |what| matches!(what, What::ChildCancelled { .. })),
    ("a shield is raised", |what| matches!(what, What::Asked { asked: Asked::Shield(true), .. })),
    ("a shield is lowered", |what| matches!(what, What::Asked { asked: Asked::Shield(false), .. })),
    ("a deadline is moved", |what| matches!(what, What::Asked { asked: Asked::Deadline(_), .. })),
    ("a shutdown is asked for", |what| {
        matches!(what, What::Asked { asked: Asked::Shutdown(_), .. })
    }),
    ("a shutdown is seen", |what| matches!(what, What::ReadShutdown { requested: true, .. })),
    (
        "a deadline is seen",
        |what| matches!(what, What::ReadDeadline { deadline, .. } if (1..1 << 60).contains(deadline)),
    ),
    ("a task ends with a cancellation", |what| {
        matches!(
            what,
            What::TaskEnded { outcome: Outcome::Failed(crate::trace::Failure::Cancelled(_)), .. }
        )
    }),
];

fn is_cancelled_by(what: &What, source: Source) -> bool {
    matches!(what, What::Waited { result: Waited::Cancelled(notice), .. } if notice.source == source)
}

impl Coverage {
    pub(crate) fn new() -> Coverage {
        Coverage { programs: 0, partly: 0, events: 0, seen: vec![0; SIGHTS.len()] }
    }

    pub(crate) fn add(&mut self, trace: &[Event], judged: Judged) {
        self.programs += 1;
        self.partly += u64::from(judged == Judged::Partly);
        self.events += trace.len() as u64;
        for (seen, (_, is_sight)) in self.seen.iter_mut().zip(SIGHTS) {
            *seen += u64::from(trace.iter().any(|event| is_sight(&event.what)));
        }
    }

    /// What no program has shown.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let unseen = self.seen.iter().zip(SIGHTS).filter(|(seen, _)| **seen == 0);
        unseen.map(|(_, (name, _))| *name).collect()
    }

    /// How a child tells its parent; see `add_line`.
    pub(crate) fn as_line(&self) -> String {
        let numbers = [self.programs, self.partly, self.events];
        let numbers = numbers.iter().chain(&self.seen).map(u64::to_string);
        format!("{}{}", Coverage::LINE, numbers.collect::<Vec<_>>().join(" "))
    }

    pub(crate) const LINE: &str = "coverage: ";

    /// Adds what a child has told.
    pub(crate) fn add_line(&mut self, line: &str) {
        let mine = [&mut self.programs, &mut self.partly, &mut self.events];
        let mine = mine.into_iter().chain(&mut self.seen);
        for (mine, told) in mine.zip(line.split(' ')) {
            *mine += told.parse::<u64>().expect("a child tells numbers");
        }
    }

    pub(crate) fn table(&self) -> String {
        let line = |(seen, (name, _)): (&u64, &Sight)| format!("{seen:>9}  {name}\n");
        self.seen.iter().zip(SIGHTS).map(line).collect()
    }
}
