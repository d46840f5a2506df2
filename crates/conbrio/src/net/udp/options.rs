//! How a UDP socket is made, and what can be changed later: broadcast, multicast, hops, buffers.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use conbrio_reactor::os;
use socket2::SockRef;

use super::UdpSocket;
use crate::io::Error;
use crate::net::addrs::try_each;
use crate::net::{ToAddrs, host};
use crate::task::Cx;

/// How a [`UdpSocket`] is made.
///
/// # Examples
///
/// Two receivers of the same group on one machine share its port:
///
/// ```
/// use conbrio::net::UdpOptions;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let options = UdpOptions::new().reuse_address(true);
///     let first = options.bind(cx, "0.0.0.0:0")?;
///     let second = options.bind(cx, first.local_addr()?)?;
///     assert_eq!(first.local_addr()?, second.local_addr()?);
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until `bind` is called"]
pub struct UdpOptions {
    options: os::UdpOptions,
}

impl UdpOptions {
    /// An address of one's own, for IPv6 alone or for both as the system has it.
    pub fn new() -> UdpOptions {
        UdpOptions::default()
    }

    /// `SO_REUSEADDR`: whether other sockets that set it may have the same address. Each of them gets the
    /// datagrams of groups it has joined; of the others only one of them gets each.
    pub fn reuse_address(mut self, reuse: bool) -> UdpOptions {
        self.options.reuse_address = reuse;
        self
    }

    /// `SO_REUSEPORT`: whether other sockets of this user may share the port. The system spreads senders
    /// over them.
    pub fn reuse_port(mut self, reuse: bool) -> UdpOptions {
        self.options.reuse_port = reuse;
        self
    }

    /// `IPV6_V6ONLY`: whether a socket at `[::]` leaves out IPv4. Where it is not set, the system decides.
    pub fn only_v6(mut self, only: bool) -> UdpOptions {
        self.options.only_v6 = Some(only);
        self
    }

    /// As [`UdpSocket::bind`], with these options. In a simulated run they have no effect.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was bound.
    ///
    /// # Errors
    ///
    /// As [`UdpSocket::bind`].
    pub fn bind(&self, cx: &mut Cx, address: impl ToAddrs) -> Result<UdpSocket, Error> {
        cx.checkpoint()?;
        let addrs = address.to_addrs(cx)?;
        let source = try_each(cx, "bind", addrs, |cx, address| {
            let reactor = cx.anchor().worker().reactor();
            Ok(match reactor.network() {
                None => os::udp_socket_with(address, self.options)?,
                Some(_) => reactor.udp_socket(host::current(cx), address)?,
            })
        })?;
        Ok(UdpSocket { source })
    }
}

