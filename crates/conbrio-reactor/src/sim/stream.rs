//! Connections: bytes in order, whole while the connection lives, with bounded buffers.
//!
//! A connection has two ends, 0 the client's and 1 the server's, and two directions, of which each has
//! the index of the end that writes to it:
//!
//! ```text
//! end 0  -- pipe 0:  flying segments | bytes that have arrived -->  end 1
//!        <-- pipe 1:  bytes that have arrived | flying segments --
//! ```
//!
//! Connecting, faults and timers are in [`super::link`]. Invariants: a segment arrives after all that
//! left before it; `used` never exceeds the size of the buffer; after an end is dead it neither sends
//! nor receives, and what it had received before can still be read, as in Linux.

use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use super::HostId;
use super::state::{ConnectionId, Errno, Event, EventKey, Kind, SocketId, State};
use crate::Direction;

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listening {
    /// `1 <= backlog`.
    pub(super) backlog: usize,
    /// Connections that wait to be accepted.
    pub(super) queue: VecDeque<ConnectionId>,
    pub(super) is_shut: bool,
}

/// A connection, from the first request until both sides have closed it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ends: [End; 2],
    pub(super) pipes: [Pipe; 2],
    /// The packet of the handshake that is on its way.
    pub(super) handshake: Option<EventKey>,
    /// The packet of the handshake that does not get through.
    pub(super) held: Option<Held>,
    pub(super) connect_timeout: Option<EventKey>,
}

/// A packet of the handshake.
#[derive(Copy, Clone, Debug)]
pub(super) enum Held {
    Request(u32),
    Answer,
}

/// One side of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) host: HostId,
    pub(super) address: SocketAddr,
    pub(super) phase: Phase,
    /// None before it is accepted and after it was closed.
    pub(super) socket: Option<SocketId>,
    /// What the next operation fails with.
    pub(super) error: Option<Errno>,
    /// Whether `connect` has said that it succeeded.
    pub(super) is_reported: bool,
    /// The peer has sent its last byte, and it has arrived.
    pub(super) has_ended: bool,
    pub(super) read_shut: bool,
    pub(super) write_shut: bool,
    /// Reset, timed out or forgotten.
    pub(super) is_dead: bool,
    pub(super) retransmission: Option<EventKey>,
    pub(super) keepalive: Option<EventKey>,
    /// How long silence lasts until keepalive gives up, if it is on.
    pub(super) keepalive_after: Option<Duration>,
    pub(super) user_timeout: Option<Duration>,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Phase {
    /// The server's end before the request has arrived.
    Absent,
    /// The client's end before the answer has arrived.
    Connecting,
    /// The server's end in the queue of this listener.
    Queued(SocketId),
    Open,
    Closed,
    /// Its host has crashed since.
    Forgotten,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) flying: VecDeque<Segment>,
    pub(super) arrived: VecDeque<u8>,
    /// Bytes that take up room from the writer's point of view.
    pub(super) used: usize,
    /// Bytes that were read, of which the writer does not know yet.
    pub(super) returning: usize,
    pub(super) window_flies: bool,
    pub(super) window_held: bool,
    pub(super) last_due: Duration,
    /// The flying segments do not get through; no event is on the queue for them.
    pub(super) is_held: bool,
}

#[derive(Debug)]
pub(super) enum Segment {
    Data(Vec<u8>),
    End,
    Reset,
}

impl End {
    pub(super) fn new(host: HostId, address: SocketAddr, phase: Phase) -> End {
        End {
            host,
            address,
            phase,
            socket: None,
            error: None,
            is_reported: false,
            has_ended: false,
            read_shut: false,
            write_shut: false,
            is_dead: false,
            retransmission: None,
            keepalive: None,
            keepalive_after: None,
            user_timeout: None,
        }
    }
}

