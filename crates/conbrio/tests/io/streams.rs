//! What a stream does when all goes well, and when the peer goes away.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::time::Duration;

use conbrio::io::Read;
use conbrio::net::ConnectOptions;
use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals};
use conbrio::testing::settle;
use conbrio::{Builder, OrCancelled};

use crate::support::{CUSHION, cancel_when_blocked, listener, on_workers, pair, pattern};

// The example of the design, without an annotation.
fn echo(cx: &mut Cx, stream: &mut TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        let n = stream.read(cx, &mut buf)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(cx, &buf[..n])?;
    }
}

fn serve(cx: &mut Cx, listener: &mut TcpListener, patience: Duration) -> io::Result<()> {
    let hits = std::sync::atomic::AtomicUsize::new(0);
    cx.nursery(|cx, n| {
        loop {
            let (mut stream, _) = listener.accept(cx)?;
            let hits = &hits;
            n.spawn(move |cx| {
                hits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(()) = cx.move_on_after(patience, |cx| echo(cx, &mut stream))? else {
                    return stream.write_all(cx, b"too slow\n").map_err(Into::into);
                };
                Ok(())
            });
        }
    })?;
    Ok(())
}

// spec: test_socket.SocketType_simple_server
#[test]
fn the_example_of_the_design_serves() {
    on_workers(|cx| {
        let mut listener = listener(cx);
        let address = listener.local_addr().unwrap();
        cx.nursery(|cx, n| -> io::Result<()> {
            n.spawn(move |cx| serve(cx, &mut listener, Duration::from_millis(20)));
            let mut stream = TcpStream::connect(cx, address)?;
            stream.write_all(cx, b"hello")?;
            let mut reply = [0; 5];
            stream.read_exact(cx, &mut reply)?;
            assert_eq!(&reply, b"hello");
            // Silent for longer than the server's patience.
            let mut rest = Vec::new();
            stream.read_to_end(cx, &mut rest)?;
            assert_eq!(rest, b"too slow\n");
            n.cancel();
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_highlevel_socket.SocketStream_basics, test_socket.SocketType_basics
#[test]
fn options_are_what_the_documentation_says() {
    on_workers(|cx| {
        let (left, right) = pair(cx);
        assert!(left.nodelay().unwrap() && right.nodelay().unwrap());
        right.set_nodelay(false).unwrap();
        assert!(!right.nodelay().unwrap());
        assert_eq!(left.peer_addr().unwrap(), right.local_addr().unwrap());
        assert_eq!(left.local_addr().unwrap(), right.peer_addr().unwrap());

        left.set_ttl(42).unwrap();
        assert_eq!(left.ttl().unwrap(), 42);
        assert_eq!(left.linger().unwrap(), None);
        left.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(left.linger().unwrap(), Some(Duration::ZERO));
        left.set_linger(None).unwrap();
        assert!(!left.keepalive().unwrap());
        left.set_keepalive(Some(Duration::from_secs(30))).unwrap();
        assert!(left.keepalive().unwrap());
        let idle = socket2::SockRef::from(&left).tcp_keepalive_time().unwrap();
        assert_eq!(idle, Duration::from_secs(30));
        left.set_keepalive(None).unwrap();
        assert!(!left.keepalive().unwrap());
        assert!(left.take_error().unwrap().is_none());

        let listener = listener(cx);
        let options = ConnectOptions::new().nodelay(false);
        let slow = options.connect(cx, listener.local_addr().unwrap()).unwrap();
        assert!(!slow.nodelay().unwrap());
        let debug = format!("{slow:?} {listener:?}");
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(debug.matches(&address).count(), 2, "{debug}");
    });
}

// spec: test_socket.socket_v6
#[test]
fn ipv6_works() {
    on_workers(|cx| {
        let mut listener = TcpListener::bind(cx, "[::1]:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut left = TcpStream::connect(cx, address).unwrap();
        let (mut right, peer) = listener.accept(cx).unwrap();
        assert_eq!(peer, left.local_addr().unwrap());
        left.set_ttl(7).unwrap();
        assert_eq!(left.ttl().unwrap(), 7);
        left.write_all(cx, b"six").unwrap();
        let mut buf = [0; 3];
        right.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"six");
    });
}

// spec: test_highlevel_socket.SocketStream_send_all
#[test]
fn ten_megabytes_arrive_and_then_the_end() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        let data = pattern(10 * 1024 * 1024);
        let mut received = Vec::new();
        cx.nursery(|cx, n| -> io::Result<()> {
            n.spawn(|cx| {
                left.write_all(cx, &data)?;
                left.shutdown(Shutdown::Write)?;
                Ok(())
            });
            right.read_to_end(cx, &mut received)?;
            Ok(())
        })
        .unwrap();
        assert!(received == data, "the bytes differ");
        // The end stays the end.
        assert_eq!(right.read(cx, &mut [0; 8]).unwrap(), 0);
    });
}

// spec: test_highlevel_socket.socket_stream_works_when_peer_has_already_closed
#[test]
fn what_a_closed_peer_has_sent_is_read_first() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        left.write_all(cx, b"x").unwrap();
        drop(left);
        let mut buf = [0; 8];
        assert_eq!(right.read(cx, &mut buf).unwrap(), 1);
        assert_eq!(right.read(cx, &mut buf).unwrap(), 0);
    });
}

