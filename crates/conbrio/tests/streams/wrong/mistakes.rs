//! A stream that makes one mistake, which one can choose.

use std::io::{Error as IoError, ErrorKind, IoSlice};
use std::mem::ManuallyDrop;

use conbrio::OrCancelled;
use conbrio::io::{Error, HalfClose, Read, Split, Write};
use conbrio::prelude::*;
use conbrio::testing::streams::{self, ByteQueue, PipeReader, PipeWriter};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    Nothing,
    // Of readers.
    ReadIsNoCheckpoint,
    ReadTakesBeforeItsCheckpoint,
    ReadLosesBytesInARace,
    ReadIntoNoRoomIsNoCheckpoint,
    ReadIntoNoRoomWaits,
    EndBeforeTheEnd,
    EndOnlyOnce,
    CountsABufferThatWasNotFilled,
    GivesAByteTwice,
    ReaderDropIsNotSeen,
    KeepsACancellation,
    // Of writers.
    WriteIsNoCheckpoint,
    WriteOfNothingIsNoCheckpoint,
    WriteOfNothingEnds,
    FlushIsNoCheckpoint,
    FlushForgets,
    WritesAndReportsACancellation,
    WriteReportsLess,
    WriteReportsMore,
    WriteTakesNothing,
    VectoredInWrongOrder,
    AcceptsWithoutReader,
    FailsWithAnotherKind,
    FailsOnlyOnce,
    WriterDropIsNotSeen,
    WriterDropIsNotSeenWhileUnwinding,
    WriterDropLosesBytes,
    // Of both directions.
    EndWriteIsNoCheckpoint,
    EndWriteDoesNothing,
    EndWriteClosesBoth,
    EndWriteLosesBytes,
    EndWriteHappensThoughCancelled,
    SecondEndWriteFails,
    AcceptsAfterEndWrite,
    OneDirectionAtATime,
    // Of writers that wait.
    NeverGoesOn,
    CancelledBytesStay,
    DoesNotSeeTheReaderDropped,
}

use Mistake::*;

pub(super) struct Writer {
    inner: ManuallyDrop<PipeWriter>,
    pub(super) mistake: Mistake,
    has_ended: bool,
    has_failed: bool,
}

pub(super) struct Reader {
    inner: ManuallyDrop<PipeReader>,
    mistake: Mistake,
    has_ended: bool,
    last: Option<u8>,
    kept: Option<Cancelled>,
}

pub(super) fn pair(mistake: Mistake) -> (Writer, Reader) {
    wrap(mistake, streams::pipe())
}

pub(super) fn wrap(
    mistake: Mistake,
    (writer, reader): (PipeWriter, PipeReader),
) -> (Writer, Reader) {
    let (writer, reader) = (ManuallyDrop::new(writer), ManuallyDrop::new(reader));
    (
        Writer { inner: writer, mistake, has_ended: false, has_failed: false },
        Reader { inner: reader, mistake, has_ended: false, last: None, kept: None },
    )
}

fn failure(kind: ErrorKind) -> Error {
    IoError::from(kind).into()
}

