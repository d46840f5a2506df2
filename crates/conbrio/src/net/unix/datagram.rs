//! A Unix socket for datagrams.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use conbrio_reactor::{Source, op, os};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::{WithFds, address, fds};
use crate::io::Error;
use crate::lowlevel::perform;
use crate::task::Cx;

/// A Unix socket for datagrams, which arrive whole, in order, and once. A sender waits while the receiver
/// has no room.
///
/// Receiving takes `&mut`, so that there is one receiver; [`try_clone`](UnixDatagram::try_clone) makes a
/// second socket for another task. Dropping it leaves its file, if it has one.
///
/// # Examples
///
/// ```
/// use conbrio::net::UnixDatagram;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let (mut left, mut right) = UnixDatagram::pair()?;
///     left.send(cx, b"first")?;
///     left.send(cx, b"")?;
///     let mut buf = [0; 16];
///     assert_eq!(right.recv(cx, &mut buf)?, 5);
///     assert_eq!(right.recv(cx, &mut buf)?, 0);
///     Ok(())
/// })
/// .unwrap();
/// ```
pub struct UnixDatagram {
    source: Source,
}

impl UnixDatagram {
    /// Makes a socket that others can send to at `path`, which must not exist.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`](super::UnixListener::bind).
    pub fn bind(cx: &mut Cx, path: impl AsRef<Path>) -> Result<UnixDatagram, Error> {
        cx.checkpoint()?;
        let address = address::of_path("bind to", path.as_ref())?;
        UnixDatagram::bind_addr(cx, &address)
    }

    /// As [`bind`](UnixDatagram::bind), at an address: that of a path, an abstract name, or the unnamed one,
    /// for which the system makes an abstract name up.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`](super::UnixListener::bind).
    pub fn bind_addr(cx: &mut Cx, address: &SocketAddr) -> Result<UnixDatagram, Error> {
        cx.checkpoint()?;
        address::real(cx, "bind to", address)?;
        let named = |error| address::named("bind to", address, error);
        let socket = UnixDatagram::unbound()?;
        let to = address::to_system(address).map_err(named)?;
        rustix::net::bind(&socket, &to).map_err(|error| named(error.into()))?;
        Ok(socket)
    }

