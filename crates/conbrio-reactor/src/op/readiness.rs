//! Waiting until a source is readable or writable, transferring nothing: for fds that somebody else
//! reads and writes. Asks poll(2), so that the answer is true when it is given.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::operation::{self, Request};
use crate::{Direction, Operation, Source};

/// Waits until a source is ready in one direction. Hang-ups and errors count as ready, because an
/// attempt would return at once.
#[derive(Debug)]
pub struct Readiness<'a> {
    source: &'a Source,
    direction: Direction,
}

impl<'a> Readiness<'a> {
    /// Until a read would not wait.
    pub fn readable(source: &'a Source) -> Readiness<'a> {
        Readiness { source, direction: Direction::Read }
    }

    /// Until a write would not wait.
    pub fn writable(source: &'a Source) -> Readiness<'a> {
        Readiness { source, direction: Direction::Write }
    }

    fn events(&self) -> PollFlags {
        match self.direction {
            Direction::Read => PollFlags::IN | PollFlags::RDHUP,
            Direction::Write => PollFlags::OUT,
        }
    }
}

// SAFETY: the request points to nothing.
unsafe impl Operation for Readiness<'_> {
    type Output = ();

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn try_now(&mut self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.source, self.events())];
        match rustix::event::poll(&mut fds, Some(&Timespec::default()))? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }

    fn request(&mut self) -> Request {
        Request::Ready { events: self.events().bits() as i16 }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<()> {
        operation::count(raw).map(drop)
    }
}