impl State {
    /// The connection and end of a stream socket.
    pub(super) fn end_of(&self, id: SocketId) -> Result<(ConnectionId, usize), Errno> {
        match self.sockets[&id].kind {
            Kind::Stream(connection, end) => Ok((connection, end)),
            Kind::Dead => Err(libc::ENETDOWN),
            _ => Err(libc::ENOTCONN),
        }
    }

    /// The connection of a live id: a stream socket keeps its connection.
    pub(super) fn connection(&mut self, id: ConnectionId) -> &mut Connection {
        self.connections.get_mut(&id).expect("a socket's connection exists")
    }

    /// Fills `buffers` in order with what has arrived. Zero is the end.
    pub(super) fn read(
        &mut self,
        id: SocketId,
        buffers: &mut [&mut [u8]],
        peek: bool,
    ) -> Result<usize, Errno> {
        let (c, e) = self.end_of(id)?;
        let asked: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let connection = self.connection(c);
        let available = connection.pipes[1 - e].arrived.len();
        let end = &mut connection.ends[e];
        if available == 0 {
            return match end.error.take() {
                Some(errno) => Err(errno),
                None if end.has_ended || end.read_shut || end.is_dead || asked == 0 => Ok(0),
                None => Err(libc::EAGAIN),
            };
        }
        let count = self.shortened(asked.min(available));
        let pipe = &mut self.connection(c).pipes[1 - e];
        let mut bytes = pipe.arrived.iter().copied();
        let mut left = count;
        for buffer in buffers {
            let part = buffer.len().min(left);
            for (place, byte) in buffer[..part].iter_mut().zip(&mut bytes) {
                *place = byte;
            }
            left -= part;
        }
        if !peek {
            pipe.arrived.drain(..count);
            self.return_room(c, e, count);
        }
        Ok(count)
    }

    /// Tells the writer that `count` bytes have been read at this end.
    fn return_room(&mut self, c: ConnectionId, e: usize, count: usize) {
        let half = self.options.stream_buffer / 2;
        let connection = self.connection(c);
        let pipe = &mut connection.pipes[1 - e];
        if pipe.used <= half && pipe.returning == 0 {
            // The writer has room either way, and cannot tell when it heard of more.
            pipe.used -= count;
            return;
        }
        pipe.returning += count;
        if !pipe.window_flies {
            pipe.window_flies = true;
            let (reader, writer) = (connection.ends[e].host, connection.ends[1 - e].host);
            let due = self.flight(reader, writer, HEADER);
            self.schedule(due, Event::Window(c, 1 - e));
        }
    }

    /// The writer at end `e` hears what has been read.
    pub(super) fn window_opens(&mut self, c: ConnectionId, e: usize) {
        let Some(connection) = self.connections.get(&c) else {
            return;
        };
        let open = self.is_open(connection.ends[1 - e].host, connection.ends[e].host);
        let pipe = &mut self.connection(c).pipes[e];
        pipe.window_held = !open;
        if open {
            pipe.window_flies = false;
            pipe.used -= std::mem::take(&mut pipe.returning);
            self.wake_end(c, e, Direction::Write);
        }
    }

    /// Sends as much of `data`, which is `length` bytes, as there is room for.
    pub(super) fn write(&mut self, id: SocketId, data: &[&[u8]]) -> Result<usize, Errno> {
        let (c, e) = self.end_of(id)?;
        let buffer = self.options.stream_buffer.max(1);
        let connection = self.connection(c);
        let end = &mut connection.ends[e];
        if let Some(errno) = end.error.take() {
            return Err(errno);
        }
        if end.write_shut || end.is_dead {
            return Err(libc::EPIPE);
        }
        let length = data.iter().map(|part| part.len()).sum::<usize>();
        if length == 0 {
            return Ok(0);
        }
        let room = buffer.saturating_sub(connection.pipes[e].used);
        if end.phase == Phase::Connecting || room == 0 {
            return Err(libc::EAGAIN);
        }
        let count = self.shortened(length.min(room));
        let mut bytes: Vec<u8> = Vec::with_capacity(count);
        for part in data {
            bytes.extend(&part[..part.len().min(count - bytes.len())]);
        }
        self.connection(c).pipes[e].used += count;
        for segment in bytes.chunks(SEGMENT_MAX) {
            self.send(c, e, Segment::Data(segment.to_vec()));
        }
        Ok(count)
    }

