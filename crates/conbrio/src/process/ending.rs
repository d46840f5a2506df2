//! Ending a process that should not go on: what is done, and that it has been reaped afterwards.
//!
//! The invariant: when [`Ending::apply`] has returned or panicked, the process has been reaped. (Unless it
//! runs as another user and may not be killed.)

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Child, Process};
use crate::io::{Error, PipeWriter};
use crate::nursery::NurseryError;
use crate::signal::Signal;
use crate::task::Cx;

/// How a process is ended.
#[derive(Clone)]
pub(super) enum Ending {
    /// `SIGTERM`, and after this time `SIGKILL`.
    Terminate(Duration),
    /// What the user says.
    Custom(Arc<Hook>),
}

pub(super) type Hook = dyn Fn(&mut Cx, &Process) -> io::Result<()> + Send + Sync;

impl Default for Ending {
    fn default() -> Ending {
        Ending::Terminate(GRACE)
    }
}

impl Ending {
    /// Ends the process and reaps it, hidden from all cancellations; closes its streams.
    ///
    /// # Errors
    ///
    /// That of the user's own way; the process has been killed then.
    pub(super) fn apply(&self, cx: &mut Cx, child: &mut Child) -> io::Result<()> {
        /// Whatever has come between, also a panic, or that no descriptor was left to wait with.
        struct Reap<'a>(&'a Process);
        impl Drop for Reap<'_> {
            fn drop(&mut self) {
                self.0.kill_and_reap();
            }
        }
        let Child { process, stdin, stdout, stderr } = child;
        // It must not wait for somebody to read.
        (*stdout, *stderr) = (None, None);
        let _reap = Reap(process);
        cx.shield(|cx| match self {
            Ending::Terminate(grace) => {
                terminate(cx, process, *grace, stdin);
                Ok(())
            }
            Ending::Custom(hook) => custom(cx, process, &**hook, stdin),
        })
    }
}

fn terminate(cx: &mut Cx, process: &Process, grace: Duration, stdin: &mut Option<PipeWriter>) {
    // What fails here is left to whoever kills and reaps at the end.
    let was_asked = process.signal_group(Signal::TERMINATE).is_ok();
    // Not before: a program must not take an input that was cut off for one that was complete.
    *stdin = None;
    let has_ended =
        was_asked && matches!(cx.move_on_after(grace, |cx| process.wait(cx)), Ok(Some(_)));
    if !has_ended && process.signal_group(Signal::KILL).is_ok() {
        let _ = process.wait(cx);
    }
}

/// Runs the hook until it returns, or until the process has ended, which cancels it.
fn custom(
    cx: &mut Cx,
    process: &Process,
    hook: &Hook,
    stdin: &mut Option<PipeWriter>,
) -> io::Result<()> {
    let outcome = cx.nursery(|cx, n| -> Result<(), Error> {
        n.task("end a process").spawn(|cx| {
            hook(cx, process)?;
            *stdin = None;
            Ok(())
        });
        process.wait(cx)?;
        n.cancel();
        Ok(())
    });
    match outcome {
        Ok(()) | Err(NurseryError::Stopped(_)) => Ok(()),
        Err(NurseryError::Failed(errors)) => Err(errors.into_first().into()),
        Err(NurseryError::Cancelled(cancelled)) => Err(cancelled.into()),
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Terminate(grace) => f.debug_tuple("Terminate").field(grace).finish(),
            Ending::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// What a program usually needs to write its last words.
const GRACE: Duration = Duration::from_secs(5);
