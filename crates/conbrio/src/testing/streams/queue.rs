//! The bytes on their way from a writer to a reader.
//!
//! Owns them and those who wait for them. Everything is under one lock, and what wakes a task only tells
//! it to look again, so that a wake-up which meets a cancellation loses nothing: the bytes stay where they
//! are until somebody takes them.
//!
//! Bytes are numbered from the first that was put: `taken` of them have left at the front, and the
//! queue holds `taken..taken + bytes.len()`.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io::Error;
use crate::lowlevel::{Abort, Unparker, Wait};
use crate::task::Cx;
use crate::util::footprint;

/// The bytes between a [`PipeWriter`](super::PipeWriter) and a [`PipeReader`](super::PipeReader), in the
/// hands of the test: it can look at what was written, and put in what shall be read.
///
/// Clones are handles to the same bytes. There is no limit: what nobody takes stays.
///
/// # Examples
///
/// What a function writes, without a reader:
///
/// ```
/// use conbrio::io::Write;
/// use conbrio::testing::streams::PipeWriter;
///
/// conbrio::run(|cx| {
///     let mut out = PipeWriter::new();
///     let written = out.queue();
///     out.write_all(cx, b"hello").unwrap();
///     assert_eq!(written.try_take(usize::MAX).unwrap().unwrap(), b"hello");
///     assert_eq!(written.try_take(usize::MAX).unwrap(), None);
/// });
/// ```
#[derive(Clone)]
pub struct ByteQueue {
    shared: Arc<Mutex<State>>,
}

struct State {
    bytes: VecDeque<u8>,
    taken: u64,
    /// No more will be put.
    ended: bool,
    /// No more will be taken; the queue is empty from then on.
    closed: bool,
    /// Somebody is inside a call that takes bytes.
    is_taking: bool,
    /// Waits for bytes or the end.
    taker: Option<Unparker>,
    /// Waits until this many bytes have been taken.
    putter: Option<(u64, Unparker)>,
}

impl ByteQueue {
    pub(super) fn new() -> ByteQueue {
        let state = State {
            bytes: VecDeque::new(),
            taken: 0,
            ended: false,
            closed: false,
            is_taking: false,
            taker: None,
            putter: None,
        };
        ByteQueue { shared: Arc::new(Mutex::new(state)) }
    }

    /// Puts `data` in, as if the writer had written it.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if the reader was dropped, or no more was to come.
    pub fn put(&self, data: &[u8]) -> io::Result<()> {
        self.append(data).map(drop)
    }

    /// Says that no more will come, as if the writer had been dropped. Repeating it has no effect.
    pub fn put_end(&self) {
        let mut state = self.lock();
        state.ended = true;
        wake_outside(state, |state| state.taker.take());
    }

    /// Takes out at most `max` bytes, waiting until there is at least one. Empty at the end.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was taken.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another task is taking from the queue, `BrokenPipe` if the reader was dropped.
    ///
    /// # Panics
    ///
    /// If `max` is zero.
    #[track_caller]
    pub fn take(&self, cx: &mut Cx, max: usize) -> Result<Vec<u8>, Error> {
        assert_max(max);
        let mut out = Vec::new();
        self.take_with(cx, |state| state.take_to_vec(max, &mut out))?;
        Ok(out)
    }

    /// Takes out at most `max` bytes. `None` if there are none yet, and empty at the end. Never waits.
    ///
    /// # Errors
    ///
    /// As [`take`](ByteQueue::take).
    ///
    /// # Panics
    ///
    /// If `max` is zero.
    #[track_caller]
    pub fn try_take(&self, max: usize) -> io::Result<Option<Vec<u8>>> {
        assert_max(max);
        let _taking = Taking::begin(self)?;
        let mut out = Vec::new();
        Ok(self.try_take_with(|state| state.take_to_vec(max, &mut out))?.map(|_| out))
    }

