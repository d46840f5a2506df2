//! The two directions of the transport below a session, each with the bytes that are on their way.
//!
//! Owns the buffers. The invariants: a byte that was read from the transport is in [`Inbound`] until rustls
//! has it; a byte that was encrypted is in [`Outbound`] until the transport has it. So a wait that is
//! cancelled loses nothing, and whoever comes next goes on where it was.

use std::cell::Cell;
use std::io;

use super::session::Session;
use crate::cancel::OrCancelled;
use crate::io::{Error, Read, Write};
use crate::task::Cx;

/// The reading direction.
///
/// rustls gets whole records, one at a time: what comes after the last one is not for it.
pub(super) struct Inbound {
    /// Empty until it is needed, and then of the size of the largest record.
    buf: Vec<u8>,
    /// `start <= end <= buf.len()`: what has come and was not fed.
    start: usize,
    end: usize,
    is_in_call: bool,
}

impl Inbound {
    pub(super) fn new() -> Inbound {
        Inbound { buf: Vec::new(), start: 0, end: 0, is_in_call: false }
    }

    /// Reads until a record was fed to the session, or the transport has ended.
    ///
    /// On cancel the bytes that have come are kept.
    pub(super) fn pull(
        &mut self,
        cx: &mut Cx,
        transport: &mut dyn Read,
        session: &Session,
    ) -> Result<(), Error> {
        loop {
            if let Some(len) = record_len(&self.buf[self.start..self.end]) {
                let record = self.start..self.start + len;
                self.start = record.end;
                return Ok(session.feed(cx, &self.buf[record])?);
            }
            self.make_room();
            // If the transport panics, nobody knows how much it has read.
            if std::mem::replace(&mut self.is_in_call, true) {
                return Err(session.read_failed(unwound()).into());
            }
            let read = transport.read(cx, &mut self.buf[self.end..]);
            self.is_in_call = false;
            match read {
                Ok(0) => {
                    session.transport_ended();
                    return Ok(());
                }
                Ok(count) => self.end += checked(count, self.buf.len() - self.end, "read"),
                Err(OrCancelled::Failed(error)) if is_interrupted(&error) => {}
                Err(OrCancelled::Failed(error)) => return Err(session.read_failed(error).into()),
                Err(cancelled @ OrCancelled::Cancelled(_)) => return Err(cancelled),
            }
        }
    }

    /// Whether the next record is there already.
    pub(super) fn has_record(&self) -> bool {
        record_len(&self.buf[self.start..self.end]).is_some()
    }

    /// Afterwards there is room for the rest of a record.
    fn make_room(&mut self) {
        if self.buf.is_empty() {
            self.buf.resize(RECORD_MAX, 0);
        }
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// What has come and is not for the session.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.buf.truncate(self.end);
        self.buf.drain(..self.start);
        self.buf
    }
}

/// The length of the record that `bytes` begin with, if all of it is there. What cannot be the start of a
/// record counts as far as it is there: rustls rejects it, and the rest may never come.
fn record_len(bytes: &[u8]) -> Option<usize> {
    // RFC 8446, section 5.1: the type, the version, whose first byte is always the same, and the length of
    // what follows.
    let &[kind, major, _, high, low, ..] = bytes else {
        return None;
    };
    let len = HEADER + usize::from(u16::from_be_bytes([high, low]));
    if !KINDS.contains(&kind) || major != 3 || len > RECORD_MAX {
        return Some(bytes.len());
    }
    (len <= bytes.len()).then_some(len)
}

/// The writing direction.
pub(super) struct Outbound {
    /// Without memory while nothing is on its way: it is as large as a write, and connections are idle most of
    /// the time.
    buf: Vec<u8>,
    /// `sent <= buf.len()`: what the transport has taken of it.
    sent: usize,
    is_in_call: bool,
}

impl Outbound {
    pub(super) fn new() -> Outbound {
        Outbound { buf: Vec::new(), sent: 0, is_in_call: false }
    }

