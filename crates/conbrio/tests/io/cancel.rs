//! Cancellation: what was cancelled had no effect, and what takes several steps counts them.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Mutex;

use conbrio::io::{Error, Incomplete, Read, Write};
use conbrio::net::resolve;
use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals};
use conbrio::testing::settle;
use conbrio::{CancelHandle, signal};

use crate::support::{
    CUSHION, cancel_if_blocked, cancel_when_blocked, cancelled_before, listener, on_workers, pair,
    pattern,
};

/// What a write has sent: all of it, or so much until it was cancelled.
type Sent = Result<u64, u64>;

fn one_step(result: Result<usize, Error>) -> Sent {
    match result {
        Ok(count) => Ok(count as u64),
        Err(error) => {
            assert!(error.cancelled().is_some(), "{error}");
            Err(0)
        }
    }
}

fn all_steps<R>(all: &[u8], result: Result<R, Incomplete>) -> Sent {
    match result {
        Ok(_) => Ok(all.len() as u64),
        Err(error) => {
            assert!(error.is_cancelled(), "{error}");
            Err(error.done())
        }
    }
}

/// Repeats a write until it waits and is cancelled. Says how much was sent. It may take more than one: now
/// and then the system makes room in a connection that was full.
fn write_until_blocked(cx: &mut Cx, mut write: impl FnMut(&mut Cx) -> Sent + Send) -> u64 {
    let mut sent = 0;
    loop {
        match cancel_if_blocked(cx, &mut write).0 {
            Ok(count) => sent += count,
            Err(count) => return sent + count,
        }
    }
}

fn drain(cx: &mut Cx, stream: &mut TcpStream, mut count: u64) {
    let mut buf = vec![0; 64 * 1024];
    while count > 0 {
        let most = buf.len().min(count as usize);
        let got = stream.read(cx, &mut buf[..most]).unwrap();
        assert!(got > 0, "{count} bytes are missing");
        assert!(buf[..got].iter().all(|byte| *byte == b'f'));
        count -= got as u64;
    }
}

// Every function that waits, cancelled while it waits; nothing is lost afterwards.
// spec: S9
#[test]
fn every_read_that_waits_can_be_cancelled() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        let mut buf = [0; 64];
        let _ = cancel_when_blocked(cx, |cx| right.read(cx, &mut buf));
        let _ = cancel_when_blocked(cx, |cx| right.peek(cx, &mut buf));
        let _ = cancel_when_blocked(cx, |cx| right.read_with(cx, <[u8]>::len));
        let _ = cancel_when_blocked(cx, |cx| {
            right.read_vectored(
                cx,
                &mut [IoSliceMut::new(&mut [0; 4]), IoSliceMut::new(&mut [0; 4])],
            )
        });
        assert_eq!(cancel_when_blocked(cx, |cx| right.read_exact(cx, &mut buf)).done(), 0);
        let mut all = Vec::new();
        assert_eq!(cancel_when_blocked(cx, |cx| right.read_to_end(cx, &mut all)).done(), 0);
        let mut text = String::new();
        let _ = cancel_when_blocked(cx, |cx| right.read_to_string(cx, &mut text));
        {
            let (mut reader, _writer) = right.split();
            let _ = cancel_when_blocked(cx, |cx| reader.read(cx, &mut buf));
            let _ = cancel_when_blocked(cx, |cx| reader.peek(cx, &mut buf));
            let _ = cancel_when_blocked(cx, |cx| reader.read_exact(cx, &mut buf));
            let _ = cancel_when_blocked(cx, |cx| {
                reader.read_vectored(cx, &mut [IoSliceMut::new(&mut [0; 4])])
            });
        }
        let (mut reader, writer) = right.into_split();
        let _ = cancel_when_blocked(cx, |cx| reader.read(cx, &mut buf));
        let _ = cancel_when_blocked(cx, |cx| reader.peek(cx, &mut buf));
        let _ = cancel_when_blocked(cx, |cx| reader.read_exact(cx, &mut buf));
        let mut right = reader.reunite(writer).unwrap();
        let mut copied = Vec::new();
        let _ = cancel_when_blocked(cx, |cx| conbrio::io::copy(cx, &mut right, &mut copied));

        left.write_all(cx, b"nothing was lost").unwrap();
        let count = right.read(cx, &mut buf).unwrap();
        assert_eq!(&buf[..count], b"nothing was lost");
    });
}

