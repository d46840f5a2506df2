//! Arms: the closures that a combinator runs side by side; starting them, and giving them one type.

use std::any::type_name;
use std::sync::Arc;

use crate::cancel::{Cancelled, MaybeCancelled};
use crate::nursery::{Errors, Nursery, NurseryError};
use crate::task::Cx;

/// A boxed arm. Made by [`arm`].
pub type Arm<'a, T, E> = Box<dyn FnOnce(&mut Cx) -> Result<T, E> + Send + 'a>;

/// Boxes a closure, so that different ones fit into one array for [`Cx::race_all`] and its relatives.
///
/// # Examples
///
/// ```
/// use conbrio::concurrent::arm;
/// use conbrio::prelude::*;
///
/// let first = conbrio::run(|cx| {
///     cx.race_all([
///         arm(|cx| cx.sleep_forever().map(|()| "never")),
///         arm(|_| Ok("at once")),
///         arm(|cx| cx.sleep_forever().map(|()| "never")),
///     ])
/// });
/// assert_eq!(first.unwrap(), "at once");
/// ```
pub fn arm<'a, T, E>(f: impl FnOnce(&mut Cx) -> Result<T, E> + Send + 'a) -> Arm<'a, T, E> {
    Box::new(f)
}

/// The name of the user's closure: reports show it instead of the wrapper that is spawned.
pub(super) fn name_of<F>(_: &F) -> &'static str {
    type_name::<F>()
}

/// Starts `f` as a child. While the task unwinds a nursery refuses children; then `f` runs here, where its
/// waits fail at once.
pub(super) fn begin<'scope, F, E>(
    cx: &mut Cx,
    n: &'scope Nursery<'scope, '_, E>,
    name: &'static str,
    f: F,
) -> Result<(), E>
where
    F: FnOnce(&mut Cx) -> Result<(), E> + Send + 'scope,
    E: MaybeCancelled + Send + 'static,
{
    if std::thread::panicking() {
        return f(cx);
    }
    n.task(name).spawn(f);
    Ok(())
}

/// The error of a combinator whose arms have failed.
pub(super) fn failed<E>(errors: Vec<E>) -> NurseryError<E> {
    NurseryError::Failed(Errors::new(errors).expect("somebody has failed"))
}

/// The error of a combinator whose arm stopped for a cancellation from outside, which `error` reports.
pub(super) fn stopped_for<E: MaybeCancelled>(error: &E) -> NurseryError<E> {
    let cancelled = error.cancelled().expect("it reports a cancellation");
    NurseryError::Cancelled(Cancelled(Arc::clone(&cancelled.0)))
}