    /// A socket without a name: it can send, and receive if it is given a name or a peer.
    ///
    /// Never waits. In a simulated run it is sending and receiving that fails.
    ///
    /// # Errors
    ///
    /// What socket(2) says, most often that the limit of open files is reached.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { source: Source::new(new_socket()?) })
    }

    /// Two sockets that are connected to each other and have no names.
    ///
    /// Never waits. In a simulated run it is sending and receiving that fails.
    ///
    /// # Errors
    ///
    /// What socketpair(2) says, most often that the limit of open files is reached.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (left, right) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, NEW_FD, None)?;
        let socket = |fd| UnixDatagram { source: Source::new(fd) };
        Ok((socket(left), socket(right)))
    }

    /// Chooses the socket at `path` as the peer: [`send`](UnixDatagram::send) sends there, and only what
    /// comes from there is received. It can be called again. Nobody else can send to a socket with a peer.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the peer is the one from before.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such path, `ConnectionRefused` if nobody has it any more, `PermissionDenied`.
    pub fn connect(&mut self, cx: &mut Cx, path: impl AsRef<Path>) -> Result<(), Error> {
        cx.checkpoint()?;
        let address = address::of_path("connect to", path.as_ref())?;
        self.connect_addr(cx, &address)
    }

    /// As [`connect`](UnixDatagram::connect), to an address.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the peer is the one from before.
    ///
    /// # Errors
    ///
    /// As [`connect`](UnixDatagram::connect).
    pub fn connect_addr(&mut self, cx: &mut Cx, address: &SocketAddr) -> Result<(), Error> {
        cx.checkpoint()?;
        address::real(cx, "connect to", address)?;
        let named = |error| address::named("connect to", address, error);
        let to = address::to_system(address).map_err(named)?;
        rustix::net::connect(&self.source, &to).map_err(|error| named(error.into()))?;
        Ok(())
    }

    /// Sends `data` as one datagram to the peer, and says how many bytes that were, which is all. Waits
    /// while the peer has no room for it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was sent.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is no peer, `ConnectionRefused` or `ConnectionReset` if it has gone; that the
    /// datagram is too long (`EMSGSIZE`).
    pub fn send(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        perform(cx, &mut op::Send::new(&self.source, data))
    }

    /// Sends `data` as one datagram to the socket at `path`. See [`send`](UnixDatagram::send).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was sent.
    ///
    /// # Errors
    ///
    /// As [`send`](UnixDatagram::send) and [`connect`](UnixDatagram::connect), with the path.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::net::UnixDatagram;
    ///
    /// # let folder = std::env::temp_dir().join(format!("conbrio-doc-send-to-{}", std::process::id()));
    /// # std::fs::create_dir(&folder)?;
    /// # let path = folder.join("log");
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let mut log = UnixDatagram::bind(cx, &path)?;
    ///     UnixDatagram::unbound()?.send_to(cx, b"it works", &path)?;
    ///     let mut line = [0; 1024];
    ///     let (count, from) = log.recv_from(cx, &mut line)?;
    ///     assert_eq!(&line[..count], b"it works");
    ///     assert!(from.is_unnamed());
    ///     Ok(())
    /// })
    /// .unwrap();
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_to(
        &mut self,
        cx: &mut Cx,
        data: &[u8],
        path: impl AsRef<Path>,
    ) -> Result<usize, Error> {
        cx.checkpoint()?;
        let address = address::of_path("send to", path.as_ref())?;
        self.send_to_addr(cx, data, &address)
    }

    /// As [`send_to`](UnixDatagram::send_to), to an address.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was sent.
    ///
    /// # Errors
    ///
    /// As [`send_to`](UnixDatagram::send_to).
    pub fn send_to_addr(
        &mut self,
        cx: &mut Cx,
        data: &[u8],
        address: &SocketAddr,
    ) -> Result<usize, Error> {
        cx.checkpoint()?;
        address::real(cx, "send to", address)?;
        let named = |error| address::named("send to", address, error);
        let to = address::to_system(address).map_err(named)?;
        let mut waits = [Room::AtTheReceiver, Room::Here].into_iter().cycle();
        loop {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::sendto(&self.source, data, flags, &to) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => cx.checkpoint()?,
                // Nothing says where the room is missing, so one is waited for after the other; a wait for
                // room that is there ends at once.
                Err(Errno::AGAIN) => match waits.next() {
                    Some(Room::Here) => perform(cx, &mut op::Readiness::writable(&self.source))?,
                    _ => wait_for_receiver(cx, &to)?,
                },
                Err(error) => return Err(named(error.into()).into()),
            }
        }
    }

    /// Sends `data` as one datagram to the peer, with descriptors, which stay open here.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was sent, neither bytes nor descriptors.
    ///
    /// # Errors
    ///
    /// As [`send`](UnixDatagram::send); `InvalidInput` for more than 253 descriptors.
    pub fn send_with_fds(
        &mut self,
        cx: &mut Cx,
        data: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<usize, Error> {
        fds::send(&self.source, cx, data, fds, None)
    }

    /// The next datagram and the address of its sender, who may have none. Returns how much of `buf` it
    /// fills; what does not fit is lost. A datagram may be empty.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no datagram was taken.
    ///
    /// # Errors
    ///
    /// What recvfrom(2) says.
    pub fn recv_from(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.receive_from(cx, buf, RecvFlags::DONTWAIT)
    }

    /// As [`recv_from`](UnixDatagram::recv_from), without the address.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no datagram was taken.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UnixDatagram::recv_from).
    pub fn recv(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        perform(cx, &mut op::Recv::new(&self.source, buf))
    }

    /// As [`recv`](UnixDatagram::recv), but leaves the datagram, the whole of it, for the next call.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UnixDatagram::recv_from).
    pub fn peek(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        perform(cx, &mut op::Recv::peek(&self.source, buf))
    }

    /// As [`recv_from`](UnixDatagram::recv_from), but leaves the datagram, the whole of it, for the next
    /// call.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UnixDatagram::recv_from).
    pub fn peek_from(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.receive_from(cx, buf, RecvFlags::DONTWAIT | RecvFlags::PEEK)
    }

    fn receive_from(
        &self,
        cx: &mut Cx,
        buf: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(usize, SocketAddr), Error> {
        let step = |source| {
            let (count, _, from) = rustix::net::recvfrom(source, &mut *buf, flags)?;
            Ok((count, from))
        };
        let (count, from) = perform(cx, &mut op::Step::receive(&self.source, step))?;
        Ok((count, os::unix_address(from)))
    }

    /// The next datagram, with the descriptors that were sent with it, `fds_max` at most, and the address of
    /// its sender.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no datagram was taken, and no descriptor.
    ///
    /// # Errors
    ///
    /// What recvmsg(2) says. That this process has too many files open is no error:
    /// [`fds_lost`](WithFds::fds_lost) says so.
    pub fn recv_with_fds(
        &mut self,
        cx: &mut Cx,
        buf: &mut [u8],
        fds_max: usize,
    ) -> Result<(WithFds, SocketAddr), Error> {
        fds::receive(&self.source, cx, buf, fds_max)
    }

    /// Ends one direction or both: what was sent is still received, and more cannot be sent.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is no peer.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        os::shutdown(&self.source, how)
    }

    /// The address that it is bound to.
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
    /// `NotConnected` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        address::peer(&self.source)
    }

    /// A second socket with the same address and peer, for another task: each datagram goes to one of them.
    ///
    /// # Errors
    ///
    /// What dup(2) says, most often that the limit of open files is reached.
    pub fn try_clone(&self) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { source: self.source.try_clone()? })
    }

    /// Takes the error that the socket has met and nobody has seen (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        os::take_error(&self.source)
    }

    /// Takes over a socket of the standard library, which becomes non-blocking, and so do its clones.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<UnixDatagram> {
        socket.set_nonblocking(true)?;
        Ok(UnixDatagram { source: Source::new(socket.into()) })
    }

    /// Makes it a socket of the standard library, in blocking mode.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixDatagram> {
        let socket = std::os::unix::net::UnixDatagram::from(self.source.into_fd());
        socket.set_nonblocking(false)?;
        Ok(socket)
    }
}

