//! How a task stops: the one way to park, the checkpoint, and giving way.
//!
//! Rule U (unwinding): a task never stops while its thread is panicking, because `thread::panicking()`
//! and the panic count belong to the thread, and another task would see them. Waits fail at once then.

use std::thread::panicking;

use crate::cancel::{Cancelled, Waiter};
use crate::sched::{AtCheckpoint, Interrupt, Moment, Parked};
use crate::util::abort::abort;

use super::cell::Task;
use super::cx::Cx;

impl Cx {
    /// Begins a wait: whoever is given the waiter can end it.
    #[inline]
    pub(crate) fn begin_wait(&self) -> Waiter {
        let task = self.task();
        Waiter { runnable: task.pointer(), sequence: task.runnable().begin_wait() }
    }

    /// Stops until the wait that was begun last is ended, or `interrupt` allows a request to end it.
    /// A wake that has come already wins over a request.
    ///
    /// `what` is for reports: what the task waits for, as words that follow "waits for".
    ///
    /// Always inlined, for the reason that `Task::suspend` gives.
    #[inline(always)]
    pub(crate) fn park(&mut self, interrupt: Interrupt, what: &'static str) -> Parked {
        let task = self.task();
        let runnable = task.runnable();
        loop {
            if runnable.is_woken() {
                return Parked::Woken;
            }
            // One branch, as at a checkpoint: a wait that only a cancellation ends, with nothing to see.
            if u32::from(runnable.attention())
                | u32::from(interrupt != Interrupt::OnCancel)
                | u32::from(panicking())
                != 0
                && self.must_not_stop(interrupt, what)
            {
                return Parked::Interrupted;
            }
            task.note_wait(what);
            runnable.set_parked(interrupt);
            task.suspend();
            if runnable.is_watched() {
                self.note_resumed();
            }
        }
    }

    /// Whether a request that the caller listens to is in force.
    #[cold]
    fn must_not_stop(&self, interrupt: Interrupt, what: &'static str) -> bool {
        if panicking() {
            if interrupt == Interrupt::Never {
                abort("a task that unwinds was about to wait");
            }
            return true;
        }
        if interrupt == Interrupt::Never {
            return false;
        }
        let task = self.task();
        if task.runnable().attention() != 0 {
            self.note_look(Moment::Wait(what));
            self.look_up();
            if task.branch().cancellation().is_some() {
                return true;
            }
        }
        interrupt == Interrupt::OnShutdown && task.branch().shutdown_requested()
    }

    /// Takes in what has changed above this task.
    pub(crate) fn look_up(&self) {
        let task = self.task();
        if task.runnable().take_dirty() {
            task.branch().refresh(task.worker());
        }
    }

    /// The cancellation in force here, if there is one.
    pub(crate) fn cancellation(&self) -> Option<Cancelled> {
        if panicking() {
            return Some(Cancelled::unwinding());
        }
        if self.task().runnable().attention() == 0 {
            return None;
        }
        self.note_look(Moment::Checkpoint);
        self.look_up();
        self.task().branch().cancellation()
    }

    /// After an interrupted wait: why.
    ///
    /// It does not look for what has changed since: a shield that came up between the interruption and
    /// this call must not take the reason away.
    pub(crate) fn why_interrupted(&self) -> Cancelled {
        if panicking() {
            return Cancelled::unwinding();
        }
        self.task()
            .branch()
            .cancellation()
            .unwrap_or_else(|| abort("a wait was interrupted without a reason"))
    }

    /// Fails if a scope around the caller is cancelled, and lets other tasks run if this one has had
    /// its turn.
    ///
    /// Call it in long computations. It costs about a nanosecond; a task gives way at every 128th
    /// checkpoint of a turn. Operations of this crate that complete at once count as one, so that a
    /// task whose peer is always ready does not keep the worker to itself.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::{Cancelled, Cx};
    ///
    /// fn sum(cx: &mut Cx, numbers: &[u64]) -> Result<u64, Cancelled> {
    ///     let mut sum = 0;
    ///     for chunk in numbers.chunks(1_000) {
    ///         sum += chunk.iter().sum::<u64>();
    ///         cx.checkpoint()?;
    ///     }
    ///     Ok(sum)
    /// }
    /// # conbrio::run(|cx| assert_eq!(sum(cx, &[1; 5_000]).unwrap(), 5_000));
    /// ```
    #[inline]
    pub fn checkpoint(&mut self) -> Result<(), Cancelled> {
        let task = self.task();
        let fuel = task.fuel().get().wrapping_sub(1);
        task.fuel().set(fuel);
        // One branch: nothing to see, fuel left, and not unwinding.
        if u32::from(task.runnable().attention()) | u32::from(fuel == 0) | u32::from(panicking())
            != 0
        {
            return self.checkpoint_slow();
        }
        Ok(())
    }

