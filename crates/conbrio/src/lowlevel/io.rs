//! The one place where an I/O operation waits, with the proof that its memory stays.

use std::cell::Cell;
use std::io;

use conbrio_reactor::{Attempt, Cancel, Operation, Outcome, Token};

use crate::cancel::OrCancelled;
use crate::sched::{Interrupt, IoWait, Parked};
use crate::task::Cx;

/// Performs an operation: tries it at once, and waits only if it would block.
///
/// A checkpoint before it begins. "Completion wins": once the operation has taken effect it is reported
/// as such, and `Cancelled` means that it had no effect and nothing of it is pending.
pub(crate) fn perform<O: Operation>(
    cx: &mut Cx,
    op: &mut O,
) -> Result<O::Output, OrCancelled<io::Error>> {
    cx.checkpoint()?;
    loop {
        let reactor = cx.anchor().worker().reactor();
        match reactor.attempt(op) {
            Attempt::Done(result) => return result.map_err(OrCancelled::Failed),
            Attempt::Wait => {}
        }
        let waiter = cx.begin_wait();
        let wait = IoWait {
            runnable: waiter.runnable,
            sequence: waiter.sequence,
            outcome: Cell::new(None),
        };
        let token = Token((&raw const wait).expose_provenance() as u64);
        // SAFETY: `op` and `wait` stay in this frame, and the frame stays until the wait has ended: the
        // task is not dropped while it is suspended (run to completion), a cancellation that the kernel
        // has not confirmed is waited for below, and nothing in between unwinds.
        let ticket = unsafe { reactor.submit(op, token) }.map_err(OrCancelled::Failed)?;
        if cx.park(Interrupt::OnCancel, "I/O") == Parked::Interrupted {
            match reactor.cancel(ticket) {
                Cancel::Done if wait.outcome.get().is_none() => {
                    return Err(cx.why_interrupted().into());
                }
                // It completed just now: the completion counts.
                Cancel::Done => {}
                Cancel::Pending => {
                    // It is kept here: a shield may come up before the operation ends.
                    let cancelled = cx.why_interrupted();
                    cx.park(Interrupt::Never, "the end of cancelled I/O");
                    if wait.outcome.get() == Some(Outcome::Done(-libc::ECANCELED)) {
                        return Err(cancelled.into());
                    }
                }
            }
        }
        match wait.outcome.get().expect("a woken wait has an outcome") {
            Outcome::Ready => {}
            Outcome::Done(raw) => {
                // SAFETY: `raw` is the result of the request that this very operation made.
                match unsafe { op.complete(raw) } {
                    // It was only waited for, and another has taken what there was. It may go on so for
                    // long, but each round is a wait that can be cancelled.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result.map_err(OrCancelled::Failed),
                }
            }
        }
    }
}
