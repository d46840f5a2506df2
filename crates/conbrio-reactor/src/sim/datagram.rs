//! Datagrams: each arrives whole, or not at all, or twice, or late.
//!
//! Owns what a datagram socket has received. The invariant: what waits at a socket is bounded by its
//! buffer; beyond, datagrams are lost, as in every network.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::UnknownAddress;
use super::state::{Datagram, Errno, Event, Kind, SocketId, State};
use crate::Direction;

/// What a datagram socket has.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    /// Whom it is connected to: it hears nobody else.
    pub(super) peer: Option<SocketAddr>,
    pub(super) queue: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The bytes in `queue`.
    bytes: usize,
    /// What the next operation fails with.
    pub(super) error: Option<Errno>,
}

/// A datagram as it was received.
pub(super) struct Received {
    /// How many bytes of it were asked for.
    pub(super) count: usize,
    /// How many it had.
    pub(super) length: usize,
    pub(super) from: SocketAddr,
}

impl State {
    fn datagrams(&mut self, id: SocketId) -> Result<&mut Datagrams, Errno> {
        match &mut self.socket(id).kind {
            Kind::Datagrams(datagrams) => Ok(datagrams),
            Kind::Dead => Err(libc::ENETDOWN),
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    /// Chooses whom the socket sends to and hears from now on.
    pub(super) fn connect_datagrams(&mut self, id: SocketId, to: SocketAddr) -> Result<(), Errno> {
        let (host, is_v6) = (self.sockets[&id].host, self.sockets[&id].is_v6);
        if is_v6 != to.is_ipv6() {
            return Err(libc::EAFNOSUPPORT);
        }
        let ip = self.source_address(host, to.ip())?;
        if let Some(local) = &mut self.socket(id).local
            && local.ip().is_unspecified()
        {
            local.set_ip(ip);
        }
        self.datagrams(id)?.peer = Some(to);
        Ok(())
    }

    /// Sends `data` to an address, or to the peer.
    pub(super) fn send_datagram(
        &mut self,
        id: SocketId,
        data: &[&[u8]],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let datagrams = self.datagrams(id)?;
        if let Some(errno) = datagrams.error.take() {
            return Err(errno);
        }
        let to = to.or(datagrams.peer).ok_or(libc::EDESTADDRREQ)?;
        let bytes = data.concat();
        let socket = &self.sockets[&id];
        let host = socket.host;
        if bytes.len() > DATAGRAM_MAX {
            return Err(libc::EMSGSIZE);
        }
        if socket.is_v6 != to.is_ipv6() {
            return Err(libc::EAFNOSUPPORT);
        }
        if is_to_many(to.ip()) {
            return Err(libc::ENETUNREACH);
        }
        if !self.hosts[host.index()].is_up {
            return Err(libc::ENETDOWN);
        }
        let source = self.source_address(host, to.ip())?;
        let mut from = socket.local.ok_or(libc::EINVAL)?;
        if from.ip().is_unspecified() {
            from.set_ip(source);
        }
        let to = match to.ip().is_unspecified() {
            true => SocketAddr::new(source, to.port()),
            false => to,
        };
        let count = bytes.len();
        let Some(to_host) = self.route(host, to.ip()) else {
            // It is lost, and nobody or somebody on the way says so.
            self.statistics.lost += 1;
            if self.options.unknown_address == UnknownAddress::Unreachable {
                let due = self.now + *self.options.latency.end();
                self.schedule(due, Event::Unwanted(id));
            }
            return Ok(count);
        };
        let datagram = Datagram { sender: id, from_host: host, to_host, from, to, bytes };
        if host == to_host {
            self.launch(datagram);
        } else if self.happens("loss of a datagram", self.options.datagram_loss) {
            self.statistics.lost += 1;
        } else {
            if self.happens("duplication of a datagram", self.options.datagram_duplication) {
                self.launch(datagram.clone());
            }
            self.launch(datagram);
        }
        Ok(count)
    }

    fn launch(&mut self, datagram: Datagram) {
        let (from, to) = (datagram.from_host, datagram.to_host);
        let mut due = self.flight(from, to, datagram.bytes.len() + HEADER);
        if from != to && self.happens("reordering of a datagram", self.options.datagram_reordering)
        {
            let max = *self.options.latency.end() * DETOUR;
            due += self.choose_between("detour of a datagram", max / 16, max);
        }
        self.schedule(due, Event::Datagram(Box::new(datagram)));
    }

    pub(super) fn datagram_arrives(&mut self, datagram: Datagram) {
        let Datagram { sender, from_host, to_host, from, to, bytes } = datagram;
        if !self.is_open(from_host, to_host) {
            self.statistics.lost += 1;
            return;
        }
        let Some(id) = self.receiver_at(to_host.index(), to, from) else {
            self.statistics.lost += 1;
            if self.is_open(to_host, from_host) {
                let due = self.flight(to_host, from_host, HEADER);
                self.schedule(due, Event::Unwanted(sender));
            }
            return;
        };
        let room = self.options.datagram_buffer;
        let datagrams = self.datagrams(id).expect("only datagram sockets hold ports for datagrams");
        if datagrams.bytes + bytes.len() > room {
            self.statistics.lost += 1;
            return;
        }
        datagrams.bytes += bytes.len();
        datagrams.queue.push_back((from, bytes));
        self.wake_socket(id, Direction::Read);
    }

    /// The socket that gets a datagram: one that is connected to the sender first, then one of that
    /// very address, then a general one.
    fn receiver_at(&self, host: usize, to: SocketAddr, from: SocketAddr) -> Option<SocketId> {
        let holders = self.hosts[host].udp.get(&to.port())?;
        let rank = |id: &SocketId| {
            let socket = &self.sockets[id];
            let Kind::Datagrams(datagrams) = &socket.kind else {
                return None;
            };
            let ip = socket.local?.ip();
            let same_family = socket.is_v6 == to.is_ipv6();
            match datagrams.peer {
                Some(peer) => (peer == from && ip == to.ip()).then_some(2),
                None if ip == to.ip() => Some(1),
                None => (ip.is_unspecified() && same_family).then_some(0),
            }
        };
        let best = holders.iter().filter_map(rank).max()?;
        let found: Vec<SocketId> =
            holders.iter().copied().filter(|id| rank(id) == Some(best)).collect();
        Some(found[self.choose("receiver of a shared port", found.len())])
    }

    /// The sender hears that nobody has the port. Only connected sockets are told: udp(7).
    pub(super) fn datagram_unwanted(&mut self, id: SocketId) {
        let Some(Kind::Datagrams(datagrams)) = self.sockets.get_mut(&id).map(|s| &mut s.kind)
        else {
            return;
        };
        if datagrams.peer.is_some() {
            datagrams.error = Some(libc::ECONNREFUSED);
            self.wake_socket(id, Direction::Read);
        }
    }

    /// Takes the first datagram, or copies it. What does not fit into `buffers` is lost.
    pub(super) fn receive_datagram(
        &mut self,
        id: SocketId,
        buffers: &mut [&mut [u8]],
        peek: bool,
    ) -> Result<Received, Errno> {
        let datagrams = self.datagrams(id)?;
        if let Some(errno) = datagrams.error.take() {
            return Err(errno);
        }
        let (from, bytes) = datagrams.queue.front().ok_or(libc::EAGAIN)?;
        let (from, length) = (*from, bytes.len());
        let mut count = 0;
        for buffer in buffers {
            let part = buffer.len().min(length - count);
            buffer[..part].copy_from_slice(&bytes[count..count + part]);
            count += part;
        }
        if !peek {
            datagrams.queue.pop_front();
            datagrams.bytes -= length;
        }
        Ok(Received { count, length, from })
    }
}

/// Whether an address is one of a group or of everybody, which are not simulated.
pub(super) fn is_to_many(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// The most that one datagram holds: 2^16 - 1 without the headers of IP and UDP.
const DATAGRAM_MAX: usize = 65_507;
/// The headers of IP and UDP.
const HEADER: usize = 28;
/// How many of the largest latencies a late datagram takes at most.
const DETOUR: u32 = 10;
