//! Making sources: sockets and pipes, close-on-exec and non-blocking from the start.
//!
//! Owns the order of the system calls and the words of their errors. What takes a source serves simulated
//! ones as well; those are made by the methods of a [`Reactor`](crate::Reactor). Options of a socket that exists
//! are set with `socket2::SockRef::from(&source)`, which needs nothing from here.

use std::ffi::OsStr;
use std::io;
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net as unix;
use std::path::Path;
use std::slice;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny};
use rustix::pipe::PipeFlags;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::{Source, sim};

/// How a listener is made.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct ListenOptions {
    /// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
    pub backlog: i32,
    /// `SO_REUSEADDR`: bind although old connections of this address linger in TIME_WAIT.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: share the port with other listeners that set it too.
    pub reuse_port: bool,
    /// `IPV6_V6ONLY` for an IPv6 address; none leaves it at the system's default.
    pub only_v6: Option<bool>,
}

impl Default for ListenOptions {
    /// A backlog of 4096, with `SO_REUSEADDR`.
    fn default() -> ListenOptions {
        ListenOptions { backlog: 4096, reuse_address: true, reuse_port: false, only_v6: None }
    }
}

/// A TCP socket that listens at `address`; port 0 lets the system choose ([`local_address`]).
///
/// # Errors
///
/// What socket(2), bind(2) and listen(2) say, with the address.
pub fn tcp_listener(address: SocketAddr, options: ListenOptions) -> io::Result<Source> {
    let named = |error| context(format!("listen on {address}"), error);
    let socket =
        socket(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(named)?;
    socket.set_reuse_address(options.reuse_address).map_err(named)?;
    if options.reuse_port {
        socket.set_reuse_port(true).map_err(named)?;
    }
    if let Some(only_v6) = options.only_v6.filter(|_| address.is_ipv6()) {
        socket.set_only_v6(only_v6).map_err(named)?;
    }
    socket.bind(&address.into()).map_err(named)?;
    socket.listen(options.backlog).map_err(named)?;
    Ok(Source::new(socket.into()))
}

/// A TCP socket that is not connected, of the family of `peer`; [`crate::op::Connect`] goes on.
///
/// # Errors
///
/// What socket(2) says.
pub fn tcp_socket(peer: SocketAddr) -> io::Result<Source> {
    let socket = socket(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))
        .map_err(|error| context(format!("open a socket to {peer}"), error))?;
    Ok(Source::new_tcp(socket.into()))
}

/// How a UDP socket is made.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub struct UdpOptions {
    /// `SO_REUSEADDR`: share the address with other sockets that set it too.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: share the port, and the senders, with other sockets that set it too.
    pub reuse_port: bool,
    /// `IPV6_V6ONLY` for an IPv6 address; none leaves it at the system's default.
    pub only_v6: Option<bool>,
}

/// A UDP socket bound to `address`; port 0 lets the system choose.
///
/// # Errors
///
/// What socket(2) and bind(2) say, with the address.
pub fn udp_socket(address: SocketAddr) -> io::Result<Source> {
    udp_socket_with(address, UdpOptions::default())
}

/// As [`udp_socket`], with options.
///
/// # Errors
///
/// As [`udp_socket`].
pub fn udp_socket_with(address: SocketAddr, options: UdpOptions) -> io::Result<Source> {
    let named = |error| context(format!("bind a UDP socket to {address}"), error);
    let socket =
        socket(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP)).map_err(named)?;
    if options.reuse_address {
        socket.set_reuse_address(true).map_err(named)?;
    }
    if options.reuse_port {
        socket.set_reuse_port(true).map_err(named)?;
    }
    if let Some(only_v6) = options.only_v6.filter(|_| address.is_ipv6()) {
        socket.set_only_v6(only_v6).map_err(named)?;
    }
    socket.bind(&address.into()).map_err(named)?;
    Ok(Source::new(socket.into()))
}

/// A Unix stream socket that listens at `path`, which must not exist yet.
///
/// # Errors
///
/// What socket(2), bind(2) and listen(2) say, with the path.
pub fn unix_listener(path: &Path, backlog: i32) -> io::Result<Source> {
    let named = |error| context(format!("listen on {}", path.display()), error);
    let socket = socket(Domain::UNIX, Type::STREAM, None).map_err(named)?;
    socket.bind(&SockAddr::unix(path).map_err(named)?).map_err(named)?;
    socket.listen(backlog).map_err(named)?;
    Ok(Source::new(socket.into()))
}

/// A Unix stream socket that is not connected.
///
/// # Errors
///
/// What socket(2) says.
pub fn unix_socket() -> io::Result<Source> {
    let socket = socket(Domain::UNIX, Type::STREAM, None)
        .map_err(|error| context("open a unix socket", error))?;
    Ok(Source::new(socket.into()))
}

