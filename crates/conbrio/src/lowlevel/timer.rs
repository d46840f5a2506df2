//! Waiting for a point in time.

use std::ptr::NonNull;
use std::time::Duration;

use crate::cancel::{Cancelled, Waiter};
use crate::clock::{NEVER, Ticks};
use crate::sched::{Alarm, Interrupt, Parked, RunnableRef, Worker};
use crate::task::Cx;

/// The alarm of a sleeping task, in its frame.
#[repr(C)]
struct Sleeper {
    /// First, because the timer store points to it.
    alarm: Alarm,
    waiter: Waiter,
}

impl Sleeper {
    /// # Safety
    /// See `Alarm::fire`.
    unsafe fn fire(alarm: NonNull<Alarm>, worker: &Worker) {
        // SAFETY: the alarm is the first field of a sleeper, whose task is alive and waits.
        let sleeper = unsafe { alarm.cast::<Sleeper>().as_ref() };
        // SAFETY: as above.
        let runnable = unsafe { sleeper.waiter.runnable.as_ref() };
        runnable.wake_at_home(worker, sleeper.waiter.sequence);
    }
}

impl Cx {
    /// Sleeps until `deadline`, or for ever if that is `NEVER`. The caller has passed a checkpoint.
    pub(crate) fn sleep_until_ticks(&mut self, deadline: Ticks) -> Result<(), Cancelled> {
        let worker = self.anchor().worker();
        let sleeper = Sleeper { alarm: Alarm::new(Sleeper::fire), waiter: self.begin_wait() };
        // SAFETY: the sleeper stays in this frame until the alarm has fired or is cancelled below.
        unsafe { worker.set_alarm(deadline, NonNull::from(&sleeper).cast()) };
        let what = if deadline == NEVER { "ever (sleep_forever)" } else { "a point in time" };
        match self.park(Interrupt::OnCancel, what) {
            Parked::Woken => Ok(()),
            Parked::Interrupted => {
                worker.cancel_alarm(&sleeper.alarm);
                Err(self.why_interrupted())
            }
        }
    }

    /// As [`park`](Cx::park) for the wait that `waiter` names, which also ends, as if it had been woken,
    /// when `deadline` has come.
    pub(super) fn park_until(
        &mut self,
        interrupt: Interrupt,
        deadline: Ticks,
        waiter: Waiter,
        what: &'static str,
    ) -> Parked {
        let worker = self.anchor().worker();
        let sleeper = Sleeper { alarm: Alarm::new(Sleeper::fire), waiter };
        // SAFETY: the sleeper stays in this frame until the alarm has fired or is cancelled below.
        unsafe { worker.set_alarm(deadline, NonNull::from(&sleeper).cast()) };
        let parked = self.park(interrupt, what);
        worker.cancel_alarm(&sleeper.alarm);
        parked
    }

    /// Waits until all workers have been idle for `cushion` of real time. See `testing::settle`.
    pub(crate) fn wait_for_quiet(&mut self, cushion: Duration) -> Result<(), Cancelled> {
        let shared = self.anchor().worker().shared();
        let waiter = self.begin_wait();
        // SAFETY: the running task is alive.
        let task = unsafe { RunnableRef::new(waiter.runnable) };
        let ticket = shared.watch_for_quiet(task, waiter.sequence, cushion);
        match self.park(Interrupt::OnCancel, "quiet (settle)") {
            Parked::Woken => Ok(()),
            Parked::Interrupted if shared.stop_watching(ticket) => Err(self.why_interrupted()),
            // It was woken as well: that came first.
            Parked::Interrupted => Ok(()),
        }
    }

    /// The ticks of deadlines that have come, for comparisons.
    pub(crate) fn now_ticks(&self) -> Ticks {
        self.task().worker().shared().timeline().now()
    }
}
