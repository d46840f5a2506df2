//! The io_uring back end: the kernel performs the operations, with the memory left in the suspended
//! frames.
//!
//! Owns a ring, the waits, and the bell that other threads ring. It knows fds and tokens, not tasks and
//! not bytes. The rules of every driver are D1-D5 in [`crate::driver`]. Those of a kernel that writes
//! into borrowed memory, which the files of this folder cite:
//!
//! - R1. A wait ends with the last completion of its entry (`IORING_CQE_F_MORE` is clear), cancelled or
//!   not. Until then the kernel may read and write what the entry points to.
//! - R2. A ring is dropped only with nothing in flight, or the process ends. Closing a ring does not
//!   stop the kernel from writing.
//! - R3. Every argument (buffer, list, message, address) stays in the suspended frame until then.
//! - R4. The name of a wait carries a generation: a cancellation on its way never hits the next wait.
//! - R5. What belongs to no wait (the bell) points to no memory at all.
//! - R6. If the kernel loses a completion, or refuses to be entered, the process ends: the frames could
//!   never be given back.
//!
//! Entries are queued by `submit` and `cancel`, and handed over by the next `poll`: one system call for
//! each turn of the worker, or none if there is nothing to hand over or to fetch.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, RawFd};

use self::entry::events_of;
use self::refusal::Step;
use self::ring::{Answer, Ring};
use self::waits::{Events, Kind, Phase, RESERVED, Wait, Waits};
use crate::driver::{self, Cancel, Driver, Hint, Spot, Ticket, Timeout};
use crate::lend::{self, Lender, ring::RingBuffers};
use crate::op::file::FileRequest;
use crate::os::context;
use crate::statistics::{Counters, count};
use crate::{Completion, Direction, Notifier, Outcome, Request, Source, Statistics, Token};

mod entry;
mod file_entry;
#[cfg(test)]
mod judge_tests;
mod options;
mod refusal;
mod ring;
mod trial;
mod waits;

pub use self::options::RingOptions;
pub(crate) use self::refusal::Refusal;

/// An io_uring reactor.
pub(crate) struct Uring {
    ring: Ring,
    options: RingOptions,
    /// Its buffers for the kernel are registered with `ring` as long as both live.
    lender: Lender,
    waits: RefCell<Waits>,
    notifier: Notifier,
    /// Waits whose operation the kernel would not wait for, and which go on as waits for readiness.
    /// Always empty between calls; kept for its capacity.
    again: RefCell<Vec<Spot>>,
    /// Waits whose cancellation has not found them. Always empty between calls; kept for its capacity.
    unfound: RefCell<Vec<Spot>>,
    /// How many waits the last poll has ended.
    batch: Cell<usize>,
    /// The bell has to be hung up again.
    is_bell_down: Cell<bool>,
    counters: Counters,
}

impl Uring {
    /// Makes a reactor, unless this machine has no ring that is good enough.
    pub(crate) fn new(options: RingOptions) -> Result<Uring, Refusal> {
        let ring = Ring::new(options.entries)?;
        trial::examine(&ring)?;
        let notifier = Notifier::new().map_err(|error| Refusal::new(Step::Descriptors, error))?;
        let uring = Uring {
            ring,
            options,
            lender: Lender::default(),
            waits: RefCell::default(),
            notifier,
            again: RefCell::default(),
            unfound: RefCell::default(),
            batch: Cell::new(0),
            is_bell_down: Cell::new(true),
            counters: Counters::default(),
        };
        uring.hang_bell();
        Ok(uring)
    }

