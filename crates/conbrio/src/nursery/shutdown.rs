//! Waits that end when a shutdown is requested: a scope, and a child that watches.

use crate::cancel::{Cancelled, MaybeCancelled};
use crate::task::Cx;

impl Cx {
    /// Runs `f`, and cancels it when a shutdown is requested: then the result is `Ok(None)`.
    ///
    /// For waits that need not be finished when the program drains: for the next connection, for the
    /// next request on an idle one. What is not inside goes on until it is done or the grace is over.
    /// If `f` completes although it was cancelled, its value counts. A shutdown that was requested
    /// before the call cancels `f` at its first checkpoint. Every error of `f` is passed on as it is,
    /// and so is the cancellation of a scope outside.
    ///
    /// Costs a task, which watches while `f` runs: put a loop inside rather than outside.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// conbrio::run(|cx| -> Result<(), NurseryError<Cancelled>> {
    ///     cx.nursery(|_, n| {
    ///         n.spawn(|cx| {
    ///             let next = cx.move_on_shutdown(|cx| cx.sleep_forever())?;
    ///             assert_eq!(next, None);
    ///             cx.sleep(Duration::from_millis(1)) // say goodbye
    ///         });
    ///         n.shutdown(Duration::from_secs(5));
    ///         Ok(())
    ///     })
    /// })
    /// .unwrap();
    /// ```
    pub fn move_on_shutdown<R, E: MaybeCancelled>(
        &mut self,
        f: impl FnOnce(&mut Cx) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        self.cancel_scope(|cx, scope| {
            if cx.shutdown_requested() {
                scope.cancel_with(REASON);
                return f(cx);
            }
            if std::thread::panicking() {
                return f(cx); // Nothing can be spawned now; neither will `f` wait.
            }
            let watched = cx.nursery(|cx, n| -> Result<_, Cancelled> {
                n.spawn_local(cx, |cx| {
                    // It ends without an error also when it is cancelled: `f` alone decides.
                    if cx.wait_shutdown().is_ok() {
                        scope.cancel_with(REASON);
                    }
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
}

const REASON: &str = "a shutdown was requested";
