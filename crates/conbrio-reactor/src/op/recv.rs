//! Receiving into one buffer: recv(2), with or without consuming, and read(2).

use std::io;

use rustix::net::RecvFlags;

use super::is_short;
use crate::operation::{self, Request};
use crate::{Direction, Operation, Source};

/// Receives from a socket. Yields the count; zero is the end of the stream.
#[derive(Debug)]
pub struct Recv<'a> {
    source: &'a Source,
    buffer: &'a mut [u8],
    flags: RecvFlags,
}

impl<'a> Recv<'a> {
    /// Receives up to the size of `buffer`.
    pub fn new(source: &'a Source, buffer: &'a mut [u8]) -> Recv<'a> {
        Recv { source, buffer, flags: RecvFlags::empty() }
    }

    /// Copies what is there and leaves it for the next receive.
    pub fn peek(source: &'a Source, buffer: &'a mut [u8]) -> Recv<'a> {
        Recv { source, buffer, flags: RecvFlags::PEEK }
    }
}

// SAFETY: the request's buffer is borrowed exclusively for as long as `self` lives.
unsafe impl Operation for Recv<'_> {
    type Output = usize;

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Read
    }

    fn try_now(&mut self) -> io::Result<usize> {
        let flags = self.flags | RecvFlags::DONTWAIT;
        let (count, _) = rustix::net::recv(self.source, &mut *self.buffer, flags)?;
        Ok(count)
    }

    fn drained(&self, count: &usize) -> bool {
        // What was peeked at is still there.
        !self.flags.contains(RecvFlags::PEEK) && is_short(*count, self.buffer.len())
    }

    fn request(&mut self) -> Request {
        Request::Recv {
            buffer: self.buffer.as_mut_ptr(),
            length: self.buffer.len(),
            flags: self.flags.bits(),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}

/// Reads from anything pollable that is not a socket: a pipe, a terminal, an eventfd. Yields the
/// count; zero is the end.
#[derive(Debug)]
pub struct Read<'a> {
    source: &'a Source,
    buffer: &'a mut [u8],
}

impl<'a> Read<'a> {
    /// Reads up to the size of `buffer`.
    pub fn new(source: &'a Source, buffer: &'a mut [u8]) -> Read<'a> {
        Read { source, buffer }
    }
}

// SAFETY: the request's buffer is borrowed exclusively for as long as `self` lives.
unsafe impl Operation for Read<'_> {
    type Output = usize;

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Read
    }

    fn try_now(&mut self) -> io::Result<usize> {
        Ok(rustix::io::read(self.source, &mut *self.buffer)?)
    }

    fn drained(&self, count: &usize) -> bool {
        is_short(*count, self.buffer.len())
    }

    fn request(&mut self) -> Request {
        Request::Read { buffer: self.buffer.as_mut_ptr(), length: self.buffer.len() }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}
