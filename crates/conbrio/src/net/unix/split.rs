//! The halves of a borrowed stream.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::SocketAddr;

use conbrio_reactor::{Source, os};

use super::address;
use crate::io::{self as cx_io, Error, HalfClose, Incomplete, Read, With, Write};
use crate::net::send_file::send_file;
use crate::net::transfer;
use crate::task::Cx;

/// The half of a [`UnixStream`](super::UnixStream) to read from. Made by
/// [`split`](super::UnixStream::split).
#[derive(Debug)]
pub struct ReadHalf<'a> {
    source: &'a Source,
}

/// The half of a [`UnixStream`](super::UnixStream) to write to. Made by [`split`](super::UnixStream::split).
///
/// Dropping it does not end its direction: the stream is still there. [`shutdown`](WriteHalf::shutdown)
/// does.
#[derive(Debug)]
pub struct WriteHalf<'a> {
    source: &'a Source,
}

impl<'a> ReadHalf<'a> {
    pub(super) fn new(source: &'a Source) -> ReadHalf<'a> {
        ReadHalf { source }
    }

    /// As [`UnixStream::read`](super::UnixStream::read).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken.
    pub fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::read(self.source, cx, buf)
    }

    /// As [`UnixStream::read_with`](super::UnixStream::read_with).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken, and `f` was not called.
    pub fn read_with<R>(&mut self, cx: &mut Cx, f: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        transfer::read_with(self.source, cx, f)
    }

    /// As [`UnixStream::read_vectored`](super::UnixStream::read_vectored).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken.
    pub fn read_vectored(
        &mut self,
        cx: &mut Cx,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Result<usize, Error> {
        transfer::read_vectored(self.source, cx, bufs)
    }

    /// As [`UnixStream::read_exact`](super::UnixStream::read_exact).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes of `buf` have been read.
    pub fn read_exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete> {
        cx_io::read_exact(cx, buf, |cx, buf| transfer::read(self.source, cx, buf))
    }

    /// As [`UnixStream::peek`](super::UnixStream::peek).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    pub fn peek(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::peek(self.source, cx, buf)
    }

    /// Joins the half with `cx`, as [`std::io::Read`]. See [`With`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    pub fn with<'b>(&'b mut self, cx: &'b mut Cx) -> With<'b, ReadHalf<'a>> {
        With::new(self, cx)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        address::local(self.source)
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection has been reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        address::peer(self.source)
    }
}

impl<'a> WriteHalf<'a> {
    pub(super) fn new(source: &'a Source) -> WriteHalf<'a> {
        WriteHalf { source }
    }

    /// As [`UnixStream::write`](super::UnixStream::write).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was sent.
    pub fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        transfer::write(self.source, cx, data)
    }

    /// As [`UnixStream::write_vectored`](super::UnixStream::write_vectored).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was sent.
    pub fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        transfer::write_vectored(self.source, cx, bufs)
    }

    /// As [`UnixStream::write_all`](super::UnixStream::write_all).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been sent, and the
    /// rest has not.
    pub fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        cx_io::write_all(cx, data, |cx, data| transfer::write(self.source, cx, data))
    }

    /// As [`UnixStream::send_file`](super::UnixStream::send_file).
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
        send_file(self.source, cx, file.as_fd(), offset, length)
    }

    /// Ends this direction: the peer reads what was written, and then the end. Never waits.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the peer has ended the connection.
    pub fn shutdown(&mut self) -> io::Result<()> {
        os::shutdown(self.source, Shutdown::Write)
    }

    /// Joins the half with `cx`, as [`std::io::Write`]. See [`With`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    pub fn with<'b>(&'b mut self, cx: &'b mut Cx) -> With<'b, WriteHalf<'a>> {
        With::new(self, cx)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        address::local(self.source)
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection has been reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        address::peer(self.source)
    }
}

impl Read for ReadHalf<'_> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.read(cx, buf)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        self.read_vectored(cx, bufs)
    }
}

impl Write for WriteHalf<'_> {
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

/// [`shutdown`](WriteHalf::shutdown), which never waits. A checkpoint all the same.
impl HalfClose for WriteHalf<'_> {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        Ok(self.shutdown()?)
    }
}
