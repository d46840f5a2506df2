//! The traits, and what is built on them.

use std::io::{self, Cursor, ErrorKind, IoSlice, IoSliceMut};

use conbrio::io::{BufRead, BufReader, BufWriter, Error, HalfClose, Incomplete, Read, Write, copy};
use conbrio::prelude::*;
use conbrio::testing::streams::duplex;

use crate::support::{cancel_when_blocked, cancelled_before, on_workers, pair, pattern};

/// A reader of given steps: bytes, or an error.
struct Steps(std::collections::VecDeque<Result<&'static [u8], ErrorKind>>);

impl Steps {
    fn new(steps: impl IntoIterator<Item = Result<&'static [u8], ErrorKind>>) -> Steps {
        Steps(steps.into_iter().collect())
    }
}

impl Read for Steps {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        cx.checkpoint()?;
        match self.0.pop_front() {
            None => Ok(0),
            Some(Err(kind)) => Err(io::Error::from(kind).into()),
            Some(Ok(bytes)) => {
                let count = bytes.len().min(buf.len());
                buf[..count].copy_from_slice(&bytes[..count]);
                if count < bytes.len() {
                    self.0.push_front(Ok(&bytes[count..]));
                }
                Ok(count)
            }
        }
    }
}

/// Takes `step` bytes at a time, `room` in all, and then nothing.
struct Narrow {
    taken: Vec<u8>,
    step: usize,
    room: usize,
}

impl Write for Narrow {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        cx.checkpoint()?;
        let count = data.len().min(self.step).min(self.room - self.taken.len());
        self.taken.extend_from_slice(&data[..count]);
        Ok(count)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        Ok(cx.checkpoint()?)
    }
}

/// Reports more than it was given.
struct Liar;

impl Read for Liar {
    fn read(&mut self, _: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        Ok(buf.len() + 1)
    }
}

impl Write for Liar {
    fn write(&mut self, _: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        Ok(data.len() + 1)
    }

    fn flush(&mut self, _: &mut Cx) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn the_traits_make_objects() {
    on_workers(|cx| {
        let mut text = &b"one\ntwo"[..];
        let mut reader: Box<dyn BufRead + '_> = Box::new(BufReader::with_capacity(2, &mut text));
        let mut line = String::new();
        assert_eq!(reader.read_line(cx, &mut line).unwrap(), 4);
        let reader: &mut dyn Read = &mut reader;
        assert_eq!(reader.read_to_string(cx, &mut line).unwrap(), 3);
        assert_eq!(line, "one\ntwo");
        let mut out = Vec::new();
        let mut writer: Box<dyn Write + '_> = Box::new(&mut out);
        writer.write_all(cx, b"abc").unwrap();
        copy(cx, &mut &b"def"[..], &mut *writer).unwrap();
        writer.write_vectored(cx, &[IoSlice::new(b""), IoSlice::new(b"gh")]).unwrap();
        writer.flush(cx).unwrap();
        drop(writer);
        assert_eq!(out, b"abcdefgh");
        let (near, mut far) = duplex();
        let mut near: Box<dyn HalfClose> = Box::new(near);
        near.write_all(cx, b"ij").unwrap();
        near.end_write(cx).unwrap();
        line.clear();
        assert_eq!(far.read_to_string(cx, &mut line).unwrap(), 2);
    });
}

#[test]
fn errors_keep_kind_progress_and_cause() {
    on_workers(|cx| {
        let mut reader = Steps::new([Ok(&b"abc"[..]), Err(ErrorKind::TimedOut), Ok(b"d")]);
        let mut buf = [0; 4];
        let error = reader.read_exact(cx, &mut buf).unwrap_err();
        assert_eq!(
            (error.done(), error.kind(), &buf[..3]),
            (3, Some(ErrorKind::TimedOut), &b"abc"[..])
        );
        assert_eq!(error.to_string(), "read_exact stopped after 3 bytes: timed out");
        assert!(std::error::Error::source(&error).unwrap().is::<io::Error>());
        let error = io::Error::from(error);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.get_ref().unwrap().downcast_ref::<Incomplete>().unwrap().done(), 3);
        // Into the error of a single step, and into a box.
        let error = (&b"x"[..]).read_exact(cx, &mut buf).unwrap_err();
        assert_eq!(
            error.to_string(),
            "read_exact stopped after 1 byte: the stream ended, and 3 more bytes were wanted"
        );
        let error = conbrio::OrCancelled::from(error).into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let boxed: Box<dyn std::error::Error + Send + Sync> =
            (&b"x"[..]).read_exact(cx, &mut buf).unwrap_err().into();
        assert!(boxed.cancelled().is_none());
    });
}