    /// Moves at most `max` bytes, or the end, into another queue: `usize::MAX` moves all. Says whether
    /// there was anything to move. Never waits.
    ///
    /// With two queues between a writer and a reader the test is the network: it decides what arrives,
    /// when, and in pieces of which size.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if a reader was dropped or the other queue has ended; then nothing was moved.
    /// `ResourceBusy` if another task is taking from this queue.
    ///
    /// # Panics
    ///
    /// If `max` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::io::{Read, Write};
    /// use conbrio::testing::streams::{PipeReader, PipeWriter};
    ///
    /// conbrio::run(|cx| {
    ///     let (mut out, mut input) = (PipeWriter::new(), PipeReader::new());
    ///     out.write_all(cx, b"hello").unwrap();
    ///     assert!(out.queue().pump(&input.queue(), 2).unwrap());
    ///     let mut buf = [0; 10];
    ///     assert_eq!(input.read(cx, &mut buf).unwrap(), 2);
    ///     assert_eq!(&buf[..2], b"he");
    /// });
    /// ```
    #[track_caller]
    pub fn pump(&self, to: &ByteQueue, max: usize) -> io::Result<bool> {
        assert_max(max);
        // While this is held nobody else takes bytes, so that those which find no place can go back.
        let _taking = Taking::begin(self)?;
        let mut moved = Vec::new();
        let Some(count) = self.try_take_with(|state| state.take_to_vec(max, &mut moved))? else {
            return Ok(false);
        };
        if count == 0 {
            to.put_end();
        } else if let Err(error) = to.put(&moved) {
            let mut state = self.lock();
            if !state.closed {
                state.taken -= moved.len() as u64;
                state.bytes.extend(&moved);
                state.bytes.rotate_right(moved.len());
            }
            return Err(error);
        }
        Ok(true)
    }

    /// How many bytes nobody has taken yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().bytes.len()
    }

    /// Whether all bytes were taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no more bytes will come: the writer was dropped or has ended its direction.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.lock().ended
    }

    /// Whether the reader was dropped, and with it the bytes that it had not read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Puts bytes in, and says how many there have been with them.
    pub(super) fn append(&self, data: &[u8]) -> io::Result<u64> {
        let mut state = self.lock();
        if state.closed {
            return Err(reader_dropped());
        }
        if state.ended {
            let message = "the writing direction has ended: write before `end_write` or `put_end`";
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, message));
        }
        state.bytes.extend(data);
        let end = state.taken + state.bytes.len() as u64;
        let is_something = !data.is_empty();
        wake_outside(state, |state| if is_something { state.taker.take() } else { None });
        Ok(end)
    }

    /// Takes back what is left of the last `len` bytes before `end`, and says how many those were.
    pub(super) fn withdraw(&self, end: u64, len: usize) -> usize {
        let mut state = self.lock();
        let from = (end - len as u64).max(state.taken).min(end);
        let left = (end - from) as usize;
        if !state.closed && left > 0 {
            let at = (from - state.taken) as usize;
            state.bytes.drain(at..at + left);
        }
        left
    }

    /// Waits until all bytes before `end` have been taken.
    pub(super) fn wait_taken(&self, cx: &mut Cx, end: u64) -> Result<(), Error> {
        loop {
            let state = self.lock();
            if state.taken >= end {
                return Ok(());
            }
            if state.closed {
                return Err(reader_dropped().into());
            }
            drop(state);
            cx.park_on(&mut UntilTaken { queue: self, end })?;
        }
    }

    /// Reads bytes into `buf`, which is not empty, waiting until there is at least one. Zero is the end.
    pub(super) fn read(&self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.take_with(cx, |state| state.take_to_slice(buf))
    }

    /// The reader is gone.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.bytes = VecDeque::new();
        let taker = state.taker.take();
        wake_outside(state, |state| state.putter.take().map(|(_, unparker)| unparker));
        if let Some(taker) = taker {
            taker.unpark();
        }
    }

    /// Waits until there are bytes or the end, and takes them.
    fn take_with(
        &self,
        cx: &mut Cx,
        mut take: impl FnMut(&mut State) -> usize,
    ) -> Result<usize, Error> {
        cx.checkpoint()?;
        let _taking = Taking::begin(self)?;
        loop {
            if let Some(count) = self.try_take_with(&mut take)? {
                return Ok(count);
            }
            cx.park_on(&mut UntilReady { queue: self })?;
        }
    }

    /// Takes bytes, or the end, if there are any.
    fn try_take_with(&self, take: impl FnOnce(&mut State) -> usize) -> io::Result<Option<usize>> {
        let mut state = self.lock();
        if state.closed {
            return Err(reader_dropped());
        }
        if !state.is_ready() {
            return Ok(None);
        }
        let count = take(&mut state);
        state.taken += count as u64;
        wake_outside(state, State::satisfied_putter);
        Ok(Some(count))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        footprint::touch(Arc::as_ptr(&self.shared));
        // Nothing panics while it is held; a poisoned lock would only hide the first panic.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether there is something to take: bytes, or the end.
    fn is_ready(&self) -> bool {
        !self.bytes.is_empty() || self.ended || self.closed
    }

    fn take_to_slice(&mut self, buf: &mut [u8]) -> usize {
        let count = buf.len().min(self.bytes.len());
        self.bytes.read_exact(&mut buf[..count]).expect("that many bytes are there");
        count
    }

    fn take_to_vec(&mut self, max: usize, out: &mut Vec<u8>) -> usize {
        let count = max.min(self.bytes.len());
        out.extend(self.bytes.drain(..count));
        count
    }

    /// The writer that waits, if what it waits for has come true.
    fn satisfied_putter(&mut self) -> Option<Unparker> {
        let taken = self.taken;
        self.putter.take_if(|(end, _)| taken >= *end).map(|(_, unparker)| unparker)
    }
}

