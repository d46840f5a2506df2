//! A socket that accepts TCP connections.

mod many;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use conbrio_reactor::{Source, op, os};
use socket2::SockRef;

pub use many::listen;

use super::addrs::try_each;
use super::{TcpStream, ToAddrs, host};
use crate::cancel::OrCancelled;
use crate::io::Error;
use crate::lowlevel::perform;
use crate::task::Cx;

/// A socket that accepts TCP connections. Dropping it closes it: connections that were not accepted are
/// reset.
///
/// # Examples
///
/// A server whose children borrow what is on its stack:
///
/// ```
/// use conbrio::prelude::*;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// fn serve(cx: &mut Cx, listener: &mut TcpListener) -> std::io::Result<()> {
///     let connections = AtomicUsize::new(0);
///     cx.nursery(|cx, n| loop {
///         let (mut stream, _) = listener.accept(cx)?;
///         let connections = &connections;
///         n.spawn(move |cx| {
///             let number = connections.fetch_add(1, Ordering::Relaxed);
///             stream.write_all(cx, format!("you are number {number}\n").as_bytes())?;
///             Ok(())
///         });
///     })?;
///     Ok(())
/// }
/// # conbrio::run(|cx| {
/// #     let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
/// #     let address = listener.local_addr().unwrap();
/// #     cx.nursery(|cx, n| -> std::io::Result<()> {
/// #         n.spawn(move |cx| serve(cx, &mut listener));
/// #         let mut stream = TcpStream::connect(cx, address)?;
/// #         stream.read_exact(cx, &mut [0; 17])?;
/// #         n.cancel();
/// #         Ok(())
/// #     })
/// #     .unwrap();
/// # });
/// ```
pub struct TcpListener {
    source: Source,
}

impl TcpListener {
    /// Listens at the first of the addresses where that is possible; port 0 lets the system choose one
    /// ([`local_addr`](TcpListener::local_addr)). For options see [`ListenOptions`]; for all of the addresses
    /// [`listen`].
    ///
    /// The address may be in use by connections that are about to end (`SO_REUSEADDR` is set), and the
    /// streams it accepts have `TCP_NODELAY` on.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound.
    ///
    /// # Errors
    ///
    /// Each address with what was wrong there, most often `AddrInUse`; the kind is that of the last.
    pub fn bind(cx: &mut Cx, address: impl ToAddrs) -> Result<TcpListener, Error> {
        ListenOptions::new().bind(cx, address)
    }

    /// The next connection, and the address of the peer.
    ///
    /// Connections that have died while they waited are skipped. Costs one system call if one waits.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no connection was accepted, and those that wait go on waiting.
    ///
    /// # Errors
    ///
    /// What accept(2) says, most often that the limit of open files is reached (`EMFILE`, `ENFILE`). The
    /// connection then waits on, and so the next call fails at once until a file is closed: wait a little
    /// before it, as in `cx.sleep(Duration::from_millis(100))?`.
    pub fn accept(&mut self, cx: &mut Cx) -> Result<(TcpStream, SocketAddr), Error> {
        loop {
            match perform(cx, &mut op::Accept::new(&self.source)) {
                // `TCP_NODELAY` comes from the listener: tcp(7), "inherited".
                Ok((source, peer)) => return Ok((TcpStream::from_source(source), peer)),
                // Simulated connections have no errors of their own: it is the host of the listener.
                Err(OrCancelled::Failed(error))
                    if error.kind() == io::ErrorKind::NetworkDown && is_simulated(cx) =>
                {
                    return Err(error.into());
                }
                // Every round takes a connection out of the queue and is a checkpoint.
                Err(OrCancelled::Failed(error)) if is_of_the_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        os::local_address(&self.source)
    }

    /// A second listener for the same queue of connections, for another task: each connection goes to one
    /// of them. The two share their options, and the mode that [`into_std`](TcpListener::into_std)
    /// changes.
    ///
    /// # Errors
    ///
    /// What dup(2) says, most often that the limit of open files is reached.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener { source: self.source.try_clone()? })
    }

    /// Takes over a listener of the standard library. It becomes non-blocking, and `TCP_NODELAY` is set,
    /// which the streams inherit.
    ///
    /// # Errors
    ///
    /// What fcntl(2) and setsockopt(2) say.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        Ok(TcpListener { source: Source::new(listener.into()) })
    }