#[test]
fn a_cancellation_is_recognised_in_every_error_it_travels_in() {
    on_workers(|cx| {
        let read = |cx: &mut Cx| (&b"abcd"[..]).read_exact(cx, &mut [0; 4]);
        let error = cancelled_before(cx, read);
        assert!(error.is_cancelled() && error.kind().is_none());
        assert!(error.to_string().starts_with("read_exact stopped after 0 bytes: cancelled"));
        let error = io::Error::from(error);
        assert!(error.cancelled().is_some());
        assert_eq!(error.kind(), ErrorKind::Other);
        // Nested: an io::Error in an Incomplete in an io::Error.
        let nested = io::Error::other(error);
        assert!(nested.cancelled().is_some());
        let boxed: Box<dyn std::error::Error + Send + Sync> = nested.into();
        assert!(boxed.cancelled().is_some());
        // The scope recognises it through `?`.
        let outcome = cx.cancel_scope(|cx, scope| -> io::Result<()> {
            scope.cancel();
            Ok(read(cx)?)
        });
        assert!(matches!(outcome, Ok(None)));
        let outcome = cx.cancel_scope(|cx, scope| -> Result<(), Error> {
            scope.cancel();
            Ok(read(cx)?)
        });
        assert!(matches!(outcome, Ok(None)));
        let outcome = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            read(cx)
        });
        assert!(matches!(outcome, Ok(None)));
    });
}

#[test]
fn interrupted_steps_are_repeated() {
    on_workers(|cx| {
        let steps = || {
            BufReader::new(Steps::new([
                Err(ErrorKind::Interrupted),
                Ok(&b"ab"[..]),
                Err(ErrorKind::Interrupted),
                Ok(b"c\n"),
            ]))
        };
        let mut buf = [0; 4];
        steps().read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"abc\n");
        let mut all = Vec::new();
        steps().read_to_end(cx, &mut all).unwrap();
        assert_eq!(all, b"abc\n");
        let mut line = String::new();
        steps().read_line(cx, &mut line).unwrap();
        assert_eq!(line, "abc\n");
        let mut copied = Vec::new();
        assert_eq!(copy(cx, &mut steps(), &mut copied).unwrap(), 4);
        // A reader that is interrupted for ever can be cancelled.
        struct Stubborn;
        impl Read for Stubborn {
            fn read(&mut self, cx: &mut Cx, _: &mut [u8]) -> Result<usize, Error> {
                cx.checkpoint()?;
                Err(io::Error::from(ErrorKind::Interrupted).into())
            }
        }
        let timeout = std::time::Duration::from_millis(2);
        let outcome = cx.move_on_after(timeout, |cx| Stubborn.read_to_end(cx, &mut Vec::new()));
        assert!(matches!(outcome, Ok(None)));
    });
}