// spec: S9
#[test]
fn every_write_that_waits_can_be_cancelled() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        let data = &vec![b'f'; 1024 * 1024][..];
        let parts = &[IoSlice::new(data)];
        let mut sent = write_until_blocked(cx, |cx| all_steps(data, left.write_all(cx, data)));
        assert!(sent > 0);
        sent += write_until_blocked(cx, |cx| one_step(left.write(cx, data)));
        sent += write_until_blocked(cx, |cx| one_step(left.write_vectored(cx, parts)));
        sent += write_until_blocked(cx, |cx| {
            let result = conbrio::io::copy(cx, &mut &data[..], &mut left);
            if let Err(error) = &result {
                assert!(!error.leftover().is_empty());
            }
            all_steps(data, result)
        });
        {
            let (_reader, mut writer) = left.split();
            sent += write_until_blocked(cx, |cx| one_step(writer.write(cx, data)));
            sent += write_until_blocked(cx, |cx| one_step(writer.write_vectored(cx, parts)));
            sent += write_until_blocked(cx, |cx| all_steps(data, writer.write_all(cx, data)));
        }
        let (reader, mut writer) = left.into_split();
        sent += write_until_blocked(cx, |cx| one_step(writer.write(cx, data)));
        sent += write_until_blocked(cx, |cx| one_step(writer.write_vectored(cx, parts)));
        sent += write_until_blocked(cx, |cx| all_steps(data, writer.write_all(cx, data)));
        let left = reader.reunite(writer).unwrap();

        left.shutdown(Shutdown::Write).unwrap();
        drain(cx, &mut right, sent);
        assert_eq!(
            right.read(cx, &mut [0; 8]).unwrap(),
            0,
            "something that was cancelled was sent"
        );
    });
}

// spec: S9
#[test]
fn every_other_wait_can_be_cancelled() {
    on_workers(|cx| {
        let mut listener = listener(cx);
        let _ = cancel_when_blocked(cx, |cx| listener.accept(cx));
        let _ = cancel_when_blocked(cx, signal::wait_ctrl_c);
        let _ = cancel_when_blocked(cx, signal::wait_termination);
        let mut signals = Signals::new(&[Signal::WINDOW_CHANGE]).unwrap();
        let _ = cancel_when_blocked(cx, |cx| signals.wait(cx));
        // `connect` is in `connect.rs`. `resolve` waits for the system's resolver, as it says.
        let _ = cancelled_before(cx, |cx| resolve(cx, "localhost:0"));
    });
}

// spec: test_socket.SocketType_non_blocking_paths
#[test]
fn a_read_in_a_cancelled_scope_takes_nothing() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        left.write_all(cx, b"abc").unwrap();
        settle(cx, CUSHION).unwrap();
        let mut buf = [0; 8];
        // Data is there, and stays there.
        let _ = cancelled_before(cx, |cx| right.read(cx, &mut buf));
        let _ = cancelled_before(cx, |cx| right.read_exact(cx, &mut buf));
        let _ = cancelled_before(cx, |cx| right.read_to_end(cx, &mut Vec::new()));
        assert_eq!(right.read(cx, &mut buf).unwrap(), 3);
        // It waits, and is woken.
        cx.nursery(|cx, n| -> io::Result<()> {
            n.spawn(|cx| {
                settle(cx, CUSHION)?;
                left.write_all(cx, b"d")?;
                Ok(())
            });
            assert_eq!(right.read(cx, &mut buf)?, 1);
            Ok(())
        })
        .unwrap();
        // It waits, and is cancelled.
        let _ = cancel_when_blocked(cx, |cx| right.read(cx, &mut buf));
        // There is room, but nothing is sent.
        let _ = cancelled_before(cx, |cx| left.write(cx, b"never"));
        assert_eq!(cancelled_before(cx, |cx| left.write_all(cx, b"never")).done(), 0);
        drop(left);
        assert_eq!(right.read(cx, &mut buf).unwrap(), 0);
    });
}

