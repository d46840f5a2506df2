//! A stream that is encrypted.

use std::fmt;
use std::sync::Arc;

use super::engine::{self, Wire};
use super::error::NeedHandshake;
use super::negotiated::Negotiated;
use super::session::{Session, Start};
use super::split::{Link, ReadHalf, WriteHalf};
use super::wire::{Inbound, Outbound};
use crate::io::{self, Error, HalfClose, Incomplete, Read, Split, With, Write};
use crate::task::Cx;

/// TLS over a stream of any kind. Made by a [`Connector`](super::Connector) on the side of the client and
/// by an [`Acceptor`](super::Acceptor) on that of the server.
///
/// It is read and written through the traits of [`io`](crate::io). The handshake is done by
/// [`handshake`](TlsStream::handshake), and otherwise by the first call that needs it.
///
/// # Its end
///
/// [`end_write`](HalfClose::end_write) tells the peer that all has been said; the other direction goes on.
/// Dropping the stream drops the transport, without a word: the peer then sees `UnexpectedEof`, so that
/// nobody can pass off a part of what was said as the whole. To part in agreement, call
/// [`finish`](HalfClose::finish), or `end_write` and read to the end.
///
/// Many programs that speak HTTP do not do that, because HTTP says by itself how long its messages are:
/// see [`https_compatible`](super::Connector::https_compatible).
///
/// # Two tasks
///
/// Nobody reads or writes twice at once, because both take `&mut`. [`split`](Split::split) gives two tasks
/// one direction each:
///
/// ```compile_fail,E0499
/// # use conbrio::{io::Read, prelude::*, testing::streams::duplex, tls::Connector};
/// # conbrio::run(|cx| {
/// let mut stream = Connector::new().attach("example.org", duplex().0).unwrap();
/// cx.nursery(|_, n| -> std::io::Result<()> {
///     n.spawn(|cx| Ok(stream.read(cx, &mut [0]).map(drop)?));
///     n.spawn(|cx| Ok(stream.read(cx, &mut [0]).map(drop)?));
///     Ok(())
/// })
/// # });
/// ```
///
/// ```compile_fail,E0499
/// # use conbrio::{io::Write, prelude::*, testing::streams::duplex, tls::Connector};
/// # conbrio::run(|cx| {
/// let mut stream = Connector::new().attach("example.org", duplex().0).unwrap();
/// cx.nursery(|_, n| -> std::io::Result<()> {
///     n.spawn(|cx| Ok(stream.write_all(cx, b"a")?));
///     n.spawn(|cx| Ok(stream.write_all(cx, b"b")?));
///     Ok(())
/// })
/// # });
/// ```
///
/// # What a cancellation leaves behind
///
/// A cancelled read has taken nothing. A write that is cancelled while it waits has written nothing, or
/// reports what it has encrypted as written: if the transport has taken only a part of that, the rest is
/// kept and goes first in the next write, or in [`flush`](Write::flush). So nothing is lost and nothing is
/// corrupted; but who wants to wait for an answer after a write that may have been cut short calls `flush`
/// first. A `write_all` tells: it fails with the cancellation, and says how much it has written.
pub struct TlsStream<S> {
    transport: S,
    inbound: Inbound,
    outbound: Outbound,
    session: Box<Session>,
}

// spec: test_ssl.resource_busy_errors, test_ssl.ssl_only_closes_stream_once

impl<S> TlsStream<S> {
    pub(super) fn new(
        start: Start,
        transport: S,
        peer: Arc<str>,
        https_compatible: bool,
    ) -> TlsStream<S> {
        TlsStream {
            transport,
            inbound: Inbound::new(),
            outbound: Outbound::new(),
            session: Box::new(Session::new(start, peer, https_compatible)),
        }
    }

    /// What the handshake has settled: protocols, certificates, the name that was asked for.
    ///
    /// # Errors
    ///
    /// [`NeedHandshake`] before it is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::testing::streams::duplex;
    /// use conbrio::tls::{Connector, NeedHandshake};
    ///
    /// let stream = Connector::new().attach("example.org", duplex().0).unwrap();
    /// let error: NeedHandshake = stream.negotiated().unwrap_err();
    /// assert!(error.to_string().contains("call `handshake` first"));
    /// ```
    pub fn negotiated(&self) -> Result<&Negotiated, NeedHandshake> {
        self.session.negotiated().ok_or(NeedHandshake(()))
    }