    #[cold]
    fn checkpoint_slow(&mut self) -> Result<(), Cancelled> {
        // Also a task that is cancelled and goes on regardless gives way: it must not starve the others.
        if self.task().fuel().get() == 0 && !panicking() {
            self.end_turn();
        }
        if self.task().runnable().is_watched() {
            // It counts as one that gave way, although only the last of a turn does.
            self.note_gave_way();
        }
        self.checkpoint_if_cancelled()
    }

    /// Fails if a scope around the caller is cancelled. Never lets another task run.
    ///
    /// # Cancellation
    ///
    /// Sees a cancellation, but is not a checkpoint: it does not give way.
    #[inline]
    pub fn checkpoint_if_cancelled(&mut self) -> Result<(), Cancelled> {
        if u32::from(self.task().runnable().attention()) | u32::from(panicking()) == 0 {
            return Ok(());
        }
        match self.cancellation() {
            Some(cancelled) => Err(cancelled),
            None => Ok(()),
        }
    }

    /// Lets every other task of this worker that can run have its turn.
    ///
    /// Deadlines that have passed are noticed, even if the task was never stopped before.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint: gives way first, then fails if a scope around the caller is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// conbrio::run(|cx| cx.yield_now()).unwrap();
    /// ```
    #[inline(always)] // As `Task::suspend` says.
    pub fn yield_now(&mut self) -> Result<(), Cancelled> {
        self.yield_shielded();
        self.checkpoint_if_cancelled()
    }

    /// Lets other tasks run, whatever is cancelled.
    ///
    /// # Cancellation
    ///
    /// Gives way, and never fails.
    #[inline(always)] // As `Task::suspend` says.
    pub fn yield_shielded(&mut self) {
        if !panicking() {
            self.give_way();
        }
    }

    /// The task has passed as many checkpoints as fit into a turn.
    fn end_turn(&mut self) {
        let task = self.task();
        let worker = task.worker();
        match worker.simulation().map(|simulation| simulation.at_checkpoint(worker)) {
            None | Some(AtCheckpoint::GivesWay) => self.give_way(),
            Some(AtCheckpoint::GoesOn) => task.fuel().set(worker.fuel()),
            Some(AtCheckpoint::IsPreempted) => {
                worker.preempt(task.pointer());
                task.suspend();
            }
        }
    }

    #[inline(always)]
    fn give_way(&mut self) {
        let task = self.task();
        let worker = task.worker();
        if worker.would_run_next() {
            task.fuel().set(worker.fuel());
        } else {
            worker.push_yielded(task.pointer());
            task.suspend();
        }
        if task.runnable().is_watched() {
            self.note_gave_way();
        }
        if task.branch().has_deadline() {
            notice_deadline(task);
        }
    }

    /// Runs `f` on the stack of the worker's thread, which has megabytes, and returns its result.
    ///
    /// For code with big frames or deep recursion, and for C functions, which do not always touch every
    /// page of their frames and could jump over the guard of a small stack. `f` cannot wait: it gets no
    /// `cx`, and other tasks of this worker stand still meanwhile. It need not be `Send`. A panic in `f`
    /// goes on in the caller. Costs a few nanoseconds.
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// fn depth(n: u32) -> u32 {
    ///     let frame = std::hint::black_box([n; 1_000]);
    ///     if n == 0 { 0 } else { 1 + depth(frame[0] - 1) }
    /// }
    ///
    /// // 500 frames of 4 kB do not fit on a task's stack of 64 KiB.
    /// let deep = conbrio::run(|cx| cx.on_thread_stack(|| depth(300)));
    /// assert_eq!(deep, 300);
    /// ```
    pub fn on_thread_stack<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.task().on_thread_stack(f)
    }
}

/// A task that gave way notices that its deadline has passed, although no alarm has fired.
fn notice_deadline(task: &Task) {
    let worker = task.worker();
    if !worker.shared().timeline().is_far(task.branch().deadline()) {
        worker.fire_expired();
    }
}
