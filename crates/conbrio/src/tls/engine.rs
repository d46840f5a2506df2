//! What reading, writing and ending mean, for whole streams and for halves alike.
//!
//! Owns the order of steps. They differ only in how they get at the transport, which is what a [`Wire`]
//! knows. The invariant: between two steps no lock is held, and what a step has begun is in the buffers of
//! the wire, so a task may be cancelled at any of them.

use super::session::{Next, Session};
use super::wire::{Inbound, Outbound};
use crate::cancel::OrCancelled;
use crate::io::{Error, Incomplete, Read, Write};
use crate::task::Cx;

/// Access to the two directions of the transport, one user at a time each.
pub(super) trait Wire {
    fn session(&self) -> &Session;

    /// Runs `f` when nobody else is in such a call: a handshake needs both directions, and takes turns with
    /// itself only.
    fn alone<R>(
        &mut self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut Self) -> Result<R, Error>,
    ) -> Result<R, Error>;

    /// Runs `f` when nobody else uses the reading direction.
    fn inbound<R>(
        &mut self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut Inbound, &mut dyn Read, &Session) -> Result<R, Error>,
    ) -> Result<R, Error>;

    /// Runs `f` when nobody else uses the writing direction.
    fn outbound<R>(
        &mut self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut Outbound, &mut dyn Write, &Session) -> Result<R, Error>,
    ) -> Result<R, Error>;
}

/// Does the handshake, or the rest of it. If another task is at it, waits for that one, and goes on if it
/// was cancelled.
pub(super) fn handshake(cx: &mut Cx, wire: &mut impl Wire) -> Result<(), Error> {
    if wire.session().negotiated().is_some() {
        return Ok(());
    }
    wire.alone(cx, |cx, wire| {
        // Another task has done it meanwhile. What is unsent by now is data, and a matter of whoever writes it,
        // who may wait until the peer reads, which may wait until we read.
        if wire.session().negotiated().is_some() {
            return Ok(());
        }
        loop {
            match wire.session().next_of_handshake(cx)? {
                Next::Nothing => return Ok(()),
                Next::Push => push(cx, wire)?,
                Next::PullOrPush => {
                    if wire.inbound(cx, |_, inbound, _, _| Ok(inbound.has_record()))? {
                        pull(cx, wire)?;
                    } else {
                        push(cx, wire)?;
                    }
                }
                Next::Pull => pull(cx, wire)?,
            }
        }
    })
}

/// Reads a record. If it is not acceptable, tells the peer so, by the alert that rustls has prepared; the
/// error is the same, whether that succeeds or not.
///
/// Where a write is stuck the alert is left: a peer that means no good could hold up the error with it.
fn pull(cx: &mut Cx, wire: &mut impl Wire) -> Result<(), Error> {
    let pulled =
        wire.inbound(cx, |cx, inbound, transport, session| inbound.pull(cx, transport, session));
    if matches!(pulled, Err(OrCancelled::Failed(_))) && wire.session().unsent() == 0 {
        let _ = push(cx, wire);
    }
    pulled
}

fn push(cx: &mut Cx, wire: &mut impl Wire) -> Result<(), Error> {
    wire.outbound(cx, |cx, outbound, transport, session| outbound.flush(cx, transport, session))
}

pub(super) fn read(cx: &mut Cx, mut wire: impl Wire, buf: &mut [u8]) -> Result<usize, Error> {
    cx.checkpoint()?;
    if buf.is_empty() {
        return Ok(0);
    }
    if let Err(error) = handshake(cx, &mut wire) {
        return if wire.session().ended_before_handshake() { Ok(0) } else { Err(error) };
    }
    loop {
        if let Some(count) = wire.session().take(buf)? {
            return Ok(count);
        }
        pull(cx, &mut wire)?;
    }
}

pub(super) fn write(cx: &mut Cx, mut wire: impl Wire, data: &[u8]) -> Result<usize, Error> {
    cx.checkpoint()?;
    if data.is_empty() {
        return Ok(0);
    }
    handshake(cx, &mut wire)?;
    wire.outbound(cx, |cx, outbound, transport, session| {
        outbound.write(cx, transport, session, data)
    })
}

pub(super) fn flush(cx: &mut Cx, mut wire: impl Wire) -> Result<(), Error> {
    cx.checkpoint()?;
    wire.session().check_writable()?;
    push(cx, &mut wire)
}

pub(super) fn end_write(cx: &mut Cx, mut wire: impl Wire) -> Result<(), Error> {
    cx.checkpoint()?;
    handshake(cx, &mut wire)?;
    wire.outbound(cx, |cx, outbound, transport, session| outbound.end(cx, transport, session))
}

/// At the end of a `write_all`: a write that was cancelled when it had encrypted its data has counted them.
/// If they have not all left, the caller must know that it was cancelled, or it may wait for an answer to
/// what was never sent.
pub(super) fn see_if_cut_short(
    cx: &mut Cx,
    session: &Session,
    data: &[u8],
) -> Result<(), Incomplete> {
    if session.unsent() == 0 {
        return Ok(());
    }
    cx.checkpoint().map_err(|cancelled| Incomplete::new("write_all", data.len() as u64, cancelled))
}
