//! A connection between two processes of one machine, or two tasks.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use conbrio_reactor::{Source, op, os};
use socket2::SockRef;

use super::{
    OwnedReadHalf, OwnedWriteHalf, ReadHalf, UCred, WithFds, WriteHalf, address, credentials, fds,
};
use crate::io::{self as cx_io, Error, HalfClose, Incomplete, Read, Split, With, Write};
use crate::lowlevel::perform;
use crate::net::send_file::send_file;
use crate::net::socket_stream::{Sealed, SocketStream};
use crate::net::{owned, transfer};
use crate::task::Cx;

/// A connection over a Unix socket.
///
/// Reading and writing take `&mut`; [`split`](UnixStream::split) it to do both at once. Dropping it closes
/// the connection: what was written is still delivered, unless data of the peer is unread; then the peer
/// sees a reset.
///
/// A peer that has gone makes writes fail with `BrokenPipe`; no signal is raised.
///
/// # Examples
///
/// ```
/// use conbrio::net::UnixStream;
/// use conbrio::prelude::*;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let (mut left, mut right) = UnixStream::pair()?;
///     cx.nursery(|cx, n| -> std::io::Result<()> {
///         n.spawn(move |cx| Ok(left.write_all(cx, b"hello")?));
///         let mut buf = [0; 5];
///         right.read_exact(cx, &mut buf)?;
///         assert_eq!(&buf, b"hello");
///         Ok(())
///     })?;
///     Ok(())
/// })
/// .unwrap();
/// ```
///
/// A stream cannot be closed while a task waits for it, because that task has borrowed it:
///
/// ```compile_fail,E0505
/// use conbrio::net::UnixStream;
/// use conbrio::prelude::*;
///
/// fn close_underfoot(cx: &mut Cx, mut stream: UnixStream) {
///     let _ = cx.nursery(|_, n| -> std::io::Result<()> {
///         n.spawn(|cx| Ok(stream.read_exact(cx, &mut [0])?));
///         drop(stream);
///         Ok(())
///     });
/// }
/// ```
pub struct UnixStream {
    source: Source,
}

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// Waits while as many connections as the listener allows wait to be accepted: the system tells nobody
    /// of the next place, so that it looks again after 1 ms, and later after up to 50 ms.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel there is no connection.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such path, `ConnectionRefused` if nobody listens there, `PermissionDenied`.
    /// `InvalidInput` for a path of more than 107 bytes. `Unsupported` in a simulated run.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::net::{UnixListener, UnixStream};
    /// use conbrio::prelude::*;
    ///
    /// # let folder = std::env::temp_dir().join(format!("conbrio-doc-connect-{}", std::process::id()));
    /// # std::fs::create_dir(&folder)?;
    /// # let path = folder.join("socket");
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let mut listener = UnixListener::bind(cx, &path)?;
    ///     let stream = UnixStream::connect(cx, &path)?;
    ///     let (accepted, _) = listener.accept(cx)?;
    ///     assert_eq!(accepted.peer_cred()?.pid, Some(std::process::id()));
    ///     assert_eq!(stream.peer_addr()?.as_pathname(), Some(&*path));
    ///     Ok(())
    /// })
    /// .unwrap();
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect(cx: &mut Cx, path: impl AsRef<Path>) -> Result<UnixStream, Error> {
        cx.checkpoint()?;
        let address = address::of_path("connect to", path.as_ref())?;
        UnixStream::connect_addr(cx, &address)
    }

    /// As [`connect`](UnixStream::connect), to an address: that of a path, or an abstract name.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel there is no connection.
    ///
    /// # Errors
    ///
    /// As [`connect`](UnixStream::connect).
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::net::{UnixListener, UnixStream};
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let name = format!("conbrio-example-{}", std::process::id());
    ///     let address = SocketAddr::from_abstract_name(name)?;
    ///     let _listener = UnixListener::bind_addr(cx, &address)?;
    ///     let stream = UnixStream::connect_addr(cx, &address)?;
    ///     assert!(stream.local_addr()?.is_unnamed());
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn connect_addr(cx: &mut Cx, address: &SocketAddr) -> Result<UnixStream, Error> {
        cx.checkpoint()?;
        address::real(cx, "connect to", address)?;
        let named = |error| address::named("connect to", address, error);
        let source = os::unix_socket()?;
        let to = address::to_connect(address).map_err(named)?;
        let mut pause = PAUSE_MIN;
        loop {
            match perform(cx, &mut op::Connect::new(&source, to.clone())) {
                Ok(()) => return Ok(UnixStream { source }),
                // The backlog is full.
                Err(Error::Failed(error)) if error.kind() == io::ErrorKind::ResourceBusy => {
                    cx.sleep(pause)?;
                    pause = PAUSE_MAX.min(pause * 2);
                }
                Err(Error::Failed(error)) => return Err(named(error).into()),
                Err(cancelled) => return Err(cancelled),
            }
        }
    }

    /// Two streams that are connected to each other and have no names.
    ///
    /// Never waits. In a simulated run it is reading and writing that fails.
    ///
    /// # Errors
    ///
    /// What socketpair(2) says, most often that the limit of open files is reached.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (left, right) = os::unix_pair()?;
        Ok((UnixStream { source: left }, UnixStream { source: right }))
    }

    /// Reads what is there, at most as much as `buf` holds, and waits only if there is nothing. Zero is
    /// the end: the peer has shut down its direction. (Or `buf` is empty.)
    ///
    /// Descriptors that were sent with the bytes are closed: see
    /// [`recv_with_fds`](UnixStream::recv_with_fds).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken.
    ///
    /// # Errors
    ///
    /// What recv(2) says.
    pub fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::read(&self.source, cx, buf)
    }

    /// As [`read`](UnixStream::read) into several buffers, filling one after the other: at most 1024 of them
    /// in a call.
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

    /// Reads until `buf` is full.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes of `buf` have been read.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count; its kind is `UnexpectedEof` if the peer ended too early.
    pub fn read_exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete> {
        cx_io::read_exact(cx, buf, |cx, buf| transfer::read(&self.source, cx, buf))
    }

    /// As [`read`](UnixStream::read), but leaves what it has read for the next read.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    pub fn peek(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::peek(&self.source, cx, buf)
    }

    /// Reads what is there, at most 16 KiB, and shows it to `f` in a buffer of the worker. See
    /// [`TcpStream::read_with`](crate::net::TcpStream::read_with).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken, and `f` was not called.
    ///
    /// # Errors
    ///
    /// What recv(2) says. `f` was not called.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller. The bytes are taken then.
    pub fn read_with<R>(&mut self, cx: &mut Cx, f: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        transfer::read_with(&self.source, cx, f)
    }

    /// Whether a read would not wait now: there is something, or the end, or an error. Never waits.
    ///
    /// An idle connection that is readable has been closed by its peer, or has been sent what nobody has
    /// asked for: in both cases it is of no use for the next request.
    ///
    /// # Errors
    ///
    /// What poll(2) says.
    pub fn is_readable(&self) -> io::Result<bool> {
        os::is_readable(&self.source)
    }

    /// Writes as much of `data` as the socket takes, and says how much; waits only if it takes nothing.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was sent.
    ///
    /// # Errors
    ///
    /// What send(2) says, most often `BrokenPipe`.
    pub fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        transfer::write(&self.source, cx, data)
    }

    /// As [`write`](UnixStream::write), as if the buffers were one: at most 1024 of them in a call.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was sent.
    pub fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        transfer::write_vectored(&self.source, cx, bufs)
    }

    /// Writes all of `data`.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been sent, and the
    /// rest has not.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count.
    pub fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        cx_io::write_all(cx, data, |cx, data| transfer::write(&self.source, cx, data))
    }

    /// Sends a part of a file, as [`TcpStream::send_file`](crate::net::TcpStream::send_file).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been sent, and the
    /// rest has not.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::send_file`](crate::net::TcpStream::send_file).
    pub fn send_file(
        &mut self,
        cx: &mut Cx,
        file: impl AsFd,
        offset: u64,
        length: u64,
    ) -> Result<(), Incomplete> {
        send_file(&self.source, cx, file.as_fd(), offset, length)
    }

    /// Sends descriptors, which stay open here, with `data`. They come with the first byte, so there must be
    /// one. Says how many bytes were sent; all descriptors go with the first of them.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was sent, neither bytes nor descriptors.
    ///
    /// # Errors
    ///
    /// What sendmsg(2) says; `InvalidInput` without data, and for more than 253 descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::net::UnixStream;
    /// use std::io::Read;
    /// use std::os::fd::AsFd;
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let (mut left, mut right) = UnixStream::pair()?;
    ///     let file = std::fs::File::open("Cargo.toml")?;
    ///     left.send_with_fds(cx, b"!", &[file.as_fd()])?;
    ///
    ///     let received = right.recv_with_fds(cx, &mut [0], 1)?;
    ///     assert_eq!((received.count, received.fds_lost), (1, false));
    ///     let mut text = String::new();
    ///     for fd in received.fds {
    ///         std::fs::File::from(fd).read_to_string(&mut text)?;
    ///     }
    ///     assert!(text.contains("conbrio"));
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn send_with_fds(
        &mut self,
        cx: &mut Cx,
        data: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<usize, Error> {
        if data.is_empty() {
            cx.checkpoint()?;
            let message = "send descriptors without data: a stream carries them with a byte";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
        }
        fds::send(&self.source, cx, data, fds, None)
    }

    /// As [`read`](UnixStream::read), with the descriptors that were sent with the bytes, `fds_max` at most.
    /// Reading stops behind a byte that has some, so that they are never mixed with those of a later byte.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel neither a byte nor a descriptor was taken.
    ///
    /// # Errors
    ///
    /// What recvmsg(2) says; `InvalidInput` if `buf` is empty. That this process has too many files open is
    /// no error: [`fds_lost`](WithFds::fds_lost) says so.
    pub fn recv_with_fds(
        &mut self,
        cx: &mut Cx,
        buf: &mut [u8],
        fds_max: usize,
    ) -> Result<WithFds, Error> {
        if buf.is_empty() {
            cx.checkpoint()?;
            let message = "receive descriptors into no buffer: a stream carries them with a byte";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
        }
        Ok(fds::receive(&self.source, cx, buf, fds_max)?.0)
    }

    /// Ends one direction or both. After the end of the write half the peer reads all that was written,
    /// and then the end, while this side can go on reading.
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// What shutdown(2) says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        os::shutdown(&self.source, how)
    }

    /// Joins the stream with `cx`, for libraries that know only [`std::io::Read`] and [`std::io::Write`].
    /// See [`With`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    pub fn with<'a>(&'a mut self, cx: &'a mut Cx) -> With<'a, UnixStream> {
        With::new(self, cx)
    }

    /// Splits the stream into a half to read from and a half to write to, which two children can use at
    /// once. Costs nothing. The stream is whole again when the halves are gone.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf::new(self), WriteHalf::new(self))
    }

    /// As [`split`](UnixStream::split), with halves that own the stream together: the connection closes when
    /// both are gone. Dropping the write half ends its direction. Costs an allocation.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        owned::split(self)
    }

    /// The address of this side; a stream that has connected has none.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        address::local(&self.source)
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// What getpeername(2) says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        address::peer(&self.source)
    }

    /// Who the peer is: which user, and which process.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        credentials::of_peer(&self.source)
    }

    /// Takes the error that the connection has met and nobody has seen (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        os::take_error(&self.source)
    }

    /// How many bytes that the peer has not read the system keeps (`SO_SNDBUF`). On Linux that counts its own
    /// bookkeeping as well, and is twice what was set.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        SockRef::from(&self.source).send_buffer_size()
    }

    /// How many bytes that the peer has not read the system should keep. It takes at most
    /// `net.core.wmem_max`. A Unix socket has no receive buffer besides.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(&self.source).set_send_buffer_size(bytes)
    }

    /// Takes over a stream of the standard library, which becomes non-blocking, and so do its clones.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        stream.set_nonblocking(true)?;
        Ok(UnixStream { source: Source::new(stream.into()) })
    }

    /// Makes it a stream of the standard library, in blocking mode.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        let stream = std::os::unix::net::UnixStream::from(self.source.into_fd());
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Takes a connected socket that this crate has made.
    pub(super) fn from_source(source: Source) -> UnixStream {
        UnixStream { source }
    }
}

