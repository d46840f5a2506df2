//! One call on a thread: the job, and the task that waits for it.
//!
//! Rules:
//! 1. The closure is run or dropped, and its result stored, before the task is told that the call has ended;
//!    after that the job touches nothing that borrows.
//! 2. The task does not leave [`call`] before it is told so, unless the closure borrows nothing.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cancel::Cancelled;
use crate::sched::{Interrupt, Parked, Shared, Worker};
use crate::task::{Cx, Locals};
use crate::util::footprint;
use crate::util::swallow::swallow_panics;
use crate::util::thread_pool::{Job, Ticket, Work};

use super::host::Host;
use super::line::{Line, Nested, Next};
use super::thread_name::NameGuard;

/// How a call is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// What the thread is called meanwhile.
    pub(super) name: Option<String>,
    /// Whether the closure gets a [`Host`] that does anything.
    pub(super) uses_host: bool,
    /// Whether the task leaves when it is cancelled.
    pub(super) abandons: bool,
}

type Slot<R> = Arc<Mutex<Option<std::thread::Result<R>>>>;

/// What the thread gets.
struct Call<F, R> {
    /// Both are gone when the work is done.
    closure: Option<F>,
    slot: Option<Slot<R>>,
    line: Arc<Line>,
    locals: Locals,
    name: Option<String>,
    shared: Arc<Shared>,
}

// SAFETY: `locals` goes into the `Host`, which may be sent for the reasons given there; the others may if
// closure and result may.
unsafe impl<F: Send, R: Send> Send for Call<F, R> {}

impl<F, R> Work for Call<F, R>
where
    F: FnOnce(&Host) -> R + Send,
    R: Send,
{
    fn work(&mut self) {
        let (Some(closure), Some(slot)) = (self.closure.take(), self.slot.take()) else { return };
        let _nested = Nested::enter(&self.line);
        let _name = self.name.as_deref().map(NameGuard::new);
        // SAFETY: the task stays where it is until the call has ended (rule 2); if it may leave, there are
        // no locals.
        let host = unsafe { Host::new(Arc::clone(&self.line), self.locals) };
        let result = catch_unwind(AssertUnwindSafe(|| closure(&host)));
        if self.line.has_taker() {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        } else {
            // Its destructor may panic.
            swallow_panics(|| drop(result));
        }
    }

    fn deliver(self: Box<Self>) {
        if self.line.end() {
            self.shared.job_ended();
        }
    }
}

/// Runs `f` on a thread and waits for its value.
///
/// # Safety
/// If `options.abandons`, then `F` and `R` borrow nothing.
pub(super) unsafe fn call<F, R>(cx: &mut Cx, options: Options, f: F) -> Result<R, Cancelled>
where
    F: FnOnce(&Host) -> R + Send,
    R: Send,
{
    cx.checkpoint()?;
    let shared = Arc::clone(cx.task().worker().shared());
    let line = Arc::new(Line::new(cx));
    // The slot is counted: the thread may still hold it when the task has seen the result.
    let slot = Slot::<R>::default();
    let job: Box<dyn Work + '_> = Box::new(Call {
        closure: Some(f),
        slot: Some(Arc::clone(&slot)),
        line: Arc::clone(&line),
        locals: if options.abandons { Locals::default() } else { cx.task().locals().get() },
        name: options.name,
        shared: Arc::clone(&shared),
    });
    // SAFETY: only the lifetime changes. By rules 1 and 2 what it borrows stays until the job does not touch
    // it any more, or it borrows nothing; and a job that was not submitted is dropped here.
    let job: Job = unsafe { std::mem::transmute::<Box<dyn Work + '_>, Job>(job) };
    let is_simulated = cx.task().worker().simulation().is_some();
    if !options.uses_host {
        shared.job_began();
        if is_simulated {
            // On the one thread of the simulation, with room for others before and after.
            cx.yield_shielded();
            cx.on_thread_stack(|| Worker::outside(|| run_here(job)));
            cx.yield_shielded();
        } else if let Err(job) = shared.pool().submit(job) {
            cx.on_thread_stack(|| run_here(job));
        }
        wait(cx, &line, &shared, Interrupt::Never, None)?;
    } else {
        if is_simulated {
            // Before the thread begins: only one of the two ever runs.
            cx.yield_shielded();
        }
        let ticket = submit(cx, &shared, job)?;
        let can_abandon = options.abandons.then_some(ticket);
        if is_simulated {
            wait_standing_still(cx, &line, &shared, can_abandon)?;
        } else {
            wait(cx, &line, &shared, Interrupt::OnCancel, can_abandon)?;
        }
    }
    let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    match result.expect("the job has stored its result before it ended") {
        Ok(value) => Ok(value),
        Err(payload) => resume_unwind(payload),
    }
}

