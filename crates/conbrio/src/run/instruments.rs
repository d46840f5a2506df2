//! How a task reaches the instruments of its runtime, and its own name among them.

use crate::instrument::{Instruments, TaskId};
use crate::task::Cx;

impl Cx {
    /// The instruments of the runtime, to add some or take some away while it runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::instrument::Instrument;
    /// use std::sync::Arc;
    ///
    /// #[derive(Debug)]
    /// struct Quiet;
    ///
    /// impl Instrument for Quiet {}
    ///
    /// conbrio::run(|cx| {
    ///     let quiet = Arc::new(Quiet);
    ///     assert!(cx.instruments().add(quiet.clone()));
    ///     assert!(!cx.instruments().add(quiet.clone()));
    ///     assert!(cx.instruments().remove(&quiet));
    ///     assert!(!cx.instruments().remove(&quiet));
    /// });
    /// ```
    pub fn instruments(&self) -> Instruments {
        self.task().worker().shared().instruments().clone()
    }

    /// The id of the running task, by which instruments know it.
    pub fn task_id(&self) -> TaskId {
        let task = self.task();
        task.worker().shared().instruments().id_in(task.id())
    }
}