    /// Makes it a listener of the standard library, in blocking mode. Its clones are then blocking too, and
    /// would stop their workers: drop them first.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        let listener = std::net::TcpListener::from(self.source.into_fd());
        listener.set_nonblocking(false)?;
        Ok(listener)
    }
}

fn is_simulated(cx: &Cx) -> bool {
    cx.anchor().worker().simulation().is_some()
}

/// Whether an error of accept(2) is about the connection that was taken out of the queue rather than about
/// the listener or this process: accept(2) passes on errors of the network that are pending on the new
/// socket, and says to treat them "like EAGAIN by retrying". `EPERM` is a firewall's.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::EPERM
                | libc::EINTR
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}

/// For options of the socket. Do not accept from it, or make it blocking.
impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

/// The descriptor is in non-blocking mode.
impl From<TcpListener> for OwnedFd {
    fn from(listener: TcpListener) -> OwnedFd {
        listener.source.into_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener")
            .field("fd", &self.source.as_raw_fd())
            .field("local", &self.local_addr().ok())
            .finish()
    }
}

/// How a [`TcpListener`] is made.
///
/// # Examples
///
/// ```
/// use conbrio::net::ListenOptions;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let options = ListenOptions::new().backlog(16).reuse_port(true);
///     let first = options.bind(cx, "127.0.0.1:0")?;
///     let second = options.bind(cx, first.local_addr()?)?;
///     assert_eq!(first.local_addr()?, second.local_addr()?);
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `bind` is called"]
pub struct ListenOptions {
    options: os::ListenOptions,
    nodelay: bool,
}

impl ListenOptions {
    /// A backlog of 4096, `SO_REUSEADDR`, and `TCP_NODELAY` for the streams.
    pub fn new() -> ListenOptions {
        ListenOptions { options: os::ListenOptions::default(), nodelay: true }
    }

    /// How many connections may wait to be accepted. The system takes at most `net.core.somaxconn`.
    pub fn backlog(mut self, connections: u32) -> ListenOptions {
        self.options.backlog = i32::try_from(connections).unwrap_or(i32::MAX);
        self
    }

    /// `SO_REUSEADDR`: whether connections that are about to end may still use the address.
    pub fn reuse_address(mut self, reuse: bool) -> ListenOptions {
        self.options.reuse_address = reuse;
        self
    }

    /// `SO_REUSEPORT`: whether other listeners of this user may share the port. The system spreads
    /// connections over them.
    pub fn reuse_port(mut self, reuse: bool) -> ListenOptions {
        self.options.reuse_port = reuse;
        self
    }

    /// `IPV6_V6ONLY`: whether a listener at `[::]` leaves out IPv4. Where it is not set, the system decides.
    pub fn only_v6(mut self, only: bool) -> ListenOptions {
        self.options.only_v6 = Some(only);
        self
    }

    /// `TCP_NODELAY` of the streams that are accepted. See
    /// [`TcpStream::set_nodelay`](super::TcpStream::set_nodelay).
    pub fn nodelay(mut self, nodelay: bool) -> ListenOptions {
        self.nodelay = nodelay;
        self
    }

    /// As [`TcpListener::bind`], with these options.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`].
    pub fn bind(&self, cx: &mut Cx, address: impl ToAddrs) -> Result<TcpListener, Error> {
        cx.checkpoint()?;
        let addrs = address.to_addrs(cx)?;
        let source = try_each(cx, "listen", addrs, |cx, address| Ok(self.make(cx, address)?))?;
        Ok(TcpListener { source })
    }

    /// A socket that listens at one address.
    fn make(&self, cx: &Cx, address: SocketAddr) -> io::Result<Source> {
        let reactor = cx.anchor().worker().reactor();
        let source = reactor.tcp_listener(host::current(cx), address, self.options)?;
        SockRef::from(&source).set_tcp_nodelay(self.nodelay)?;
        Ok(source)
    }
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: test_highlevel_socket.SocketListener_accept_errors
    #[test]
    fn errors_of_a_connection_are_told_from_those_of_the_listener() {
        for errno in [libc::ECONNABORTED, libc::EPERM, libc::EPROTO, libc::ENETUNREACH] {
            assert!(is_of_the_connection(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::EFAULT, libc::ENOBUFS, libc::EBADF] {
            assert!(!is_of_the_connection(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
        assert!(!is_of_the_connection(&io::Error::other("no number")));
    }
}