// spec: test_socket.SocketType_shutdown
#[test]
fn a_half_that_was_shut_down_leaves_the_other() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        left.shutdown(Shutdown::Write).unwrap();
        assert_eq!(right.read(cx, &mut [0; 8]).unwrap(), 0);
        right.write_all(cx, b"still here").unwrap();
        let mut buf = [0; 10];
        left.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"still here");
        let error = left.write_all(cx, b"no").unwrap_err();
        assert_eq!((error.kind(), error.done()), (Some(ErrorKind::BrokenPipe), 0));
        left.shutdown(Shutdown::Read).unwrap();
        assert_eq!(left.read(cx, &mut [0; 8]).unwrap(), 0);
    });
}

// spec: test_socket.send_recv_variants
#[test]
fn peek_takes_nothing() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        left.write_all(cx, b"abc").unwrap();
        let mut buf = [0; 8];
        for _ in 0..3 {
            assert_eq!(right.peek(cx, &mut buf).unwrap(), 3);
            assert_eq!(&buf[..3], b"abc");
        }
        assert_eq!(right.peek(cx, &mut buf[..1]).unwrap(), 1);
        assert_eq!(right.read(cx, &mut buf).unwrap(), 3);
        // There is nothing now: a peek waits.
        let _ = cancel_when_blocked(cx, |cx| right.peek(cx, &mut buf));
        drop(left);
        assert_eq!(right.peek(cx, &mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn several_buffers_move_as_one() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        let parts =
            [IoSlice::new(b""), IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(left.write_vectored(cx, &parts).unwrap(), 5);
        settle(cx, CUSHION).unwrap();
        let (mut first, mut second) = ([0; 1], [0; 9]);
        let mut parts =
            [IoSliceMut::new(&mut []), IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(right.read_vectored(cx, &mut parts).unwrap(), 5);
        assert_eq!((&first, &second[..4]), (b"a", &b"bcde"[..]));
    });
}

#[test]
fn more_buffers_than_a_call_takes_are_written_in_part() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        // Empty buffers in front do not use up the call.
        let mut parts = vec![IoSlice::new(b""); 2000];
        parts.extend(vec![IoSlice::new(b"x"); 2000]);
        let count = left.write_vectored(cx, &parts).unwrap();
        assert!((1..=2000).contains(&count), "{count}");
        left.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        right.read_to_end(cx, &mut received).unwrap();
        assert_eq!(received, vec![b'x'; count]);
    });
}

