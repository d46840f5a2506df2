//! Connections as the network sees them: requests and answers, faults, and what gives up when.
//!
//! Owns the handshake and the timers of [`Connection`]. A packet of a connection that does not get
//! through is held, and goes on its way when the path is open again: to the ends this looks as if it
//! had been sent again and again. The invariant: while anything is held, a timer is on the queue that
//! ends the connection, unless nobody would hear of that.

use std::net::SocketAddr;
use std::time::Duration;

use super::datagram::is_to_many;
use super::state::{ConnectionId, Errno, Event, Kind, SocketId, State};
use super::stream::{Connection, End, HEADER, Held, Phase, Pipe};
use super::{FullBacklog, HostId, UnknownAddress};
use crate::Direction;

impl State {
    /// Begins to connect, or says how that went. `EAGAIN` while it is under way.
    pub(super) fn connect(&mut self, id: SocketId, to: SocketAddr) -> Result<(), Errno> {
        let (c, e) = match &self.socket(id).kind {
            Kind::Fresh => return self.begin_to_connect(id, to),
            Kind::Datagrams(_) => return self.connect_datagrams(id, to),
            Kind::Stream(c, e) => (*c, *e),
            Kind::Listener(_) => return Err(libc::EISCONN),
            Kind::Dead => return Err(libc::ENETDOWN),
        };
        let end = &mut self.connection(c).ends[e];
        match end.phase {
            Phase::Connecting if end.is_dead => {
                let error = end.error.take();
                end.socket = None;
                self.socket(id).kind = Kind::Fresh;
                self.forget_if_over(c);
                // Whoever has taken the error already, by `SO_ERROR`, connects anew.
                error.map_or_else(|| self.begin_to_connect(id, to), Err)
            }
            Phase::Connecting => Err(libc::EAGAIN),
            Phase::Open if !end.is_reported => {
                end.is_reported = true;
                Ok(())
            }
            _ => Err(libc::EISCONN),
        }
    }

    fn begin_to_connect(&mut self, id: SocketId, to: SocketAddr) -> Result<(), Errno> {
        let socket = &self.sockets[&id];
        let from = socket.host;
        if socket.is_v6 != to.is_ipv6() {
            return Err(libc::EAFNOSUPPORT);
        }
        if !self.hosts[from.index()].is_up {
            return Err(libc::ENETDOWN);
        }
        if is_to_many(to.ip()) {
            return Err(libc::ENETUNREACH);
        }
        let ip = self.source_address(from, to.ip())?;
        if socket.local.is_none() {
            self.bind(id, SocketAddr::new(ip, 0))?;
        }
        let bound = self.socket(id).local.expect("it was bound just now");
        let ip = if bound.ip().is_unspecified() { ip } else { bound.ip() };
        let local = SocketAddr::new(ip, bound.port());
        self.socket(id).local = Some(local);
        // What is asked for at no address is asked for here (Linux, `ip_route_connect`).
        let to = match to.ip().is_unspecified() {
            true => SocketAddr::new(self.source_address(from, to.ip())?, to.port()),
            false => to,
        };
        let host = self.route(from, to.ip());
        let c = ConnectionId(self.serial());
        let mut client = End::new(from, local, Phase::Connecting);
        client.socket = Some(id);
        let connection = Connection {
            ends: [client, End::new(host.unwrap_or(from), to, Phase::Absent)],
            pipes: [Pipe::default(), Pipe::default()],
            handshake: None,
            held: None,
            connect_timeout: None,
        };
        self.connections.insert(c, connection);
        self.socket(id).kind = Kind::Stream(c, 0);
        let give_up = self.now + self.options.connect_timeout;
        let connect_timeout = self.schedule(give_up, Event::ConnectTimeout(c));
        self.connection(c).connect_timeout = Some(connect_timeout);
        let handshake = match host {
            Some(host) => {
                let due = self.reliable_flight(from, host, HEADER);
                Some(self.schedule(due, Event::Request(c, 0)))
            }
            None if self.options.unknown_address == UnknownAddress::Unreachable => {
                let due = self.now + *self.options.latency.end();
                Some(self.schedule(due, Event::Failure(c, libc::EHOSTUNREACH)))
            }
            None => None,
        };
        self.connection(c).handshake = handshake;
        Err(libc::EAGAIN)
    }

