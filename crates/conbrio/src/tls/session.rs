//! The state of a TLS connection, shared by whoever reads and whoever writes.
//!
//! Owns the connection of rustls, which knows no I/O, under a lock of the standard library. The invariant:
//! nothing waits while it holds the lock, so a task of the same worker never finds it taken; one of another
//! worker waits for as long as it takes to encrypt what one call writes, or for a step of the handshake.
//!
//! What takes `cx` here does not wait: it calls rustls on the stack of the thread. The arithmetic of a
//! handshake needs more than a task has where it is not optimised, and verifiers of the user may need more.
//! The latter cannot wait there either, which keeps the invariant.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::{Connection, ProtocolVersion};

use super::error::TlsError;
use super::negotiated::Negotiated;
use crate::cancel::MaybeCancelled;
use crate::task::Cx;

pub(super) struct Session {
    state: Mutex<State>,
    /// Set when the handshake is over and what this side had to say in it was sent.
    negotiated: OnceLock<Negotiated>,
    /// How many encrypted bytes have left rustls and not been taken by the transport.
    unsent: AtomicUsize,
    peer: Arc<str>,
    https_compatible: bool,
}

/// Makes the connection of rustls, which for a client is a good part of the handshake.
pub(super) type Start = Box<dyn FnOnce() -> Result<Connection, rustls::Error> + Send>;

struct State {
    start: Option<Start>,
    /// `None` until the handshake begins.
    connection: Option<Connection>,
    /// Whether a single record has come.
    has_begun: bool,
    /// Whether the reading direction of the transport has ended.
    transport_ended: bool,
    /// Whether the peer has said that nothing more comes.
    peer_ended: bool,
    /// Whether the end of the writing direction has been said, though perhaps not been sent.
    write_ended: bool,
    /// Why nothing can be read any more: the message of the first error.
    read_broken: Option<Arc<str>>,
    /// Why nothing can be written any more.
    write_broken: Option<Arc<str>>,
}

/// What a handshake does next.
pub(super) enum Next {
    /// Sends what there is to be sent.
    Push,
    /// Reads if there is a record already, which may have more to be sent as its consequence; else sends.
    PullOrPush,
    /// Reads what the peer says next.
    Pull,
    Nothing,
}

impl Session {
    pub(super) fn new(start: Start, peer: Arc<str>, https_compatible: bool) -> Session {
        Session {
            state: Mutex::new(State {
                start: Some(start),
                connection: None,
                has_begun: false,
                transport_ended: false,
                peer_ended: false,
                write_ended: false,
                read_broken: None,
                write_broken: None,
            }),
            negotiated: OnceLock::new(),
            unsent: AtomicUsize::new(0),
            peer,
            https_compatible,
        }
    }