impl Read for Reader {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        let queue = self.inner.queue();
        let would_wait = queue.is_empty() && !queue.is_ended();
        let (inner, end) = (&mut *self.inner, self.has_ended);
        match self.mistake {
            ReadIsNoCheckpoint if !would_wait => cx.shield(|cx| inner.read(cx, buf)),
            ReadTakesBeforeItsCheckpoint if !would_wait => {
                let count = cx.shield(|cx| inner.read(cx, buf))?;
                cx.checkpoint()?;
                Ok(count)
            }
            ReadLosesBytesInARace => {
                let count = inner.read(cx, buf)?;
                cx.checkpoint()?;
                Ok(count)
            }
            ReadIntoNoRoomIsNoCheckpoint if buf.is_empty() => Ok(0),
            ReadIntoNoRoomWaits if buf.is_empty() => inner.read(cx, &mut [0]),
            EndBeforeTheEnd if would_wait => {
                cx.checkpoint()?;
                Ok(0)
            }
            EndOnlyOnce if end && !buf.is_empty() => {
                cx.checkpoint()?;
                Err(failure(ErrorKind::NotConnected))
            }
            EndOnlyOnce => {
                let count = inner.read(cx, buf)?;
                self.has_ended = count == 0 && !buf.is_empty();
                Ok(count)
            }
            CountsABufferThatWasNotFilled => {
                let count = inner.read(cx, buf)?;
                Ok(if count > 0 { buf.len() } else { 0 })
            }
            GivesAByteTwice => {
                if let (Some(byte), [first, ..]) = (self.last.take(), &mut *buf) {
                    cx.checkpoint()?;
                    *first = byte;
                    return Ok(1);
                }
                let count = inner.read(cx, buf)?;
                self.last = buf[..count].last().copied().filter(|byte| *byte > 240);
                Ok(count)
            }
            KeepsACancellation => match self.kept.take() {
                Some(cancelled) => Err(cancelled.into()),
                None => inner.read(cx, buf).inspect_err(|_| self.kept = cx.checkpoint().err()),
            },
            _ => inner.read(cx, buf),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.mistake != ReaderDropIsNotSeen {
            close(&mut self.inner);
        }
    }
}

/// Drops what is inside. `PipeReader::new` has nothing that is missed.
fn close<T: Default>(inner: &mut ManuallyDrop<T>) {
    let closed = ManuallyDrop::new(T::default());
    drop(ManuallyDrop::into_inner(std::mem::replace(inner, closed)));
}

impl Write for Writer {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        let inner = &mut *self.inner;
        match self.mistake {
            WriteIsNoCheckpoint => cx.shield(|cx| inner.write(cx, data)),
            WriteOfNothingIsNoCheckpoint if data.is_empty() => Ok(0),
            WriteOfNothingEnds if data.is_empty() => inner.end_write(cx).map(|()| 0),
            WritesAndReportsACancellation => {
                let count = cx.shield(|cx| inner.write(cx, data))?;
                cx.checkpoint()?;
                Ok(count)
            }
            WriteReportsLess if data.len() > 4 => inner.write(cx, data).map(|count| count - 1),
            WriteReportsMore if data.len() > 4 => inner.write(cx, data).map(|count| count + 1),
            WriteTakesNothing if data.len() > 1000 => {
                cx.checkpoint().map(|()| 0).map_err(Into::into)
            }
            AcceptsWithoutReader => match inner.write(cx, data) {
                Err(OrCancelled::Failed(_)) => Ok(data.len()),
                result => result,
            },
            FailsWithAnotherKind => match inner.write(cx, data) {
                Err(OrCancelled::Failed(_)) => Err(failure(ErrorKind::InvalidData)),
                result => result,
            },
            FailsOnlyOnce => match inner.write(cx, data) {
                Err(OrCancelled::Failed(_)) if self.has_failed => Ok(data.len()),
                result => result.inspect_err(|error| {
                    self.has_failed = matches!(error, OrCancelled::Failed(_));
                }),
            },
            AcceptsAfterEndWrite if self.has_ended => {
                cx.checkpoint()?;
                Ok(data.len())
            }
            EndWriteLosesBytes if data == b"all of it" => {
                cx.checkpoint()?;
                Ok(data.len())
            }
            WriterDropLosesBytes if data == b"last words" => {
                cx.checkpoint()?;
                Ok(data.len())
            }
            FlushForgets if data.len() == 4 => {
                cx.checkpoint()?;
                Ok(data.len())
            }
            NeverGoesOn => {
                inner.write(cx, data)?;
                cx.sleep_forever()?;
                Ok(data.len())
            }
            CancelledBytesStay => {
                let queue = inner.queue();
                let count = inner.write(cx, data)?;
                while !queue.is_empty() {
                    // A wait that ends when the test is at rest, again and again.
                    cx.sleep(std::time::Duration::from_millis(1))?;
                }
                Ok(count)
            }
            DoesNotSeeTheReaderDropped => match inner.write(cx, data) {
                Err(OrCancelled::Failed(_)) => Ok(cx.sleep_forever().map(|()| 0)?),
                result => result,
            },
            _ => inner.write(cx, data),
        }
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        let mut bufs = bufs.iter().filter(|buf| !buf.is_empty());
        let (first, last) = (bufs.next(), bufs.next_back());
        let right = if self.mistake == VectoredInWrongOrder { last.or(first) } else { first };
        self.write(cx, right.map_or(&[], |buf| buf))
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        if self.mistake == FlushIsNoCheckpoint { Ok(()) } else { self.inner.flush(cx) }
    }
}