/// A stream that moves 1000 bytes a step, and cancels the scope before the step with the number `at`.
struct CancelAt<'a> {
    stream: &'a mut TcpStream,
    scope: CancelHandle,
    steps: usize,
    at: usize,
}

impl CancelAt<'_> {
    fn step(&mut self) {
        if self.steps == self.at {
            self.scope.cancel();
        }
        self.steps += 1;
    }
}

impl Read for CancelAt<'_> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.step();
        let most = buf.len().min(1000);
        self.stream.read(cx, &mut buf[..most])
    }
}

impl Write for CancelAt<'_> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.step();
        self.stream.write(cx, &data[..data.len().min(1000)])
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        Ok(cx.checkpoint()?)
    }
}

/// Runs `f` with a stream that is cancelled at step `at`. Returns what came of it.
fn cancelled_at<R>(
    cx: &mut Cx,
    stream: &mut TcpStream,
    at: usize,
    f: impl FnOnce(&mut Cx, &mut CancelAt<'_>) -> Result<R, Incomplete>,
) -> Result<R, Incomplete> {
    let mut outcome = None;
    cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
        let mut stream = CancelAt { stream, scope: scope.handle(), steps: 0, at };
        outcome = Some(f(cx, &mut stream));
        Ok(())
    })
    .unwrap();
    outcome.unwrap()
}

// At each checkpoint, the count is what the peer has seen.
// spec: N17, S31
#[test]
fn write_all_cancelled_at_each_step_counts_what_was_sent() {
    on_workers(|cx| {
        let data = pattern(10_500);
        for at in 0..12 {
            let (mut left, mut right) = pair(cx);
            let outcome = cancelled_at(cx, &mut left, at, |cx, stream| stream.write_all(cx, &data));
            let done = match outcome {
                Ok(()) => data.len(),
                Err(error) => {
                    assert!(error.is_cancelled());
                    assert_eq!(error.done(), at as u64 * 1000);
                    error.done() as usize
                }
            };
            assert_eq!(done == data.len(), at >= 11);
            // The writer goes on where it was interrupted.
            left.write_all(cx, &data[done..]).unwrap();
            drop(left);
            let mut received = Vec::new();
            right.read_to_end(cx, &mut received).unwrap();
            assert!(received == data, "cancelled at {at}");
        }
    });
}

// spec: N17
#[test]
fn read_exact_cancelled_at_each_step_counts_what_was_read() {
    on_workers(|cx| {
        let data = pattern(10_500);
        for at in 0..12 {
            let (mut left, mut right) = pair(cx);
            left.write_all(cx, &data).unwrap();
            settle(cx, CUSHION).unwrap();
            let mut received = vec![0; data.len()];
            let outcome =
                cancelled_at(cx, &mut right, at, |cx, stream| stream.read_exact(cx, &mut received));
            let done = match outcome {
                Ok(()) => data.len(),
                Err(error) => {
                    assert!(error.is_cancelled());
                    error.done() as usize
                }
            };
            assert_eq!(received[..done], data[..done]);
            right.read_exact(cx, &mut received[done..]).unwrap();
            assert!(received == data, "cancelled at {at}");
        }
    });
}

// spec: N17
#[test]
fn read_to_end_and_copy_cancelled_at_each_step_lose_nothing() {
    on_workers(|cx| {
        let data = pattern(5_500);
        for at in 0..8 {
            let (mut left, mut right) = pair(cx);
            left.write_all(cx, &data).unwrap();
            drop(left);
            let mut received = Vec::new();
            let outcome = cancelled_at(cx, &mut right, at, |cx, stream| {
                stream.read_to_end(cx, &mut received)
            });
            if let Err(error) = outcome {
                assert_eq!(error.done(), received.len() as u64);
                right.read_to_end(cx, &mut received).unwrap();
            }
            assert!(received == data, "read_to_end cancelled at {at}");

            // Copying, cancelled in a read.
            let (mut left, mut right) = pair(cx);
            left.write_all(cx, &data).unwrap();
            drop(left);
            let mut copied = Vec::new();
            let outcome = cancelled_at(cx, &mut right, at, |cx, stream| {
                conbrio::io::copy(cx, stream, &mut copied)
            });
            if let Err(error) = outcome {
                assert_eq!(error.done(), copied.len() as u64);
                assert!(error.leftover().is_empty());
                conbrio::io::copy(cx, &mut right, &mut copied).unwrap();
            }
            assert!(copied == data, "copy from, cancelled at {at}");

            // Copying, cancelled in a write: the rest of what was read comes back.
            let (mut left, mut right) = pair(cx);
            let outcome = cancelled_at(cx, &mut left, at, |cx, stream| {
                conbrio::io::copy(cx, &mut &data[..], stream)
            });
            if let Err(error) = outcome {
                let done = error.done();
                assert_eq!(done as usize + error.leftover().len(), data.len());
                left.write_all(cx, &error.into_leftover()).unwrap();
            }
            drop(left);
            let mut received = Vec::new();
            right.read_to_end(cx, &mut received).unwrap();
            assert!(received == data, "copy to, cancelled at {at}");
        }
    });
}

