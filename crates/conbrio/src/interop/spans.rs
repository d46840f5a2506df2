//! Spans of `tracing` around code that waits.

use tracing::{Dispatch, Span};

use crate::task::Cx;

impl Cx {
    /// Runs `f` inside a span of `tracing`, which is entered whenever the task runs, and left whenever it
    /// waits. (Feature `tracing`.)
    ///
    /// [`Span::enter`] must not be used around calls that take `cx`: other tasks would run on the thread
    /// while the span is entered, and be recorded in it. A span that is closed counts as busy only for the
    /// time in which the task ran.
    ///
    /// Children have no current span of their own: lend them the span, and let them call this as well, or
    /// make spans for them with it as the parent.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use tracing::info_span;
    ///
    /// conbrio::run(|cx| {
    ///     let request = info_span!("request", id = 7);
    ///     cx.in_span(&request, |cx| {
    ///         cx.nursery(|_, n| -> Result<(), Cancelled> {
    ///             n.spawn(|cx| cx.in_span(&info_span!(parent: &request, "part"), |cx| cx.yield_now()));
    ///             Ok(())
    ///         })
    ///     })
    /// })
    /// .unwrap();
    /// ```
    pub fn in_span<R>(&mut self, span: &Span, f: impl FnOnce(&mut Cx) -> R) -> R {
        self.around_turns(|turn| span.in_scope(|| turn.run()), f)
    }

    /// Runs `f` with another default collector of `tracing`. (Feature `tracing`.)
    ///
    /// In the place of `tracing::dispatcher::with_default`, which must not be used around calls that take
    /// `cx`.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    pub fn with_dispatch<R>(&mut self, dispatch: &Dispatch, f: impl FnOnce(&mut Cx) -> R) -> R {
        self.around_turns(|turn| tracing::dispatcher::with_default(dispatch, || turn.run()), f)
    }
}
