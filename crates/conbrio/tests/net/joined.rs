//! A reader and a writer joined into one stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use conbrio::io::{BufRead, BufReader, EndByDrop, Error, HalfClose, Read, Write, join};
use conbrio::prelude::*;
use conbrio::testing::streams::pipe;
use conbrio::testing::{cancel_at_every_checkpoint, check_half_closeable_stream, run};

use crate::support::*;

// spec: test_highlevel_generic.StapledStream
#[test]
fn a_joined_stream_forwards_to_its_parts() {
    run(|cx| {
        let (mut far_writer, reader) = pipe();
        let (writer, mut far_reader) = pipe();
        let mut stream = join(BufReader::new(reader), writer);
        far_writer.write_all(cx, b"one\ntwo\n").unwrap();
        let mut line = String::new();
        stream.read_line(cx, &mut line).unwrap();
        assert_eq!(line, "one\n");
        let mut rest = [0; 4];
        stream.read_exact(cx, &mut rest).unwrap();
        assert_eq!(&rest, b"two\n");
        stream.write_all(cx, b"three").unwrap();
        stream.flush(cx).unwrap();
        let mut seen = [0; 5];
        far_reader.read_exact(cx, &mut seen).unwrap();
        assert_eq!(&seen, b"three");
        // Ending its writing direction ends the writer's.
        stream.end_write(cx).unwrap();
        assert_eq!(far_reader.read(cx, &mut [0]).unwrap(), 0);
        far_writer.write_all(cx, b"4").unwrap();
        let (mut reader, writer) = stream.into_parts();
        reader.read_exact(cx, &mut [0]).unwrap();
        drop((reader, writer));
        assert!(far_writer.write_all(cx, b"5").is_err());
    });
}

/// A writer that ends by being dropped only.
struct OnlyDrop<W>(W, Arc<AtomicUsize>);

impl<W: Write> Write for OnlyDrop<W> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.0.write(cx, data)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.sleep(SHORT)?;
        if self.1.fetch_add(1, SeqCst) == 0 {
            return Ok(());
        }
        Err(std::io::Error::other("it flushes once only").into())
    }
}

// spec: test_highlevel_generic.StapledStream
// N17: io::EndByDrop::{write, write_vectored, flush, end_write}
// N17: io::Joined::{read, read_vectored, fill_buf, write, write_vectored, flush, end_write}
#[test]
fn a_writer_that_cannot_be_ended_is_dropped() {
    let points = cancel_at_every_checkpoint(|cx, trial| {
        let (mut far_writer, reader) = pipe();
        let (writer, mut far_reader) = pipe();
        let flushes = Arc::new(AtomicUsize::new(0));
        let writer = EndByDrop::new(OnlyDrop(writer, Arc::clone(&flushes)));
        let mut stream = join(BufReader::new(reader), writer);
        far_writer.write_all(cx, b"abc").unwrap();
        let mut heard = Vec::new();
        let outcome = trial.run(cx, |cx| -> Result<(), Error> {
            let mut buf = [0];
            stream.read(cx, &mut buf)?;
            heard.push(buf[0]);
            stream.read_vectored(cx, &mut [std::io::IoSliceMut::new(&mut buf)])?;
            heard.push(buf[0]);
            let next = stream.fill_buf(cx)?[0];
            stream.consume(1);
            heard.push(next);
            assert_eq!(stream.write(cx, b"x")?, 1);
            assert_eq!(stream.write_vectored(cx, &[std::io::IoSlice::new(b"y")])?, 1);
            stream.end_write(cx)?;
            // Nothing is left to be done.
            stream.flush(cx)?;
            stream.end_write(cx)
        });
        let cancelled = was_cancelled(trial, &outcome);
        assert!(b"abc".starts_with(&heard));
        if stream.writer().get_ref().is_some() {
            assert!(cancelled);
            stream.end_write(cx).unwrap();
        }
        assert_eq!(flushes.load(SeqCst), 1, "each end flushes once, and is not half done");
        let mut said = Vec::new();
        far_reader.read_to_end(cx, &mut said).unwrap();
        assert!(b"xy".starts_with(&said[..]) && (cancelled || said.len() == 2));
        for error in [
            stream.write(cx, b"z").failed(),
            stream.write_vectored(cx, &[std::io::IoSlice::new(b"z")]).failed(),
        ] {
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        }
    });
    assert!(points >= 8, "{points} points");
}

// Closing is dropping, which has no errors to report: what can go wrong is the last flush, and a panic.
// spec: test_highlevel_generic.StapledStream_with_erroring_close
#[test]
fn both_parts_are_closed_whatever_goes_wrong() {
    run(|cx| {
        let closed = Arc::new(AtomicUsize::new(0));
        let count = |closed: &Arc<AtomicUsize>| {
            let closed = Arc::clone(closed);
            move || {
                closed.fetch_add(1, SeqCst);
            }
        };
        let parts = || {
            let (writer, _) = pipe();
            let (_, reader) = pipe();
            (reader.on_close(count(&closed)), writer.on_close(count(&closed)))
        };
        // The flush fails: its error comes out, and the writer has been dropped all the same.
        let (reader, writer) = parts();
        let mut stream = join(reader, EndByDrop::new(OnlyDrop(writer, Arc::new(1.into()))));
        let error = stream.end_write(cx).failed();
        assert_eq!(error.to_string(), "it flushes once only");
        assert_eq!(closed.load(SeqCst), 1);
        drop(stream);
        assert_eq!(closed.swap(0, SeqCst), 2);
        // Closing one panics: the other is closed, and the panic comes out.
        for panics_in_reader in [true, false] {
            let (reader, writer) = parts();
            let (reader, writer) = match panics_in_reader {
                true => (reader.on_close(|| panic!("closing")), writer),
                false => (reader, writer.on_close(|| panic!("closing"))),
            };
            let stream = join(reader, writer);
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(stream)));
            assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"closing"));
            assert_eq!(closed.swap(0, SeqCst), 1);
        }
    });
}

// spec: test_highlevel_generic.StapledStream
#[test]
fn it_is_a_stream_as_any_other() {
    run(|cx| {
        check_half_closeable_stream(cx, |_| {
            let ((left_writer, right_reader), (right_writer, left_reader)) = (pipe(), pipe());
            (
                join(left_reader, EndByDrop::new(left_writer)),
                join(right_reader, EndByDrop::new(right_writer)),
            )
        })
    })
    .unwrap();
}
