//! The reactor of a simulation: hands requests to the network and fetches what has ended there.
//!
//! Owns a mailbox of the network, and the requests that the network performs itself. The rules are
//! those of every driver (D1-D5 in [`crate::driver`]). The invariant: a wait is in `requests` from its
//! beginning until its completion is handed out, or it was called off.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use super::state::{Errno, SocketId, WaitId};
use super::{Half, Network};
use crate::driver::{self, Cancel, Driver, Hint, Spot, Ticket, Timeout};
use crate::statistics::{Counters, count};
use crate::{
    Attempt, Completion, Direction, Notifier, Operation, Outcome, Request, Source, Statistics,
    Token,
};

/// A reactor on a simulated network.
pub(crate) struct Simulated {
    network: Network,
    /// Which mailbox is ours.
    index: usize,
    notifier: Notifier,
    waits: RefCell<BTreeMap<WaitId, Waiting>>,
    counters: Counters,
    /// Always empty between calls; kept for its capacity.
    ended: RefCell<Vec<(WaitId, Completion)>>,
    performs: Cell<bool>,
}

/// A wait that has begun and not ended.
struct Waiting {
    id: SocketId,
    handle: u64,
    direction: Direction,
    token: Token,
    /// What the network performs itself, if it does, and on what.
    request: Option<(Request, NonNull<Source>)>,
    /// Somebody wants it to end. It ends when the network says so, and takes effect if it still can.
    is_cancelled: bool,
}

impl Simulated {
    pub(crate) fn new(network: &Network) -> io::Result<Simulated> {
        let notifier = Notifier::new()
            .map_err(|error| crate::os::context("create an eventfd for a reactor", error))?;
        let mut state = network.state();
        state.mailboxes.push(Default::default());
        let index = state.mailboxes.len() - 1;
        Ok(Simulated {
            network: network.clone(),
            index,
            notifier,
            waits: RefCell::default(),
            counters: Counters::default(),
            ended: RefCell::default(),
            performs: Cell::new(state.options.performs_operations),
        })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Works on another network from now on. Nothing is in flight.
    pub(crate) fn join(&mut self, network: &Network) {
        if !self.network.is(network) {
            self.network = network.clone();
            let mut state = network.state();
            state.mailboxes.push(Default::default());
            self.index = state.mailboxes.len() - 1;
        }
    }

    /// The virtual half of a source, if it is of our network.
    fn half<'a>(&self, source: &'a Source) -> io::Result<&'a Half> {
        match source.half() {
            Some(half) if half.shared.network.is(&self.network) => Ok(half),
            Some(_) => Err(unsupported(source, "it belongs to another simulated network")),
            None => Err(unsupported(
                source,
                "it is real, and this reactor is simulated (make the socket inside the \
                 simulation, or run without one)",
            )),
        }
    }

    pub(crate) fn attempt<O: Operation>(&self, op: &mut O) -> Attempt<io::Result<O::Output>> {
        let direction = op.direction();
        let half = match self.half(op.source()) {
            Ok(half) => half,
            Err(error) => return Attempt::Done(Err(error)),
        };
        let (network, id) = (half.shared.network.clone(), half.shared.id);
        if network.state().is_delayed(id, direction) {
            return Attempt::Wait;
        }
        let request = op.request();
        // SAFETY: `op` made the request, and is not used before it has been performed.
        let result = unsafe { network.state().perform(op.source(), id, &request) };
        match result {
            Err(libc::EAGAIN) => Attempt::Wait,
            // SAFETY: the result of the request above, once.
            result => Attempt::Done(unsafe { op.complete(raw(result)) }),
        }
    }

    /// Performs a wait's request. `None` if it has to wait on.
    fn perform(
        &self,
        waiting: &Waiting,
        request: &Request,
        source: NonNull<Source>,
    ) -> Option<i32> {
        // SAFETY: by the contract of `submit` the source stays open until the wait has ended.
        let source = unsafe { source.as_ref() };
        // SAFETY: by the contract of `submit` the request's memory stays valid until then.
        let result = unsafe { self.network.state().perform(source, waiting.id, request) };
        (result != Err(libc::EAGAIN)).then(|| raw(result))
    }

    /// What comes of a wait that has ended in the network. `None` if it goes on.
    fn outcome(&self, wait: WaitId) -> Option<Outcome> {
        let mut waits = self.waits.borrow_mut();
        let mut waiting = waits.remove(&wait)?;
        let Some((request, source)) = waiting.request.take() else {
            return Some(Outcome::Ready);
        };
        if let Some(raw) = self.perform(&waiting, &request, source) {
            return Some(Outcome::Done(raw));
        }
        if waiting.is_cancelled {
            return Some(Outcome::Done(-libc::ECANCELED));
        }
        waiting.request = Some((request, source));
        let mut state = self.network.state();
        let Waiting { id, handle, direction, token, .. } = waiting;
        let again = state.begin_wait(id, handle, self.index, direction, token);
        waits.insert(again.expect("this handle's wait has just ended"), waiting);
        None
    }
}

