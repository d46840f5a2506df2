//! N17: every call on a Unix socket that waits, cancelled at every point at which it can see that. A
//! cancelled call had no effect, or says exactly what it has done.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use conbrio::io::{Error, HalfClose, Incomplete, Read, Write};
use conbrio::net::unix::{ListenOptions, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use conbrio::net::{UnixDatagram, UnixListener, UnixStream};
use conbrio::prelude::*;
use conbrio::testing::settle;

use crate::support::{
    Folder, beside, in_a_process_of_its_own, open_descriptors, pattern, real, was_cancelled,
};

/// What can be read from, by the methods of the type itself.
trait Source {
    fn one(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error>;
    fn several(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error>;
    fn exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete>;
    fn look(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error>;
    fn shown(&mut self, cx: &mut Cx, got: &mut Vec<u8>) -> Result<usize, Error>;
}

/// What can be written to, by the methods of the type itself.
trait Sink {
    fn one(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error>;
    fn several(&mut self, cx: &mut Cx, data: &[IoSlice<'_>]) -> Result<usize, Error>;
    fn all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete>;
    fn end(&mut self, cx: &mut Cx) -> Result<(), Error>;
}

// The types have the same methods, and no trait of theirs says so.
macro_rules! source {
    ($kind:ty) => {
        impl Source for $kind {
            fn one(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
                self.read(cx, buf)
            }
            fn several(
                &mut self,
                cx: &mut Cx,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Result<usize, Error> {
                self.read_vectored(cx, bufs)
            }
            fn exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete> {
                self.read_exact(cx, buf)
            }
            fn look(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
                self.peek(cx, buf)
            }
            fn shown(&mut self, cx: &mut Cx, got: &mut Vec<u8>) -> Result<usize, Error> {
                self.read_with(cx, |bytes| {
                    got.extend(bytes);
                    bytes.len()
                })
            }
        }
    };
}

macro_rules! sink {
    ($kind:ty) => {
        impl Sink for $kind {
            fn one(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
                self.write(cx, data)
            }
            fn several(&mut self, cx: &mut Cx, data: &[IoSlice<'_>]) -> Result<usize, Error> {
                self.write_vectored(cx, data)
            }
            fn all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
                self.write_all(cx, data)
            }
            fn end(&mut self, cx: &mut Cx) -> Result<(), Error> {
                self.flush(cx)?;
                self.end_write(cx)
            }
        }
    };
}

source!(UnixStream);
source!(ReadHalf<'_>);
source!(OwnedReadHalf);
sink!(UnixStream);
sink!(WriteHalf<'_>);
sink!(OwnedWriteHalf);

/// How many ways of reading there are in [`read_some`].
const READS: usize = 5;
const SENT: usize = 40;

/// Reads once in one of the ways, and appends what it got, also when it fails.
fn read_some(
    cx: &mut Cx,
    source: &mut dyn Source,
    way: usize,
    got: &mut Vec<u8>,
) -> Result<usize, Error> {
    let mut buf = [0; 8];
    let outcome = match way {
        0 => source.one(cx, &mut buf),
        1 => {
            let (one, two) = buf.split_at_mut(3);
            source.several(cx, &mut [IoSliceMut::new(one), IoSliceMut::new(two)])
        }
        2 => match source.exact(cx, &mut buf) {
            Ok(()) => Ok(buf.len()),
            Err(error) => {
                got.extend(&buf[..error.done() as usize]);
                return Err(error.into_cause());
            }
        },
        3 => return source.shown(cx, got),
        _ => {
            // What was looked at is still there.
            let seen = source.look(cx, &mut buf)?;
            let mut again = [0; 8];
            let count = source.one(cx, &mut again[..seen])?;
            assert_eq!((count, again), (seen, buf));
            Ok(count)
        }
    };
    got.extend(&buf[..*outcome.as_ref().unwrap_or(&0)]);
    outcome
}

/// Cancels reading from what `lend` makes of a stream at every point, and reads the rest afterwards.
#[track_caller]
fn reading(lend: impl Fn(UnixStream, &mut dyn FnMut(&mut dyn Source)) + Sync + Copy) {
    for way in 0..READS {
        real(8, |cx, trial| {
            let (mut left, right) = UnixStream::pair().unwrap();
            let data = pattern(SENT);
            let sender = |cx: &mut Cx| {
                for piece in data.chunks(5) {
                    // Whoever reads has come to wait.
                    cx.yield_now()?;
                    cx.yield_now()?;
                    left.write_all(cx, piece)?;
                }
                left.shutdown(std::net::Shutdown::Write)
            };
            let mut got = Vec::new();
            beside(cx, sender, |cx| {
                lend(right, &mut |source| {
                    let outcome = trial.run(cx, |cx| {
                        while got.len() < SENT {
                            read_some(cx, source, way, &mut got)?;
                        }
                        Ok::<(), Error>(())
                    });
                    was_cancelled(trial, &outcome);
                    while read_some(cx, source, 0, &mut got).unwrap() > 0 {}
                });
            });
            assert_eq!(got, data);
        });
    }
}

// N17: net::UnixStream::{read, read_with, read_vectored, read_exact, peek}
#[test]
fn reading_from_a_stream() {
    reading(|mut stream, read| read(&mut stream));
}

// N17: net::ReadHalf::{read, read_with, read_vectored, read_exact, peek}
#[test]
fn reading_from_a_half() {
    reading(|mut stream, read| read(&mut stream.split().0));
}

// N17: net::OwnedReadHalf::{read, read_with, read_vectored, read_exact, peek}
#[test]
fn reading_from_an_owned_half() {
    reading(|stream, read| {
        let (mut reader, _writer) = stream.into_split();
        read(&mut reader);
    });
}

/// Much more than fits into a connection whose peer does not read, with the buffer below.
const MUCH: usize = 100_000;
const BUFFER: usize = 8 * 1024;

/// Writes in one of three ways, and says how much of it was done.
fn write_much(
    cx: &mut Cx,
    sink: &mut dyn Sink,
    way: usize,
    data: &[u8],
) -> (usize, Result<(), Error>) {
    let mut done = 0;
    while done < data.len() {
        let rest = &data[done..];
        let outcome = match way {
            0 => sink.one(cx, rest),
            1 => {
                let (one, two) = rest.split_at(rest.len() / 2);
                sink.several(cx, &[IoSlice::new(one), IoSlice::new(two)])
            }
            _ => match sink.all(cx, rest) {
                Ok(()) => Ok(rest.len()),
                Err(error) => {
                    done += error.done() as usize;
                    Err(error.into_cause())
                }
            },
        };
        match outcome {
            Ok(count) => done += count,
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

/// Cancels writing to what `lend` makes of a stream at every point. The peer gets what was reported as done,
/// and then the end.
#[track_caller]
fn writing(lend: impl Fn(UnixStream, &mut dyn FnMut(&mut dyn Sink)) + Sync + Copy) {
    let data = pattern(MUCH);
    for way in 0..3 {
        real(4, |cx, trial| {
            let (left, mut right) = UnixStream::pair().unwrap();
            left.set_send_buffer_size(BUFFER).unwrap();
            let mut received = Vec::new();
            let mut sent = 0;
            let receiver = |cx: &mut Cx| {
                right.read_to_end(cx, &mut received)?;
                Ok(())
            };
            beside(cx, receiver, |cx| {
                lend(left, &mut |sink| {
                    let (done, outcome) = trial.run(cx, |cx| {
                        let (done, outcome) = write_much(cx, sink, way, &data);
                        (done, outcome.and_then(|()| sink.end(cx)))
                    });
                    sent = done;
                    if was_cancelled(trial, &outcome) {
                        sink.end(cx).unwrap();
                    }
                });
            });
            assert_eq!(sent, received.len());
            assert!(received == data[..sent], "bytes were exchanged");
        });
    }
}

// N17: net::UnixStream::{write, write_vectored, write_all, flush, end_write}
#[test]
fn writing_to_a_stream() {
    writing(|mut stream, write| write(&mut stream));
}

// N17: net::WriteHalf::{write, write_vectored, write_all, flush, end_write}
#[test]
fn writing_to_a_half() {
    writing(|mut stream, write| write(&mut stream.split().1));
}

// N17: net::OwnedWriteHalf::{write, write_vectored, write_all, flush, end_write}
#[test]
fn writing_to_an_owned_half() {
    writing(|stream, write| {
        let (_reader, mut writer) = stream.into_split();
        write(&mut writer);
    });
}

/// Tries `first`; if it was cancelled, `again` does the same outside of the trial.
fn or_again<T>(
    trial: &conbrio::testing::Trial,
    first: Result<T, Error>,
    again: impl FnOnce() -> Result<T, Error>,
) -> T {
    match was_cancelled(trial, &first) {
        true => again().unwrap(),
        false => first.unwrap(),
    }
}

fn of_path(path: &Path) -> SocketAddr {
    SocketAddr::from_pathname(path).unwrap()
}

// N17: net::UnixListener::{bind, bind_addr, accept}, net::ListenOptions::{bind, bind_addr}
#[test]
fn no_connection_is_lost_and_no_file_is_left() {
    for way in 0..4 {
        real(4, |cx, trial| {
            let folder = Folder::new();
            let path = folder.file("socket");
            let options = ListenOptions::new().remove_on_drop(true);
            let bind = |cx: &mut Cx| match way {
                0 => UnixListener::bind(cx, &path),
                1 => UnixListener::bind_addr(cx, &of_path(&path)),
                2 => options.bind(cx, &path),
                _ => options.bind_addr(cx, &of_path(&path)),
            };
            let bound = trial.run(cx, bind);
            // If it was cancelled, there is nothing in the way.
            let mut listener = or_again(trial, bound, || bind(cx));
            let client = |cx: &mut Cx| {
                settle(cx, std::time::Duration::ZERO)?;
                Ok(UnixStream::connect(cx, &path)?.write_all(cx, b"hello")?)
            };
            beside(cx, client, |cx| {
                let accepted = trial.run(cx, |cx| listener.accept(cx));
                let (mut stream, _) = or_again(trial, accepted, || listener.accept(cx));
                let mut buf = [0; 5];
                stream.read_exact(cx, &mut buf).unwrap();
                assert_eq!(&buf, b"hello");
            });
        });
    }
}

// N17: net::UnixStream::{connect, connect_addr}
#[test]
fn a_connection_is_made_or_not() {
    for with_path in [true, false] {
        // A full backlog, so that it waits.
        real(4, |cx, trial| {
            let folder = Folder::new();
            let path = folder.file("socket");
            let mut listener = ListenOptions::new().backlog(0).bind(cx, &path).unwrap();
            let connect = |cx: &mut Cx| match with_path {
                true => UnixStream::connect(cx, &path),
                false => UnixStream::connect_addr(cx, &of_path(&path)),
            };
            let _first = connect(cx).unwrap();
            let accepter = |cx: &mut Cx| {
                cx.sleep(std::time::Duration::from_millis(2))?;
                listener.accept(cx)?;
                let (mut second, _) = listener.accept(cx)?;
                assert_eq!(second.read(cx, &mut [0])?, 1);
                Ok(())
            };
            beside(cx, accepter, |cx| {
                let connected = trial.run(cx, connect);
                // Nobody else is in the queue: what is sent now comes by the second connection.
                let mut stream = or_again(trial, connected, || connect(cx));
                stream.write_all(cx, b"!").unwrap();
            });
        });
    }
}

// N17: net::UnixStream::{send_with_fds, recv_with_fds}
#[test]
fn descriptors_come_once_or_stay() {
    real(8, |cx, trial| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        let sender = |cx: &mut Cx| {
            for _ in 0..3 {
                cx.yield_now()?;
                cx.yield_now()?;
                left.send_with_fds(cx, b"!", &[file.as_fd()])?;
            }
            Ok(())
        };
        beside(cx, sender, |cx| {
            let mut got = 0;
            let outcome = trial.run(cx, |cx| {
                while got < 3 {
                    got += right.recv_with_fds(cx, &mut [0; 8], 8)?.fds.len();
                }
                Ok::<(), Error>(())
            });
            was_cancelled(trial, &outcome);
            while got < 3 {
                let received = right.recv_with_fds(cx, &mut [0; 8], 8).unwrap();
                assert_eq!(received.count, received.fds.len());
                got += received.fds.len();
            }
        });
    });
    real(4, |cx, trial| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        left.set_send_buffer_size(BUFFER).unwrap();
        let file = File::open("/dev/null").unwrap();
        let (mut bytes, mut fds) = (0, 0);
        let receiver = |cx: &mut Cx| {
            loop {
                let received = right.recv_with_fds(cx, &mut [0; 4096], 8)?;
                if received.count == 0 {
                    return Ok(());
                }
                (bytes, fds) = (bytes + received.count, fds + received.fds.len());
            }
        };
        let (mut sent, mut calls) = (0, 0);
        beside(cx, receiver, |cx| {
            let outcome = trial.run(cx, |cx| {
                while sent < 30_000 {
                    sent += left.send_with_fds(cx, &[7; 2000], &[file.as_fd()])?;
                    calls += 1;
                }
                Ok::<(), Error>(())
            });
            was_cancelled(trial, &outcome);
            drop(left);
        });
        assert_eq!((bytes, fds), (sent, calls));
    });
}

// N17: net::UnixDatagram::{bind, bind_addr, connect, connect_addr}
#[test]
fn a_datagram_socket_is_named_or_not() {
    for with_path in [true, false] {
        real(2, |cx, trial| {
            let folder = Folder::new();
            let path = folder.file("socket");
            let bind = |cx: &mut Cx| match with_path {
                true => UnixDatagram::bind(cx, &path),
                false => UnixDatagram::bind_addr(cx, &of_path(&path)),
            };
            let bound = trial.run(cx, bind);
            let mut receiver = or_again(trial, bound, || bind(cx));
            let mut sender = UnixDatagram::unbound().unwrap();
            let outcome = trial.run(cx, |cx| match with_path {
                true => sender.connect(cx, &path),
                false => sender.connect_addr(cx, &of_path(&path)),
            });
            if was_cancelled(trial, &outcome) {
                assert!(sender.peer_addr().is_err());
                sender.connect(cx, &path).unwrap();
            }
            sender.send(cx, b"x").unwrap();
            assert_eq!(receiver.recv(cx, &mut [0; 2]).unwrap(), 1);
        });
    }
}

// N17: net::UnixDatagram::{recv, recv_from, peek, peek_from, recv_with_fds}
#[test]
fn no_datagram_is_lost() {
    for way in 0..5 {
        real(4, |cx, trial| {
            let (mut left, mut right) = UnixDatagram::pair().unwrap();
            let sender = |cx: &mut Cx| {
                settle(cx, std::time::Duration::ZERO)?;
                left.send(cx, b"hello")?;
                Ok(())
            };
            beside(cx, sender, |cx| {
                let mut buf = [0; 8];
                let outcome = trial.run(cx, |cx| match way {
                    0 => right.recv(cx, &mut buf),
                    1 => right.recv_from(cx, &mut buf).map(|(count, _)| count),
                    2 => right.recv_with_fds(cx, &mut buf, 1).map(|(received, _)| received.count),
                    3 => right.peek(cx, &mut buf),
                    _ => right.peek_from(cx, &mut buf).map(|(count, _)| count),
                });
                // What was only looked at is still there.
                let count = match was_cancelled(trial, &outcome) || way >= 3 {
                    true => right.recv(cx, &mut buf).unwrap(),
                    false => outcome.unwrap(),
                };
                assert_eq!(&buf[..count], b"hello");
            });
        });
    }
}

// N17: net::UnixDatagram::{send, send_to, send_to_addr, send_with_fds}
#[test]
fn no_datagram_is_sent_in_spite_of_a_cancellation() {
    for way in 0..4 {
        real(4, |cx, trial| {
            let folder = Folder::new();
            let path = folder.file("socket");
            let mut receiver = UnixDatagram::bind(cx, &path).unwrap();
            let mut sender = UnixDatagram::unbound().unwrap();
            if way == 0 || way == 3 {
                sender.connect(cx, &path).unwrap();
            }
            // More than there are places for.
            let (mut sent, mut received) = (0, 0);
            let drain = |cx: &mut Cx| {
                settle(cx, std::time::Duration::ZERO)?;
                while receiver.recv(cx, &mut [0])? > 0 {
                    received += 1;
                }
                Ok(())
            };
            let is_cancelled = beside(cx, drain, |cx| {
                let outcome = trial.run(cx, |cx| {
                    while sent < 30 {
                        match way {
                            0 => sender.send(cx, b"x")?,
                            1 => sender.send_to(cx, b"x", &path)?,
                            2 => sender.send_to_addr(cx, b"x", &of_path(&path))?,
                            _ => sender.send_with_fds(cx, b"x", &[])?,
                        };
                        sent += 1;
                    }
                    Ok::<(), Error>(())
                });
                let is_cancelled = was_cancelled(trial, &outcome);
                UnixDatagram::unbound().unwrap().send_to(cx, b"", &path).unwrap();
                is_cancelled
            });
            assert_eq!(sent, received);
            assert!(is_cancelled || sent == 30);
        });
    }
}

#[test]
fn no_descriptor_is_lost() {
    in_a_process_of_its_own("cancelling::no_descriptor_is_lost", || {
        let all = || {
            no_connection_is_lost_and_no_file_is_left();
            a_connection_is_made_or_not();
            descriptors_come_once_or_stay();
            no_datagram_is_sent_in_spite_of_a_cancellation();
        };
        // What is opened once for the process stays.
        all();
        let before = open_descriptors();
        all();
        assert_eq!(open_descriptors(), before);
    });
}