    /// What the reason of this back end says of it.
    pub(crate) fn timing(&self) -> &'static str {
        "timeouts in nanoseconds (io_uring_enter)"
    }

    pub(crate) fn lender(&self) -> &Lender {
        &self.lender
    }

    /// Whether the kernel has buffers of ours. Offers them at the first call; if it refuses, receives into
    /// lent buffers wait for readiness.
    fn lends(&self) -> bool {
        let make = || -> io::Result<RingBuffers> {
            let buffers = RingBuffers::new(self.options.buffers)?;
            self.ring.offer_buffers(&buffers, entry::LENT)?;
            Ok(buffers)
        };
        self.lender.ring(make).is_some()
    }

    fn hang_bell(&self) {
        if self.is_bell_down.take() {
            let entry = entry::bell(self.notifier.as_fd().as_raw_fd()).user_data(BELL);
            // SAFETY: it points to nothing (rule R5). The kernel holds the eventfd by itself.
            unsafe { self.ring.push(entry) };
        }
    }

    /// Begins a wait.
    ///
    /// # Safety
    ///
    /// As for [`Driver::submit`].
    unsafe fn begin(&self, wait: Wait, entry: io_uring::squeue::Entry) -> Option<Ticket> {
        let spot = self.waits.borrow_mut().begin(wait)?;
        // SAFETY: the caller's promise, until the wait has ended, which is after the entry's last
        // completion (rule R1).
        unsafe { self.ring.push(entry.user_data(waits::name(spot))) };
        count(&self.counters.submitted);
        Some(waits::ticket(spot, wait.direction))
    }

    /// Begins an operation on a file. There may be any number of one file.
    ///
    /// # Safety
    ///
    /// The memory that `request` points to stays valid, in place and otherwise untouched, and its fds stay
    /// open, until the wait has ended (rule D1).
    pub(crate) unsafe fn submit_file(&self, request: &FileRequest, token: Token) -> Ticket {
        let kind = if request.may_repeat() { Kind::File } else { Kind::FileOnce };
        let (direction, phase) = (Direction::Read, Phase::Perform);
        let wait = Wait { token, fd: -1, direction, kind, phase, is_cancelled: false };
        // SAFETY: the same contract as ours.
        let ticket = unsafe { self.begin(wait, file_entry::of(request)) };
        ticket.expect("a file has room for every wait")
    }

    /// Takes in everything that the kernel has posted.
    fn reap(&self, into: &mut Vec<Completion>) {
        // The kernel posts only while we are inside of it, which we are again only for the rare entry that
        // finds the queue full, once for each wait. So this ends.
        while let Some(answer) = self.ring.next() {
            match answer.user_data {
                BELL => self.hear_bell(answer),
                name if name & entry::CANCELS != 0 => self.hear_cancellation(answer),
                _ => self.take(answer, into),
            }
        }
        let mut again = self.again.borrow_mut();
        for spot in again.drain(..) {
            let wait = *self.waits.borrow_mut().find(spot).expect("it has not ended");
            let entry = match wait.phase {
                Phase::Watch(events, _) => entry::watch(wait.fd, events),
                _ => entry::readiness(wait.fd, entry::events_of(wait.direction)),
            };
            // SAFETY: it points to nothing; the source stays open until the wait has ended.
            unsafe { self.ring.push(entry.user_data(waits::name(spot))) };
        }
        // Not at once: what is between two attempts goes on only when the kernel is entered to wait.
        for spot in self.unfound.borrow_mut().drain(..) {
            if self.waits.borrow_mut().find(spot).is_some() {
                // SAFETY: it points to nothing.
                unsafe { self.ring.push(entry::cancel(waits::name(spot))) };
            }
        }
        self.hang_bell();
    }

    fn hear_bell(&self, answer: Answer) {
        if !answer.more {
            self.is_bell_down.set(true);
        }
        if answer.result > 0 {
            self.notifier.clear();
            count(&self.counters.notified);
        }
    }

    /// A cancellation has not found its target, or not in time.
    fn hear_cancellation(&self, answer: Answer) {
        let name = answer.user_data & !entry::CANCELS;
        let spot = waits::spot(name);
        let is_in_flight = self.waits.borrow_mut().find(spot).is_some();
        // An operation that is between two attempts (its readiness has been reported, and it is queued
        // to be tried again) is not found, and may wait on afterwards. It is looked for until it is
        // found or has ended; one that is running is told to hurry, and ends by itself.
        if is_in_flight && answer.result == -libc::ENOENT {
            self.unfound.borrow_mut().push(spot);
        }
    }

    /// Takes in the completion of a wait.
    fn take(&self, answer: Answer, into: &mut Vec<Completion>) {
        let spot = waits::spot(answer.user_data);
        let mut waits = self.waits.borrow_mut();
        let Some(wait) = waits.find(spot) else {
            fatal("the kernel has completed an operation that nobody waits for");
        };
        count(&self.counters.events);
        if let Some(buffer) = answer.buffer {
            self.take_in_buffer(buffer, answer.result);
        }
        let outcome = match self.judge(wait, spot, answer) {
            // Rule R1: the entry goes on.
            _ if answer.more => return,
            Some(outcome) => outcome,
            None => {
                self.again.borrow_mut().push(spot);
                return;
            }
        };
        let token = wait.token;
        let is_dry = match wait.direction {
            Direction::Read => {
                wait.kind == Kind::TcpReceive && answer.result > 0 && !answer.nonempty
            }
            // It waited for as much room as the kernel finds worth waking somebody for, and so does the
            // next one: not for the few bytes that there may be.
            Direction::Write => outcome == CANCELLED,
        };
        waits.end(spot, is_dry);
        if outcome == CANCELLED {
            count(&self.counters.cancelled);
        } else {
            count(&self.counters.completed);
        }
        into.push(Completion { token, outcome });
    }

    /// A completion names a buffer of ours: it is no longer with the kernel.
    fn take_in_buffer(&self, buffer: u16, result: i32) {
        let ring = self.lender.existing_ring();
        let Some(ring) = ring.filter(|ring| ring.arrived(buffer)) else {
            fatal("the kernel has filled a buffer that it did not have");
        };
        // Nothing is in it.
        if result <= 0 {
            ring.give_back(buffer);
        }
    }

    /// What an answer means for its wait. `None`: it goes on in another way, with a new entry.
    fn judge(&self, wait: &mut Wait, spot: Spot, answer: Answer) -> Option<Outcome> {
        let result = answer.result;
        match (wait.phase, result) {
            (Phase::Unwatch(outcome), _) => Some(outcome),
            // Also an interruption is its end: a second attempt would do it twice, or report that it is
            // done already; and a closed fd may be somebody else's by now.
            _ if wait.kind == Kind::FileOnce => Some(Outcome::Done(result)),
            // Without effect; the caller tries again, or nobody wants it any more.
            (_, EINTR | EAGAIN) if wait.is_cancelled => Some(CANCELLED),
            (_, EINTR) => Some(Outcome::Ready),
            // What the kernel does not wait with (a terminal in non-blocking mode, say).
            (Phase::Perform | Phase::Lend, EAGAIN) if wait.kind != Kind::File => {
                wait.phase = Phase::Poll;
                None
            }
            (Phase::Lend, ENOBUFS) if wait.is_cancelled => Some(CANCELLED),
            // All buffers of the ring are in use: the caller has another way.
            (Phase::Lend, ENOBUFS) => Some(Outcome::Ready),
            (Phase::Lend, length) if length > 0 => {
                let Some(buffer) = answer.buffer else {
                    fatal("the kernel has put data into a buffer that it does not name");
                };
                Some(Outcome::Done(lend::raw(buffer, length as usize)))
            }
            (Phase::Perform | Phase::Lend, _) | (_, ..0) => Some(Outcome::Done(result)),
            (Phase::Poll, _) => {
                self.readiness(wait, spot, answer, events_of(wait.direction), false)
            }
            (Phase::Ask(events), _) => self.readiness(wait, spot, answer, events, true),
            (Phase::Watch(events, is_asked), _) => {
                self.readiness(wait, spot, answer, events, is_asked)
            }
        }
    }

    /// The same for a report of readiness.
    fn readiness(
        &self,
        wait: &mut Wait,
        spot: Spot,
        answer: Answer,
        events: Events,
        is_asked: bool,
    ) -> Option<Outcome> {
        if !entry::is_wanted(answer.result, events) {
            if wait.is_cancelled && !answer.more {
                return Some(CANCELLED);
            }
            wait.phase = Phase::Watch(events, is_asked);
            return None;
        }
        let outcome = if is_asked { Outcome::Done(answer.result) } else { Outcome::Ready };
        if answer.more {
            wait.phase = Phase::Unwatch(outcome);
            // SAFETY: it points to nothing.
            unsafe { self.ring.push(entry::cancel(waits::name(spot))) };
        }
        Some(outcome)
    }
}

