//! Signals in simulated runs: sent by the test, and by nobody else.

use crate::lowlevel::HOST;
use crate::signal::Signal;
use crate::task::Cx;

/// Sends a signal to the program that is tested in this simulated run, as Ctrl-C or `kill` would.
///
/// In such a run everything in [`signal`](crate::signal) works on signals that exist there only: those of
/// the system do not reach it, and nothing of the system sees these. They do what they do elsewhere. Who
/// listens gets the signal, and several of one kind that come before somebody looks count as one. When the
/// last listener goes, what it has not taken is raised again, and without a listener a signal has its
/// default effect: it is ignored (`SIGCHLD`, `SIGCONT`, `SIGURG`, `SIGWINCH`), or it ends the process. The
/// run fails then, as the process would.
///
/// Each [`Host`](super::network::Host) is a process with signals of its own: this sends to the one that the
/// caller is on. Enter another to send to that.
///
/// The signal arrives at once, or, as drawn from the seed, up to a millisecond later, perhaps behind a
/// second one. Two of one kind that are on their way at the same time are one: wait for an effect of the
/// first before you send the second.
///
/// Never waits.
///
/// # Panics
///
/// If the run is not simulated, there is no such signal, or it would stop the process (`SIGSTOP`, and
/// `SIGTSTP`, `SIGTTIN`, `SIGTTOU` while nobody listens to them): that is not simulated.
///
/// # Examples
///
/// The first signal begins a shutdown, and the second one cuts it short:
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::signal::{Signal, shutdown_on_termination};
/// use conbrio::testing::raise;
/// use std::time::Duration;
///
/// /// Ends its round when it is told to end, which takes up to an hour.
/// fn work(cx: &mut Cx) -> std::io::Result<()> {
///     while !cx.shutdown_requested() {
///         cx.sleep(Duration::from_secs(3600))?;
///     }
///     Ok(())
/// }
///
/// conbrio::testing::run(|cx| {
///     let begin = cx.now();
///     let ended = cx.nursery(|cx, n| -> std::io::Result<_> {
///         let mut program =
///             n.spawn(|cx| shutdown_on_termination(cx, Duration::from_secs(7200), work));
///         cx.sleep(Duration::from_secs(60))?;
///         raise(cx, Signal::TERMINATE);
///         cx.sleep(Duration::from_secs(60))?;
///         raise(cx, Signal::TERMINATE);
///         Ok(program.join(cx)?)
///     });
///     assert_eq!(ended.unwrap(), None);
///     assert_eq!((cx.now() - begin).as_secs(), 120);
/// });
/// ```
#[track_caller]
pub fn raise(cx: &Cx, signal: Signal) {
    let Some(simulation) = cx.anchor().worker().simulation() else {
        panic!(
            "raise {signal}: this run is not simulated (start it with `conbrio::testing::run` or \
             `conbrio::testing::Builder`)"
        );
    };
    let host = cx.local(&HOST).copied().unwrap_or_default();
    if let Err(error) = simulation.raise(host, signal.as_raw()) {
        panic!("raise {signal}: {error}");
    }
}
