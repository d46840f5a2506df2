//! N17: every call on a Unix socket that waits, cancelled at every point at which it can see that. A
//! cancelled call had no effect, or says exactly what it has done.
//!
//! Reading and writing are tested with those of TCP, in `kit/waits/sockets.rs`.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use conbrio::io::Error;
use conbrio::net::unix::ListenOptions;
use conbrio::net::{UnixDatagram, UnixListener, UnixStream};
use conbrio::prelude::*;
use conbrio::testing::settle;

use crate::support::{
    Folder, beside, in_a_process_of_its_own, open_descriptors, real, was_cancelled,
};

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
        left.set_send_buffer_size(8 * 1024).unwrap();
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
