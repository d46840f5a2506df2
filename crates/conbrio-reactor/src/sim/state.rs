//! The state of a simulated network: time, events, hosts, what is where.
//!
//! Owns virtual time and the queue of what will happen; decides by what it was given and by nothing
//! else. Streams and datagrams are in [`super::stream`] and [`super::datagram`]. Invariants:
//!
//! - N1. All collections are ordered, so that equal decisions give equal runs.
//! - N2. An event for something that has gone is ignored; a timer of something that has gone is taken
//!   off the queue, so that time does not pass for nothing.
//! - N3. Nothing here touches memory of an operation, blocks, or calls code of a user, besides who
//!   decides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use super::datagram::Datagrams;
use super::stream::{Connection, Listening};
use super::{Chance, Decide, HostId, NetworkStatistics, Options};
use crate::{Completion, Direction, Token};

/// An error number, positive.
pub(super) type Errno = i32;

#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub(crate) struct SocketId(pub(super) u64);

#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub(super) struct ConnectionId(pub(super) u64);

/// Names a wait of one reactor.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub(super) struct WaitId(pub(super) u64);

/// When something happens, and the order among what happens at once.
pub(super) type EventKey = (Duration, u64);

/// What happens at some time.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A request to connect arrives for the `tries`-th time.
    Request(ConnectionId, u32),
    /// The answer to it arrives at the client.
    Answer(ConnectionId),
    /// The first flying segment of the direction from this end arrives.
    Segment(ConnectionId, usize),
    /// The writer at this end hears what the other end has read.
    Window(ConnectionId, usize),
    /// Connecting has taken too long.
    ConnectTimeout(ConnectionId),
    /// This end has not heard for too long that its data arrived.
    RetransmissionTimeout(ConnectionId, usize),
    /// This end has not heard anything for too long.
    KeepaliveTimeout(ConnectionId, usize),
    /// The client hears that its connection is impossible.
    Failure(ConnectionId, Errno),
    /// A datagram arrives.
    Datagram(Box<Datagram>),
    /// A datagram's sender hears that nobody wants it.
    Unwanted(SocketId),
    /// A wait was delayed until now.
    Wake(SocketId, WaitId),
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    pub(super) sender: SocketId,
    pub(super) from_host: HostId,
    pub(super) to_host: HostId,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// A machine on the network.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) is_up: bool,
    pub(super) fd_limit: Option<usize>,
    pub(super) open: usize,
    /// Which sockets are bound to a port, in the order in which they were.
    pub(super) tcp: BTreeMap<u16, Vec<SocketId>>,
    pub(super) udp: BTreeMap<u16, Vec<SocketId>>,
    next_port: u16,
}

/// The virtual half of one or more sources.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) host: HostId,
    pub(super) is_v6: bool,
    /// Where it is bound; the port is entered at its host if `holds_port`.
    pub(super) local: Option<SocketAddr>,
    pub(super) holds_port: bool,
    pub(super) reuse_port: bool,
    pub(super) only_v6: bool,
    pub(super) kind: Kind,
    pub(super) waits: Vec<Wait>,
    /// By direction: the next wait lasts until then at least.
    pub(super) delayed: [Option<Duration>; 2],
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A stream socket that is neither connected nor listening.
    Fresh,
    Listener(Listening),
    /// The end of a connection with this index.
    Stream(ConnectionId, usize),
    Datagrams(Datagrams),
    /// Its host has crashed.
    Dead,
}

/// A wait for one direction of a socket.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) id: WaitId,
    /// Which of the sources that share the socket.
    pub(super) handle: u64,
    pub(super) reactor: usize,
    pub(super) direction: Direction,
    pub(super) token: Token,
    /// Its end is already on the queue.
    pub(super) is_delayed: bool,
}

/// What has ended for a reactor and was not fetched.
pub(super) type Mailbox = VecDeque<(WaitId, Completion)>;

