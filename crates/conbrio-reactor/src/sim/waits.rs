//! Waits on virtual sockets: who is told when a direction may have become ready.
//!
//! The invariant: a wait is either at its socket, or, once, in the mailbox of its reactor. So it ends
//! exactly once (rule D1), however often its socket becomes ready.

use std::time::Duration;

use super::state::{ConnectionId, Event, SocketId, State, Wait, WaitId};
use crate::{Completion, Direction, Outcome, Token};

impl State {
    /// Begins a wait, or says that this handle waits in this direction already.
    pub(super) fn begin_wait(
        &mut self,
        id: SocketId,
        handle: u64,
        reactor: usize,
        direction: Direction,
        token: Token,
    ) -> Option<WaitId> {
        let socket = self.socket(id);
        let same = |wait: &Wait| {
            (wait.handle, wait.reactor, wait.direction) == (handle, reactor, direction)
        };
        if socket.waits.iter().any(same) {
            return None;
        }
        let wait = WaitId(self.serial());
        let now = self.now;
        let until = self.socket(id).delayed[direction as usize].filter(|until| *until > now);
        let is_delayed = until.is_some();
        let entry = Wait { id: wait, handle, reactor, direction, token, is_delayed };
        self.socket(id).waits.push(entry);
        if let Some(until) = until {
            self.schedule(until, Event::Wake(id, wait));
        } else if self.is_ready(id, direction) {
            // It has become so between the attempt and the wait, or nobody has attempted.
            self.end_wait(id, wait);
        } else if self.happens("spurious wake-up", self.options.spurious_wakeups) {
            let at = self.now + self.choose_delay("time of a spurious wake-up");
            self.schedule(at, Event::Wake(id, wait));
        }
        Some(wait)
    }

    /// Whether an operation has to wait although it could be done: once, and then not again.
    pub(super) fn is_delayed(&mut self, id: SocketId, direction: Direction) -> bool {
        let now = self.now;
        if let Some(until) = self.socket(id).delayed[direction as usize] {
            if until > now {
                return true;
            }
            self.socket(id).delayed[direction as usize] = None;
            return false;
        }
        if !self.happens("delay of an operation", self.options.delays) {
            return false;
        }
        let until = now + self.choose_delay("length of a delay");
        self.socket(id).delayed[direction as usize] = Some(until);
        true
    }

    fn choose_delay(&self, what: &'static str) -> Duration {
        let max = self.options.delay_max.max(Duration::from_nanos(16));
        self.choose_between(what, max / 16, max)
    }

    /// The direction may have become ready: ends its waits.
    pub(super) fn wake_socket(&mut self, id: SocketId, direction: Direction) {
        let Some(socket) = self.sockets.get_mut(&id) else {
            return;
        };
        let woken = socket.waits.extract_if(.., |w| w.direction == direction && !w.is_delayed);
        for wait in woken {
            let completion = Completion { token: wait.token, outcome: Outcome::Ready };
            self.mailboxes[wait.reactor].push_back((wait.id, completion));
        }
    }

    pub(super) fn wake_end(&mut self, c: ConnectionId, e: usize, direction: Direction) {
        if let Some(id) = self.connections.get(&c).and_then(|c| c.ends[e].socket) {
            self.wake_socket(id, direction);
        }
    }

    pub(super) fn wake_delayed(&mut self, id: SocketId, wait: WaitId) {
        if self.sockets.contains_key(&id) {
            self.end_wait(id, wait);
        }
    }

    /// Ends one wait, if it has not ended.
    fn end_wait(&mut self, id: SocketId, wait: WaitId) {
        if let Some(wait) = self.take_wait(id, wait) {
            let completion = Completion { token: wait.token, outcome: Outcome::Ready };
            self.mailboxes[wait.reactor].push_back((wait.id, completion));
        }
    }

    fn take_wait(&mut self, id: SocketId, wait: WaitId) -> Option<Wait> {
        let waits = &mut self.sockets.get_mut(&id)?.waits;
        let at = waits.iter().position(|other| other.id == wait)?;
        Some(waits.remove(at))
    }

    /// Ends a wait that somebody has called off, now or after a while: until then the operation may still
    /// take effect, as in a kernel that is told to cancel it.
    pub(super) fn end_wait_soon(&mut self, id: SocketId, wait: WaitId) {
        let mut at = self.now;
        if self.choose("cancellation of an operation takes a while", 2) == 1 {
            at += self.choose_delay("length of a cancellation");
        }
        self.schedule(at, Event::Wake(id, wait));
    }

    /// Calls a wait off, wherever it is. Says whether it was there.
    pub(super) fn cancel_wait(&mut self, id: SocketId, reactor: usize, wait: WaitId) -> bool {
        if self.take_wait(id, wait).is_some() {
            return true;
        }
        let mailbox = &mut self.mailboxes[reactor];
        let before = mailbox.len();
        mailbox.retain(|(other, _)| *other != wait);
        mailbox.len() < before
    }
}