impl Driver for Simulated {
    fn hint(&self, _source: &Source, _direction: Direction) -> Hint {
        Hint::Try(None)
    }

    fn blocked(&self, _spot: Spot, _direction: Direction) {}

    fn drained(&self, _spot: Spot, _direction: Direction) {}

    unsafe fn submit(
        &self,
        source: &Source,
        direction: Direction,
        request: Request,
        token: Token,
    ) -> io::Result<Ticket> {
        let half = self.half(source)?;
        half.note_timeouts(source);
        let (id, handle) = (half.shared.id, half.handle);
        let mut state = self.network.state();
        let wait = state
            .begin_wait(id, handle, self.index, direction, token)
            .ok_or_else(|| driver::busy(source, direction))?;
        self.performs.set(state.options.performs_operations);
        let request = self.performs.get().then(|| (request, NonNull::from(source)));
        let waiting = Waiting { id, handle, direction, token, request, is_cancelled: false };
        self.waits.borrow_mut().insert(wait, waiting);
        count(&self.counters.submitted);
        let spot = Spot { index: wait.0 as u32, generation: (wait.0 >> 32) as u32 };
        Ok(Ticket { spot, sequence: 0, direction })
    }

    fn cancel(&self, ticket: Ticket) -> Cancel {
        let wait = WaitId(u64::from(ticket.spot.index) | u64::from(ticket.spot.generation) << 32);
        let mut waits = self.waits.borrow_mut();
        let Some(waiting) = waits.get_mut(&wait) else {
            return Cancel::Done;
        };
        if waiting.request.is_some() {
            if !waiting.is_cancelled {
                waiting.is_cancelled = true;
                self.network.state().end_wait_soon(waiting.id, wait);
            }
            return Cancel::Pending;
        }
        let id = waiting.id;
        waits.remove(&wait);
        count(&self.counters.cancelled);
        self.network.state().cancel_wait(id, self.index, wait);
        Cancel::Done
    }

    fn poll(&self, _timeout: Timeout, completions: &mut Vec<Completion>) -> io::Result<()> {
        count(&self.counters.polls);
        self.notifier.clear();
        let mut ended = self.ended.borrow_mut();
        {
            let mut state = self.network.state();
            let now = state.now;
            state.advance(now);
        }
        ended.extend(self.network.state().mailboxes[self.index].drain(..));
        for (wait, completion) in ended.drain(..) {
            count(&self.counters.events);
            if let Some(outcome) = self.outcome(wait) {
                count(&self.counters.completed);
                completions.push(Completion { outcome, ..completion });
            }
        }
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.waits.borrow().len()
    }

    fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    fn statistics(&self) -> Statistics {
        self.counters.snapshot(0)
    }
}

impl Drop for Simulated {
    /// Rule D3.
    fn drop(&mut self) {
        driver::assert_nothing_in_flight(self.in_flight());
    }
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated")
            .field("network", &self.network)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// The raw result of a request, as the kernel's own completions have it.
fn raw(result: Result<i32, Errno>) -> i32 {
    result.unwrap_or_else(|errno| -errno)
}

fn unsupported(source: &Source, why: &str) -> io::Error {
    let message = format!("use fd {} for I/O: {why}", source.as_raw_fd());
    io::Error::new(io::ErrorKind::Unsupported, message)
}