impl Driver for Uring {
    #[inline]
    fn hint(&self, source: &Source, direction: Direction) -> Hint {
        let fd = source.as_raw_fd();
        let mut waits = self.waits.borrow_mut();
        if waits.take_dry(fd, direction) {
            count(&self.counters.skipped);
            return Hint::Wait;
        }
        if direction == Direction::Write
            && source.is_tcp()
            && self.batch.get() >= self.options.batch
        {
            // Others are about to send as well: the kernel is entered once for all of them.
            waits.set_eager(fd, direction);
            return Hint::Wait;
        }
        Hint::Try(Some(Spot { index: fd as u32, generation: 0 }))
    }

    /// What would wait is submitted next, and the kernel looks again.
    #[inline]
    fn blocked(&self, _spot: Spot, _direction: Direction) {}

    #[inline]
    fn drained(&self, spot: Spot, direction: Direction) {
        self.waits.borrow_mut().set_dry(spot.index as RawFd, direction);
    }

    unsafe fn submit(
        &self,
        source: &Source,
        direction: Direction,
        request: Request,
        token: Token,
    ) -> io::Result<Ticket> {
        let fd = source.as_raw_fd();
        let receives = matches!(request, Request::Recv { .. } | Request::RecvLent { .. });
        let kind = if source.is_tcp() && receives { Kind::TcpReceive } else { Kind::Other };
        let is_eager = self.waits.borrow_mut().take_eager(fd, direction);
        let sends_now = if is_eager { entry::send_now(&request, fd) } else { None };
        let (entry, phase) = match (sends_now, &request) {
            (Some(entry), _) => (entry, Phase::Perform),
            (None, Request::RecvLent { .. }) if !self.lends() => {
                (entry::readiness(fd, entry::events_of(direction)), Phase::Poll)
            }
            (None, request) => (entry::of(request, fd), entry::phase_of(request)),
        };
        let wait = Wait { token, fd, direction, kind, phase, is_cancelled: false };
        // SAFETY: the same contract as ours.
        let ticket = unsafe { self.begin(wait, entry) };
        ticket.ok_or_else(|| driver::busy(source, direction))
    }