pub(super) struct State {
    pub(super) now: Duration,
    pub(super) options: Options,
    decide: Arc<dyn Decide>,
    events: BTreeMap<EventKey, Event>,
    serial: u64,
    pub(super) hosts: Vec<Host>,
    pub(super) by_address: BTreeMap<IpAddr, HostId>,
    pub(super) names: BTreeMap<String, Vec<IpAddr>>,
    /// Pairs whose packets, from the first to the second, get lost.
    pub(super) blocked: BTreeSet<(HostId, HostId)>,
    /// Until when the way from one host to another is in use.
    busy: BTreeMap<(HostId, HostId), Duration>,
    pub(super) sockets: BTreeMap<SocketId, Socket>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) mailboxes: Vec<Mailbox>,
    /// Accepted sockets that no source has claimed yet, by their carriers.
    pub(super) unclaimed: BTreeMap<RawFd, SocketId>,
    pub(super) statistics: NetworkStatistics,
}

impl State {
    pub(super) fn new(options: Options, decide: Arc<dyn Decide>) -> State {
        let mut state = State {
            now: Duration::ZERO,
            options,
            decide,
            events: BTreeMap::new(),
            serial: 0,
            hosts: Vec::new(),
            by_address: BTreeMap::new(),
            names: BTreeMap::new(),
            blocked: BTreeSet::new(),
            busy: BTreeMap::new(),
            sockets: BTreeMap::new(),
            connections: BTreeMap::new(),
            mailboxes: Vec::new(),
            unclaimed: BTreeMap::new(),
            statistics: NetworkStatistics::default(),
        };
        state.add_host(DEFAULT_ADDRESS);
        let localhost = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        state.names.insert("localhost".to_owned(), localhost);
        state
    }

    /// A number that was not given before: ids, and the order among events of one moment.
    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A decision below `bound`.
    pub(super) fn choose(&self, what: &'static str, bound: usize) -> usize {
        if bound < 2 {
            return 0;
        }
        let choice = self.decide.below(what, bound);
        assert!(
            choice < bound,
            "a decision on the {what} was {choice}, which is not below {bound}"
        );
        choice
    }

    /// Whether something happens. The decision 0 says that it does not, unless it always does.
    pub(super) fn happens(&self, what: &'static str, chance: Chance) -> bool {
        let per_mille = chance.per_mille();
        per_mille > 0 && (per_mille >= 1000 || self.decide.happens(what, per_mille))
    }

    /// A duration from `min` to `max`, in sixteen steps.
    pub(super) fn choose_between(
        &self,
        what: &'static str,
        min: Duration,
        max: Duration,
    ) -> Duration {
        let Some(range) = max.checked_sub(min).filter(|range| !range.is_zero()) else {
            return min;
        };
        min + range * self.choose(what, STEPS) as u32 / (STEPS as u32 - 1)
    }

    pub(super) fn schedule(&mut self, at: Duration, event: Event) -> EventKey {
        let key = (at.max(self.now), self.serial());
        self.events.insert(key, event);
        key
    }

    /// Takes timers off the queue (N2).
    pub(super) fn unschedule(&mut self, timers: impl IntoIterator<Item = EventKey>) {
        for timer in timers {
            self.events.remove(&timer);
        }
    }

