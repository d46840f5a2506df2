//! Services: tasks that are there for others, and end when those have ended.
//!
//! Two nurseries, one in the other: the inner one for the tasks, the outer one for the services. When the
//! inner one has ended, the outer one is cancelled.

use std::fmt;

use crate::cancel::MaybeCancelled;
use crate::nursery::{Child, Nursery, NurseryError, StartError, Started, TaskBuilder};
use crate::task::Cx;

/// The place for tasks that end when the others have. Given to the closure of
/// [`Cx::nursery_with_services`].
pub struct Services<'services, 'env, E> {
    nursery: &'services Nursery<'services, 'env, E>,
}

impl<'services, E> Services<'services, '_, E>
where
    E: MaybeCancelled + Send + 'static,
{
    /// Starts a service. See [`Nursery::spawn`].
    pub fn spawn<F, T>(&self, f: F) -> Child<'services, T>
    where
        F: FnOnce(&mut Cx) -> Result<T, E> + Send + 'services,
        T: Send + 'services,
    {
        self.nursery.spawn(f)
    }

    /// Starts a service and waits until it says that it is ready. See [`Nursery::start`].
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself; waits for the service, which sees the cancellations of the caller.
    ///
    /// # Errors
    ///
    /// As [`Nursery::start`].
    #[track_caller]
    pub fn start<F, V>(&self, cx: &mut Cx, f: F) -> Result<V, StartError<E>>
    where
        F: FnOnce(&mut Cx, Started<'_, V, E>) -> Result<(), E> + Send + 'services,
        V: Send + 'services,
    {
        self.nursery.start(cx, f)
    }

    /// Names a service before it is spawned, or gives it another stack. See [`Nursery::task`].
    pub fn task(
        &self,
        name: impl Into<std::borrow::Cow<'static, str>>,
    ) -> TaskBuilder<'services, E> {
        self.nursery.task(name)
    }
}

impl<E> Clone for Services<'_, '_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Services<'_, '_, E> {}

impl<E> fmt::Debug for Services<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("nursery", &self.nursery).finish()
    }
}

impl Cx {
    /// Opens a nursery with a second one around it, for services: tasks that end when the body and all
    /// ordinary children have ended.
    ///
    /// A heartbeat, a progress report, a connection that the others talk through. Services are cancelled
    /// when nobody is left who could need them, so they outlive their users, and nobody has to say when to
    /// stop. If a service fails, everything is cancelled; if it ends by itself, the others go on.
    ///
    /// Both nurseries together report as one does: every error, of children and services.
    ///
    /// # Cancellation
    ///
    /// As [`nursery`](Cx::nursery): not a checkpoint by itself.
    ///
    /// # Errors
    ///
    /// As [`nursery`](Cx::nursery).
    ///
    /// # Panics
    ///
    /// As [`nursery`](Cx::nursery).
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// use std::time::Duration;
    ///
    /// let beats = AtomicU32::new(0);
    /// conbrio::run(|cx| {
    ///     cx.nursery_with_services(|_, n, services| -> Result<(), Cancelled> {
    ///         services.spawn(|cx| {
    ///             let mut interval = cx.interval(Duration::from_millis(1));
    ///             loop {
    ///                 interval.tick(cx)?;
    ///                 beats.fetch_add(1, Relaxed);
    ///             }
    ///             # #[expect(unreachable_code)]
    ///             Ok(())
    ///         });
    ///         for _ in 0..3 {
    ///             n.spawn(|cx| cx.sleep(Duration::from_millis(20)));
    ///         }
    ///         Ok(())
    ///     })
    /// })
    /// .unwrap();
    /// assert!(beats.into_inner() > 0);
    /// ```
    pub fn nursery_with_services<'env, F, R, E>(&mut self, body: F) -> Result<R, NurseryError<E>>
    where
        F: for<'services, 'scope> FnOnce(
            &mut Cx,
            &'scope Nursery<'scope, 'services, E>,
            Services<'services, 'env, E>,
        ) -> Result<R, E>,
        E: MaybeCancelled + Send + 'static,
    {
        let ended = self.nursery(|cx, outer| {
            let services = Services { nursery: outer };
            let inner = cx.nursery(|cx, n| body(cx, n, services));
            if let Err(NurseryError::Failed(errors)) = inner {
                for error in errors {
                    outer.fail(cx, error);
                }
                return Ok(None);
            }
            outer.cancel_with("the tasks that the services are for have ended");
            Ok(Some(inner))
        })?;
        ended.expect("a nursery that was told of an error reports one")
    }
}