#[test]
fn empty_buffers_are_a_checkpoint_and_nothing_else() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        // No data has come: these would wait if they asked the system.
        assert_eq!(right.read(cx, &mut []).unwrap(), 0);
        assert_eq!(right.peek(cx, &mut []).unwrap(), 0);
        assert_eq!(right.read_vectored(cx, &mut []).unwrap(), 0);
        assert_eq!(right.read_vectored(cx, &mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
        right.read_exact(cx, &mut []).unwrap();
        assert_eq!(left.write(cx, &[]).unwrap(), 0);
        assert_eq!(left.write_vectored(cx, &[]).unwrap(), 0);
        left.write_all(cx, &[]).unwrap();
        cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
            scope.cancel();
            assert!(right.read(cx, &mut []).is_err());
            assert!(right.peek(cx, &mut []).is_err());
            assert!(right.read_vectored(cx, &mut []).is_err());
            assert!(right.read_exact(cx, &mut []).is_err());
            assert!(left.write(cx, &[]).is_err());
            assert!(left.write_vectored(cx, &[]).is_err());
            assert!(left.write_all(cx, &[]).is_err());
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_reset_by_the_peer_is_an_error_of_its_kind() {
    on_workers(|cx| {
        let (left, mut right) = pair(cx);
        left.set_linger(Some(Duration::ZERO)).unwrap();
        drop(left);
        let Err(OrCancelled::Failed(error)) = right.read(cx, &mut [0; 8]) else {
            panic!("the connection was reset");
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(right.peer_addr().is_err());
        // The error is reported once; what comes then is the end.
        assert_eq!(right.read(cx, &mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn a_peer_that_goes_away_ends_a_read_and_a_write_that_wait() {
    on_workers(|cx| {
        let (mut left, right) = pair(cx);
        let (mut reader, mut writer) = left.split();
        cx.nursery(|cx, n| -> io::Result<()> {
            n.spawn(move |cx| {
                let error = writer.write_all(cx, &vec![1; 32 * 1024 * 1024]).unwrap_err();
                let kind = error.kind();
                assert!(
                    matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)),
                    "{error}"
                );
                assert!(error.done() > 0);
                Ok(())
            });
            n.spawn(move |cx| {
                match reader.read(cx, &mut [0; 8]) {
                    Ok(0) => {}
                    Err(OrCancelled::Failed(error)) => {
                        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    }
                    other => panic!("{other:?}"),
                }
                Ok(())
            });
            settle(cx, CUSHION)?;
            drop(right);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_write_to_a_peer_that_has_gone_raises_no_signal() {
    Builder::new()
        .workers(1)
        .run(|cx| {
            let mut signals = Signals::new(&[Signal::from_raw(libc::SIGPIPE)]).unwrap();
            // That it would be seen if there was one: a pipe raises it.
            let (reader, mut pipe) = io::pipe().unwrap();
            drop(reader);
            io::Write::write(&mut pipe, b"x").unwrap_err();
            assert!(signals.try_wait().is_some());

            let (mut left, right) = pair(cx);
            drop(right);
            let error = loop {
                if let Err(error) = left.write_all(cx, &[0; 1000]) {
                    break error;
                }
            };
            assert!(
                matches!(error.kind(), Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)),
                "{error}"
            );
            let error = left.write_vectored(cx, &[IoSlice::new(b"x")]).unwrap_err();
            assert_eq!(error.into_failed().unwrap().kind(), ErrorKind::BrokenPipe);
            assert_eq!(signals.try_wait(), None);
        })
        .unwrap();
}

// spec: test_socket.from_stdlib_socket, test_socket.from_fd
#[test]
fn streams_come_from_and_go_to_the_standard_library() {
    on_workers(|cx| {
        let std_listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = std_listener.local_addr().unwrap();
        let mut listener = TcpListener::from_std(std_listener).unwrap();
        let std_stream = std::net::TcpStream::connect(address).unwrap();
        let mut left = TcpStream::from_std(std_stream).unwrap();
        let (mut right, _) = listener.accept(cx).unwrap();
        assert!(right.nodelay().unwrap());

        // Waits on both, so that they are known to the reactor.
        let _ = cancel_when_blocked(cx, |cx| left.read(cx, &mut [0; 4]));
        let _ = cancel_when_blocked(cx, |cx| listener.accept(cx));
        right.write_all(cx, b"to std").unwrap();
        let mut std_stream = left.into_std().unwrap();
        let mut buf = [0; 6];
        // A blocking read, on a thread that may block.
        cx.blocking(|| io::Read::read_exact(&mut std_stream, &mut buf)).unwrap().unwrap();
        assert_eq!(&buf, b"to std");
        io::Write::write_all(&mut std_stream, b"from std").unwrap();
        let mut buf = [0; 8];
        right.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"from std");

        let std_listener = listener.into_std().unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        std_listener.accept().unwrap();
    });
}
