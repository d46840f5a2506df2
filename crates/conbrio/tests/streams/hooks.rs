//! Hooks: when they run, and what their failures do.

use std::io::{Error as IoError, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conbrio::io::{HalfClose, Read, Write};
use conbrio::testing::settle;
use conbrio::testing::streams::{PipeReader, PipeWriter, pipe};

use crate::support::{cancel_at_rest, on_workers};

/// What happened, in order.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<String>>>);

impl Record {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

// spec: test_testing.MemorySendStream
#[test]
fn the_hook_of_a_writer_runs_when_the_bytes_are_there() {
    on_workers(|cx| {
        let record = Record::default();
        let writer = PipeWriter::new();
        let queue = writer.queue();
        let (written, closed, ended) = (record.clone(), record.clone(), queue.clone());
        let mut writer = writer
            .on_write(move |_| {
                written.note(format!("{} bytes", queue.len()));
                Ok(())
            })
            .on_close(move || closed.note(format!("closed, ended: {}", ended.is_ended())));
        writer.write_all(cx, b"one").unwrap();
        writer.write_all(cx, b"three").unwrap();
        writer.write_all(cx, b"").unwrap();
        writer.flush(cx).unwrap();
        assert_eq!(record.take(), ["3 bytes", "8 bytes", "8 bytes"]);
        drop(writer);
        assert_eq!(record.take(), ["closed, ended: true"]);
    });
}

// spec: test_testing.MemoryReceiveStream
#[test]
fn the_hook_of_a_reader_runs_before_it_looks_for_bytes() {
    on_workers(|cx| {
        let record = Record::default();
        let reader = PipeReader::new();
        let queue = reader.queue();
        let (closed, gone) = (record.clone(), queue.clone());
        let mut next = b'a';
        let mut reader = reader
            .on_read(move |_| {
                queue.put(&[next])?;
                next += 1;
                Ok(())
            })
            .on_close(move || closed.note(format!("closed: {}", gone.is_closed())));
        let mut buf = [0; 3];
        reader.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"abc");
        drop(reader);
        assert_eq!(record.take(), ["closed: true"]);
    });
}

// spec: test_testing.MemorySendStream
#[test]
fn a_failing_hook_fails_the_write_and_takes_its_bytes_back() {
    on_workers(|cx| {
        let writer = PipeWriter::new();
        let queue = writer.queue();
        let mut calls = 0;
        let mut writer = writer.on_write(move |_| {
            calls += 1;
            if calls == 2 { Err(IoError::from(ErrorKind::ConnectionReset).into()) } else { Ok(()) }
        });
        writer.write_all(cx, b"kept").unwrap();
        let error = writer.write_all(cx, b"taken back").unwrap_err();
        assert_eq!((error.done(), error.kind()), (0, Some(ErrorKind::ConnectionReset)));
        writer.write_all(cx, b" too").unwrap();
        assert_eq!(queue.try_take(usize::MAX).unwrap().unwrap(), b"kept too");
    });
}

#[test]
fn a_hook_that_fails_after_some_bytes_were_read_fails_the_next_call() {
    for next in ["write", "flush", "end_write"] {
        on_workers(move |cx| {
            let writer = PipeWriter::new();
            let queue = writer.queue();
            let mut writer = writer.on_write(move |_| {
                queue.try_take(2)?;
                Err(IoError::from(ErrorKind::ConnectionReset).into())
            });
            assert_eq!(writer.write(cx, b"abc").unwrap(), 2);
            assert!(writer.queue().is_empty());
            let failed = match next {
                "write" => writer.write(cx, b"c").map(drop),
                "flush" => writer.flush(cx),
                _ => writer.end_write(cx),
            };
            let error = failed.unwrap_err().into_failed().unwrap();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            // It is reported once.
            writer.flush(cx).unwrap();
        });
    }
}

// spec: N17
#[test]
fn a_hook_that_is_cancelled_leaves_no_byte_in_doubt() {
    on_workers(|cx| {
        for taken in [0, 1, 3] {
            let (writer, mut reader) = pipe();
            let queue = writer.queue();
            let mut writer = writer.on_write(move |cx| {
                if taken > 0 {
                    queue.try_take(taken)?;
                }
                Ok(cx.sleep_forever()?)
            });
            let error = cancel_at_rest(cx, |cx| writer.write(cx, b"abc"));
            match error {
                Ok(count) => assert_eq!(count, taken),
                Err(error) => {
                    assert!(taken == 0 && error.into_failed().is_err());
                }
            }
            drop(writer);
            assert_eq!(reader.read(cx, &mut [0; 3]).unwrap(), 0);
        }
    });
}

#[test]
fn a_hook_of_a_reader_that_is_cancelled_reads_nothing() {
    on_workers(|cx| {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let (mut writer, reader) = pipe();
        let mut reader = reader.on_read(move |cx| match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(cx.sleep_forever()?),
            _ => Ok(()),
        });
        writer.write_all(cx, b"x").unwrap();
        assert!(cancel_at_rest(cx, |cx| reader.read(cx, &mut [0])).is_err());
        let mut buf = [0];
        reader.read_exact(cx, &mut buf).unwrap();
        assert_eq!((&buf, calls.load(Ordering::Relaxed)), (b"x", 2));
    });
}

#[test]
fn a_hook_can_hold_up_what_was_written() {
    on_workers(|cx| {
        let writer = PipeWriter::new();
        let reader = PipeReader::new();
        let (out, input) = (writer.queue(), reader.queue());
        let mut writer = writer.on_write(move |cx| {
            cx.sleep(Duration::from_secs(3))?;
            out.pump(&input, usize::MAX)?;
            Ok(())
        });
        let start = cx.now();
        let mut reader = reader;
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| Ok(writer.write_all(cx, b"late")?));
            reader.read_exact(cx, &mut [0; 4])?;
            Ok(())
        })
        .unwrap();
        assert_eq!(cx.now() - start, Duration::from_secs(3));
        settle(cx, Duration::ZERO).unwrap();
    });
}
