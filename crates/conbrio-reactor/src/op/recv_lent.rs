//! Receiving into a buffer that the reactor lends: nothing is tied up while nothing has arrived.

use std::io;
use std::ptr::NonNull;

use rustix::net::RecvFlags;

use super::is_short;
use crate::lend::{BUFFER_BYTES, Lender, Lent};
use crate::operation::{self, Request};
use crate::{Direction, Operation, Source};

/// Receives from a socket into a buffer of the reactor. Yields the bytes; none is the end of the stream.
///
/// An attempt uses an ordinary buffer. A wait uses none: a ring takes one of its own when data has arrived,
/// or if all of those are in use, and on other back ends, the operation is attempted again.
#[derive(Debug)]
pub struct RecvLent<'a> {
    source: &'a Source,
    /// Of the reactor on which the operation is performed.
    lender: Lender,
}

impl<'a> RecvLent<'a> {
    /// Receives what is there, [`BUFFER_BYTES`] at most. `lender` is that of the reactor which is to
    /// perform it.
    pub fn new(source: &'a Source, lender: &Lender) -> RecvLent<'a> {
        RecvLent { source, lender: lender.clone() }
    }
}

// SAFETY: the request points to the lender, which `self` owns.
unsafe impl Operation for RecvLent<'_> {
    type Output = Lent;

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Read
    }

    fn try_now(&mut self) -> io::Result<Lent> {
        self.lender.lend(|buffer| {
            let (count, _) = rustix::net::recv(self.source, buffer, RecvFlags::DONTWAIT)?;
            Ok(count)
        })
    }

    fn drained(&self, bytes: &Lent) -> bool {
        is_short(bytes.len(), BUFFER_BYTES)
    }

    fn request(&mut self) -> Request {
        Request::RecvLent { lender: NonNull::from(&self.lender) }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<Lent> {
        Ok(self.lender.claim(operation::count(raw)?))
    }
}