    pub(super) fn next_event(&self) -> Option<Duration> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets everything happen that is due at `now`. Ends, because what comes of it is later, or is a
    /// packet within a host without latency, of which each needs another operation.
    pub(super) fn advance(&mut self, now: Duration) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), event) = entry.remove_entry();
            self.now = self.now.max(at);
            self.handle(event);
        }
        self.now = self.now.max(now);
    }

    fn handle(&mut self, event: Event) {
        self.statistics.events += 1;
        match event {
            Event::Request(connection, tries) => self.request_arrives(connection, tries),
            Event::Answer(connection) => self.answer_arrives(connection),
            Event::Segment(connection, from) => self.segment_arrives(connection, from),
            Event::Window(connection, end) => self.window_opens(connection, end),
            Event::ConnectTimeout(connection) => self.fail(connection, 0, libc::ETIMEDOUT),
            Event::RetransmissionTimeout(connection, end) => {
                self.fail(connection, end, libc::ETIMEDOUT);
            }
            Event::KeepaliveTimeout(connection, end) => self.keepalive_ends(connection, end),
            Event::Failure(connection, errno) => self.fail(connection, 0, errno),
            Event::Datagram(datagram) => self.datagram_arrives(*datagram),
            Event::Unwanted(socket) => self.datagram_unwanted(socket),
            Event::Wake(socket, wait) => self.wake_delayed(socket, wait),
        }
    }

    /// When a packet of `bytes` that leaves now arrives, losses and retransmissions left out.
    pub(super) fn flight(&mut self, from: HostId, to: HostId, bytes: usize) -> Duration {
        self.statistics.packets += 1;
        if from == to {
            return self.now + self.options.local_latency;
        }
        let mut start = self.now;
        if let Some(bandwidth) = self.options.bandwidth {
            let busy = self.busy.entry((from, to)).or_default();
            start = start.max(*busy);
            let nanos = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(bandwidth.max(1)));
            start += Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            *busy = start;
        }
        let (min, max) = (*self.options.latency.start(), *self.options.latency.end());
        start + self.choose_between("latency of a packet", min, max)
    }

    /// As [`flight`](State::flight) for a packet that is sent again if it gets lost.
    pub(super) fn reliable_flight(&mut self, from: HostId, to: HostId, bytes: usize) -> Duration {
        let mut extra = Duration::ZERO;
        if from != to {
            for attempt in 0..RETRANSMISSIONS_MAX {
                if !self.happens("loss of a segment", self.options.stream_loss) {
                    break;
                }
                self.statistics.lost += 1;
                extra += RETRANSMISSION * (1 << attempt);
            }
        }
        self.flight(from, to, bytes) + extra
    }

    /// Whether packets go through now.
    pub(super) fn is_open(&self, from: HostId, to: HostId) -> bool {
        self.hosts[to.index()].is_up && !self.blocked.contains(&(from, to))
    }

    pub(super) fn add_host(&mut self, address: IpAddr) -> HostId {
        if let Some(host) = self.by_address.get(&address) {
            return *host;
        }
        let id = HostId::new(self.hosts.len());
        self.hosts.push(Host {
            addresses: vec![address],
            is_up: true,
            fd_limit: None,
            open: 0,
            tcp: BTreeMap::new(),
            udp: BTreeMap::new(),
            next_port: EPHEMERAL_FIRST,
        });
        self.by_address.insert(address, id);
        id
    }

    /// The host that `to` means for a packet from `from`.
    pub(super) fn route(&self, from: HostId, to: IpAddr) -> Option<HostId> {
        if to.is_loopback() || to.is_unspecified() {
            return Some(from);
        }
        self.by_address.get(&to).copied()
    }

    /// The address that packets from `host` to `to` come from.
    pub(super) fn source_address(&self, host: HostId, to: IpAddr) -> Result<IpAddr, Errno> {
        if to.is_loopback() || to.is_unspecified() {
            return Ok(match to {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let addresses = &self.hosts[host.index()].addresses;
        let same = addresses.iter().find(|address| address.is_ipv6() == to.is_ipv6());
        same.copied().ok_or(libc::ENETUNREACH)
    }

    /// A new socket of `host`, if its limit allows one more.
    pub(super) fn open(
        &mut self,
        host: HostId,
        is_v6: bool,
        kind: Kind,
    ) -> Result<SocketId, Errno> {
        let this = &mut self.hosts[host.index()];
        if !this.is_up {
            return Err(libc::ENETDOWN);
        }
        if this.fd_limit.is_some_and(|limit| this.open >= limit) {
            return Err(libc::EMFILE);
        }
        this.open += 1;
        let id = SocketId(self.serial());
        let socket = Socket {
            host,
            is_v6,
            local: None,
            holds_port: false,
            reuse_port: false,
            only_v6: false,
            kind,
            waits: Vec::new(),
            delayed: [None; 2],
        };
        self.sockets.insert(id, socket);
        Ok(id)
    }

    /// Binds a socket. Port 0 takes one that nobody has.
    pub(super) fn bind(&mut self, id: SocketId, address: SocketAddr) -> Result<(), Errno> {
        let socket = &self.sockets[&id];
        if socket.local.is_some() || address.is_ipv6() != socket.is_v6 {
            return Err(libc::EINVAL);
        }
        let host = &self.hosts[socket.host.index()];
        let ip = address.ip();
        if !ip.is_unspecified() && !ip.is_loopback() && !host.addresses.contains(&ip) {
            return Err(libc::EADDRNOTAVAIL);
        }
        let port = match address.port() {
            0 => self.free_port(id)?,
            port if self.is_taken(id, ip, port) => return Err(libc::EADDRINUSE),
            port => port,
        };
        self.ports(id).entry(port).or_default().push(id);
        let socket = self.socket(id);
        socket.local = Some(SocketAddr::new(ip, port));
        socket.holds_port = true;
        Ok(())
    }

    /// The ports in use at the socket's host, of its protocol.
    fn ports(&mut self, id: SocketId) -> &mut BTreeMap<u16, Vec<SocketId>> {
        let socket = &self.sockets[&id];
        let host = &mut self.hosts[socket.host.index()];
        match socket.kind {
            Kind::Datagrams(_) => &mut host.udp,
            _ => &mut host.tcp,
        }
    }

    /// Whether another socket has the port in a way that keeps this one from having it.
    ///
    /// `SO_REUSEADDR` changes nothing, as connections that have ended leave nothing behind.
    fn is_taken(&mut self, id: SocketId, ip: IpAddr, port: u16) -> bool {
        let holders = self.ports(id).get(&port).cloned().unwrap_or_default();
        let mine = &self.sockets[&id];
        holders.iter().map(|holder| &self.sockets[holder]).any(|other| {
            let theirs = other.local.expect("who holds a port has an address").ip();
            let apart = match (mine.is_v6, other.is_v6) {
                (true, false) => mine.only_v6 || !ip.is_unspecified(),
                (false, true) => other.only_v6 || !theirs.is_unspecified(),
                _ => ip != theirs && !ip.is_unspecified() && !theirs.is_unspecified(),
            };
            !(apart || mine.reuse_port && other.reuse_port)
        })
    }

    /// An ephemeral port that nobody has.
    pub(super) fn free_port(&mut self, id: SocketId) -> Result<u16, Errno> {
        let host = self.sockets[&id].host.index();
        for _ in EPHEMERAL_FIRST..=EPHEMERAL_LAST {
            let port = self.hosts[host].next_port;
            self.hosts[host].next_port =
                if port == EPHEMERAL_LAST { EPHEMERAL_FIRST } else { port + 1 };
            if !self.ports(id).contains_key(&port) {
                return Ok(port);
            }
        }
        Err(libc::EADDRINUSE)
    }

    pub(super) fn release_port(&mut self, id: SocketId) {
        let Some(local) = self.sockets[&id].local.filter(|_| self.sockets[&id].holds_port) else {
            return;
        };
        self.socket(id).holds_port = false;
        let ports = self.ports(id);
        if let Some(holders) = ports.get_mut(&local.port()) {
            holders.retain(|holder| *holder != id);
            if holders.is_empty() {
                ports.remove(&local.port());
            }
        }
    }

    /// The socket of a live id. A source keeps its socket alive.
    pub(super) fn socket(&mut self, id: SocketId) -> &mut Socket {
        self.sockets.get_mut(&id).expect("a source's socket exists")
    }

    /// Closes a socket. `abruptly` resets the connection whatever its state.
    pub(super) fn close(&mut self, id: SocketId, abruptly: bool) {
        let socket = self.socket(id);
        debug_assert!(socket.waits.is_empty(), "a source was dropped while it was waited for");
        let host = socket.host;
        match std::mem::replace(&mut socket.kind, Kind::Dead) {
            Kind::Stream(connection, end) => {
                // The port map of the socket is that of streams, as it is for `Dead`.
                self.close_end(connection, end, abruptly);
            }
            Kind::Listener(listening) => self.close_listener(listening),
            kind @ Kind::Datagrams(_) => self.socket(id).kind = kind,
            Kind::Fresh | Kind::Dead => {}
        }
        self.release_port(id);
        self.sockets.remove(&id);
        self.hosts[host.index()].open -= 1;
    }
}

/// The host of tasks that are on none. Others see it at this address (TEST-NET-1, RFC 5737).
const DEFAULT_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// As `net.ipv4.ip_local_port_range` has it.
const EPHEMERAL_FIRST: u16 = 32768;
const EPHEMERAL_LAST: u16 = 60999;
/// In how many steps a range of durations is drawn.
const STEPS: usize = 16;
/// The first wait for an acknowledgement (`TCP_RTO_MIN` of Linux); each further one is twice as long.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// After so many losses of one segment it gets through: a bound for the loop.
const RETRANSMISSIONS_MAX: u32 = 8;