    /// Puts a segment on its way.
    pub(super) fn send(&mut self, c: ConnectionId, e: usize, segment: Segment) {
        let connection = self.connection(c);
        let (from, to) = (connection.ends[e].host, connection.ends[1 - e].host);
        let pipe = &mut connection.pipes[e];
        let bytes = match &segment {
            Segment::Data(bytes) => bytes.len() + HEADER,
            Segment::End | Segment::Reset => HEADER,
        };
        pipe.flying.push_back(segment);
        if !pipe.is_held {
            let due = self.reliable_flight(from, to, bytes);
            let pipe = &mut self.connection(c).pipes[e];
            pipe.last_due = pipe.last_due.max(due);
            let due = pipe.last_due;
            self.schedule(due, Event::Segment(c, e));
        }
    }

    /// The first flying segment of the direction from `from` arrives, or does not get through.
    pub(super) fn segment_arrives(&mut self, c: ConnectionId, from: usize) {
        let Some(connection) = self.connections.get(&c).filter(|c| !c.pipes[from].is_held) else {
            return;
        };
        let to = 1 - from;
        let hosts = [connection.ends[from].host, connection.ends[to].host];
        if !self.is_open(hosts[0], hosts[1]) {
            self.connection(c).pipes[from].is_held = true;
            self.arm_retransmission(c, from);
            return;
        }
        let connection = self.connection(c);
        let Some(segment) = connection.pipes[from].flying.pop_front() else {
            return;
        };
        let end = &mut connection.ends[to];
        let is_gone = matches!(end.phase, Phase::Closed | Phase::Forgotten | Phase::Absent);
        match segment {
            // A host that knows no such connection any more says so. The sender is dead when it
            // hears that, and sends no more.
            Segment::Data(_) if is_gone || end.is_dead => {
                end.is_dead = true;
                self.send(c, to, Segment::Reset);
            }
            Segment::Data(bytes) => {
                connection.pipes[from].arrived.extend(bytes);
                self.wake_end(c, to, Direction::Read);
                if !self.is_open(hosts[1], hosts[0]) {
                    // It has arrived, but the sender does not hear that.
                    self.arm_retransmission(c, from);
                }
            }
            Segment::End if end.phase == Phase::Forgotten => self.send(c, to, Segment::Reset),
            Segment::End if is_gone || end.is_dead => {}
            Segment::End => {
                end.has_ended = true;
                self.wake_end(c, to, Direction::Read);
            }
            Segment::Reset if is_gone || end.is_dead => {}
            Segment::Reset => {
                // Linux, `tcp_reset`: after the end of the stream only writing is left to break.
                let errno = match (end.phase, end.has_ended) {
                    (Phase::Connecting, _) => libc::ECONNREFUSED,
                    (_, true) => libc::EPIPE,
                    (_, false) => libc::ECONNRESET,
                };
                self.fail(c, to, errno);
            }
        }
    }

    /// Ends one or both directions of the socket's connection.
    pub(super) fn shut_down(&mut self, id: SocketId, how: Shutdown) -> Result<(), Errno> {
        if let Kind::Listener(listening) = &mut self.socket(id).kind {
            listening.is_shut |= how != Shutdown::Write;
            self.wake_socket(id, Direction::Read);
            return Ok(());
        }
        let (c, e) = self.end_of(id)?;
        let end = &mut self.connection(c).ends[e];
        if end.is_dead || end.phase != Phase::Open {
            return Err(libc::ENOTCONN);
        }
        if how != Shutdown::Write {
            end.read_shut = true;
        }
        if how != Shutdown::Read && !end.write_shut {
            end.write_shut = true;
            self.send(c, e, Segment::End);
        }
        self.wake_end(c, e, Direction::Read);
        self.wake_end(c, e, Direction::Write);
        Ok(())
    }