    /// Sends all that the session has to send.
    ///
    /// On cancel the rest is kept, and is sent first by the next call.
    pub(super) fn push(
        &mut self,
        cx: &mut Cx,
        transport: &mut dyn Write,
        session: &Session,
    ) -> Result<(), Error> {
        loop {
            if self.sent == self.buf.len() {
                let mut buf = reused(std::mem::take(&mut self.buf));
                self.sent = 0;
                session.drain(&mut buf);
                if buf.is_empty() {
                    give_back(buf);
                    return Ok(());
                }
                self.buf = buf;
            }
            // If the transport panics, nobody knows how much it has taken.
            if std::mem::replace(&mut self.is_in_call, true) {
                return Err(session.write_failed(unwound()).into());
            }
            let written = transport.write(cx, &self.buf[self.sent..]);
            self.is_in_call = false;
            match written {
                Ok(0) => {
                    let message = "the transport takes no more bytes";
                    let error = io::Error::new(io::ErrorKind::WriteZero, message);
                    return Err(session.write_failed(error).into());
                }
                Ok(count) => self.sent += checked(count, self.buf.len() - self.sent, "write"),
                Err(OrCancelled::Failed(error)) if is_interrupted(&error) => {}
                Err(OrCancelled::Failed(error)) => return Err(session.write_failed(error).into()),
                Err(cancelled @ OrCancelled::Cancelled(_)) => return Err(cancelled),
            }
            session.set_unsent(self.buf.len() - self.sent);
        }
    }

    /// As [`push`](Outbound::push), and has the transport pass it on.
    pub(super) fn flush(
        &mut self,
        cx: &mut Cx,
        transport: &mut dyn Write,
        session: &Session,
    ) -> Result<(), Error> {
        self.push(cx, transport, session)?;
        match transport.flush(cx) {
            Err(OrCancelled::Failed(error)) => Err(session.write_failed(error).into()),
            result => result,
        }
    }

    /// Encrypts data, or as much as one call takes, and sends it. Says how much that is.
    ///
    /// What was encrypted counts as written, also if the call is cancelled before the transport has all of
    /// it: a record cannot be taken back, because the next one depends on it.
    pub(super) fn write(
        &mut self,
        cx: &mut Cx,
        transport: &mut dyn Write,
        session: &Session,
        data: &[u8],
    ) -> Result<usize, Error> {
        session.check_writable()?;
        self.push(cx, transport, session)?;
        let count = session.encrypt(cx, data)?;
        match self.push(cx, transport, session) {
            Ok(()) | Err(OrCancelled::Cancelled(_)) => Ok(count),
            Err(error) => Err(error),
        }
    }

    /// Says the end of this direction, and sends that.
    pub(super) fn end(
        &mut self,
        cx: &mut Cx,
        transport: &mut dyn Write,
        session: &Session,
    ) -> Result<(), Error> {
        session.check_writable()?;
        self.push(cx, transport, session)?;
        session.end_write(cx)?;
        self.flush(cx, transport, session)
    }
}

thread_local! {
    /// A buffer that no connection of this thread uses: a fresh one for each write would have the allocator
    /// take its memory from the system, and give it back, again and again.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An empty buffer, with memory if there is some about.
fn reused(mut buf: Vec<u8>) -> Vec<u8> {
    if buf.capacity() == 0 {
        buf = SPARE.take();
    }
    buf.clear();
    buf
}

fn give_back(buf: Vec<u8>) {
    if buf.capacity() <= SPARE_MAX {
        SPARE.set(buf);
    }
}

/// What a thread keeps for later: enough for all that one write encrypts.
const SPARE_MAX: usize = 256 * 1024;

/// A count that the transport has reported, which may be wrong.
///
/// # Panics
///
/// If it moved more than there was room for.
#[track_caller]
fn checked(count: usize, max: usize, what: &str) -> usize {
    assert!(
        count <= max,
        "a `{what}` of {max} bytes reported {count}: mend the implementation of the transport"
    );
    count
}

/// Every operation is a checkpoint, so trying again ends.
fn is_interrupted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

fn unwound() -> io::Error {
    io::Error::other("the transport has panicked in the middle of a call")
}

/// Of a record.
const HEADER: usize = 5;

/// The types of records: RFC 8446, section B.1, and RFC 6520.
const KINDS: std::ops::RangeInclusive<u8> = 20..=24;

/// The largest record that TLS allows (1.2, RFC 5246, section 6.2.3): more than any of TLS 1.3.
const RECORD_MAX: usize = HEADER + 16 * 1024 + 2048;