// The writer waits for room when it is cancelled; the reader has taken more each time.
// spec: S25, S31
#[test]
fn a_blocked_write_all_counts_to_the_byte() {
    on_workers(|cx| {
        let data = pattern(32 * 1024 * 1024);
        for round in 0..6_usize {
            let (mut left, mut right) = pair(cx);
            let outcome = Mutex::new(None);
            let mut received = vec![0; round * 700_001];
            cx.nursery(|cx, n| -> io::Result<()> {
                n.spawn(|cx| {
                    *outcome.lock().unwrap() = Some(left.write_all(cx, &data));
                    Ok(())
                });
                right.read_exact(cx, &mut received)?;
                if round % 2 == 0 {
                    settle(cx, CUSHION)?;
                }
                n.cancel();
                Ok(())
            })
            .unwrap();
            let error = outcome.into_inner().unwrap().unwrap().unwrap_err();
            assert!(error.is_cancelled());
            left.shutdown(Shutdown::Write).unwrap();
            right.read_to_end(cx, &mut received).unwrap();
            assert_eq!(received.len() as u64, error.done());
            assert!(received == data[..received.len()]);
        }
    });
}

#[test]
fn a_blocked_read_exact_counts_to_the_byte() {
    on_workers(|cx| {
        let data = pattern(100);
        for sent in [0, 1, 50, 99] {
            let (mut left, mut right) = pair(cx);
            left.write_all(cx, &data[..sent]).unwrap();
            let mut received = [0; 100];
            let error = cancel_when_blocked(cx, |cx| right.read_exact(cx, &mut received));
            assert_eq!(error.done(), sent as u64);
            left.write_all(cx, &data[sent..]).unwrap();
            right.read_exact(cx, &mut received[sent..]).unwrap();
            assert_eq!(received[..], data);
        }
    });
}

// A shield keeps a message whole.
// spec: S31
#[test]
fn a_shielded_write_is_whole() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        let data = pattern(8 * 1024 * 1024);
        let mut received = vec![0; data.len()];
        cx.nursery(|cx, n| -> io::Result<()> {
            n.spawn(|cx| {
                cx.shield(|cx| left.write_all(cx, &data))?;
                Ok(())
            });
            settle(cx, CUSHION)?;
            n.cancel();
            cx.shield(|cx| right.read_exact(cx, &mut received))?;
            Ok(())
        })
        .unwrap();
        assert!(received == data);
    });
}

#[test]
fn waits_fail_at_once_while_the_task_unwinds() {
    struct ReadOnDrop<'a> {
        with: conbrio::io::With<'a, TcpStream>,
        seen: &'a Mutex<Option<String>>,
    }

    impl Drop for ReadOnDrop<'_> {
        fn drop(&mut self) {
            let error = io::Read::read(&mut self.with, &mut [0; 8]).unwrap_err();
            *self.seen.lock().unwrap() = Some(error.to_string());
        }
    }

    on_workers(|cx| {
        let (_left, mut right) = pair(cx);
        let seen = Mutex::new(None);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = ReadOnDrop { with: right.with(cx), seen: &seen };
            std::panic::resume_unwind(Box::new("on purpose"));
        }));
        assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "on purpose");
        let seen = seen.into_inner().unwrap().unwrap();
        assert!(seen.contains("unwinding"), "{seen}");
    });
}
