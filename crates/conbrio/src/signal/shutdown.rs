//! Signals that end what runs: a scope, and a child that waits for them.

use std::io;
use std::time::Duration;

use super::{Signal, Signals};
use crate::cancel::{Cancelled, MaybeCancelled};
use crate::scope::CancelHandle;
use crate::task::Cx;

/// Runs `f`, and shuts it down when somebody wants the process to end: the first `SIGINT` (Ctrl-C) or
/// `SIGTERM` (`kill`, service managers, container runtimes) asks it to end gracefully, and `grace` later,
/// or at the second signal, it is cancelled.
///
/// Inside, [`Cx::shutdown_requested`] becomes true with the first signal, [`Cx::wait_shutdown`] returns,
/// and [`Cx::move_on_shutdown`] ends its waits; [`net::serve`](crate::net::serve) stops accepting. The
/// result is `Ok(None)` if `f` was cancelled by the second signal or the end of the grace, and stopped for
/// it. Otherwise it is what `f` has returned, whether signals came or not.
///
/// After the second signal, and when `f` has ended, signals do again what they did before, see the [module's
/// documentation](super): a third one ends the process, whatever `f` still does.
///
/// Costs a task, which watches while `f` runs.
///
/// # Cancellation
///
/// Always a checkpoint, before `f` is called. A cancellation of a scope outside is passed on.
///
/// # Errors
///
/// Every error of `f`, as it is; as `E::from`, what [`Signals::new`] says, in which case `f` is not called.
///
/// # Examples
///
/// ```
/// use conbrio::net::serve;
/// use conbrio::prelude::*;
/// use conbrio::signal::shutdown_on_termination;
/// use std::time::Duration;
///
/// fn until_ctrl_c(cx: &mut Cx, listener: TcpListener) -> std::io::Result<()> {
///     let ended = shutdown_on_termination(cx, Duration::from_secs(10), |cx| {
///         serve(cx, [listener], |cx, mut incoming| -> std::io::Result<()> {
///             let _ = incoming.stream.write_all(cx, b"hello");
///             Ok(())
///         })
///         .map_err(std::io::Error::from)
///     })?;
///     if ended.is_none() {
///         eprintln!("some connections were cut off");
///     }
///     Ok(())
/// }
/// # conbrio::run(|cx| {
/// #     let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
/// #     let short = Duration::from_millis(1);
/// #     assert!(cx.move_on_after(short, |cx| until_ctrl_c(cx, listener)).unwrap().is_none());
/// # });
/// ```
pub fn shutdown_on_termination<R, E>(
    cx: &mut Cx,
    grace: Duration,
    f: impl FnOnce(&mut Cx) -> Result<R, E>,
) -> Result<Option<R>, E>
where
    E: MaybeCancelled + From<io::Error>,
{
    // Before the handler is installed: whoever is cancelled already should leave no trace.
    cx.checkpoint().map_err(io::Error::from)?;
    let signals = Signals::new(&[Signal::INTERRUPT, Signal::TERMINATE])?;
    watched(cx, signals, f, move |cx, signals, handle| {
        signals.wait(cx)?;
        handle.shutdown(grace);
        let second = signals.wait(cx)?;
        handle.cancel_with(format!("{second} came during the shutdown"));
        Ok(())
    })
}

/// Runs `f`, and cancels it on Ctrl-C: at the first `SIGINT`, with the reason `Ctrl-C (SIGINT)`. Then the
/// result is `Ok(None)`, if `f` has stopped for it.
///
/// The second Ctrl-C does what it would do without this, most often end the process, however far `f` is with
/// its cleanup: so a program that does not stop can still be stopped.
///
/// For a graceful end, and for services, see [`shutdown_on_termination`].
///
/// Costs a task, which watches while `f` runs.
///
/// # Cancellation
///
/// Always a checkpoint, before `f` is called. A cancellation of a scope outside is passed on.
///
/// # Errors
///
/// Every error of `f`, as it is; as `E::from`, what [`Signals::new`] says, in which case `f` is not called.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::signal::cancel_on_ctrl_c;
///
/// fn search(cx: &mut Cx, mut step: impl FnMut() -> Option<u64>) -> std::io::Result<Option<u64>> {
///     cancel_on_ctrl_c(cx, |cx| {
///         loop {
///             cx.checkpoint()?;
///             if let Some(found) = step() {
///                 return Ok(found);
///             }
///         }
///     })
/// }
/// # conbrio::run(|cx| assert_eq!(search(cx, || Some(42)).unwrap(), Some(42)));
/// ```
pub fn cancel_on_ctrl_c<R, E>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> Result<R, E>,
) -> Result<Option<R>, E>
where
    E: MaybeCancelled + From<io::Error>,
{
    cx.checkpoint().map_err(io::Error::from)?;
    let signals = Signals::new(&[Signal::INTERRUPT])?;
    watched(cx, signals, f, |cx, signals, handle| {
        signals.wait(cx)?;
        handle.cancel_with("Ctrl-C (SIGINT)");
        Ok(())
    })
}

/// Runs `f` in a scope, and beside it `watch`, which gets a handle of the scope. The signals are let go when
/// `watch` has returned, and one that nobody has taken is raised again then.
fn watched<R, E: MaybeCancelled>(
    cx: &mut Cx,
    mut signals: Signals,
    f: impl FnOnce(&mut Cx) -> Result<R, E>,
    watch: impl FnOnce(&mut Cx, &mut Signals, CancelHandle) -> io::Result<()> + Send,
) -> Result<Option<R>, E> {
    cx.cancel_scope(|cx, scope| {
        let handle = scope.handle();
        let watched = cx.nursery(|cx, n| -> Result<_, Cancelled> {
            n.task("signals").spawn(move |cx| {
                // Without an error also when it is cancelled: `f` alone decides. And reading a descriptor of
                // our own does not fail.
                let _ = watch(cx, &mut signals, handle);
                Ok(())
            });
            let result = f(cx);
            n.cancel();
            Ok(result)
        });
        // The result of `f` goes through the nursery as a value, so that the nursery does not judge it.
        watched.expect("neither the body nor the child fails")
    })
}