    /// Makes a bound socket listen.
    pub(super) fn listen(&mut self, id: SocketId, backlog: i32) {
        let backlog = usize::try_from(backlog).unwrap_or(0).max(1);
        let queue = Default::default();
        let listening = super::stream::Listening { backlog, queue, is_shut: false };
        self.socket(id).kind = Kind::Listener(listening);
    }

    /// The request of a client arrives for the `tries`-th time.
    pub(super) fn request_arrives(&mut self, c: ConnectionId, tries: u32) {
        let Some(connection) = self.connections.get_mut(&c) else {
            return;
        };
        connection.handshake = None;
        let [client, server] = connection.ends.each_ref().map(|end| end.host);
        let to = connection.ends[1].address;
        // An answer that does not get through is as good as none: the client asks again.
        if !self.is_open(client, server) || !self.is_open(server, client) {
            self.connection(c).held = Some(Held::Request(tries));
            return;
        }
        let listener = self.listener_at(server, to);
        let has_room = listener.is_some_and(|listener| match &self.sockets[&listener].kind {
            Kind::Listener(listening) => listening.queue.len() < listening.backlog,
            _ => false,
        });
        let due = self.reliable_flight(server, client, HEADER);
        let event = match listener {
            Some(listener) if has_room => {
                let connection = self.connection(c);
                connection.ends[1].phase = Phase::Queued(listener);
                // What the server sends comes after its answer.
                connection.pipes[1].last_due = due;
                if let Kind::Listener(listening) = &mut self.socket(listener).kind {
                    listening.queue.push_back(c);
                }
                self.wake_socket(listener, Direction::Read);
                self.schedule(due, Event::Answer(c))
            }
            Some(_) if self.options.full_backlog == FullBacklog::Drop => {
                let again = self.now + (REQUEST_AGAIN * (1 << tries.min(6)));
                self.schedule(again, Event::Request(c, tries + 1))
            }
            Some(_) | None => self.schedule(due, Event::Failure(c, libc::ECONNREFUSED)),
        };
        self.connection(c).handshake = Some(event);
    }

    /// The listener that gets a request for `to`: one of that very address before a general one.
    fn listener_at(&self, host: HostId, to: SocketAddr) -> Option<SocketId> {
        let holders = self.hosts[host.index()].tcp.get(&to.port())?;
        let fitting = |exact: bool| {
            holders.iter().copied().filter(move |holder| {
                let socket = &self.sockets[holder];
                let Kind::Listener(listening) = &socket.kind else {
                    return false;
                };
                let ip = socket.local.map(|local| local.ip());
                let general = ip.is_some_and(|ip| ip.is_unspecified())
                    && (socket.is_v6 == to.is_ipv6() || socket.is_v6 && !socket.only_v6);
                !listening.is_shut && if exact { ip == Some(to.ip()) } else { general }
            })
        };
        let mut found: Vec<SocketId> = fitting(true).collect();
        if found.is_empty() {
            found = fitting(false).collect();
        }
        let choice = self.choose("listener of a shared port", found.len());
        found.get(choice).copied()
    }

