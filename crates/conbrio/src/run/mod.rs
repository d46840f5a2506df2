//! Starting a runtime: workers, the main task, and the end.

mod builder;
mod deadlock;
mod holders;
mod instruments;
mod main_task;
mod reactor;
mod statistics;

pub(crate) use builder::SpareParts;
pub use builder::{Builder, StartError as RuntimeError};
pub use reactor::Reactor;
pub use statistics::{RuntimeInfo, RuntimeStatistics};

use crate::task::Cx;

/// Runs `main` in a new runtime and returns its value.
///
/// The calling thread becomes the first worker; the others are threads that end before this returns.
/// `main` may borrow from the caller. A panic of `main` goes on in the caller. See [`Builder`] for
/// options.
///
/// # Panics
///
/// If it is called inside a task of a runtime, or if the system refuses what a runtime needs
/// ([`Builder::run`] returns that as an error).
///
/// # Examples
///
/// ```
/// let mut greeting = String::from("hello");
/// conbrio::run(|cx| {
///     cx.yield_now().unwrap();
///     greeting.push_str(", world");
/// });
/// assert_eq!(greeting, "hello, world");
/// ```
#[track_caller]
pub fn run<F, R>(main: F) -> R
where
    F: FnOnce(&mut Cx) -> R + Send,
    R: Send,
{
    builder::assert_outside();
    match Builder::new().run(main) {
        Ok(value) => value,
        Err(error) => panic!("conbrio::run: {error}"),
    }
}
