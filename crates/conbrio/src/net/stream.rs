//! A TCP connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use conbrio_reactor::{Source, os};
use socket2::SockRef;

use super::send_file::send_file;
use super::socket_stream::{Sealed, SocketStream};
use super::{ConnectOptions, OwnedReadHalf, OwnedWriteHalf, ReadHalf, ToAddrs, WriteHalf};
use super::{owned, transfer};
use crate::io::{self as cx_io, Error, Incomplete, Read, With, Write};
use crate::task::Cx;

/// A TCP connection.
///
/// Reading and writing take `&mut`; [`split`](TcpStream::split) it to do both at once. Dropping it closes
/// the connection: what was written is still delivered, unless the peer has sent data that nobody read;
/// then the peer sees a reset.
///
/// `TCP_NODELAY` is on in every stream that this crate connects or accepts, so that small writes leave at
/// once. Write messages whole, or through a [`BufWriter`](crate::io::BufWriter).
///
/// A peer that has gone makes writes fail with `BrokenPipe` or `ConnectionReset`; no signal is raised.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
///
/// fn fetch(cx: &mut Cx, host: &str) -> std::io::Result<String> {
///     use conbrio::io::Read;
///
///     let mut stream = TcpStream::connect(cx, host)?;
///     stream.write_all(cx, b"GET / HTTP/1.0\r\n\r\n")?;
///     let mut page = String::new();
///     stream.read_to_string(cx, &mut page)?;
///     Ok(page)
/// }
/// # conbrio::run(|cx| {
/// #     let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
/// #     let host = listener.local_addr().unwrap().to_string();
/// #     cx.nursery(|cx, n| -> std::io::Result<()> {
/// #         n.spawn(move |cx| {
/// #             let (mut stream, _) = listener.accept(cx)?;
/// #             stream.read_exact(cx, &mut [0; 18])?;
/// #             stream.write_all(cx, b"HTTP/1.0 200 OK\r\n\r\nhello")?;
/// #             Ok(())
/// #         });
/// #         assert!(fetch(cx, &host)?.ends_with("hello"));
/// #         Ok(())
/// #     })
/// #     .unwrap();
/// # });
/// ```
pub struct TcpStream {
    source: Source,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers.
    ///
    /// Names are resolved first, see [`ToAddrs`]. Of several addresses another one is tried every 250 ms, and
    /// at once when one has failed, beside those that have not answered yet; the second one is of the other
    /// family, if there is one (RFC 8305, "Happy Eyeballs"). When the first has answered, the others are
    /// called off, and their sockets have been closed when this returns. There is no time limit but the
    /// system's, some minutes: put it into [`Cx::fail_after`]. For a local address or other options see
    /// [`ConnectOptions`].
    ///
    /// Costs some system calls, and a wait.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel all sockets have been closed; peers may have seen a connection that
    /// ended at once.
    ///
    /// # Errors
    ///
    /// What the resolver says, or [each address](super::AddressErrors) with what was wrong there; the kind is
    /// that of the last.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let listener = TcpListener::bind(cx, "127.0.0.1:0")?;
    ///     let address = listener.local_addr()?;
    ///     let stream = cx.fail_after(Duration::from_secs(5), |cx| TcpStream::connect(cx, address))?;
    ///     assert_eq!(stream.peer_addr()?, address);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn connect(cx: &mut Cx, address: impl ToAddrs) -> Result<TcpStream, Error> {
        ConnectOptions::new().connect(cx, address)
    }

    /// Reads what is there, at most as much as `buf` holds, and waits only if there is nothing. Zero is
    /// the end: the peer has shut down its direction. (Or `buf` is empty.)
    ///
    /// Costs one system call if there is data.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken.
    ///
    /// # Errors
    ///
    /// What recv(2) says, most often `ConnectionReset`.
    pub fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::read(&self.source, cx, buf)
    }

    /// Reads what is there, at most 16 KiB, and shows it to `f` in a buffer of the worker; waits only if
    /// there is nothing. Nothing to see is the end: the peer has shut down its direction.
    ///
    /// A [`read`](TcpStream::read) ties up its buffer for as long as it waits. This ties up none, so that
    /// a server with many idle connections needs memory only for the few that have something to say. The
    /// bytes are gone when `f` returns: what is needed later, it has to copy.
    ///
    /// Costs one system call if there is data.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken, and `f` was not called.
    ///
    /// # Errors
    ///
    /// What recv(2) says, most often `ConnectionReset`. `f` was not called.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller. The bytes are taken then.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// /// Counts the lines that the peer sends, and keeps nothing of them.
    /// fn count_lines(cx: &mut Cx, stream: &mut TcpStream) -> std::io::Result<usize> {
    ///     let mut lines = 0;
    ///     while stream.read_with(cx, |bytes| {
    ///         lines += bytes.iter().filter(|byte| **byte == b'\n').count();
    ///         !bytes.is_empty()
    ///     })? {}
    ///     Ok(lines)
    /// }
    /// # conbrio::run(|cx| {
    /// #     let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
    /// #     let mut stream = TcpStream::connect(cx, listener.local_addr().unwrap()).unwrap();
    /// #     let (mut peer, _) = listener.accept(cx).unwrap();
    /// #     peer.write_all(cx, b"one\ntwo\nthree").unwrap();
    /// #     drop(peer);
    /// #     assert_eq!(count_lines(cx, &mut stream).unwrap(), 2);
    /// # });
    /// ```
    pub fn read_with<R>(&mut self, cx: &mut Cx, f: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        transfer::read_with(&self.source, cx, f)
    }

    /// As [`read`](TcpStream::read) into several buffers, filling one after the other: at most 1024 of them
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

    /// As [`read`](TcpStream::read), but leaves what it has read for the next read.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    pub fn peek(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        transfer::peek(&self.source, cx, buf)
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
    /// Costs one system call if there is room.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was sent.
    ///
    /// # Errors
    ///
    /// What send(2) says, most often `BrokenPipe` or `ConnectionReset`.
    pub fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        transfer::write(&self.source, cx, data)
    }

    /// As [`write`](TcpStream::write), as if the buffers were one: at most 1024 of them in a call.
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
    /// rest has not. A peer that must not see half a message needs a shield around this call:
    /// `cx.shield(|cx| stream.write_all(cx, message))`.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count.
    pub fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        cx_io::write_all(cx, data, |cx, data| transfer::write(&self.source, cx, data))
    }

    /// Sends `length` bytes of a file, from `offset` on, without copying them through this process.
    ///
    /// It pays from about 64 KiB on, and more the more there is; less is cheaper to read and to write together
    /// with what goes before it, as the head of a response. The position of the file is neither used nor moved. What is not
    /// in memory is read on another thread first, so that the worker never waits for a disk. Files and
    /// sockets that sendfile(2) does not take, and simulated streams, are served by reading and writing.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been sent, and the
    /// rest has not.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count; its kind is `UnexpectedEof` if the file is shorter.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::fs::File;
    ///
    /// fn send(cx: &mut Cx, stream: &mut TcpStream, path: &str) -> std::io::Result<()> {
    ///     let file = File::open(path)?;
    ///     let length = file.metadata()?.len();
    ///     stream.write_all(cx, format!("{length}\n").as_bytes())?;
    ///     Ok(stream.send_file(cx, &file, 0, length)?)
    /// }
    /// # conbrio::run(|cx| {
    /// #     let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
    /// #     let mut stream = TcpStream::connect(cx, listener.local_addr().unwrap()).unwrap();
    /// #     let (mut peer, _) = listener.accept(cx).unwrap();
    /// #     send(cx, &mut stream, "Cargo.toml").unwrap();
    /// #     drop(stream);
    /// #     let mut text = String::new();
    /// #     conbrio::io::Read::read_to_string(&mut peer, cx, &mut text).unwrap();
    /// #     assert!(text.ends_with(&std::fs::read_to_string("Cargo.toml").unwrap()));
    /// # });
    /// ```
    pub fn send_file(
        &mut self,
        cx: &mut Cx,
        file: impl AsFd,
        offset: u64,
        length: u64,
    ) -> Result<(), Incomplete> {
        send_file(&self.source, cx, file.as_fd(), offset, length)
    }

    /// Ends one direction or both. After the end of the write half the peer reads all that was written,
    /// and then the end, while this side can go on reading.
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the peer has ended the connection.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        os::shutdown(&self.source, how)
    }

    /// Joins the stream with `cx`, for libraries that know only [`std::io::Read`] and [`std::io::Write`].
    /// See [`With`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::io::{BufRead, BufReader, Write};
    ///
    /// fn ask(cx: &mut Cx, stream: &mut TcpStream, question: &str) -> std::io::Result<String> {
    ///     let mut stream = BufReader::new(stream.with(cx));
    ///     writeln!(stream.get_mut(), "{question}")?;
    ///     let mut answer = String::new();
    ///     stream.read_line(&mut answer)?;
    ///     Ok(answer)
    /// }
    /// # conbrio::run(|cx| {
    /// #     let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
    /// #     let mut stream = TcpStream::connect(cx, listener.local_addr().unwrap()).unwrap();
    /// #     let (mut peer, _) = listener.accept(cx).unwrap();
    /// #     peer.write_all(cx, b"blue\n").unwrap();
    /// #     assert_eq!(ask(cx, &mut stream, "colour?").unwrap(), "blue\n");
    /// # });
    /// ```
    ///
    /// The `cx` is taken as long as it lives:
    ///
    /// ```compile_fail,E0499
    /// use conbrio::prelude::*;
    /// use std::io::Read;
    ///
    /// fn both(cx: &mut Cx, stream: &mut TcpStream) {
    ///     let mut with = stream.with(cx);
    ///     cx.checkpoint().unwrap();
    ///     with.read(&mut [0]).unwrap();
    /// }
    /// ```
    pub fn with<'a>(&'a mut self, cx: &'a mut Cx) -> With<'a, TcpStream> {
        With::new(self, cx)
    }

    /// Splits the stream into a half to read from and a half to write to, which two children can use at
    /// once. Costs nothing. The stream is whole again when the halves are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// /// Sends `data` while it receives, so that neither side waits for the other.
    /// fn exchange(cx: &mut Cx, stream: &mut TcpStream, data: &[u8]) -> std::io::Result<Vec<u8>> {
    ///     let (mut reader, mut writer) = stream.split();
    ///     let mut received = vec![0; data.len()];
    ///     cx.nursery(|cx, n| {
    ///         n.spawn(move |cx| Ok(writer.write_all(cx, data)?));
    ///         reader.read_exact(cx, &mut received)?;
    ///         Ok(())
    ///     })?;
    ///     Ok(received)
    /// }
    /// # conbrio::run(|cx| {
    /// #     let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
    /// #     let mut stream = TcpStream::connect(cx, listener.local_addr().unwrap()).unwrap();
    /// #     let (mut peer, _) = listener.accept(cx).unwrap();
    /// #     peer.write_all(cx, b"pong").unwrap();
    /// #     assert_eq!(exchange(cx, &mut stream, b"ping").unwrap(), b"pong");
    /// # });
    /// ```
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf::new(self), WriteHalf::new(self))
    }

    /// As [`split`](TcpStream::split), with halves that own the stream together: the connection closes when
    /// both are gone. Dropping the write half ends its direction. Costs an allocation.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        owned::split(self)
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

    /// Takes the error that the connection has met and nobody has seen (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        os::take_error(&self.source)
    }

    /// Takes over a stream of the standard library. Its options stay as they are; it becomes
    /// non-blocking, and so do its clones.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        // Not `new_tcp`: nobody knows how it was set up, and with TLS in the kernel a short read does not
        // mean that there is no more. The price is one system call more before each wait.
        Ok(TcpStream { source: Source::new(stream.into()) })
    }

    /// Makes it a stream of the standard library, in blocking mode.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        let stream = std::net::TcpStream::from(self.source.into_fd());
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Takes a connected socket that this crate has made.
    pub(super) fn from_source(source: Source) -> TcpStream {
        TcpStream { source }
    }

    pub(super) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.source)
    }
}

impl Read for TcpStream {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.read(cx, buf)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        self.read_vectored(cx, bufs)
    }
}

impl Write for TcpStream {
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

impl SocketStream for TcpStream {
    type Address = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }
}

impl Sealed for TcpStream {
    fn source(&self) -> &Source {
        &self.source
    }
}

/// For options of the socket. Do not read from it, write to it, or make it blocking.
impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

/// The descriptor is in non-blocking mode.
impl From<TcpStream> for OwnedFd {
    fn from(stream: TcpStream) -> OwnedFd {
        stream.source.into_fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream")
            .field("fd", &self.source.as_raw_fd())
            .field("local", &self.local_addr().ok())
            .field("peer", &self.peer_addr().ok())
            .finish()
    }
}
