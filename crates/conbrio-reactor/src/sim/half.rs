//! The virtual half of a source: which socket of which network it stands for.
//!
//! Sources that were cloned share the socket, and the last one that goes closes it. The invariant:
//! while a half exists, its socket does, so that looking it up cannot fail.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, Type};

use super::datagram::Datagrams;
use super::state::{Kind, SocketId};
use super::stream::Phase;
use super::{HostId, Network, perform};
use crate::os::{ListenOptions, context};
use crate::{Direction, Source};

/// See the module's documentation.
pub(crate) struct Half {
    pub(super) shared: Arc<Shared>,
    /// Tells this source from its clones.
    pub(super) handle: u64,
}

/// What the clones of a source share.
pub(super) struct Shared {
    pub(super) network: Network,
    pub(super) id: SocketId,
}

/// A TCP socket that is neither bound nor connected, and its carrier.
fn open(
    network: &Network,
    host: HostId,
    address: SocketAddr,
    kind: Type,
) -> io::Result<(Half, OwnedFd)> {
    let carrier = perform::carrier(address.is_ipv6(), kind)?;
    let mut state = network.state();
    let inner =
        if kind == Type::DGRAM { Kind::Datagrams(Datagrams::default()) } else { Kind::Fresh };
    let id = state.open(host, address.is_ipv6(), inner).map_err(io::Error::from_raw_os_error)?;
    let handle = state.serial();
    let shared = Arc::new(Shared { network: network.clone(), id });
    Ok((Half { shared, handle }, carrier.into()))
}

/// As [`os::tcp_listener`](crate::os::tcp_listener), on a host of a network.
pub(crate) fn tcp_listener(
    network: &Network,
    host: HostId,
    address: SocketAddr,
    options: ListenOptions,
) -> io::Result<Source> {
    let named = |error| context(format!("listen on {address}"), error);
    let (half, carrier) = open(network, host, address, Type::STREAM).map_err(named)?;
    let socket = SockRef::from(&carrier);
    if options.reuse_port {
        socket.set_reuse_port(true).map_err(named)?;
    }
    if let Some(only_v6) = options.only_v6.filter(|_| address.is_ipv6()) {
        socket.set_only_v6(only_v6).map_err(named)?;
    }
    let source = Source::simulated(carrier, half, false);
    bind(&source, address).map_err(named)?;
    let half = source.half().expect("it was made with one");
    half.shared.network.state().listen(half.shared.id, options.backlog);
    Ok(source)
}

/// As [`os::tcp_socket`](crate::os::tcp_socket), on a host of a network.
pub(crate) fn tcp_socket(network: &Network, host: HostId, peer: SocketAddr) -> io::Result<Source> {
    let (half, carrier) = open(network, host, peer, Type::STREAM)
        .map_err(|error| context(format!("open a socket to {peer}"), error))?;
    Ok(Source::simulated(carrier, half, true))
}

/// As [`os::udp_socket`](crate::os::udp_socket), on a host of a network.
pub(crate) fn udp_socket(
    network: &Network,
    host: HostId,
    address: SocketAddr,
) -> io::Result<Source> {
    let named = |error| context(format!("bind a UDP socket to {address}"), error);
    let (half, carrier) = open(network, host, address, Type::DGRAM).map_err(named)?;
    let source = Source::simulated(carrier, half, false);
    bind(&source, address).map_err(named)?;
    Ok(source)
}

/// Binds a simulated source, with what its carrier says about sharing.
pub(crate) fn bind(source: &Source, address: SocketAddr) -> io::Result<()> {
    let half = source.half().expect("the caller has looked");
    let options = SockRef::from(source);
    let reuse_port = options.reuse_port().unwrap_or(false);
    let only_v6 = address.is_ipv6() && options.only_v6().unwrap_or(false);
    let mut state = half.shared.network.state();
    let socket = state.socket(half.shared.id);
    socket.reuse_port = reuse_port;
    socket.only_v6 = only_v6;
    state.bind(half.shared.id, address).map_err(io::Error::from_raw_os_error)
}

impl Half {
    pub(crate) fn local_address(&self) -> SocketAddr {
        let mut state = self.shared.network.state();
        let socket = state.socket(self.shared.id);
        let any = if socket.is_v6 { ANY_V6 } else { ANY_V4 };
        socket.local.unwrap_or(any)
    }

    pub(crate) fn peer_address(&self) -> io::Result<SocketAddr> {
        let mut state = self.shared.network.state();
        let peer = match &state.socket(self.shared.id).kind {
            Kind::Datagrams(datagrams) => datagrams.peer,
            Kind::Stream(c, e) => {
                let (c, e) = (*c, *e);
                let ends = &state.connection(c).ends;
                let is_connected = ends[e].phase != Phase::Connecting && !ends[e].is_dead;
                is_connected.then_some(ends[1 - e].address)
            }
            _ => None,
        };
        peer.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTCONN))
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let result = self.shared.network.state().shut_down(self.shared.id, how);
        result.map_err(io::Error::from_raw_os_error)
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.shared.network.state().is_ready(self.shared.id, Direction::Read)
    }

    pub(crate) fn take_error(&self) -> Option<io::Error> {
        let errno = self.shared.network.state().take_error(self.shared.id);
        errno.map(io::Error::from_raw_os_error)
    }

    /// Connects a datagram socket, which needs no packet.
    pub(crate) fn connect_datagrams(&self, peer: SocketAddr) -> io::Result<()> {
        let result = self.shared.network.state().connect_datagrams(self.shared.id, peer);
        result.map_err(io::Error::from_raw_os_error)
    }

    /// The half of a second source with the same socket.
    pub(crate) fn share(&self) -> Half {
        let handle = self.shared.network.state().serial();
        Half { shared: Arc::clone(&self.shared), handle }
    }

    /// The half of the socket that was accepted here with the carrier `raw`.
    pub(crate) fn claim(&self, raw: RawFd) -> Option<Half> {
        let network = &self.shared.network;
        let mut state = network.state();
        let id = state.unclaimed.remove(&raw)?;
        let handle = state.serial();
        Some(Half { shared: Arc::new(Shared { network: network.clone(), id }), handle })
    }

    /// Closes the socket if this was the last of its sources. `carrier` says how.
    pub(crate) fn close(self, carrier: BorrowedFd<'_>) {
        let Some(shared) = Arc::into_inner(self.shared) else {
            return;
        };
        let abruptly = SockRef::from(&carrier).linger().ok().flatten() == Some(Duration::ZERO);
        shared.network.state().close(shared.id, abruptly);
    }

    /// Hears what the options of the carrier say about silence, before a wait begins.
    pub(super) fn note_timeouts(&self, source: &Source) {
        let is_stream = |kind: &Kind| matches!(kind, Kind::Stream(..));
        if !is_stream(&self.shared.network.state().socket(self.shared.id).kind) {
            return;
        }
        let (keepalive, user_timeout) = perform::timeouts(source);
        self.shared.network.state().note_timeouts(self.shared.id, keepalive, user_timeout);
    }
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Half").field("socket", &self.shared.id).finish_non_exhaustive()
    }
}

const ANY_V4: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
const ANY_V6: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 0);