#[test]
fn a_writer_that_takes_no_more_is_an_error() {
    on_workers(|cx| {
        let mut writer = Narrow { taken: Vec::new(), step: 2, room: 5 };
        let error = writer.write_all(cx, b"abcdefg").unwrap_err();
        assert_eq!((error.done(), error.kind()), (5, Some(ErrorKind::WriteZero)));
        let mut writer = Narrow { taken: Vec::new(), step: 2, room: 5 };
        let error = copy(cx, &mut &b"abcdefg"[..], &mut writer).unwrap_err();
        assert_eq!((error.done(), error.leftover()), (5, &b"fg"[..]));
        let mut slice = [0; 3];
        let error = (&mut slice[..]).write_all(cx, b"abcd").unwrap_err();
        assert_eq!((error.done(), slice), (3, *b"abc"));
    });
}

#[test]
fn a_count_that_cannot_be_is_caught() {
    on_workers(|cx| {
        type Attempt = fn(&mut Cx);
        let attempts: [Attempt; 7] = [
            |cx| drop(Liar.read_exact(cx, &mut [0; 4])),
            |cx| drop(Liar.read_to_end(cx, &mut Vec::new())),
            |cx| drop(Liar.write_all(cx, b"abc")),
            |cx| drop(copy(cx, &mut Liar, &mut Vec::new())),
            |cx| drop(BufReader::new(Liar).read(cx, &mut [0; 4])),
            |_| BufReader::new(&b"ab"[..]).consume(1),
            |cx| {
                let mut writer = BufWriter::with_capacity(2, Liar);
                drop(writer.write_all(cx, b"a"));
                drop(writer.flush(cx));
            },
        ];
        for (at, attempt) in attempts.into_iter().enumerate() {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attempt(cx)));
            assert!(outcome.is_err(), "attempt {at}");
        }
    });
}

#[test]
fn text_is_all_or_nothing() {
    on_workers(|cx| {
        let mut text = String::from("before ");
        let error = (&b"caf\xc3"[..]).read_to_string(cx, &mut text).unwrap_err();
        assert_eq!((error.kind(), error.done()), (Some(ErrorKind::InvalidData), 0));
        assert_eq!((text.as_str(), error.leftover()), ("before ", &b"caf\xc3"[..]));
        // A character that is cut by a step is whole.
        let mut reader = BufReader::new(Steps::new([Ok(&b"caf\xc3"[..]), Ok(b"\xa9\nx")]));
        assert_eq!(reader.read_line(cx, &mut text).unwrap(), 6);
        assert_eq!(text, "before café\n");
    });
}

#[test]
fn reading_by_lines() {
    on_workers(|cx| {
        let mut reader = BufReader::with_capacity(3, &b"first\n\nlast"[..]);
        let mut buf = Vec::new();
        assert_eq!(reader.read_until(cx, b'\n', &mut buf).unwrap(), 6);
        assert_eq!(reader.read_until(cx, b'\n', &mut buf).unwrap(), 1);
        assert_eq!(reader.read_until(cx, b'\n', &mut buf).unwrap(), 4);
        assert_eq!(reader.read_until(cx, b'\n', &mut buf).unwrap(), 0);
        assert_eq!(buf, b"first\n\nlast");

        let mut lines = Cursor::new("one\r\n\ntwo\r").lines();
        assert_eq!(lines.next(cx).unwrap().as_deref(), Some("one"));
        assert_eq!(lines.next(cx).unwrap().as_deref(), Some(""));
        assert_eq!(lines.next(cx).unwrap().as_deref(), Some("two\r"));
        assert_eq!(lines.next(cx).unwrap(), None);
        let mut lines = (&b"\xff\nfine\n"[..]).lines();
        let error = lines.next(cx).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(lines.next(cx).unwrap().as_deref(), Some("fine"));
    });
}