    fn cancel(&self, ticket: Ticket) -> Cancel {
        let mut waits = self.waits.borrow_mut();
        let Some(wait) = waits.find(ticket.spot) else {
            return Cancel::Done;
        };
        if !wait.is_cancelled {
            wait.is_cancelled = true;
            if !matches!(wait.phase, Phase::Unwatch(_)) {
                // SAFETY: it points to nothing.
                unsafe { self.ring.push(entry::cancel(waits::name(ticket.spot))) };
            }
        }
        Cancel::Pending
    }

    fn poll(&self, timeout: Timeout, completions: &mut Vec<Completion>) -> io::Result<()> {
        if timeout == Timeout::Now && self.in_flight() == 0 {
            // Nobody waits: the ring keeps what there is, and a notification has nobody to wake.
            return Ok(());
        }
        let before = completions.len();
        self.reap(completions);
        let timeout = if completions.len() > before { Timeout::Now } else { timeout };
        if timeout == Timeout::Now && !self.ring.has_business() {
            self.batch.set(completions.len() - before);
            return Ok(());
        }
        count(&self.counters.polls);
        self.ring.enter(timeout).map_err(|error| context("enter an io_uring", error))?;
        self.reap(completions);
        self.batch.set(completions.len() - before);
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.waits.borrow().in_flight()
    }

    fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    fn statistics(&self) -> Statistics {
        self.counters.snapshot(0)
    }
}

impl Drop for Uring {
    /// Rules D3 and R2.
    fn drop(&mut self) {
        driver::assert_nothing_in_flight(self.in_flight());
        if self.lender.existing_ring().is_some() {
            self.ring.take_back_buffers(entry::LENT);
        }
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring")
            .field("in_flight", &self.in_flight())
            .field("enters", &self.ring.enters())
            .finish_non_exhaustive()
    }
}

/// Rule R6.
fn fatal(what: &str) -> ! {
    // Straight to stderr: the print macros may be captured, and the capture dies with us.
    let _ = writeln!(
        io::stderr(),
        "conbrio: {what}; memory of waiting tasks can no longer be given back, so the process ends here"
    );
    std::process::abort();
}

/// The name that belongs to no wait.
const BELL: u64 = (RESERVED as u64) << 32;

const CANCELLED: Outcome = Outcome::Done(-libc::ECANCELED);

const EAGAIN: i32 = -libc::EAGAIN;
const EINTR: i32 = -libc::EINTR;
const ENOBUFS: i32 = -libc::ENOBUFS;
