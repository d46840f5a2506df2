//! The halves of a borrowed stream.
//!
//! Each owns one end of a [`Link`], through which it gets at both directions of the transport: the first
//! write may have to read the peer's part of the handshake. The invariant: a direction is used by whoever
//! holds its lock; after the handshake the half to read from uses only its own, but for a last alert, and
//! the half to write to only its own. So neither waits for what the other waits for.

use std::fmt;
use std::sync::Arc;

use super::engine::{self, Wire};
use super::negotiated::Negotiated;
use super::session::Session;
use super::wire::{Inbound, Outbound};
use crate::cancel::OrCancelled;
use crate::io::{self, Error, HalfClose, Incomplete, Read, Split, Write};
use crate::sync::{LockError, Mutex, MutexGuard};
use crate::task::Cx;

/// The half of a [`TlsStream`](super::TlsStream) to read from. Made by [`split`](Split::split).
pub struct ReadHalf<'a, S: Split> {
    link: Arc<Link<'a, S>>,
}

/// The half of a [`TlsStream`](super::TlsStream) to write to. Made by [`split`](Split::split).
///
/// Dropping it does not end its direction: the stream is still there.
/// [`end_write`](HalfClose::end_write) does.
pub struct WriteHalf<'a, S: Split> {
    link: Arc<Link<'a, S>>,
}

pub(super) struct Link<'a, S: Split + 'a> {
    session: &'a Session,
    handshake: Mutex<()>,
    reading: Mutex<(S::Reader<'a>, &'a mut Inbound)>,
    writing: Mutex<(S::Writer<'a>, &'a mut Outbound)>,
}

impl<'a, S: Split + 'a> Link<'a, S> {
    pub(super) fn halves(
        session: &'a Session,
        reading: (S::Reader<'a>, &'a mut Inbound),
        writing: (S::Writer<'a>, &'a mut Outbound),
    ) -> (ReadHalf<'a, S>, WriteHalf<'a, S>) {
        let link = Arc::new(Link {
            session,
            handshake: Mutex::new(()),
            reading: Mutex::new(reading),
            writing: Mutex::new(writing),
        });
        (ReadHalf { link: Arc::clone(&link) }, WriteHalf { link })
    }
}

impl<'a, S: Split + 'a> Wire for &Link<'a, S> {
    fn session(&self) -> &Session {
        self.session
    }

    fn alone<R>(
        &mut self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let _turn = lock(cx, &self.handshake)?;
        f(cx, self)
    }

    fn inbound<R>(
        &mut self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut Inbound, &mut dyn Read, &Session) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut turn = lock(cx, &self.reading)?;
        let (transport, inbound) = &mut *turn;
        f(cx, inbound, transport, self.session)
    }

    fn outbound<R>(
        &mut self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut Outbound, &mut dyn Write, &Session) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut turn = lock(cx, &self.writing)?;
        let (transport, outbound) = &mut *turn;
        f(cx, outbound, transport, self.session)
    }
}

/// A transport that has panicked under the lock is found out by the buffers, which know how far it came.
fn lock<'l, T>(cx: &mut Cx, mutex: &'l Mutex<T>) -> Result<MutexGuard<'l, T>, Error> {
    mutex.lock_anyway(cx).map_err(|error| match error {
        OrCancelled::Cancelled(cancelled) => OrCancelled::Cancelled(cancelled),
        OrCancelled::Failed(error @ LockError::Broken(_)) => std::io::Error::other(error).into(),
        OrCancelled::Failed(error) => unreachable!("poison was not asked for: {error}"),
    })
}

impl<'a, S: Split + 'a> ReadHalf<'a, S> {
    /// As [`TlsStream::handshake`](super::TlsStream::handshake). If the other half is at it, waits for that
    /// one.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the handshake may have begun, and the next call goes on with it.
    pub fn handshake(&mut self, cx: &mut Cx) -> Result<&Negotiated, Error> {
        handshake(cx, &self.link)
    }
}

impl<'a, S: Split + 'a> WriteHalf<'a, S> {
    /// As [`TlsStream::handshake`](super::TlsStream::handshake). If the other half is at it, waits for that
    /// one.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the handshake may have begun, and the next call goes on with it.
    pub fn handshake(&mut self, cx: &mut Cx) -> Result<&Negotiated, Error> {
        handshake(cx, &self.link)
    }
}

fn handshake<'l, 'a, S: Split + 'a>(
    cx: &mut Cx,
    link: &'l Link<'a, S>,
) -> Result<&'l Negotiated, Error> {
    cx.checkpoint()?;
    engine::handshake(cx, &mut &*link)?;
    Ok(link.session.negotiated().expect("the handshake is over"))
}

impl<'a, S: Split + 'a> Read for ReadHalf<'a, S> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        engine::read(cx, &*self.link, buf)
    }
}

impl<'a, S: Split + 'a> Write for WriteHalf<'a, S> {
    /// Takes at most 64 KiB in a call.
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        engine::write(cx, &*self.link, data)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        engine::flush(cx, &*self.link)
    }

    /// If it was cancelled when all was encrypted and not all of that was sent, it fails, too, and
    /// [`done`](Incomplete::done) says that all was written.
    fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        io::write_all(cx, data, |cx, data| self.write(cx, data))?;
        engine::see_if_cut_short(cx, self.link.session, data)
    }
}

/// On cancel after it has begun, writes fail, and the next call sends the rest of it.
impl<'a, S: Split + 'a> HalfClose for WriteHalf<'a, S> {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        engine::end_write(cx, &*self.link)
    }
}

impl<'a, S: Split + 'a> fmt::Debug for ReadHalf<'a, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadHalf").field("session", self.link.session).finish_non_exhaustive()
    }
}

impl<'a, S: Split + 'a> fmt::Debug for WriteHalf<'a, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteHalf").field("session", self.link.session).finish_non_exhaustive()
    }
}
