//! What every back end provides: the driver trait and the small types of its calls.
//!
//! This file owns the contract and what all of its implementations say the same way. They are
//! [`crate::epoll`], [`crate::uring`] and [`crate::sim`]. The rules, numbered, which the back ends' files cite:
//!
//! - D1. Every wait that `submit` accepted ends exactly once: by one completion out of `poll`, or by
//!   `cancel` answering [`Cancel::Done`]. `in_flight` counts those that have not ended.
//! - D2. A back end that hands memory to the kernel touches it only between `submit` and the end of
//!   that wait; the caller keeps the operation in place for as long.
//! - D3. A driver is dropped only with nothing in flight. Dropping it otherwise aborts the process:
//!   the kernel may still write into frames, or tasks would sleep for ever.
//! - D4. A ticket names one wait and no later one, however often its slot is used again.
//! - D5. `poll` calls no code of its caller and knows nothing of tasks; it fills a batch.

use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::{Completion, Direction, Notifier, Request, Source, Statistics, Token};

/// How long a poll may sleep when nothing has completed.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Timeout {
    /// Not at all: take what is there.
    Now,
    /// At most this long from now, in steps of a nanosecond where the kernel allows it and rounded
    /// up to a millisecond where it does not.
    After(Duration),
    /// Until a completion or a notification.
    Never,
}

/// Names one wait, for cancelling it. It becomes useless, not dangerous, when the wait has ended.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Ticket {
    pub(crate) spot: Spot,
    pub(crate) sequence: u32,
    pub(crate) direction: Direction,
}

/// Where a driver keeps its knowledge of one source.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Spot {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// What cancelling a wait has achieved.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[must_use = "a pending cancellation means that the completion must still be waited for"]
pub enum Cancel {
    /// The wait has ended and nothing is pending: no later `poll` returns a completion for it, and
    /// the operation has had no effect after its last attempt.
    Done,
    /// The kernel still owns the operation: its completion comes out of a later `poll` and says
    /// whether the operation took effect.
    Pending,
}

/// What a driver knows about a direction before the system call is tried.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Hint {
    /// Try it, and report to the driver's `blocked` with this spot if it finds nothing.
    Try(Option<Spot>),
    /// The system call would find nothing: wait instead.
    Wait,
}

/// One back end. Its methods take `&self` because the tasks of one worker share it; it stays on the
/// thread that made it.
pub trait Driver {
    /// Says whether trying the system call is worth it. Never makes a system call.
    fn hint(&self, source: &Source, direction: Direction) -> Hint;

    /// Hears that the direction at `spot` has just been found to have nothing more.
    fn blocked(&self, spot: Spot, direction: Direction);

    /// Hears that an operation at `spot` has taken the last that the direction had to give. The next
    /// attempt would find nothing.
    fn drained(&self, spot: Spot, direction: Direction);

    /// Begins a wait for the operation that `request` describes, under the name `token`.
    ///
    /// # Errors
    ///
    /// Nothing has begun if it fails. `ResourceBusy` if somebody waits for this direction already.
    ///
    /// # Safety
    ///
    /// The memory that `request` points to stays valid, in place and otherwise untouched, and
    /// `source` stays open, until the wait has ended (rule D1).
    unsafe fn submit(
        &self,
        source: &Source,
        direction: Direction,
        request: Request,
        token: Token,
    ) -> io::Result<Ticket>;

    /// Ends a wait early if it can.
    fn cancel(&self, ticket: Ticket) -> Cancel;

    /// Appends what has completed to `completions`, sleeping for at most `timeout` if nothing has.
    ///
    /// It may return early with nothing: a signal, a notification, or an event nobody waited for.
    ///
    /// # Errors
    ///
    /// Only what makes the driver useless for good.
    fn poll(&self, timeout: Timeout, completions: &mut Vec<Completion>) -> io::Result<()>;

    /// How many waits have begun and not ended.
    fn in_flight(&self) -> usize;

    /// A handle that wakes this driver's `poll` from any thread.
    fn notifier(&self) -> Notifier;

    /// A snapshot of the counters.
    fn statistics(&self) -> Statistics;
}

/// The answer to a second waiter of a direction.
pub(crate) fn busy(source: &Source, direction: Direction) -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!(
            "wait to {} fd {}: another task waits for this direction already (let one task own it)",
            direction.word(),
            source.as_raw_fd(),
        ),
    )
}

/// Rule D3, which every back end's destructor keeps, also where no memory is at stake.
pub(crate) fn assert_nothing_in_flight(in_flight: usize) {
    if in_flight > 0 {
        // Straight to stderr: the print macros may be captured, and the capture dies with us.
        let _ = writeln!(
            io::stderr(),
            "conbrio: a reactor was dropped with {in_flight} waits in flight; their tasks could \
             never run again, so the process ends here (end or cancel the waits first)"
        );
        std::process::abort();
    }
}