    /// The stream below. What is read from it or written to it directly is missed by the other side.
    pub fn get_ref(&self) -> &S {
        &self.transport
    }

    /// The stream below, for its options. What is read from it or written to it directly is missed by the
    /// other side.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.transport
    }

    /// The stream below, which goes on without encryption, and the bytes that have come for it already.
    /// Never waits.
    ///
    /// # Errors
    ///
    /// The stream itself, if the two sides are not at the end yet. [`finish`](HalfClose::finish) gets them
    /// there, if the peer does the same.
    pub fn into_inner(self) -> Result<(S, Vec<u8>), TlsStream<S>> {
        if self.session.is_over() {
            Ok((self.transport, self.inbound.into_rest()))
        } else {
            Err(self)
        }
    }
}

impl<S: Read + Write> TlsStream<S> {
    /// Does the handshake, or the rest of it, and says what it has settled. When it has been done already,
    /// it is not done again.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the handshake may have begun, and the next call goes on with it.
    ///
    /// # Errors
    ///
    /// [`TlsError`](super::TlsError), as the payload: that the certificate of the peer is not good, that the two
    /// sides do not agree, or what the transport says. The peer has been told why. The stream is broken
    /// then.
    pub fn handshake(&mut self, cx: &mut Cx) -> Result<&Negotiated, Error> {
        cx.checkpoint()?;
        engine::handshake(cx, &mut &mut *self)?;
        Ok(self.session.negotiated().expect("the handshake is over"))
    }

    /// Joins the stream with `cx`, for libraries that know only [`std::io::Read`] and [`std::io::Write`].
    /// See [`With`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    pub fn with<'a>(&'a mut self, cx: &'a mut Cx) -> With<'a, TlsStream<S>> {
        With::new(self, cx)
    }
}

/// One task has the stream for itself: nothing needs a turn.
impl<S: Read + Write> Wire for &mut TlsStream<S> {
    fn session(&self) -> &Session {
        &self.session
    }

    fn alone<R>(
        &mut self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        f(cx, self)
    }

    fn inbound<R>(
        &mut self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut Inbound, &mut dyn Read, &Session) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let TlsStream { transport, inbound, session, .. } = &mut **self;
        f(cx, inbound, transport, session)
    }

    fn outbound<R>(
        &mut self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut Outbound, &mut dyn Write, &Session) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let TlsStream { transport, outbound, session, .. } = &mut **self;
        f(cx, outbound, transport, session)
    }
}

impl<S: Read + Write> Read for TlsStream<S> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        engine::read(cx, self, buf)
    }
}

impl<S: Read + Write> Write for TlsStream<S> {
    /// Takes at most 64 KiB in a call.
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        engine::write(cx, self, data)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        engine::flush(cx, self)
    }

    /// If it was cancelled when all was encrypted and not all of that was sent, it fails, too, and
    /// [`done`](Incomplete::done) says that all was written.
    fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        io::write_all(cx, data, |cx, data| self.write(cx, data))?;
        engine::see_if_cut_short(cx, &self.session, data)
    }
}

/// On cancel after it has begun, writes fail, and the next call sends the rest of it.
impl<S: Read + Write> HalfClose for TlsStream<S> {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        engine::end_write(cx, self)
    }
}

/// Costs an allocation. Each half does the handshake if the other has not.
impl<S: Split> Split for TlsStream<S> {
    type Reader<'a>
        = ReadHalf<'a, S>
    where
        Self: 'a;
    type Writer<'a>
        = WriteHalf<'a, S>
    where
        Self: 'a;

    fn split(&mut self) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
        let (reader, writer) = self.transport.split();
        Link::halves(&self.session, (reader, &mut self.inbound), (writer, &mut self.outbound))
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("transport", &self.transport)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
