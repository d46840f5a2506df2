//! Sending several buffers as one: sendmsg(2), because writev(2) cannot be told to spare us SIGPIPE.

use std::fmt;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::ptr;

use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::{BUFFERS_MAX, is_short};
use crate::operation::{self, Request};
use crate::{Direction, Operation, Source};

/// Sends several buffers on a socket; never raises SIGPIPE. Yields the count.
pub struct SendVectored<'a, 'b> {
    source: &'a Source,
    buffers: &'a [IoSlice<'b>],
    /// What the request points to; it lives here because it must outlast the submission.
    message: MaybeUninit<libc::msghdr>,
}

impl<'a, 'b> SendVectored<'a, 'b> {
    /// Sends as much of `buffers` as the socket takes; of more than 1024 it sends the first 1024.
    pub fn new(source: &'a Source, buffers: &'a [IoSlice<'b>]) -> SendVectored<'a, 'b> {
        let buffers = &buffers[..buffers.len().min(BUFFERS_MAX)];
        SendVectored { source, buffers, message: MaybeUninit::uninit() }
    }
}

// SAFETY: the buffers and their list are borrowed, and the message is owned, for as long as `self`
// stays in place.
unsafe impl Operation for SendVectored<'_, '_> {
    type Output = usize;

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Write
    }

    fn try_now(&mut self) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let mut control = SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(self.source, self.buffers, &mut control, flags)?)
    }

    fn drained(&self, count: &usize) -> bool {
        is_short(*count, self.buffers.iter().map(|buffer| buffer.len()).sum())
    }

    fn request(&mut self) -> Request {
        // SAFETY: all zeros is a valid `msghdr`: null pointers and lengths of zero.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        // `IoSlice` has the layout of `iovec` (its documentation); sending only reads it.
        message.msg_iov = self.buffers.as_ptr().cast_mut().cast();
        message.msg_iovlen = self.buffers.len() as _;
        let message = ptr::from_ref(self.message.write(message));
        Request::SendMessage { message, flags: SendFlags::NOSIGNAL.bits() }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}

impl fmt::Debug for SendVectored<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendVectored")
            .field("source", self.source)
            .field("buffers", &self.buffers.len())
            .finish_non_exhaustive()
    }
}