/// Gives the job to a thread; waits for one if the system refuses to make any.
fn submit(cx: &mut Cx, shared: &Shared, mut job: Job) -> Result<Ticket, Cancelled> {
    loop {
        shared.job_began();
        match shared.pool().submit(job) {
            Ok(ticket) => return Ok(ticket),
            Err(refused) => job = refused,
        }
        shared.job_ended();
        // Ends when the system has room for a thread, or the caller is cancelled.
        cx.sleep(RETRY_AFTER)?;
    }
}

fn run_here(mut job: Job) {
    footprint::touch_everything();
    job.work();
    job.deliver();
}

/// Waits until the closure has ended, and runs what it asks for. If it listens to cancellations, the closure
/// learns of one, and the call ends early if it can be abandoned.
fn wait(
    cx: &mut Cx,
    line: &Arc<Line>,
    shared: &Shared,
    mut interrupt: Interrupt,
    can_abandon: Option<Ticket>,
) -> Result<(), Cancelled> {
    loop {
        let unparker = cx.begin_shared_wait();
        match line.next(unparker) {
            Next::Return => return Ok(()),
            Next::Run(request) => line.run(cx, request),
            Next::Park => {
                if cx.park(interrupt, "a blocking call") == Parked::Interrupted {
                    let cancelled = cx.why_interrupted();
                    if leaves(line, shared, can_abandon, &cancelled) {
                        return Err(cancelled);
                    }
                    interrupt = Interrupt::Never;
                }
            }
        }
    }
}

/// As [`wait`], in a simulated run: the closure runs on a thread, and this one, with all tasks, stands still
/// meanwhile.
fn wait_standing_still(
    cx: &mut Cx,
    line: &Arc<Line>,
    shared: &Shared,
    can_abandon: Option<Ticket>,
) -> Result<(), Cancelled> {
    let mut is_known = false;
    loop {
        if !is_known && let Some(cancelled) = cx.cancellation() {
            is_known = true;
            if leaves(line, shared, can_abandon, &cancelled) {
                return Err(cancelled);
            }
        }
        // The thread does whatever it likes meanwhile.
        footprint::touch_everything();
        match line.stand_still() {
            Next::Run(request) => line.run(cx, request),
            Next::Return | Next::Park => break,
        }
    }
    cx.yield_shielded();
    Ok(())
}

/// Says that the task is cancelled, and whether it leaves for it.
fn leaves(
    line: &Line,
    shared: &Shared,
    can_abandon: Option<Ticket>,
    cancelled: &Cancelled,
) -> bool {
    let cancelled = Cancelled(Arc::clone(&cancelled.0));
    let Some(ticket) = can_abandon else {
        line.publish(cancelled);
        return false;
    };
    let Some(unanswered) = line.leave(cancelled) else { return false };
    // Time does not stand still for it any more.
    shared.job_ended();
    shared.pool().abandon(ticket);
    // Those who wait for them learn that nobody is here.
    drop(unanswered);
    true
}

const RETRY_AFTER: Duration = Duration::from_millis(10);