/// Two Unix stream sockets that are connected to each other.
///
/// # Errors
///
/// What socketpair(2) says.
pub fn unix_pair() -> io::Result<(Source, Source)> {
    let (left, right) = Socket::pair_raw(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)
        .map_err(|error| context("open a pair of unix sockets", error))?;
    Ok((Source::new(left.into()), Source::new(right.into())))
}

/// A pipe: the end to read from, then the end to write to.
///
/// # Errors
///
/// What pipe2(2) says.
pub fn pipe() -> io::Result<(Source, Source)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(|error| context("open a pipe", error.into()))?;
    Ok((Source::new(read), Source::new(write)))
}

/// The address that an IP socket is bound to.
///
/// # Errors
///
/// What getsockname(2) says; `InvalidInput` for a socket of another family.
pub fn local_address(source: &Source) -> io::Result<SocketAddr> {
    if let Some(half) = source.half() {
        return Ok(half.local_address());
    }
    ip(SockRef::from(source).local_addr()?)
}

/// The address that an IP socket is connected to.
///
/// # Errors
///
/// `NotConnected`; `InvalidInput` for a socket of another family.
pub fn peer_address(source: &Source) -> io::Result<SocketAddr> {
    if let Some(half) = source.half() {
        return half.peer_address();
    }
    ip(SockRef::from(source).peer_addr()?)
}

/// What a system call has said of a Unix socket. No address, and one that the type of the standard library
/// does not hold (a path of 108 bytes without a zero behind it), is that of an unnamed socket.
#[must_use]
pub fn unix_address(address: Option<SocketAddrAny>) -> unix::SocketAddr {
    let unnamed =
        || unix::SocketAddr::from_pathname("").expect("an empty path is an unnamed socket");
    let Some(address) = address.filter(|it| it.address_family() == AddressFamily::UNIX) else {
        return unnamed();
    };
    let (start, length) = (address.as_ptr().cast::<u8>(), address.addr_len() as usize);
    // SAFETY: the address has that many bytes, and nobody changes them.
    let bytes = unsafe { slice::from_raw_parts(start, length) };
    let decoded = match bytes.get(mem::offset_of!(libc::sockaddr_un, sun_path)..) {
        None | Some([]) => return unnamed(),
        Some([0, name @ ..]) => unix::SocketAddr::from_abstract_name(name),
        Some(path) => {
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            unix::SocketAddr::from_pathname(OsStr::from_bytes(path))
        }
    };
    decoded.unwrap_or_else(|_| unnamed())
}

/// Ends one or both directions of a connection; waits on this socket end with it.
///
/// # Errors
///
/// What shutdown(2) says.
pub fn shutdown(source: &Source, how: Shutdown) -> io::Result<()> {
    if let Some(half) = source.half() {
        return half.shutdown(how);
    }
    SockRef::from(source).shutdown(how)
}

/// Binds a socket that is not bound yet; port 0 lets the system choose.
///
/// # Errors
///
/// What bind(2) says.
pub fn bind(source: &Source, address: SocketAddr) -> io::Result<()> {
    if source.half().is_some() {
        return sim::bind(source, address);
    }
    SockRef::from(source).bind(&address.into())
}

/// Chooses whom a UDP socket sends to and receives from; that never waits. For streams see
/// [`crate::op::Connect`].
///
/// # Errors
///
/// What connect(2) says.
pub fn connect_udp(source: &Source, peer: SocketAddr) -> io::Result<()> {
    if let Some(half) = source.half() {
        return half.connect_datagrams(peer);
    }
    SockRef::from(source).connect(&peer.into())
}

/// Whether receiving would not wait: there is something, or the end, or an error.
///
/// # Errors
///
/// What poll(2) says.
pub fn is_readable(source: &Source) -> io::Result<bool> {
    if let Some(half) = source.half() {
        return Ok(half.is_readable());
    }
    let mut fds = [PollFd::new(source, PollFlags::IN | PollFlags::RDHUP)];
    loop {
        match rustix::event::poll(&mut fds, Some(&Timespec::default())) {
            // Without a timeout, a signal that came meanwhile is all that can interrupt it.
            Err(Errno::INTR) => {}
            polled => return Ok(polled? > 0),
        }
    }
}

/// Takes the error that a socket has met and nobody has seen (`SO_ERROR`).
///
/// # Errors
///
/// What getsockopt(2) says.
pub fn take_error(source: &Source) -> io::Result<Option<io::Error>> {
    if let Some(half) = source.half() {
        return Ok(half.take_error());
    }
    SockRef::from(source).take_error()
}

fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    Socket::new_raw(domain, kind.nonblocking().cloexec(), protocol)
}

fn ip(address: SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the socket has no IP address: it is of another family",
        )
    })
}

/// An error of the system with what was being done when it came.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
struct Context {
    what: String,
    source: io::Error,
}

/// Says what was being done. The kind stays, and the system's own error is the source.
pub(crate) fn context(what: impl Into<String>, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), Context { what: what.into(), source })
}
