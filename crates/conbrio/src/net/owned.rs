//! The halves of a stream that own it together.
//!
//! The invariant: the two halves of one stream hold the only two references to its source, so that the
//! connection closes with the second of them, and both together make the stream again.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;

use conbrio_reactor::{Source, os};

use super::send_file::send_file;
use super::{TcpStream, transfer};
use crate::io::{self as cx_io, Error, Incomplete, Read, With, Write};
use crate::task::Cx;

/// The half of a [`TcpStream`] to read from, which owns its part of it. Made by
/// [`into_split`](TcpStream::into_split).
#[derive(Debug)]
pub struct OwnedReadHalf {
    source: Arc<Source>,
}

/// The half of a [`TcpStream`] to write to, which owns its part of it. Made by
/// [`into_split`](TcpStream::into_split).
///
/// Dropping it ends its direction: the peer reads what was written, and then the end.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    source: Arc<Source>,
    /// False when the stream lives on as a whole.
    ends_with_this: bool,
}

pub(super) fn split(source: Source) -> (OwnedReadHalf, OwnedWriteHalf) {
    let source = Arc::new(source);
    let write = OwnedWriteHalf { source: Arc::clone(&source), ends_with_this: true };
    (OwnedReadHalf { source }, write)
}

impl OwnedReadHalf {
    /// As [`TcpStream::read`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken.
    pub fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::read(&self.source, cx, buf)
    }

    /// As [`TcpStream::read_vectored`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken.
    pub fn read_vectored(
        &mut self,
        cx: &mut Cx,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Result<usize, Error> {
        transfer::read_vectored(&self.source, cx, bufs)
    }

    /// As [`TcpStream::read_exact`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes of `buf` have been read.
    pub fn read_exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete> {
        cx_io::read_exact(cx, buf, |cx, buf| transfer::read(&self.source, cx, buf))
    }

    /// As [`TcpStream::read_with`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken, and `f` was not called.
    pub fn read_with<R>(&mut self, cx: &mut Cx, f: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        transfer::read_with(&self.source, cx, f)
    }

    /// As [`TcpStream::peek`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    pub fn peek(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::peek(&self.source, cx, buf)
    }

    /// Joins the half with `cx`, as [`std::io::Read`]. See [`With`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    pub fn with<'a>(&'a mut self, cx: &'a mut Cx) -> With<'a, OwnedReadHalf> {
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
    pub fn reunite(self, mut write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.source, &write.source) {
            return Err(ReuniteError { read: self, write });
        }
        write.ends_with_this = false;
        drop(write);
        let source = Arc::into_inner(self.source).expect("two halves hold the only two references");
        Ok(TcpStream::from_source(source))
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        os::local_address(&self.source)
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection has been reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        os::peer_address(&self.source)
    }
}

impl OwnedWriteHalf {
    /// As [`TcpStream::write`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was sent.
    pub fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        transfer::write(&self.source, cx, data)
    }

    /// As [`TcpStream::write_vectored`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was sent.
    pub fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        transfer::write_vectored(&self.source, cx, bufs)
    }

    /// As [`TcpStream::write_all`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been sent, and the
    /// rest has not.
    pub fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        cx_io::write_all(cx, data, |cx, data| transfer::write(&self.source, cx, data))
    }

    /// As [`TcpStream::send_file`].
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
        send_file(&self.source, cx, file.as_fd(), offset, length)
    }

    /// Ends this direction: the peer reads what was written, and then the end. Never waits.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the peer has ended the connection.
    pub fn shutdown(&mut self) -> io::Result<()> {
        os::shutdown(&self.source, Shutdown::Write)
    }

    /// Joins the half with `cx`, as [`std::io::Write`]. See [`With`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    pub fn with<'a>(&'a mut self, cx: &'a mut Cx) -> With<'a, OwnedWriteHalf> {
        With::new(self, cx)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        os::local_address(&self.source)
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection has been reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        os::peer_address(&self.source)
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.ends_with_this {
            // It fails only if the connection has ended anyway.
            let _ = os::shutdown(&self.source, Shutdown::Write);
        }
    }
}

impl Read for OwnedReadHalf {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.read(cx, buf)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        self.read_vectored(cx, bufs)
    }
}

impl Write for OwnedWriteHalf {
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
pub struct ReuniteError {
    /// The half to read from.
    pub read: OwnedReadHalf,
    /// The half to write to.
    pub write: OwnedWriteHalf,
}

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of the same stream: reunite those of one `into_split`")
    }
}

impl std::error::Error for ReuniteError {}