    /// A verifier of the user may panic under the lock; rustls has marked the connection as unusable
    /// before it calls one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.get()
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }

    pub(super) fn set_unsent(&self, bytes: usize) {
        // Relaxed: it is read by the task that writes, or under the lock, or as a hint.
        self.unsent.store(bytes, Ordering::Relaxed);
    }

    /// What the handshake needs next. When it is over, says so to all.
    pub(super) fn next_of_handshake(&self, cx: &mut Cx) -> io::Result<Next> {
        cx.on_thread_stack(|| self.next_here())
    }

    fn next_here(&self) -> io::Result<Next> {
        let mut state = self.lock();
        if let Some(earlier) = state.read_broken.as_ref().or(state.write_broken.as_ref()) {
            return Err(TlsError::broken("handshake", &self.peer, Arc::clone(earlier)));
        }
        if let Some(start) = state.start.take() {
            match start() {
                // One call encrypts only so much anyway.
                Ok(mut connection) => {
                    connection.set_buffer_limit(None);
                    state.connection = Some(connection);
                }
                Err(error) => return Err(self.broken_by_protocol(&mut state, "handshake", error)),
            }
        }
        // A panic in `start` leaves none.
        let Some(connection) = &state.connection else {
            let earlier = "a panic when it was to begin";
            return Err(TlsError::broken("handshake", &self.peer, earlier.into()));
        };
        let is_over = !connection.is_handshaking();
        let has_output = connection.wants_write() || self.unsent() > 0;
        if has_output && !(is_over && output_can_wait(connection)) {
            return Ok(if is_over { Next::Push } else { Next::PullOrPush });
        }
        if !is_over {
            if state.transport_ended {
                return Err(TlsError::cut_off("handshake", &self.peer));
            }
            return Ok(Next::Pull);
        }
        self.negotiated.get_or_init(|| Negotiated::of(connection));
        Ok(Next::Nothing)
    }

    /// Whether the peer has gone without having said anything, and that is no error here.
    pub(super) fn ended_before_handshake(&self) -> bool {
        let state = self.lock();
        self.https_compatible && state.transport_ended && !state.has_begun
    }

    /// Gives a record that has come to rustls.
    pub(super) fn feed(&self, cx: &mut Cx, record: &[u8]) -> io::Result<()> {
        cx.on_thread_stack(|| self.feed_here(record))
    }

    fn feed_here(&self, mut record: &[u8]) -> io::Result<()> {
        let during = self.during("read");
        let mut guard = self.lock();
        let state = &mut *guard;
        state.has_begun = true;
        let connection = state.connection.as_mut().expect("it reads when it has begun");
        let mut fed = Ok(());
        while !record.is_empty() && fed.is_ok() {
            // It takes some thousand bytes at a time. It takes none after the peer has said the end, and fails
            // only if there is plaintext that nobody has taken; neither is fed anything.
            connection.read_tls(&mut record)?;
            fed = connection.process_new_packets().map(|now| {
                state.peer_ended = now.peer_has_closed();
            });
        }
        match fed {
            Ok(()) => Ok(()),
            Err(error) => Err(self.broken_by_protocol(state, during, error)),
        }
    }

    /// What rustls rejects is the end of both directions.
    fn broken_by_protocol(
        &self,
        state: &mut State,
        during: &'static str,
        error: rustls::Error,
    ) -> io::Error {
        let error = TlsError::by_protocol(during, &self.peer, error);
        let message: Arc<str> = error.to_string().into();
        state.read_broken.get_or_insert_with(|| Arc::clone(&message));
        state.write_broken.get_or_insert(message);
        error
    }

    /// The reading direction of the transport has ended.
    pub(super) fn transport_ended(&self) {
        let mut state = self.lock();
        state.transport_ended = true;
    }

    /// The reading direction of the transport has failed. What was read before is still there.
    pub(super) fn read_failed(&self, error: io::Error) -> io::Error {
        // A transport made of adapters for `std` reports its cancellations so. Nothing has happened.
        if error.cancelled().is_some() {
            return error;
        }
        let error = TlsError::by_transport(self.during("read"), &self.peer, error);
        let mut state = self.lock();
        state.read_broken.get_or_insert_with(|| error.to_string().into());
        error
    }

    /// The writing direction of the transport has failed.
    pub(super) fn write_failed(&self, error: io::Error) -> io::Error {
        if error.cancelled().is_some() {
            return error;
        }
        let error = TlsError::by_transport(self.during("write"), &self.peer, error);
        self.lock().write_broken.get_or_insert_with(|| error.to_string().into());
        error
    }

    /// Plaintext that has come: `None` if there is none now; zero is the end.
    pub(super) fn take(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let mut state = self.lock();
        match state.connection.as_mut().expect("the handshake is over").reader().read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result.map(Some),
        }
        if let Some(earlier) = &state.read_broken {
            return Err(TlsError::broken("read", &self.peer, Arc::clone(earlier)));
        }
        match (state.transport_ended, self.https_compatible) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some(0)),
            (true, false) => Err(TlsError::cut_off("read", &self.peer)),
        }
    }

    /// Encrypts data, or as much of it as one call takes. [`drain`](Session::drain) has the result.
    pub(super) fn encrypt(&self, cx: &mut Cx, data: &[u8]) -> io::Result<usize> {
        cx.on_thread_stack(|| self.encrypt_here(data))
    }

    fn encrypt_here(&self, data: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        self.writable(&state)?;
        if state.write_ended {
            return Err(TlsError::ended(&self.peer));
        }
        let connection = state.connection.as_mut().expect("the handshake is over");
        connection.writer().write(&data[..data.len().min(WRITE_MAX)])
    }

    /// Says the end of the writing direction, once. [`drain`](Session::drain) has the result.
    pub(super) fn end_write(&self, cx: &mut Cx) -> io::Result<()> {
        cx.on_thread_stack(|| self.end_write_here())
    }

    fn end_write_here(&self) -> io::Result<()> {
        let mut state = self.lock();
        self.writable(&state)?;
        if !state.write_ended {
            state.write_ended = true;
            let connection = state.connection.as_mut().expect("the handshake is over");
            connection.send_close_notify();
        }
        Ok(())
    }

    /// Fails if the writing direction is broken.
    pub(super) fn check_writable(&self) -> io::Result<()> {
        self.writable(&self.lock())
    }

    fn writable(&self, state: &State) -> io::Result<()> {
        match &state.write_broken {
            Some(earlier) => Err(TlsError::broken("write", &self.peer, Arc::clone(earlier))),
            None => Ok(()),
        }
    }

    /// Moves what rustls has to send to the end of `unsent`.
    pub(super) fn drain(&self, unsent: &mut Vec<u8>) {
        let mut state = self.lock();
        if let Some(connection) = &mut state.connection {
            while connection.wants_write() {
                connection.write_tls(unsent).expect("a vector takes everything");
            }
        }
        self.set_unsent(unsent.len());
    }

    /// Whether both directions have ended and nothing is left to be read or sent, so that the transport is
    /// free again.
    pub(super) fn is_over(&self) -> bool {
        let mut state = self.lock();
        let all_is_read = state
            .connection
            .as_mut()
            .is_some_and(|connection| matches!(connection.reader().into_first_chunk(), Ok([])));
        state.write_ended && state.peer_ended && all_is_read && self.unsent() == 0
    }

    fn during(&self, otherwise: &'static str) -> &'static str {
        if self.negotiated.get().is_some() { otherwise } else { "handshake" }
    }
}

/// What a server of TLS 1.3 still has to send when its handshake is over are tickets for later sessions. They
/// go out with whatever it writes first, so that it does not wait for a client that writes first, too, and
/// reads later.
fn output_can_wait(connection: &Connection) -> bool {
    matches!(connection, Connection::Server(_))
        && connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.peer)
            .field("negotiated", &self.negotiated.get())
            .field("unsent", &self.unsent())
            .finish_non_exhaustive()
    }
}

/// How much one call encrypts at most: four records, which leave in one system call.
const WRITE_MAX: usize = 64 * 1024;
