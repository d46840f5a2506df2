//! Cancelling a call where it waits, and before it.

use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conbrio::MaybeCancelled;
use conbrio::prelude::*;
use conbrio::testing::settle;

/// Runs `f` until it ends, or until it waits and everything has come to rest, and cancels it there. Says
/// whether it did.
pub(crate) fn cancel_if_blocked<T: Send>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> T + Send,
) -> (T, bool) {
    let (outcome, has_ended) = (Mutex::new(None), AtomicBool::new(false));
    let is_cancelled = cx.nursery(|cx, n| -> Result<bool, Cancelled> {
        n.spawn(|cx| {
            *outcome.lock().unwrap() = Some(f(cx));
            has_ended.store(true, Ordering::SeqCst);
            Ok(())
        });
        settle(cx, CUSHION)?;
        let is_blocked = !has_ended.load(Ordering::SeqCst);
        if is_blocked {
            n.cancel();
        }
        Ok(is_blocked)
    });
    (outcome.into_inner().unwrap().expect("it has ended"), is_cancelled.unwrap())
}

/// Runs `f` until it waits and everything has come to rest, cancels it there, and returns its error, which
/// must be a cancellation.
#[track_caller]
pub(crate) fn cancel_when_blocked<R, E>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> Result<R, E> + Send,
) -> E
where
    R: Debug + Send,
    E: MaybeCancelled + Debug + Send,
{
    let (outcome, is_cancelled) = cancel_if_blocked(cx, f);
    assert!(is_cancelled, "it was to wait: {outcome:?}");
    let error = outcome.expect_err("it was to wait");
    assert!(error.cancelled().is_some(), "it was to be cancelled: {error:?}");
    error
}

/// Calls `f` in a scope that is cancelled already, and returns its error, which must be the cancellation.
#[track_caller]
pub(crate) fn cancelled_before<R, E>(cx: &mut Cx, f: impl FnOnce(&mut Cx) -> Result<R, E>) -> E
where
    R: Debug,
    E: MaybeCancelled,
{
    let mut seen = None;
    let outcome = cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
        scope.cancel();
        seen = Some(f(cx));
        Ok(())
    });
    assert!(matches!(outcome, Ok(Some(()))));
    let error = seen.unwrap().unwrap_err();
    assert!(error.cancelled().is_some(), "it was to be cancelled");
    error
}

/// What is local comes at once; this is for the threads on the way.
pub(crate) const CUSHION: Duration = Duration::from_millis(3);