    /// The socket of an end has been closed.
    pub(super) fn close_end(&mut self, c: ConnectionId, e: usize, abruptly: bool) {
        let connection = self.connection(c);
        let is_unread = !connection.pipes[1 - e].arrived.is_empty();
        let has_peer = connection.ends[1 - e].phase != Phase::Absent;
        let end = &mut connection.ends[e];
        let was = std::mem::replace(&mut end.phase, Phase::Closed);
        end.socket = None;
        if was == Phase::Connecting {
            let timer = connection.connect_timeout.take();
            self.unschedule(timer);
        }
        let end = &mut self.connection(c).ends[e];
        if end.is_dead || !has_peer {
            // Nobody is there to be told.
        } else if abruptly || is_unread || was == Phase::Connecting {
            end.is_dead = true;
            self.send(c, e, Segment::Reset);
        } else if !end.write_shut {
            end.write_shut = true;
            self.send(c, e, Segment::End);
        }
        self.disarm(c, e);
        self.forget_if_over(c);
    }

    /// A listener has been closed: what it has not accepted is reset.
    pub(super) fn close_listener(&mut self, listening: Listening) {
        for connection in listening.queue {
            self.close_end(connection, 1, true);
        }
    }

    /// Drops a connection of which no socket is left.
    pub(super) fn forget_if_over(&mut self, c: ConnectionId) {
        let connection = self.connection(c);
        let in_use = |end: &End| end.socket.is_some() || matches!(end.phase, Phase::Queued(_));
        if connection.ends.iter().any(in_use) {
            return;
        }
        let timers = [connection.handshake.take(), connection.connect_timeout.take()];
        self.unschedule(timers.into_iter().flatten());
        self.disarm(c, 0);
        self.disarm(c, 1);
        self.connections.remove(&c);
    }

    /// The error that the socket has met and nobody has seen.
    pub(super) fn take_error(&mut self, id: SocketId) -> Option<Errno> {
        match &mut self.socket(id).kind {
            Kind::Datagrams(datagrams) => datagrams.error.take(),
            _ => {
                let (c, e) = self.end_of(id).ok()?;
                self.connection(c).ends[e].error.take()
            }
        }
    }

    /// Whether an attempt in this direction would not wait.
    pub(super) fn is_ready(&self, id: SocketId, direction: Direction) -> bool {
        match &self.sockets[&id].kind {
            Kind::Fresh | Kind::Dead => true,
            Kind::Listener(listening) => {
                direction == Direction::Read && (!listening.queue.is_empty() || listening.is_shut)
            }
            Kind::Datagrams(datagrams) => {
                let arrived = !datagrams.queue.is_empty();
                direction == Direction::Write || arrived || datagrams.error.is_some()
            }
            Kind::Stream(c, e) => {
                let connection = &self.connections[c];
                let end = &connection.ends[*e];
                if end.error.is_some() || end.is_dead {
                    return true;
                }
                match direction {
                    _ if end.phase == Phase::Connecting => false,
                    Direction::Read => {
                        let arrived = !connection.pipes[1 - e].arrived.is_empty();
                        arrived || end.has_ended || end.read_shut
                    }
                    Direction::Write => {
                        let room = connection.pipes[*e].used < self.options.stream_buffer.max(1);
                        room || end.write_shut || !end.is_reported
                    }
                }
            }
        }
    }

    /// The size of a transfer that may be shorter than it could be.
    fn shortened(&self, count: usize) -> usize {
        if count > 1 && self.happens("short transfer", self.options.short_transfers) {
            return 1 + self.choose("size of a short transfer", count - 1);
        }
        count
    }
}

/// What a packet has besides its data: the headers of IP and TCP.
pub(super) const HEADER: usize = 40;
/// The most that arrives at once.
const SEGMENT_MAX: usize = 16 * 1024;
