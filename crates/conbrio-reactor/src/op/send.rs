//! Sending one buffer: send(2) and write(2).

use std::io;

use rustix::net::SendFlags;

use super::is_short;
use crate::operation::{self, Request};
use crate::{Direction, Operation, Source};

/// Sends on a socket; never raises SIGPIPE. Yields the count, which may be less than asked.
#[derive(Debug)]
pub struct Send<'a> {
    source: &'a Source,
    data: &'a [u8],
}

impl<'a> Send<'a> {
    /// Sends as much of `data` as the socket takes.
    pub fn new(source: &'a Source, data: &'a [u8]) -> Send<'a> {
        Send { source, data }
    }
}

// SAFETY: the request's data is borrowed for as long as `self` lives.
unsafe impl Operation for Send<'_> {
    type Output = usize;

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Write
    }

    fn try_now(&mut self) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(rustix::net::send(self.source, self.data, flags)?)
    }

    fn drained(&self, count: &usize) -> bool {
        is_short(*count, self.data.len())
    }

    fn request(&mut self) -> Request {
        Request::Send {
            buffer: self.data.as_ptr(),
            length: self.data.len(),
            flags: SendFlags::NOSIGNAL.bits(),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}

/// Writes to anything pollable that is not a socket. Yields the count, which may be less than asked.
///
/// Writing to a pipe without readers raises SIGPIPE, which Rust programs ignore unless they say
/// otherwise; the error is then `BrokenPipe`.
#[derive(Debug)]
pub struct Write<'a> {
    source: &'a Source,
    data: &'a [u8],
}

impl<'a> Write<'a> {
    /// Writes as much of `data` as is taken.
    pub fn new(source: &'a Source, data: &'a [u8]) -> Write<'a> {
        Write { source, data }
    }
}

// SAFETY: the request's data is borrowed for as long as `self` lives.
unsafe impl Operation for Write<'_> {
    type Output = usize;

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Write
    }

    fn try_now(&mut self) -> io::Result<usize> {
        Ok(rustix::io::write(self.source, self.data)?)
    }

    fn drained(&self, count: &usize) -> bool {
        is_short(*count, self.data.len())
    }

    fn request(&mut self) -> Request {
        Request::Write { buffer: self.data.as_ptr(), length: self.data.len() }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}
