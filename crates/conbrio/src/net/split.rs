//! The halves of a borrowed stream.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::AsFd;

use conbrio_reactor::os;

use super::send_file::send_file;
use super::{SocketStream, TcpStream, transfer};
use crate::io::{self as cx_io, Error, Incomplete, Read, With, Write};
use crate::task::Cx;

/// The half of a stream to read from. Made by [`TcpStream::split`], and by
/// [`UnixStream::split`](super::UnixStream::split).
///
/// The half of a Unix stream is `ReadHalf<'a, UnixStream>`, in short
/// [`unix::ReadHalf`](super::unix::ReadHalf).
#[derive(Debug)]
pub struct ReadHalf<'a, S: SocketStream = TcpStream> {
    stream: &'a S,
}

/// The half of a stream to write to. Made by [`TcpStream::split`], and by
/// [`UnixStream::split`](super::UnixStream::split).
///
/// Dropping it does not end its direction: the stream is still there. [`shutdown`](WriteHalf::shutdown)
/// does.
///
/// The half of a Unix stream is `WriteHalf<'a, UnixStream>`, in short
/// [`unix::WriteHalf`](super::unix::WriteHalf).
#[derive(Debug)]
pub struct WriteHalf<'a, S: SocketStream = TcpStream> {
    stream: &'a S,
}

impl<'a, S: SocketStream> ReadHalf<'a, S> {
    pub(super) fn new(stream: &'a S) -> ReadHalf<'a, S> {
        ReadHalf { stream }
    }

    /// As [`read`](TcpStream::read) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken.
    pub fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::read(self.stream.source(), cx, buf)
    }

    /// As [`read_with`](TcpStream::read_with) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken, and `f` was not called.
    pub fn read_with<R>(&mut self, cx: &mut Cx, f: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        transfer::read_with(self.stream.source(), cx, f)
    }

    /// As [`read_vectored`](TcpStream::read_vectored) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken.
    pub fn read_vectored(
        &mut self,
        cx: &mut Cx,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Result<usize, Error> {
        transfer::read_vectored(self.stream.source(), cx, bufs)
    }

    /// As [`read_exact`](TcpStream::read_exact) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes of `buf` have been read.
    pub fn read_exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete> {
        cx_io::read_exact(cx, buf, |cx, buf| transfer::read(self.stream.source(), cx, buf))
    }

    /// As [`peek`](TcpStream::peek) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    pub fn peek(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::peek(self.stream.source(), cx, buf)
    }

    /// Joins the half with `cx`, as [`std::io::Read`]. See [`With`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    pub fn with<'b>(&'b mut self, cx: &'b mut Cx) -> With<'b, ReadHalf<'a, S>> {
        With::new(self, cx)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<S::Address> {
        self.stream.local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection has been reset.
    pub fn peer_addr(&self) -> io::Result<S::Address> {
        self.stream.peer_addr()
    }
}

impl<'a, S: SocketStream> WriteHalf<'a, S> {
    pub(super) fn new(stream: &'a S) -> WriteHalf<'a, S> {
        WriteHalf { stream }
    }

    /// As [`write`](TcpStream::write) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was sent.
    pub fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        transfer::write(self.stream.source(), cx, data)
    }

    /// As [`write_vectored`](TcpStream::write_vectored) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was sent.
    pub fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        transfer::write_vectored(self.stream.source(), cx, bufs)
    }

    /// As [`write_all`](TcpStream::write_all) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been sent, and the
    /// rest has not.
    pub fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        cx_io::write_all(cx, data, |cx, data| transfer::write(self.stream.source(), cx, data))
    }

    /// As [`send_file`](TcpStream::send_file) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been sent, and the
    /// rest has not.
    pub fn send_file(
        &mut self,
        cx: &mut Cx,
        file: impl AsFd,
        offset: u64,
        length: u64,
    ) -> Result<(), Incomplete> {
        send_file(self.stream.source(), cx, file.as_fd(), offset, length)
    }

    /// Ends this direction: the peer reads what was written, and then the end. Never waits.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the peer has ended the connection.
    pub fn shutdown(&mut self) -> io::Result<()> {
        os::shutdown(self.stream.source(), Shutdown::Write)
    }

    /// Joins the half with `cx`, as [`std::io::Write`]. See [`With`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    pub fn with<'b>(&'b mut self, cx: &'b mut Cx) -> With<'b, WriteHalf<'a, S>> {
        With::new(self, cx)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<S::Address> {
        self.stream.local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection has been reset.
    pub fn peer_addr(&self) -> io::Result<S::Address> {
        self.stream.peer_addr()
    }
}

impl<S: SocketStream> Read for ReadHalf<'_, S> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.read(cx, buf)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        self.read_vectored(cx, bufs)
    }
}

impl<S: SocketStream> Write for WriteHalf<'_, S> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.write(cx, data)
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.write_vectored(cx, bufs)
    }

    /// Nothing is held back. A checkpoint all the same.
    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        Ok(cx.checkpoint()?)
    }
}