/// How long a connect pauses before it looks whether the listener has room.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

impl Read for UnixStream {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.read(cx, buf)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        self.read_vectored(cx, bufs)
    }
}

impl Write for UnixStream {
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

/// [`shutdown`](UnixStream::shutdown) of the write half, which never waits. A checkpoint all the same.
impl HalfClose for UnixStream {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        Ok(self.shutdown(Shutdown::Write)?)
    }
}

impl Split for UnixStream {
    type Reader<'a> = ReadHalf<'a>;
    type Writer<'a> = WriteHalf<'a>;

    fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        // The method of the type itself, which has the same name.
        UnixStream::split(self)
    }
}

impl SocketStream for UnixStream {
    type Address = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }
}

impl Sealed for UnixStream {
    fn source(&self) -> &Source {
        &self.source
    }
}

/// For options of the socket. Do not read from it, write to it, or make it blocking.
impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for UnixStream {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

/// The descriptor is in non-blocking mode.
impl From<UnixStream> for OwnedFd {
    fn from(stream: UnixStream) -> OwnedFd {
        stream.source.into_fd()
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixStream")
            .field("fd", &self.source.as_raw_fd())
            .field("local", &self.local_addr().ok())
            .field("peer", &self.peer_addr().ok())
            .finish()
    }
}
