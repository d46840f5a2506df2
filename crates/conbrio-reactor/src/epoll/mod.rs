//! The epoll back end: readiness bits, one registration per source, edges.
//!
//! Owns an epoll fd, the slots, and the notifier's registration. It knows fds and tokens, not tasks
//! and not bytes. The invariant is in [`slots`]; the rules for other threads (G1-G4) are in
//! [`registrations`]; those of every driver (D1-D5) in [`crate::driver`].
//!
//! An event carries a slot's index and generation, never an fd, so that a reused fd number means
//! nothing here.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use self::registrations::Shared;
use self::slots::{RESERVED, Slot, Slots};
use self::sys::Timing;
use crate::driver::{self, Cancel, Driver, Hint, Spot, Ticket, Timeout};
use crate::os::context;
use crate::statistics::{Counters, count};
use crate::{Completion, Direction, Notifier, Outcome, Request, Source, Statistics, Token};

mod registrations;
mod slots;
mod sys;

pub(crate) use self::registrations::Registrations;

/// An epoll reactor.
#[derive(Debug)]
pub(crate) struct Epoll {
    shared: Arc<Shared>,
    notifier: Notifier,
    timing: Timing,
    slots: RefCell<Slots>,
    events: RefCell<Box<sys::Events>>,
    /// Waits that were begun for a direction already known to be ready. The next poll ends them.
    early: RefCell<Vec<Ticket>>,
    /// Always empty between calls; kept for its capacity.
    retired: RefCell<Vec<u32>>,
    in_flight: Cell<usize>,
    counters: Counters,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| context("create an epoll instance", error.into()))?;
        let timing = Timing::probe(poll.as_fd());
        let notifier =
            Notifier::new().map_err(|error| context("create an eventfd for a reactor", error))?;
        let bell = pack(Spot { index: RESERVED, generation: 0 });
        epoll::add(&poll, notifier.as_fd(), bell, EventFlags::IN | EventFlags::ET)
            .map_err(|error| context("watch the eventfd of a reactor", error.into()))?;
        Ok(Epoll {
            shared: Arc::new(Shared::new(poll)),
            notifier,
            timing,
            slots: RefCell::default(),
            events: RefCell::new(vec![MaybeUninit::uninit(); BATCH].into_boxed_slice()),
            early: RefCell::default(),
            retired: RefCell::default(),
            in_flight: Cell::new(0),
            counters: Counters::default(),
        })
    }

    /// How precise timeouts are, in words.
    pub(crate) fn timing(&self) -> &'static str {
        match self.timing {
            Timing::Nanoseconds => "timeouts in nanoseconds (epoll_pwait2)",
            Timing::Milliseconds => {
                "timeouts in milliseconds (epoll_wait), as the kernel has no better"
            }
        }
    }

    /// The source's slot here, registering the source if this is its first wait here.
    fn enter(&self, source: &Source) -> io::Result<u32> {
        if let Some(index) = source.registrations().index_at(&self.shared) {
            return Ok(index);
        }
        self.recycle();
        let spot = self.slots.borrow_mut().take(source.as_raw_fd());
        let both = interest(true, true);
        if let Err(error) = epoll::add(&self.shared.epoll, source, pack(spot), both) {
            self.slots.borrow_mut().free(spot.index);
            return Err(explain_refusal(source.as_fd(), error));
        }
        count(&self.counters.registrations);
        let mut slots = self.slots.borrow_mut();
        for direction in BOTH {
            slots.at(spot.index).side(direction).watched = true;
        }
        source.registrations().add(&self.shared, spot.index);
        Ok(spot.index)
    }

    /// Watches both directions again, after this reactor had stopped watching one or both. The
    /// kernel looks at the fd once more and makes an event of what it finds, so that nothing falls
    /// in between.
    fn watch(&self, source: &Source, spot: Spot, slot: &mut Slot) -> io::Result<()> {
        let both = interest(true, true);
        let result = if BOTH.iter().any(|direction| slot.is_watched(*direction)) {
            count(&self.counters.changes);
            epoll::modify(&self.shared.epoll, source, pack(spot), both)
        } else {
            count(&self.counters.registrations);
            epoll::add(&self.shared.epoll, source, pack(spot), both)
        };
        result.map_err(|error| explain_refusal(source.as_fd(), error))?;
        for direction in BOTH {
            let side = slot.side(direction);
            side.watched = true;
            side.strikes = 0;
        }
        Ok(())
    }

    /// Stops watching the directions that have been useless for long. The task that used them has
    /// moved on, or does not ask; its next wait here brings them back.
    fn unwatch_idle(&self, spot: Spot, slot: &mut Slot) {
        let keep = BOTH.map(|direction| {
            let side = slot.side(direction);
            // The other direction goes along if it is on its way there: one system call for both.
            let keep = side.watched && side.strikes <= STRIKES_MAX / 2;
            debug_assert!(keep || side.waiter.is_none(), "a strike beside a waiter");
            keep
        });
        // Rule G2: the lock is held until after the system call.
        let retired = self.shared.retired();
        if retired.contains(&spot.index) {
            return;
        }
        // SAFETY: by G1 and G2 the source still owns this fd while the lock is held.
        let fd = unsafe { BorrowedFd::borrow_raw(slot.fd) };
        let [read, write] = keep;
        let result = if read || write {
            epoll::modify(&self.shared.epoll, fd, pack(spot), interest(read, write))
        } else {
            epoll::delete(&self.shared.epoll, fd)
        };
        drop(retired);
        // On failure (no memory) everything stays watched, which costs time and is otherwise right.
        if result.is_ok() {
            count(&self.counters.changes);
        }
        for (direction, keep) in BOTH.into_iter().zip(keep) {
            let side = slot.side(direction);
            if !keep {
                side.strikes = 0;
                side.watched &= result.is_err();
                side.ready |= !side.watched;
            }
        }
    }

    /// Frees the slots whose sources have gone. Never called while a batch is worked on (rule G3).
    fn recycle(&self) {
        let mut retired = self.retired.borrow_mut();
        self.shared.take_retired(&mut retired);
        for index in retired.drain(..) {
            let lost = self.slots.borrow_mut().free(index);
            // The operation borrows its source, so only a broken `submit` contract leads here.
            debug_assert!(
                lost == 0,
                "a source was dropped while {lost} waits on it were in flight"
            );
            self.in_flight.set(self.in_flight.get() - lost);
        }
    }

    /// Ends the wait of one direction with a completion, if there is one.
    fn complete(&self, slot: &mut Slot, direction: Direction, into: &mut Vec<Completion>) -> bool {
        let Some(token) = slot.side(direction).waiter.take() else {
            return false;
        };
        self.in_flight.set(self.in_flight.get() - 1);
        count(&self.counters.completed);
        into.push(Completion { token, outcome: Outcome::Ready });
        true
    }

    /// Ends the waits that began too late for their edge. None of them has ended: this runs before
    /// any event is taken in, and `cancel` takes its ticket off the list.
    fn complete_early(&self, into: &mut Vec<Completion>) {
        let mut early = self.early.borrow_mut();
        let mut slots = self.slots.borrow_mut();
        for ticket in early.drain(..) {
            if let Some(slot) = slots.find(ticket.spot) {
                self.complete(slot, ticket.direction, into);
            }
        }
    }

    /// Takes one event in: sets bits, ends waits, and judges whether the event was of use.
    fn take_event(&self, spot: Spot, flags: EventFlags, into: &mut Vec<Completion>) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.find(spot) else {
            count(&self.counters.useless_events);
            return;
        };
        let mut woke = false;
        for direction in BOTH {
            if flags.intersects(news_of(direction)) {
                let side = slot.side(direction);
                side.ready = true;
                side.sticky |= flags.intersects(sticky_of(direction));
                woke |= self.complete(slot, direction, into);
            }
        }
        if woke {
            return;
        }
        count(&self.counters.useless_events);
        // If a task here waits in one direction, only the reported direction was useless. If nobody
        // waits here, both were: where a task elsewhere was faster, its direction is no longer
        // reported, but that it woke us is as true.
        let awaited = BOTH.iter().any(|direction| slot.side(*direction).waiter.is_some());
        let mut idle = false;
        for direction in BOTH {
            let side = slot.side(direction);
            if side.watched && (!awaited || flags.intersects(news_of(direction))) {
                side.strikes = side.strikes.saturating_add(1);
                idle |= side.strikes >= STRIKES_MAX;
            }
        }
        if idle {
            self.unwatch_idle(spot, slot);
        }
    }
}

