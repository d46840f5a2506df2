//! Receiving into several buffers in order: readv(2), which serves sockets and pipes alike.

use std::io::{self, IoSliceMut};

use super::{BUFFERS_MAX, is_short};
use crate::operation::{self, Request};
use crate::{Direction, Operation, Source};

/// Receives into several buffers, filling one after the other. Yields the count; zero is the end.
#[derive(Debug)]
pub struct RecvVectored<'a, 'b> {
    source: &'a Source,
    buffers: &'a mut [IoSliceMut<'b>],
}

impl<'a, 'b> RecvVectored<'a, 'b> {
    /// Receives up to the size of all `buffers`; of more than 1024 it fills the first 1024.
    pub fn new(source: &'a Source, buffers: &'a mut [IoSliceMut<'b>]) -> RecvVectored<'a, 'b> {
        let used = buffers.len().min(BUFFERS_MAX);
        RecvVectored { source, buffers: &mut buffers[..used] }
    }
}

// SAFETY: the buffers and their list are borrowed exclusively for as long as `self` lives.
unsafe impl Operation for RecvVectored<'_, '_> {
    type Output = usize;

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Read
    }

    fn try_now(&mut self) -> io::Result<usize> {
        Ok(rustix::io::readv(self.source, self.buffers)?)
    }

    fn drained(&self, count: &usize) -> bool {
        is_short(*count, self.buffers.iter().map(|buffer| buffer.len()).sum())
    }

    fn request(&mut self) -> Request {
        // `IoSliceMut` has the layout of `iovec` (its documentation).
        Request::ReadVectored {
            buffers: self.buffers.as_mut_ptr().cast(),
            count: self.buffers.len(),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}
