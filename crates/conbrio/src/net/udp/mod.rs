//! A socket for datagrams: one at a time here, many at once in `batch` and `segments`.

mod batch;
mod options;
mod segments;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use conbrio_reactor::{Source, op, os};

use super::ToAddrs;
use super::addrs::{context, try_each};
use crate::io::Error;
use crate::lowlevel::perform;
use crate::task::Cx;

pub use batch::{Datagram, DatagramBatch};
pub use options::UdpOptions;
pub use segments::Segments;

/// A UDP socket: sends and receives datagrams, each of which arrives whole or not at all, perhaps late,
/// twice, or out of order.
///
/// Receiving takes `&mut`, so that there is one receiver; [`try_clone`](UdpSocket::try_clone) makes a
/// second socket for another task.
///
/// A server that has to be quick moves many datagrams with one system call:
/// [`recv_batch`](UdpSocket::recv_batch) and [`send_batch`](UdpSocket::send_batch), or
/// [`recv_segments`](UdpSocket::recv_segments) and [`send_segments`](UdpSocket::send_segments) if they are
/// of one size.
///
/// # Examples
///
/// ```
/// use conbrio::net::UdpSocket;
/// use conbrio::prelude::*;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let mut server = UdpSocket::bind(cx, "127.0.0.1:0")?;
///     let address = server.local_addr()?;
///     let mut client = UdpSocket::bind(cx, "127.0.0.1:0")?;
///     client.send_to(cx, b"ping", address)?;
///
///     let mut buf = [0; 1500];
///     let (count, peer) = server.recv_from(cx, &mut buf)?;
///     server.send_to(cx, &buf[..count], peer)?;
///
///     client.connect(cx, address)?;
///     let count = client.recv(cx, &mut buf)?;
///     assert_eq!(&buf[..count], b"ping");
///     Ok(())
/// })
/// .unwrap();
/// ```
pub struct UdpSocket {
    source: Source,
}

impl UdpSocket {
    /// Binds a socket to the first of the addresses where that is possible; port 0 lets the system choose
    /// one ([`local_addr`](UdpSocket::local_addr)). For options see [`UdpOptions`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound.
    ///
    /// # Errors
    ///
    /// Each address with what was wrong there, most often `AddrInUse`; the kind is that of the last.
    pub fn bind(cx: &mut Cx, address: impl ToAddrs) -> Result<UdpSocket, Error> {
        UdpOptions::new().bind(cx, address)
    }

    /// Chooses the first of the addresses that the system has a way to as the peer: from now on
    /// [`send`](UdpSocket::send) sends there, and only what comes from there is received. It can be called
    /// again. What has arrived before stays to be received.
    ///
    /// No packet is sent, so that success says nothing about the peer.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the peer is the one from before.
    ///
    /// # Errors
    ///
    /// Each address with what was wrong there, such as `NetworkUnreachable`.
    pub fn connect(&mut self, cx: &mut Cx, address: impl ToAddrs) -> Result<(), Error> {
        cx.checkpoint()?;
        let addrs = address.to_addrs(cx)?;
        try_each(cx, "connect", addrs, |_, address| {
            let named = |error| context(format!("connect to {address}"), error);
            Ok(os::connect_udp(&self.source, address).map_err(named)?)
        })
    }

    /// Sends `data` as one datagram to the first address that `address` stands for.
    ///
    /// Returns how many bytes were sent, which is all of them. That they were sent says nothing about
    /// whether they arrive. Waits only if the system has no room for the datagram.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was sent.
    ///
    /// # Errors
    ///
    /// What sendto(2) says, as that the datagram is too long (`EMSGSIZE`), and, if the socket is connected,
    /// that an earlier one was refused.
    pub fn send_to(
        &mut self,
        cx: &mut Cx,
        data: &[u8],
        address: impl ToAddrs,
    ) -> Result<usize, Error> {
        cx.checkpoint()?;
        let Some(address) = address.to_addrs(cx)?.into_iter().next() else {
            let message = "send_to: the name has no addresses";
            return Err(io::Error::new(io::ErrorKind::NotFound, message).into());
        };
        perform(cx, &mut op::SendTo::new(&self.source, data, address))
    }

    /// Sends `data` as one datagram to the peer. See [`send_to`](UdpSocket::send_to).
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was sent.
    ///
    /// # Errors
    ///
    /// As [`send_to`](UdpSocket::send_to), and that there is no peer (`EDESTADDRREQ`).
    pub fn send(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        perform(cx, &mut op::Send::new(&self.source, data))
    }

    /// The next datagram and the address of its sender. Returns how much of `buf` it fills; what does not
    /// fit is lost. A datagram may be empty.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no datagram was taken.
    ///
    /// # Errors
    ///
    /// What recvfrom(2) says: if the socket is connected, `ConnectionRefused` when nobody has the peer's
    /// port.
    pub fn recv_from(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        perform(cx, &mut op::RecvFrom::new(&self.source, buf))
    }

    /// As [`recv_from`](UdpSocket::recv_from), without the address.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no datagram was taken.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn recv(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        perform(cx, &mut op::Recv::new(&self.source, buf))
    }

    /// As [`recv_from`](UdpSocket::recv_from), but leaves the datagram, the whole of it, for the next call.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn peek_from(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        perform(cx, &mut op::RecvFrom::peek(&self.source, buf))
    }

    /// As [`recv`](UdpSocket::recv), but leaves the datagram, the whole of it, for the next call.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn peek(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        perform(cx, &mut op::Recv::peek(&self.source, buf))
    }

    /// The address that it is bound to.
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
    /// `NotConnected` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        os::peer_address(&self.source)
    }

    /// A second socket with the same address and peer, for another task: each datagram goes to one of
    /// them.
    ///
    /// # Errors
    ///
    /// What dup(2) says, most often that the limit of open files is reached.
    pub fn try_clone(&self) -> io::Result<UdpSocket> {
        Ok(UdpSocket { source: self.source.try_clone()? })
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
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        socket.set_nonblocking(true)?;
        Ok(UdpSocket { source: Source::new(socket.into()) })
    }

    /// Makes it a socket of the standard library, in blocking mode.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        let socket = std::net::UdpSocket::from(self.source.into_fd());
        socket.set_nonblocking(false)?;
        Ok(socket)
    }
}

/// For options of the socket. Do not receive from it, or make it blocking.
impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

/// The descriptor is in non-blocking mode.
impl From<UdpSocket> for OwnedFd {
    fn from(socket: UdpSocket) -> OwnedFd {
        socket.source.into_fd()
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket")
            .field("fd", &self.source.as_raw_fd())
            .field("local", &self.local_addr().ok())
            .field("peer", &self.peer_addr().ok())
            .finish()
    }
}
