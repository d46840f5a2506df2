//! The one place where an operation on a file waits, with the proof that its memory stays.
//!
//! Three ways lead to its end, and it takes the first that there is: at once, if the system can do it without
//! waiting for a device; on the worker's ring; on a thread. The invariant is that of every operation: when it
//! has returned, nothing of it is pending, and `Cancelled` means that it had no effect.

use std::cell::Cell;
use std::io;

use conbrio_reactor::op::file::FileOperation;
use conbrio_reactor::{Cancel, Outcome, Token};

use crate::cancel::OrCancelled;
use crate::sched::{Interrupt, IoWait, Parked};
use crate::task::Cx;

/// Performs an operation on a file.
///
/// A checkpoint before it begins. What a thread performs is waited for, whatever is cancelled; a ring stops
/// what it has not begun.
///
/// In a simulated run nothing is done at once, because what lies in the memory of the system would decide
/// about the course of the run: threads perform everything.
pub(crate) fn perform_file<O>(cx: &mut Cx, op: &mut O) -> Result<O::Output, OrCancelled<io::Error>>
where
    O: FileOperation + Send,
    O::Output: Send,
{
    cx.checkpoint()?;
    let worker = cx.anchor().worker();
    if worker.simulation().is_none()
        && let Some(output) = op.try_now()
    {
        return Ok(output);
    }
    if worker.reactor().performs_files() {
        return on_ring(cx, op);
    }
    cx.blocking(|| op.perform())?.map_err(OrCancelled::Failed)
}

fn on_ring<O: FileOperation>(cx: &mut Cx, op: &mut O) -> Result<O::Output, OrCancelled<io::Error>> {
    let reactor = cx.anchor().worker().reactor();
    let interrupt = if op.may_cancel() { Interrupt::OnCancel } else { Interrupt::Never };
    loop {
        let waiter = cx.begin_wait();
        let wait = IoWait {
            runnable: waiter.runnable,
            sequence: waiter.sequence,
            outcome: Cell::new(None),
        };
        let token = Token((&raw const wait).expose_provenance() as u64);
        // SAFETY: `op` and `wait` stay in this frame or in those that called it, and these stay until the wait
        // has ended: the task is not dropped while it is suspended (run to completion), a cancellation that
        // the kernel has not confirmed is waited for below, and nothing in between unwinds. What `op` borrows
        // stays borrowed for as long, because `op` does.
        let ticket = unsafe { reactor.submit_file(op, token) }.map_err(OrCancelled::Failed)?;
        let mut cancelled = None;
        if cx.park(interrupt, "a file") == Parked::Interrupted {
            // It is kept here: a shield may come up before the operation ends.
            cancelled = Some(cx.why_interrupted());
            match reactor.cancel(ticket) {
                // It completed just now: the completion counts.
                Cancel::Done => {}
                Cancel::Pending => {
                    cx.park(Interrupt::Never, "the end of a cancelled operation on a file");
                }
            }
        }
        match (wait.outcome.get().expect("a woken wait has an outcome"), cancelled) {
            (Outcome::Done(raw), Some(cancelled)) if raw == -libc::ECANCELED => {
                return Err(cancelled.into());
            }
            (Outcome::Done(raw), _) => {
                // SAFETY: `raw` is the result of the request that this very operation made.
                return unsafe { op.complete(raw) }.map_err(OrCancelled::Failed);
            }
            // It was interrupted, and may be repeated: it had no effect.
            (Outcome::Ready, Some(cancelled)) => return Err(cancelled.into()),
            (Outcome::Ready, None) => {}
        }
    }
}