// spec: S25
#[test]
fn a_line_goes_on_after_a_cancellation() {
    on_workers(|cx| {
        let (mut left, right) = pair(cx);
        let mut lines = BufReader::new(right).lines();
        left.write_all(cx, b"begin").unwrap();
        let _ = cancel_when_blocked(cx, |cx| lines.next(cx));
        assert_eq!(lines.partial(), b"begin");
        let _ = cancelled_before(cx, |cx| lines.next(cx));
        left.write_all(cx, b"ning\nrest").unwrap();
        assert_eq!(lines.next(cx).unwrap().as_deref(), Some("beginning"));
        let _ = cancel_when_blocked(cx, |cx| lines.next(cx));
        let (reader, partial) = lines.into_parts();
        assert_eq!(partial, b"rest");

        // A single line hands back what it has read.
        let mut reader = reader;
        left.write_all(cx, b"half").unwrap();
        let mut line = String::new();
        let error = cancel_when_blocked(cx, |cx| reader.read_line(cx, &mut line));
        assert_eq!((line.as_str(), error.leftover()), ("", &b"half"[..]));
    });
}

#[test]
fn a_buffered_reader_is_the_same_stream() {
    on_workers(|cx| {
        let data = pattern(10_000);
        for capacity in [1, 2, 7, 4096, 20_000] {
            let mut reader = BufReader::with_capacity(capacity, &data[..]);
            let mut received = Vec::new();
            for len in (0..40).cycle() {
                let mut buf = vec![0; len];
                let count = if len % 3 == 0 {
                    let (a, b) = buf.split_at_mut(len / 2);
                    reader.read_vectored(cx, &mut [IoSliceMut::new(a), IoSliceMut::new(b)]).unwrap()
                } else {
                    reader.read(cx, &mut buf).unwrap()
                };
                received.extend_from_slice(&buf[..count]);
                if count == 0 && len > 0 {
                    break;
                }
            }
            assert!(received == data, "capacity {capacity}");
        }
        let mut reader = BufReader::new(&b"abcdef"[..]);
        reader.read_exact(cx, &mut [0; 2]).unwrap();
        assert_eq!(reader.buffer(), b"cdef");
        let (_, ready) = reader.into_parts();
        assert_eq!(ready, b"cdef");
    });
}

#[test]
fn a_buffered_writer_keeps_what_was_not_taken() {
    on_workers(|cx| {
        let data = pattern(1000);
        for capacity in [1, 3, 64, 4096] {
            let narrow = Narrow { taken: Vec::new(), step: 5, room: 1000 };
            let mut writer = BufWriter::with_capacity(capacity, narrow);
            for part in data.chunks(17) {
                writer.write_all(cx, part).unwrap();
            }
            writer.flush(cx).unwrap();
            assert!(writer.get_ref().taken == data, "capacity {capacity}");
        }
        // The writer fails in the middle: the rest is still there.
        let mut writer = BufWriter::new(Narrow { taken: Vec::new(), step: 5, room: 7 });
        writer.write_all(cx, b"abcdefghij").unwrap();
        let _ = writer.flush(cx).unwrap_err();
        assert_eq!(writer.buffer(), b"hij");
        let _ = cancelled_before(cx, |cx| writer.flush(cx));
        let _ = cancelled_before(cx, |cx| writer.write(cx, b"k"));
        let (narrow, rest) = writer.into_parts();
        assert_eq!((&narrow.taken[..], &rest[..]), (&b"abcdefg"[..], &b"hij"[..]));
    });
}

// spec: S25, S31
#[test]
fn a_buffered_writer_that_is_cancelled_goes_on() {
    on_workers(|cx| {
        let (left, mut right) = pair(cx);
        let data = pattern(32 * 1024 * 1024);
        let mut writer = BufWriter::with_capacity(data.len(), left);
        writer.write_all(cx, &data).unwrap();
        let _ = cancel_when_blocked(cx, |cx| writer.flush(cx));
        assert!(!writer.buffer().is_empty() && writer.buffer().len() < data.len());
        let mut received = Vec::new();
        cx.nursery(|cx, n| -> io::Result<()> {
            n.spawn(|cx| {
                writer.flush(cx)?;
                drop(writer);
                Ok(())
            });
            right.read_to_end(cx, &mut received)?;
            Ok(())
        })
        .unwrap();
        assert!(received == data);
    });
}