impl Driver for Epoll {
    #[inline]
    fn hint(&self, source: &Source, direction: Direction) -> Hint {
        let Some(index) = source.registrations().index_at(&self.shared) else {
            return Hint::Try(None);
        };
        let mut slots = self.slots.borrow_mut();
        let slot = slots.at(index);
        let generation = slot.generation;
        let side = slot.side(direction);
        side.strikes = 0;
        if side.is_blocked() {
            count(&self.counters.skipped);
            return Hint::Wait;
        }
        Hint::Try(Some(Spot { index, generation }))
    }

    #[inline]
    fn blocked(&self, spot: Spot, direction: Direction) {
        if let Some(slot) = self.slots.borrow_mut().find(spot) {
            let side = slot.side(direction);
            // What is not watched gets no event that would make it ready again.
            side.ready = !side.watched;
        }
    }

    #[inline]
    fn drained(&self, spot: Spot, direction: Direction) {
        self.blocked(spot, direction);
    }

    unsafe fn submit(
        &self,
        source: &Source,
        direction: Direction,
        _request: Request,
        token: Token,
    ) -> io::Result<Ticket> {
        // Whether the kernel has just been asked: if there is something, its event is on the way.
        let mut asked = false;
        let index = match source.registrations().index_at(&self.shared) {
            Some(index) => index,
            None => {
                asked = true;
                self.enter(source)?
            }
        };
        let mut slots = self.slots.borrow_mut();
        let slot = slots.at(index);
        let spot = Spot { index, generation: slot.generation };
        if slot.side(direction).waiter.is_some() {
            return Err(driver::busy(source, direction));
        }
        if !slot.is_watched(direction) {
            asked = true;
            self.watch(source, spot, slot)?;
        }
        let side = slot.side(direction);
        if asked {
            side.ready = false;
        }
        side.strikes = 0;
        side.waiter = Some(token);
        side.sequence = side.sequence.wrapping_add(1);
        let ticket = Ticket { spot, sequence: side.sequence, direction };
        if side.ready {
            // No edge would come: it has come already. Callers that attempt first never get here.
            self.early.borrow_mut().push(ticket);
        }
        self.in_flight.set(self.in_flight.get() + 1);
        count(&self.counters.submitted);
        Ok(ticket)
    }