impl HalfClose for Writer {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        let had_ended = std::mem::replace(&mut self.has_ended, true);
        let inner = &mut *self.inner;
        match self.mistake {
            EndWriteIsNoCheckpoint if had_ended => Ok(()),
            EndWriteDoesNothing => Ok(cx.checkpoint()?),
            EndWriteHappensThoughCancelled => {
                inner.queue().put_end();
                Ok(cx.checkpoint()?)
            }
            SecondEndWriteFails if had_ended => {
                cx.checkpoint()?;
                Err(failure(ErrorKind::NotConnected))
            }
            _ => inner.end_write(cx).inspect_err(|_| self.has_ended = false),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let is_forgotten = match self.mistake {
            WriterDropIsNotSeen => true,
            WriterDropIsNotSeenWhileUnwinding => std::thread::panicking(),
            _ => false,
        };
        if !is_forgotten {
            close(&mut self.inner);
        }
    }
}

pub(super) struct Both {
    reader: Reader,
    pub(super) writer: Writer,
    /// One byte is in it unless a direction is in use.
    token: ByteQueue,
    /// Keeps the token's queue open.
    _token_end: PipeWriter,
}

pub(super) fn two_way(mistake: Mistake) -> (Both, Both) {
    let (there, back) = (pair(mistake), pair(mistake));
    let both = |reader, writer| {
        let end = PipeWriter::new();
        let token = end.queue();
        token.put(b"x").unwrap();
        Both { reader, writer, token, _token_end: end }
    };
    (both(back.1, there.0), both(there.1, back.0))
}

/// A half that may have to wait for the other half.
pub(super) struct Turn<'a, S> {
    half: &'a mut S,
    token: Option<ByteQueue>,
}

impl<S> Turn<'_, S> {
    fn with<T>(
        &mut self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut S) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(token) = &self.token else {
            return f(cx, self.half);
        };
        token.take(cx, 1)?;
        let result = f(cx, self.half);
        token.put(b"x")?;
        result
    }
}

impl<R: Read> Read for Turn<'_, R> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.with(cx, |cx, half| half.read(cx, buf))
    }
}

impl<W: Write> Write for Turn<'_, W> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.with(cx, |cx, half| half.write(cx, data))
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.with(cx, |cx, half| half.flush(cx))
    }
}

impl Split for Both {
    type Reader<'a> = Turn<'a, Reader>;
    type Writer<'a> = Turn<'a, Writer>;

    fn split(&mut self) -> (Turn<'_, Reader>, Turn<'_, Writer>) {
        let token = (self.reader.mistake == OneDirectionAtATime).then(|| self.token.clone());
        let reader = Turn { half: &mut self.reader, token: token.clone() };
        (reader, Turn { half: &mut self.writer, token })
    }
}

impl Read for Both {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.reader.read(cx, buf)
    }
}

impl Write for Both {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.writer.write(cx, data)
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.writer.write_vectored(cx, bufs)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.writer.flush(cx)
    }
}

impl HalfClose for Both {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.writer.end_write(cx)?;
        if self.writer.mistake == EndWriteClosesBoth {
            close(&mut self.reader.inner);
        }
        Ok(())
    }
}
