//! The halves of a stream that own it together.
//!
//! The invariant: the two halves of one stream hold the only two references to it, so that the connection
//! closes with the second of them, and both together make the stream again.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;

use conbrio_reactor::os;

use super::send_file::send_file;
use super::{SocketStream, TcpStream, transfer};
use crate::io::{self as cx_io, Error, Incomplete, Read, With, Write};
use crate::task::Cx;

/// The half of a stream to read from, which owns its part of it. Made by [`TcpStream::into_split`], and by
/// [`UnixStream::into_split`](super::UnixStream::into_split).
///
/// The half of a Unix stream is `OwnedReadHalf<UnixStream>`, in short
/// [`unix::OwnedReadHalf`](super::unix::OwnedReadHalf).
#[derive(Debug)]
pub struct OwnedReadHalf<S: SocketStream = TcpStream> {
    stream: Arc<S>,
}

/// The half of a stream to write to, which owns its part of it. Made by [`TcpStream::into_split`], and by
/// [`UnixStream::into_split`](super::UnixStream::into_split).
///
/// Dropping it ends its direction: the peer reads what was written, and then the end.
///
/// The half of a Unix stream is `OwnedWriteHalf<UnixStream>`, in short
/// [`unix::OwnedWriteHalf`](super::unix::OwnedWriteHalf).
#[derive(Debug)]
pub struct OwnedWriteHalf<S: SocketStream = TcpStream> {
    stream: Arc<S>,
    /// False when the stream lives on as a whole.
    ends_with_this: bool,
}

pub(super) fn split<S: SocketStream>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    let write = OwnedWriteHalf { stream: Arc::clone(&stream), ends_with_this: true };
    (OwnedReadHalf { stream }, write)
}

impl<S: SocketStream> OwnedReadHalf<S> {
    /// As [`read`](TcpStream::read) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken.
    pub fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::read(self.stream.source(), cx, buf)
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

    /// As [`read_with`](TcpStream::read_with) of the stream.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken, and `f` was not called.
    pub fn read_with<R>(&mut self, cx: &mut Cx, f: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        transfer::read_with(self.stream.source(), cx, f)
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
    pub fn with<'a>(&'a mut self, cx: &'a mut Cx) -> With<'a, OwnedReadHalf<S>> {
        With::new(self, cx)
    }

    /// Makes the stream whole again.
    ///
    /// # Errors
    ///
    /// Both halves, if they are not of one stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let listener = TcpListener::bind(cx, "127.0.0.1:0")?;
    ///     let stream = TcpStream::connect(cx, listener.local_addr()?)?;
    ///     let (reader, writer) = stream.into_split();
    ///     let stream = reader.reunite(writer).unwrap();
    ///     assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn reunite(self, mut write: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.stream, &write.stream) {
            return Err(ReuniteError { read: self, write });
        }
        write.ends_with_this = false;
        drop(write);
        Ok(Arc::into_inner(self.stream).expect("two halves hold the only two references"))
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

impl<S: SocketStream> OwnedWriteHalf<S> {
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
    pub fn with<'a>(&'a mut self, cx: &'a mut Cx) -> With<'a, OwnedWriteHalf<S>> {
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

impl<S: SocketStream> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if self.ends_with_this {
            // It fails only if the connection has ended anyway.
            let _ = os::shutdown(self.stream.source(), Shutdown::Write);
        }
    }
}

impl<S: SocketStream> Read for OwnedReadHalf<S> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.read(cx, buf)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        self.read_vectored(cx, bufs)
    }
}

impl<S: SocketStream> Write for OwnedWriteHalf<S> {
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

/// Two halves were put together that are not of one stream. Here they are again.
#[derive(Debug)]
pub struct ReuniteError<S: SocketStream = TcpStream> {
    /// The half to read from.
    pub read: OwnedReadHalf<S>,
    /// The half to write to.
    pub write: OwnedWriteHalf<S>,
}

impl<S: SocketStream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of the same stream: reunite those of one `into_split`")
    }
}

impl<S: SocketStream> std::error::Error for ReuniteError<S> {}