/// Wakes whom `who` names, after the lock has been released.
fn wake_outside(
    mut state: MutexGuard<'_, State>,
    who: impl FnOnce(&mut State) -> Option<Unparker>,
) {
    let unparker = who(&mut state);
    drop(state);
    if let Some(unparker) = unparker {
        unparker.unpark();
    }
}

#[track_caller]
fn assert_max(max: usize) {
    assert!(max > 0, "`max` is zero: ask for at least one byte, or for all with `usize::MAX`");
}

fn reader_dropped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the reader of this memory stream was dropped")
}

/// A call that takes bytes is under way; there is one at most.
struct Taking<'a>(&'a ByteQueue);

impl Taking<'_> {
    fn begin(queue: &ByteQueue) -> io::Result<Taking<'_>> {
        let mut state = queue.lock();
        if state.is_taking {
            let message =
                "another task is taking from this queue: let one task do it, or give each a turn";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        state.is_taking = true;
        Ok(Taking(queue))
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.0.lock().is_taking = false;
    }
}

/// A reader waits for bytes or the end.
struct UntilReady<'a> {
    queue: &'a ByteQueue,
}

impl Wait for UntilReady<'_> {
    fn arm(&mut self, unparker: Unparker) {
        let mut state = self.queue.lock();
        let is_ready = state.is_ready();
        let unused = state.taker.replace(unparker);
        debug_assert!(unused.is_none(), "one call takes at a time");
        wake_outside(state, |state| if is_ready { state.taker.take() } else { None });
    }

    fn abort(&mut self) -> Abort {
        // Whoever has taken the unparker out already wakes a wait that is over, which has no effect.
        self.queue.lock().taker = None;
        Abort::Succeeded
    }
}

/// A writer waits until what it has put has been taken.
struct UntilTaken<'a> {
    queue: &'a ByteQueue,
    end: u64,
}

impl Wait for UntilTaken<'_> {
    fn arm(&mut self, unparker: Unparker) {
        let mut state = self.queue.lock();
        state.putter = Some((self.end, unparker));
        if state.closed {
            wake_outside(state, |state| state.putter.take().map(|(_, unparker)| unparker));
        } else {
            wake_outside(state, State::satisfied_putter);
        }
    }

    fn abort(&mut self) -> Abort {
        self.queue.lock().putter = None;
        Abort::Succeeded
    }
}

impl fmt::Debug for ByteQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("ByteQueue")
            .field("len", &state.bytes.len())
            .field("taken", &state.taken)
            .field("ended", &state.ended)
            .field("closed", &state.closed)
            .finish()
    }
}
