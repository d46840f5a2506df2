//! Children that run on threads.

use crate::cancel::{Cancelled, MaybeCancelled};
use crate::nursery::{Child, Nursery};

impl<'scope, E> Nursery<'scope, '_, E>
where
    E: MaybeCancelled + From<Cancelled> + Send + 'static,
{
    /// Starts a child that runs `f` on a thread that may block.
    ///
    /// The same as a child that calls [`Cx::blocking`](crate::Cx::blocking): `f` may borrow, and the nursery
    /// waits for it. Each child that waits for its thread has the stack of a task beside it.
    ///
    /// If the child is cancelled before a worker has come to it, `f` does not run, and the child ends with
    /// the cancellation. Once begun, `f` is waited for.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// let names = ["Cargo.toml", "src/lib.rs"];
    /// let bytes = conbrio::run(|cx| {
    ///     cx.nursery(|cx, n| -> std::io::Result<u64> {
    ///         let mut files = names.map(|name| {
    ///             n.spawn_blocking(move || std::fs::metadata(name))
    ///         });
    ///         let mut bytes = 0;
    ///         for file in &mut files {
    ///             bytes += file.join(cx)?.len();
    ///         }
    ///         Ok(bytes)
    ///     })
    /// });
    /// assert!(bytes.unwrap() > 0);
    /// ```
    pub fn spawn_blocking<F, T>(&'scope self, f: F) -> Child<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn(move |cx| cx.blocking(f)?)
    }
}