    /// The server's answer arrives: the client is connected.
    pub(super) fn answer_arrives(&mut self, c: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&c) else {
            return;
        };
        connection.handshake = None;
        let [client, server] = connection.ends.each_ref().map(|end| end.host);
        if !self.is_open(server, client) {
            self.connection(c).held = Some(Held::Answer);
            return;
        }
        let connection = self.connection(c);
        let end = &mut connection.ends[0];
        if end.phase == Phase::Connecting && !end.is_dead {
            end.phase = Phase::Open;
            let timeout = connection.connect_timeout.take();
            self.unschedule(timeout);
            self.wake_end(c, 0, Direction::Write);
        }
    }

    /// Takes a connection out of the listener's queue. Yields its new socket and its peer.
    pub(super) fn accept(&mut self, id: SocketId) -> Result<(SocketId, SocketAddr), Errno> {
        let host = self.sockets[&id].host;
        let c = match &self.sockets[&id].kind {
            Kind::Listener(listening) if listening.is_shut => return Err(libc::EINVAL),
            Kind::Listener(listening) => *listening.queue.front().ok_or(libc::EAGAIN)?,
            Kind::Dead => return Err(libc::ENETDOWN),
            _ => return Err(libc::EINVAL),
        };
        let is_v6 = self.connections[&c].ends[1].address.is_ipv6();
        let accepted = self.open(host, is_v6, Kind::Stream(c, 1))?;
        if let Kind::Listener(listening) = &mut self.socket(id).kind {
            listening.queue.pop_front();
        }
        let [client, server] = &mut self.connection(c).ends;
        server.phase = Phase::Open;
        server.socket = Some(accepted);
        server.is_reported = true;
        let (local, peer) = (server.address, client.address);
        self.socket(accepted).local = Some(local);
        self.update_keepalive(c, 1);
        Ok((accepted, peer))
    }

    /// An end of a connection fails with `errno`: of whatever it waits for, and then for good.
    pub(super) fn fail(&mut self, c: ConnectionId, e: usize, errno: Errno) {
        let Some(connection) = self.connections.get_mut(&c) else {
            return;
        };
        let end = &mut connection.ends[e];
        end.is_dead = true;
        end.error = Some(errno);
        connection.pipes[e].flying.clear();
        if e == 0 && end.phase == Phase::Connecting {
            let timers = [connection.handshake.take(), connection.connect_timeout.take()];
            self.unschedule(timers.into_iter().flatten());
        }
        self.disarm(c, e);
        self.wake_end(c, e, Direction::Read);
        self.wake_end(c, e, Direction::Write);
    }

    /// The sender at this end hears nothing of its data: it gives up after a while.
    pub(super) fn arm_retransmission(&mut self, c: ConnectionId, e: usize) {
        let limit = self.options.retransmission_timeout;
        let now = self.now;
        let end = &self.connection(c).ends[e];
        if end.retransmission.is_none() && !end.is_dead && end.socket.is_some() {
            let at = now + end.user_timeout.unwrap_or(limit);
            let timer = self.schedule(at, Event::RetransmissionTimeout(c, e));
            self.connection(c).ends[e].retransmission = Some(timer);
        }
    }

    /// Notes what the options of a socket say about silence.
    pub(super) fn note_timeouts(
        &mut self,
        id: SocketId,
        keepalive: Option<Duration>,
        user_timeout: Option<Duration>,
    ) {
        if let Ok((c, e)) = self.end_of(id) {
            let end = &mut self.connection(c).ends[e];
            end.keepalive_after = keepalive;
            end.user_timeout = user_timeout;
            self.update_keepalive(c, e);
        }
    }

    /// Sets or clears the timer of keepalive. It runs only while the peer would not answer, so that
    /// an idle connection lets no time pass.
    fn update_keepalive(&mut self, c: ConnectionId, e: usize) {
        let connection = &self.connections[&c];
        let (end, peer) = (&connection.ends[e], &connection.ends[1 - e]);
        let is_silent = peer.phase == Phase::Forgotten
            || !self.is_open(end.host, peer.host)
            || !self.is_open(peer.host, end.host);
        let limit = end.keepalive_after.filter(|_| {
            is_silent && end.phase == Phase::Open && !end.is_dead && end.socket.is_some()
        });
        let timer = end.keepalive;
        match limit {
            Some(limit) if timer.is_none() => {
                let timer = self.schedule(self.now + limit, Event::KeepaliveTimeout(c, e));
                self.connection(c).ends[e].keepalive = Some(timer);
            }
            Some(_) => {}
            None => {
                self.unschedule(timer);
                self.connection(c).ends[e].keepalive = None;
            }
        }
    }

    /// The peer has not answered for too long, or says that it knows no such connection.
    pub(super) fn keepalive_ends(&mut self, c: ConnectionId, e: usize) {
        let Some(connection) = self.connections.get(&c) else {
            return;
        };
        let (end, peer) = (connection.ends[e].host, connection.ends[1 - e].host);
        let answers = self.is_open(end, peer) && self.is_open(peer, end);
        self.fail(c, e, if answers { libc::ECONNRESET } else { libc::ETIMEDOUT });
    }

    /// Takes the timers of an end off the queue.
    pub(super) fn disarm(&mut self, c: ConnectionId, e: usize) {
        let end = &mut self.connection(c).ends[e];
        let timers = [end.retransmission.take(), end.keepalive.take()];
        self.unschedule(timers.into_iter().flatten());
    }

    /// After paths have opened or closed: what is held goes on if it can.
    pub(super) fn paths_changed(&mut self) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for c in ids {
            let connection = self.connection(c);
            let hosts = connection.ends.each_ref().map(|end| end.host);
            let held = connection.held;
            let open = [self.is_open(hosts[0], hosts[1]), self.is_open(hosts[1], hosts[0])];
            if let Some(held) = held.filter(|_| open == [true; 2]) {
                self.connection(c).held = None;
                let (event, from, to) = match held {
                    Held::Request(tries) => (Event::Request(c, tries + 1), hosts[0], hosts[1]),
                    Held::Answer => (Event::Answer(c), hosts[1], hosts[0]),
                };
                let due = self.late_flight(from, to);
                let event = self.schedule(due, event);
                self.connection(c).handshake = Some(event);
            }
            for e in [0, 1] {
                let (from, to) = (hosts[e], hosts[1 - e]);
                let pipe = &self.connection(c).pipes[e];
                let (is_held, window_held) = (pipe.is_held, pipe.window_held);
                if is_held && open[e] {
                    let due = self.late_flight(from, to);
                    let pipe = &mut self.connection(c).pipes[e];
                    pipe.is_held = false;
                    pipe.last_due = pipe.last_due.max(due);
                    let (due, count) = (pipe.last_due, pipe.flying.len());
                    for _ in 0..count {
                        self.schedule(due, Event::Segment(c, e));
                    }
                }
                if window_held && open[1 - e] {
                    self.connection(c).pipes[e].window_held = false;
                    let due = self.late_flight(to, from);
                    self.schedule(due, Event::Window(c, e));
                }
                if open == [true; 2] {
                    let timer = self.connection(c).ends[e].retransmission.take();
                    self.unschedule(timer);
                }
                self.update_keepalive(c, e);
            }
        }
    }

    /// When a packet arrives that is sent again after a path has opened.
    fn late_flight(&mut self, from: HostId, to: HostId) -> Duration {
        let wait = self.choose_between("retransmission after a fault", Duration::ZERO, LATE_MAX);
        self.reliable_flight(from, to, HEADER) + wait
    }

    /// A host goes down without a word: its sockets die, and nobody else hears of it.
    pub(super) fn crash(&mut self, host: HostId) {
        self.hosts[host.index()].is_up = false;
        let of_host =
            |(id, socket): (&SocketId, &super::state::Socket)| (socket.host == host).then_some(*id);
        let dead: Vec<SocketId> = self.sockets.iter().filter_map(of_host).collect();
        for id in dead {
            self.release_port(id);
            self.socket(id).kind = Kind::Dead;
            self.wake_socket(id, Direction::Read);
            self.wake_socket(id, Direction::Write);
        }
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for c in ids {
            for e in [0, 1] {
                let connection = self.connection(c);
                let end = &mut connection.ends[e];
                if end.host == host && end.phase != Phase::Absent {
                    end.phase = Phase::Forgotten;
                    end.socket = None;
                    end.is_dead = true;
                    if connection.pipes[e].is_held {
                        connection.pipes[e].flying.clear();
                        connection.pipes[e].is_held = false;
                    }
                    self.disarm(c, e);
                }
            }
            self.forget_if_over(c);
        }
        self.paths_changed();
    }

    /// A host comes up again, and knows of no connection.
    pub(super) fn restart(&mut self, host: HostId) {
        self.hosts[host.index()].is_up = true;
        self.paths_changed();
    }

    /// Somebody on the way resets all connections between two hosts.
    pub(super) fn reset(&mut self, one: HostId, other: HostId) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for c in ids {
            let hosts = self.connection(c).ends.each_ref().map(|end| end.host);
            if hosts == [one, other] || hosts == [other, one] {
                self.fail(c, 0, libc::ECONNRESET);
                if self.connection(c).ends[1].phase != Phase::Absent {
                    self.fail(c, 1, libc::ECONNRESET);
                }
            }
        }
    }
}

/// When a request is repeated for the first time; each further time takes twice as long.
const REQUEST_AGAIN: Duration = Duration::from_secs(1);
/// A sender tries again this often at least. (Linux waits longer and longer, up to two minutes.)
const LATE_MAX: Duration = Duration::from_millis(200);
