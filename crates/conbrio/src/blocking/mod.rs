//! Calls that block a thread, on threads of their own that are always joined.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cancel::Cancelled;
use crate::sched::{Interrupt, Worker};
use crate::task::Cx;
use crate::util::thread_pool::Job;

impl Cx {
    /// Runs `f` on a thread that may block, and waits for its value.
    ///
    /// For file access, name resolution, long computations, and libraries that block. `f` may borrow,
    /// and runs to its end: its thread is never abandoned. The threads are kept for a while and joined
    /// when the runtime ends; see [`Builder::blocking_threads`](crate::Builder::blocking_threads).
    ///
    /// If no thread can be made at all, `f` runs on the worker, which stands still meanwhile. So it does
    /// while the task unwinds from a panic, when nothing may wait.
    ///
    /// Costs two wake-ups of threads, some tens of microseconds, and one allocation.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, before `f` begins: on cancel `f` has not run. Once it has begun, it is waited
    /// for, whatever is cancelled meanwhile.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let path = String::from("Cargo.toml");
    ///     let text = cx.blocking(|| std::fs::read_to_string(&path))??;
    ///     assert!(text.contains("conbrio"));
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn blocking<F, R>(&mut self, f: F) -> Result<R, Cancelled>
    where
        F: FnOnce() -> R + Send,
        R: Send,
    {
        if std::thread::panicking() {
            return Ok(f());
        }
        self.checkpoint()?;
        if self.task().worker().simulation().is_some() {
            // On the one thread of the simulation, with room for others before and after.
            self.yield_shielded();
            let value = self.on_thread_stack(|| Worker::outside(f));
            self.yield_shielded();
            return Ok(value);
        }
        let shared = Arc::clone(self.task().worker().shared());
        let unparker = self.begin_shared_wait();
        // The slot is counted: the thread may still hold it when the task has seen the result.
        let slot = Arc::new(Mutex::new(None));
        let job: Box<dyn FnOnce() + Send + '_> = {
            let (slot, shared) = (Arc::clone(&slot), Arc::clone(&shared));
            Box::new(move || {
                let result = catch_unwind(AssertUnwindSafe(f));
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                // Nothing that may borrow from the task's frames is left when it is woken.
                drop(slot);
                unparker.unpark();
                shared.job_ended();
            })
        };
        // SAFETY: only the lifetime changes. The job runs, and drops what it borrows, before it unparks
        // the task, and the task stays in this frame until then: the wait below cannot be interrupted,
        // and nothing between here and there unwinds.
        let job: Job = unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + '_>, Job>(job) };
        shared.job_began();
        if let Err(job) = shared.pool().submit(job) {
            self.on_thread_stack(job);
        }
        self.park(Interrupt::Never, "a blocking call");
        let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match result.expect("the job has stored its result before it woke the task") {
            Ok(value) => Ok(value),
            Err(payload) => resume_unwind(payload),
        }
    }
}