/// Where there has to be room for a datagram.
#[derive(Clone, Copy)]
enum Room {
    /// In the queue of the receiver, which has a number of places.
    AtTheReceiver,
    /// In the buffer of the sender, which has a number of bytes.
    Here,
}

/// Waits until the receiver has room.
///
/// A socket without a peer is not told when a receiver has room again: it is writable as long as its own
/// buffer has room. One whose peer is the receiver is told, so one is made for that.
fn wait_for_receiver(cx: &mut Cx, to: &SocketAddrUnix) -> Result<(), Error> {
    let envoy = Source::new(new_socket()?);
    match rustix::net::connect(&envoy, to) {
        Ok(()) => perform(cx, &mut op::Readiness::writable(&envoy)),
        // Trying again says what is wrong, or finds room: a receiver that has a peer of its own takes no other
        // one, and has no places to run out of for that peer.
        Err(_) => Ok(cx.checkpoint()?),
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, NEW_FD, None)?)
}

const NEW_FD: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// For options of the socket. Do not receive from it, or make it blocking.
impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for UnixDatagram {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

/// The descriptor is in non-blocking mode.
impl From<UnixDatagram> for OwnedFd {
    fn from(socket: UnixDatagram) -> OwnedFd {
        socket.source.into_fd()
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixDatagram")
            .field("fd", &self.source.as_raw_fd())
            .field("local", &self.local_addr().ok())
            .field("peer", &self.peer_addr().ok())
            .finish()
    }
}