impl UdpSocket {
    /// Whether datagrams may go to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket().broadcast()
    }

    /// Whether datagrams may go to broadcast addresses, which at first they may not.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.socket().set_broadcast(broadcast)
    }

    /// How many hops a datagram may make (`IP_TTL`, or `IPV6_UNICAST_HOPS`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn ttl(&self) -> io::Result<u32> {
        match self.local_addr()? {
            SocketAddr::V4(_) => self.socket().ttl_v4(),
            SocketAddr::V6(_) => self.socket().unicast_hops_v6(),
        }
    }

    /// How many hops a datagram may make, 1 to 255.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        match self.local_addr()? {
            SocketAddr::V4(_) => self.socket().set_ttl_v4(ttl),
            SocketAddr::V6(_) => self.socket().set_unicast_hops_v6(ttl),
        }
    }

    /// Receives from now on what is sent to `group`, through the interface that has the address
    /// `interface`; the unspecified one lets the system choose.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says: `InvalidInput` for an address that is no group, `AddrInUse` if it was joined
    /// already, `NoSuchDevice` if no interface has the address. `Unsupported` in a simulated run.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::net::UdpSocket;
    /// use std::net::Ipv4Addr;
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let group = Ipv4Addr::new(239, 255, 17, 4);
    ///     let mut member = UdpSocket::bind(cx, "0.0.0.0:0")?;
    ///     member.join_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
    ///     assert!(member.multicast_loop_v4()?);
    ///     member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.real("join a multicast group")?;
        self.socket().join_multicast_v4(&group, &interface)
    }

    /// Receives no more of what is sent to `group`.
    ///
    /// # Errors
    ///
    /// `AddrNotAvailable` if it was not joined there.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.real("leave a multicast group")?;
        self.socket().leave_multicast_v4(&group, &interface)
    }

    /// As [`join_multicast_v4`](UdpSocket::join_multicast_v4), with the index of an interface; 0 lets the
    /// system choose.
    ///
    /// # Errors
    ///
    /// As [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.real("join a multicast group")?;
        self.socket().join_multicast_v6(&group, interface)
    }

    /// Receives no more of what is sent to `group`.
    ///
    /// # Errors
    ///
    /// `AddrNotAvailable` if it was not joined there.
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.real("leave a multicast group")?;
        self.socket().leave_multicast_v6(&group, interface)
    }

    /// Whether members of a group on this machine get what this socket sends to it (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.socket().multicast_loop_v4()
    }

    /// Whether members of a group on this machine get what this socket sends to it, as at first they do.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.socket().set_multicast_loop_v4(on)
    }

    /// As [`multicast_loop_v4`](UdpSocket::multicast_loop_v4), for IPv6.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.socket().multicast_loop_v6()
    }

    /// As [`set_multicast_loop_v4`](UdpSocket::set_multicast_loop_v4), for IPv6.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.socket().set_multicast_loop_v6(on)
    }

    /// How many hops a datagram to a group may make (`IP_MULTICAST_TTL`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.socket().multicast_ttl_v4()
    }

    /// How many hops a datagram to a group may make. At first one: it stays in the local network.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.socket().set_multicast_ttl_v4(ttl)
    }

    /// As [`multicast_ttl_v4`](UdpSocket::multicast_ttl_v4), for IPv6 (`IPV6_MULTICAST_HOPS`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn multicast_hops_v6(&self) -> io::Result<u32> {
        self.socket().multicast_hops_v6()
    }

    /// As [`set_multicast_ttl_v4`](UdpSocket::set_multicast_ttl_v4), for IPv6.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_multicast_hops_v6(&self, hops: u32) -> io::Result<()> {
        self.socket().set_multicast_hops_v6(hops)
    }

    /// The interface that datagrams to groups leave by, named by its address (`IP_MULTICAST_IF`). The
    /// unspecified one lets the system choose.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_multicast_interface_v4(&self, interface: Ipv4Addr) -> io::Result<()> {
        self.socket().set_multicast_if_v4(&interface)
    }

    /// The interface that datagrams to groups leave by, named by its index (`IPV6_MULTICAST_IF`). Zero lets
    /// the system choose.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_multicast_interface_v6(&self, interface: u32) -> io::Result<()> {
        self.socket().set_multicast_if_v6(interface)
    }

    /// How many bytes of datagrams that were not sent yet the system keeps (`SO_SNDBUF`). On Linux that
    /// counts its own bookkeeping as well, and is twice what was set.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.socket().send_buffer_size()
    }

    /// How many bytes of datagrams that were not sent yet the system should keep. It takes at most
    /// `net.core.wmem_max`.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket().set_send_buffer_size(bytes)
    }

    /// How many bytes of datagrams that nobody has received yet the system keeps (`SO_RCVBUF`), counted as in
    /// [`send_buffer_size`](UdpSocket::send_buffer_size). What comes when it is full is lost.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.socket().recv_buffer_size()
    }

    /// How many bytes of datagrams that nobody has received yet the system should keep. It takes at most
    /// `net.core.rmem_max`.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket().set_recv_buffer_size(bytes)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.source)
    }

    /// Refuses what the simulated network does not have.
    pub(super) fn real(&self, what: &str) -> io::Result<()> {
        if self.source.is_simulated() {
            let message = format!("{what}: the simulated network has no such thing");
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(())
    }
}
