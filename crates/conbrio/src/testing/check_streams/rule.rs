//! Rules, and how their breach is told.
//!
//! A rule ends in one of three ways: it holds, it is broken, or the caller was cancelled. What hangs is
//! broken too: each rule has a deadline, by the clock of the runtime, which a virtual clock reaches as soon
//! as everything waits.

use std::time::Duration;

use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::io::{Error, Incomplete};
use crate::nursery::NurseryError;
use crate::task::Cx;

/// Why a check stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// A rule is broken: what was seen, and what should have been.
    Broken(String),
    /// The caller of the check was cancelled.
    Cancelled(Cancelled),
}

pub(super) type Checked<T = ()> = Result<T, Stop>;

/// Checks one rule; `name` says what must hold.
pub(super) fn rule(cx: &mut Cx, name: &str, check: impl FnOnce(&mut Cx) -> Checked) -> Checked {
    let detail = match cx.move_on_after(PATIENCE, check) {
        Ok(Some(())) => return Ok(()),
        Ok(None) => format!("after {PATIENCE:?} an operation still waits"),
        Err(Stop::Broken(detail)) => detail,
        Err(Stop::Cancelled(cancelled)) => {
            cx.checkpoint_if_cancelled()?;
            format!(
                "an operation failed with \"{cancelled}\", but no scope around it was cancelled"
            )
        }
    };
    Err(Stop::Broken(format!("the rule \"{name}\" is broken: {detail}")))
}

/// Stops with what was seen, unless `holds`.
pub(super) fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Stop::Broken(otherwise())) }
}

/// The end of a check: panics at the caller's line if a rule is broken.
#[track_caller]
pub(super) fn verdict(check: &str, checked: Checked) -> Result<(), Cancelled> {
    match checked {
        Ok(()) => Ok(()),
        Err(Stop::Cancelled(cancelled)) => Err(cancelled),
        Err(Stop::Broken(message)) => panic!("{check}: {message}"),
    }
}

impl Stop {
    /// An operation failed that had to succeed.
    pub(super) fn failed(what: &str, error: impl Into<Error>) -> Stop {
        match error.into() {
            OrCancelled::Cancelled(cancelled) => Stop::Cancelled(cancelled),
            OrCancelled::Failed(error) => Stop::Broken(format!("`{what}` failed: {error}")),
        }
    }

    /// As [`failed`](Stop::failed), for what takes several steps.
    pub(super) fn incomplete(what: &str, error: Incomplete) -> Stop {
        Stop::failed(what, error.into_cause())
    }

    /// Says first under which circumstances it was.
    pub(super) fn when(self, circumstances: &str) -> Stop {
        match self {
            Stop::Broken(message) => Stop::Broken(format!("{circumstances}, {message}")),
            cancelled @ Stop::Cancelled(_) => cancelled,
        }
    }
}

impl From<Cancelled> for Stop {
    fn from(cancelled: Cancelled) -> Stop {
        Stop::Cancelled(cancelled)
    }
}

impl From<NurseryError<Stop>> for Stop {
    fn from(error: NurseryError<Stop>) -> Stop {
        match error {
            NurseryError::Failed(errors) => errors.into_first(),
            NurseryError::Cancelled(cancelled) => Stop::Cancelled(cancelled),
            NurseryError::Stopped(_) => unreachable!("bodies end by themselves"),
        }
    }
}

impl MaybeCancelled for Stop {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            Stop::Broken(_) => None,
            Stop::Cancelled(cancelled) => Some(cancelled),
        }
    }
}

/// Much more than any rule takes on a busy machine; only streams that hang need it.
const PATIENCE: Duration = Duration::from_secs(60);
