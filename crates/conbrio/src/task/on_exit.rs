//! What a layer above attaches to a task, to hear of its end.

use std::any::Any;

use super::cell::Task;

/// Hears of the end of the task that it is attached to.
pub(crate) trait OnExit: Any + Send + Sync {
    /// Called in the task when its closure has ended, however it did, and before anybody is told.
    fn task_exits(&self);

    /// Names what the task holds until then: see [`Held::key`](super::Held::key).
    fn visit_held(&self, visit: &mut dyn FnMut(usize));
}

impl Task {
    /// *Home.* What is attached to the task; made if nothing is yet.
    pub(crate) fn on_exit_or_init(
        &self,
        make: impl FnOnce() -> Box<dyn OnExit>,
    ) -> &(dyn OnExit + 'static) {
        &**self.on_exit().get_or_init(make)
    }

    /// *Home, running.* The closure has ended.
    #[inline]
    pub(crate) fn closure_ended(&self) {
        if let Some(on_exit) = self.on_exit().get() {
            on_exit.task_exits();
        }
    }
}