#[test]
fn a_reader_with_a_limit_leaves_the_rest() {
    on_workers(|cx| {
        let mut source = BufReader::new(&b"length:body\nnext"[..]);
        let mut limited = (&mut source).take(12);
        let mut word = Vec::new();
        limited.read_until(cx, b':', &mut word).unwrap();
        assert_eq!((&word[..], limited.limit()), (&b"length:"[..], 5));
        let mut rest = String::new();
        assert_eq!(limited.read_to_string(cx, &mut rest).unwrap(), 5);
        assert_eq!(limited.read(cx, &mut [0; 4]).unwrap(), 0);
        assert!(limited.fill_buf(cx).unwrap().is_empty());
        let _ = cancelled_before(cx, |cx| limited.read(cx, &mut [0; 4]));
        rest.clear();
        source.read_to_string(cx, &mut rest).unwrap();
        assert_eq!(rest, "next");
    });
}

#[test]
fn memory_is_read_and_written() {
    on_workers(|cx| {
        let mut cursor = Cursor::new(vec![0; 4]);
        cursor.write_all(cx, b"abcdef").unwrap();
        cursor.set_position(1);
        let mut rest = Vec::new();
        cursor.read_to_end(cx, &mut rest).unwrap();
        assert_eq!(rest, b"bcdef");
        let mut out = Vec::new();
        out.write_vectored(cx, &[IoSlice::new(b"a"), IoSlice::new(b"b")]).unwrap();
        Write::flush(&mut out, cx).unwrap();
        assert_eq!(out, b"ab");
        // Always a checkpoint.
        let _ = cancelled_before(cx, |cx| out.write(cx, b"c"));
        let _ = cancelled_before(cx, |cx| Write::flush(&mut out, cx));
        let _ = cancelled_before(cx, |cx| (&b"x"[..]).read(cx, &mut [0; 1]));
        let _ = cancelled_before(cx, |cx| Cursor::new("x").fill_buf(cx).map(|_| ()));
        let _ = cancelled_before(cx, |cx| copy(cx, &mut &b""[..], &mut Vec::new()));
        assert_eq!(out, b"ab");
    });
}

#[test]
fn more_is_read_behind_what_is_ready() {
    on_workers(|cx| {
        let steps = [Ok(&b"ab"[..]), Ok(b"cd"), Ok(b"efgh"), Err(ErrorKind::TimedOut), Ok(b"i")];
        let mut reader = BufReader::with_capacity(5, Steps::new(steps));
        assert_eq!(reader.capacity(), 5);
        assert_eq!((reader.fill_more(cx).unwrap(), reader.buffer()), (2, &b"ab"[..]));
        assert_eq!((reader.fill_more(cx).unwrap(), reader.buffer()), (2, &b"abcd"[..]));
        assert_eq!((reader.fill_more(cx).unwrap(), reader.buffer()), (1, &b"abcde"[..]));
        // Full: there is nothing to gain until something is consumed.
        assert_eq!((reader.fill_more(cx).unwrap(), reader.buffer()), (0, &b"abcde"[..]));
        reader.consume(3);
        assert_eq!((reader.fill_more(cx).unwrap(), reader.buffer()), (3, &b"defgh"[..]));
        reader.consume(4);
        // An error takes nothing away.
        let error = reader.fill_more(cx).unwrap_err().into_failed().unwrap();
        assert_eq!((error.kind(), reader.buffer()), (ErrorKind::TimedOut, &b"h"[..]));
        assert_eq!((reader.fill_more(cx).unwrap(), reader.buffer()), (1, &b"hi"[..]));
        assert_eq!((reader.fill_more(cx).unwrap(), reader.buffer()), (0, &b"hi"[..]));
        reader.consume(2);
        assert_eq!((reader.fill_more(cx).unwrap(), reader.buffer()), (0, &b""[..]));
    });
}