    fn cancel(&self, ticket: Ticket) -> Cancel {
        if let Some(slot) = self.slots.borrow_mut().find(ticket.spot) {
            let side = slot.side(ticket.direction);
            if side.sequence == ticket.sequence && side.waiter.take().is_some() {
                self.in_flight.set(self.in_flight.get() - 1);
                count(&self.counters.cancelled);
                if side.ready {
                    // Only then it is on the list: an event would have ended the wait.
                    self.early.borrow_mut().retain(|early| *early != ticket);
                }
            }
        }
        Cancel::Done
    }

    fn poll(&self, timeout: Timeout, completions: &mut Vec<Completion>) -> io::Result<()> {
        if timeout == Timeout::Now && self.in_flight.get() == 0 {
            // Nobody waits: the kernel keeps the events, and a notification has nobody to wake.
            return Ok(());
        }
        self.recycle();
        let timeout = if self.early.borrow().is_empty() { timeout } else { Timeout::Now };
        self.complete_early(completions);
        count(&self.counters.polls);
        let mut room = self.events.borrow_mut();
        let events = self
            .timing
            .wait(self.shared.epoll.as_fd(), &mut room, timeout)
            .map_err(|error| context("wait for events on an epoll instance", error))?;
        for event in events {
            let spot = unpack(event.u64);
            if spot.index == RESERVED {
                self.notifier.clear();
                count(&self.counters.notified);
                continue;
            }
            count(&self.counters.events);
            self.take_event(spot, EventFlags::from_bits_retain(event.events), completions);
        }
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    fn statistics(&self) -> Statistics {
        self.recycle();
        self.counters.snapshot(self.slots.borrow().used() as u64)
    }
}

impl Drop for Epoll {
    /// Rule D3.
    fn drop(&mut self) {
        driver::assert_nothing_in_flight(self.in_flight.get());
    }
}

/// What to ask the kernel for. Errors and hang-ups it reports unasked.
fn interest(read: bool, write: bool) -> EventFlags {
    let mut flags = EventFlags::ET;
    if read {
        flags |= EventFlags::IN | EventFlags::PRI | EventFlags::RDHUP;
    }
    if write {
        flags |= EventFlags::OUT;
    }
    flags
}

/// The flags that say that an attempt in this direction may find something.
fn news_of(direction: Direction) -> EventFlags {
    match direction {
        Direction::Read => {
            EventFlags::IN | EventFlags::PRI | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR
        }
        Direction::Write => EventFlags::OUT | EventFlags::HUP | EventFlags::ERR,
    }
}

/// The flags after which a short transfer proves nothing. End of stream and errors wait behind the
/// last data without an edge of their own; at urgent data a read stops short (tcp(7)).
fn sticky_of(direction: Direction) -> EventFlags {
    match direction {
        Direction::Read => EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR | EventFlags::PRI,
        Direction::Write => EventFlags::HUP | EventFlags::ERR,
    }
}

fn pack(spot: Spot) -> EventData {
    EventData::new_u64(u64::from(spot.index) << 32 | u64::from(spot.generation))
}

fn unpack(data: u64) -> Spot {
    Spot { index: (data >> 32) as u32, generation: data as u32 }
}

/// Says what the kernel means by refusing to watch an fd (epoll_ctl(2)).
fn explain_refusal(fd: BorrowedFd<'_>, error: Errno) -> io::Error {
    let number = fd.as_raw_fd();
    let what = match error {
        Errno::PERM => format!(
            "watch fd {number}: it is a regular file or a directory, which are always ready and not \
             pollable (use file operations for it)"
        ),
        Errno::NOSPC => format!(
            "watch fd {number}: this user watches as many fds as fs.epoll.max_user_watches allows \
             (raise that sysctl)"
        ),
        Errno::NOMEM => format!("watch fd {number}: the kernel has no memory for it"),
        _ => format!("watch fd {number}"),
    };
    context(what, error.into())
}

const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];

/// Events per wait. More only delays the tasks of the first ones.
const BATCH: usize = 256;

/// So many useless events in a row end the watch of a direction. One costs a wake-up of the worker;
/// ending the watch and coming back costs two system calls.
const STRIKES_MAX: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// The limits themselves belong to the whole machine, so that no test may reach them.
    #[test]
    fn refusals_say_how_to_mend_them() {
        let said = |error| explain_refusal(io::stdin().as_fd(), error).to_string();
        assert!(said(Errno::NOSPC).contains("fs.epoll.max_user_watches"));
        assert!(said(Errno::PERM).contains("not pollable"));
        assert!(said(Errno::NOMEM).contains("no memory"));
        assert!(said(Errno::LOOP).starts_with("watch fd 0: "));
    }

    #[test]
    fn a_spot_survives_the_kernel() {
        for spot in
            [Spot { index: 0, generation: u32::MAX }, Spot { index: RESERVED - 1, generation: 7 }]
        {
            assert_eq!(unpack(pack(spot).u64()), spot);
        }
    }
}
