//! One step that a closure makes: for system calls that no back end performs itself.
//!
//! A back end only waits until the direction is ready, and the step is made again. So nothing is lent to
//! the kernel, and the closure may use whatever it likes on its stack.

use std::fmt;
use std::io;

use rustix::event::PollFlags;

use crate::operation::{self, Request};
use crate::{Direction, Operation, Source};

/// A system call that does not wait, made by a closure that gets the source.
///
/// The closure has had no effect when it fails with `WouldBlock`, and says so only if the direction is not
/// ready. Simulated sources have no system calls: there it fails with `Unsupported`.
pub struct Step<'a, F> {
    source: &'a Source,
    direction: Direction,
    step: F,
}

impl<'a, R, F: FnMut(&'a Source) -> io::Result<R>> Step<'a, F> {
    /// A step that waits until there is something to receive.
    pub fn receive(source: &'a Source, step: F) -> Step<'a, F> {
        Step { source, direction: Direction::Read, step }
    }

    /// A step that waits until there is room to send.
    pub fn send(source: &'a Source, step: F) -> Step<'a, F> {
        Step { source, direction: Direction::Write, step }
    }
}

// SAFETY: the request points to nothing.
unsafe impl<'a, R, F: FnMut(&'a Source) -> io::Result<R>> Operation for Step<'a, F> {
    type Output = R;

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn try_now(&mut self) -> io::Result<R> {
        if self.source.is_simulated() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a simulated socket has no such operation (use plain reads and writes there)",
            ));
        }
        (self.step)(self.source)
    }

    fn request(&mut self) -> Request {
        let events = match self.direction {
            Direction::Read => PollFlags::IN | PollFlags::RDHUP,
            Direction::Write => PollFlags::OUT,
        };
        Request::Ready { events: events.bits() as i16 }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<R> {
        operation::count(raw)?;
        loop {
            match self.try_now() {
                // Only a signal that came meanwhile interrupts a call that does not wait, so this ends.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl<F> fmt::Debug for Step<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("source", self.source)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}
