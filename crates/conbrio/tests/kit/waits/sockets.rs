//! Streams of the system and their halves: no byte is lost, doubled or sent although it was cancelled.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use conbrio::io::{Error, HalfClose, Incomplete, Read, Write};
use conbrio::net::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, SocketStream, WriteHalf};
use conbrio::net::{TcpListener, TcpStream, UnixStream};
use conbrio::prelude::*;
use conbrio::testing::Trial;
use socket2::SockRef;

use super::{beside, pattern, was_cancelled};
use crate::reactors::reactors;

/// The two kinds of streams, which are tested alike.
trait Stream: SocketStream + Read + Write + HalfClose + AsFd + Sized {
    /// Two ends of a connection.
    fn pair(cx: &mut Cx) -> (Self, Self);
}

impl Stream for TcpStream {
    fn pair(cx: &mut Cx) -> (TcpStream, TcpStream) {
        let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
        let left = TcpStream::connect(cx, listener.local_addr().unwrap()).unwrap();
        (left, listener.accept(cx).unwrap().0)
    }
}

impl Stream for UnixStream {
    fn pair(_: &mut Cx) -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }
}

/// On each reactor that the machine has.
#[track_caller]
fn real(points: usize, mut body: impl FnMut(&mut Cx, &Trial) + Send) {
    for reactor in reactors() {
        crate::real::real(conbrio::Builder::new().reactor(reactor), points, &mut body);
    }
}

/// What can be read from, by the methods of the type itself.
trait Source {
    fn one(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error>;
    fn several(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error>;
    fn exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete>;
    fn look(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error>;
    fn lent(&mut self, cx: &mut Cx, got: &mut Vec<u8>) -> Result<usize, Error>;
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
    ($kind:ty $(, $parameter:ident)?) => {
        impl$(<$parameter: SocketStream>)? Source for $kind {
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
            fn lent(&mut self, cx: &mut Cx, got: &mut Vec<u8>) -> Result<usize, Error> {
                self.read_with(cx, |bytes| {
                    got.extend(bytes);
                    bytes.len()
                })
            }
        }
    };
}

macro_rules! sink {
    ($kind:ty $(, $parameter:ident)?) => {
        impl$(<$parameter: SocketStream>)? Sink for $kind {
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

source!(TcpStream);
source!(UnixStream);
source!(ReadHalf<'_, S>, S);
source!(OwnedReadHalf<S>, S);
sink!(TcpStream);
sink!(UnixStream);
sink!(WriteHalf<'_, S>, S);
sink!(OwnedWriteHalf<S>, S);

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
        3 => return source.lent(cx, got),
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
fn reading<S: Stream>(lend: impl Fn(S, &mut dyn FnMut(&mut dyn Source)) + Sync + Copy) {
    for way in 0..READS {
        real(8, |cx, trial| {
            let (mut left, right) = S::pair(cx);
            let data = pattern(SENT);
            let sender = |cx: &mut Cx| {
                for piece in data.chunks(5) {
                    // Whoever reads has come to wait.
                    cx.yield_now()?;
                    cx.yield_now()?;
                    left.write_all(cx, piece)?;
                }
                Ok(left.end_write(cx)?)
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

// N17: net::TcpStream::{read, read_with, read_vectored, read_exact, peek}
#[test]
fn reading_from_a_tcp_stream() {
    reading::<TcpStream>(|mut stream, read| read(&mut stream));
}

// N17: net::UnixStream::{read, read_with, read_vectored, read_exact, peek}
#[test]
fn reading_from_a_unix_stream() {
    reading::<UnixStream>(|mut stream, read| read(&mut stream));
}

// N17: net::ReadHalf::{read, read_with, read_vectored, read_exact, peek}
#[test]
fn reading_from_a_half_of_a_tcp_stream() {
    reading::<TcpStream>(|mut stream, read| read(&mut stream.split().0));
}

// N17: net::ReadHalf::{read, read_with, read_vectored, read_exact, peek}
#[test]
fn reading_from_a_half_of_a_unix_stream() {
    reading::<UnixStream>(|mut stream, read| read(&mut stream.split().0));
}

// N17: net::OwnedReadHalf::{read, read_with, read_vectored, read_exact, peek}
#[test]
fn reading_from_an_owned_half_of_a_tcp_stream() {
    reading::<TcpStream>(|stream, read| {
        let (mut reader, _writer) = stream.into_split();
        read(&mut reader);
    });
}

// N17: net::OwnedReadHalf::{read, read_with, read_vectored, read_exact, peek}
#[test]
fn reading_from_an_owned_half_of_a_unix_stream() {
    reading::<UnixStream>(|stream, read| {
        let (mut reader, _writer) = stream.into_split();
        read(&mut reader);
    });
}

/// Much more than fits into a connection whose peer does not read, with the buffers below.
const MUCH: usize = 256 * 1024;
const BUFFER: usize = 16 * 1024;

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
fn writing<S: Stream>(lend: impl Fn(S, &mut dyn FnMut(&mut dyn Sink)) + Sync + Copy) {
    let data = pattern(MUCH);
    for way in 0..3 {
        real(4, |cx, trial| {
            let (left, mut right) = S::pair(cx);
            SockRef::from(&left).set_send_buffer_size(BUFFER).unwrap();
            SockRef::from(&right).set_recv_buffer_size(BUFFER).unwrap();
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

// N17: net::TcpStream::{write, write_vectored, write_all, flush, end_write}
#[test]
fn writing_to_a_tcp_stream() {
    writing::<TcpStream>(|mut stream, write| write(&mut stream));
}

// N17: net::UnixStream::{write, write_vectored, write_all, flush, end_write}
#[test]
fn writing_to_a_unix_stream() {
    writing::<UnixStream>(|mut stream, write| write(&mut stream));
}

// N17: net::WriteHalf::{write, write_vectored, write_all, flush, end_write}
#[test]
fn writing_to_a_half_of_a_tcp_stream() {
    writing::<TcpStream>(|mut stream, write| write(&mut stream.split().1));
}

// N17: net::WriteHalf::{write, write_vectored, write_all, flush, end_write}
#[test]
fn writing_to_a_half_of_a_unix_stream() {
    writing::<UnixStream>(|mut stream, write| write(&mut stream.split().1));
}

// N17: net::OwnedWriteHalf::{write, write_vectored, write_all, flush, end_write}
#[test]
fn writing_to_an_owned_half_of_a_tcp_stream() {
    writing::<TcpStream>(|stream, write| {
        let (_reader, mut writer) = stream.into_split();
        write(&mut writer);
    });
}

// N17: net::OwnedWriteHalf::{write, write_vectored, write_all, flush, end_write}
#[test]
fn writing_to_an_owned_half_of_a_unix_stream() {
    writing::<UnixStream>(|stream, write| {
        let (_reader, mut writer) = stream.into_split();
        write(&mut writer);
    });
}
