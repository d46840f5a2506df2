//! How streams end, and what is left of the transport.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conbrio::io::{HalfClose, Read, Split, Write};
use conbrio::prelude::*;
use conbrio::testing::streams::{self, Duplex, PipeReader, PipeWriter};
use conbrio::tls::TlsError;

use crate::support::{
    HOST, acceptor, attach, attach_https, both, connector, echo, failed, on_workers, pair, shake,
};

// spec: test_ssl.unwrap
#[test]
fn the_transport_goes_on_without_encryption() {
    on_workers(|cx| {
        let (mut client, mut server) = pair(cx);
        let (server, client) = both(
            cx,
            |cx| {
                let mut byte = [0];
                server.read_exact(cx, &mut byte).unwrap();
                assert_eq!(&byte, b"x");
                server.write_all(cx, b"y").unwrap();
                assert_eq!(server.read(cx, &mut byte).unwrap(), 0);
                // What follows the end is not encrypted, and may be there together with it.
                server.end_write(cx).unwrap();
                server.get_mut().write_all(cx, b"trailing").unwrap();
                server
            },
            |cx| {
                client.write_all(cx, b"x").unwrap();
                let mut byte = [0];
                client.read_exact(cx, &mut byte).unwrap();
                assert_eq!(&byte, b"y");
                // Too early: here it is again.
                let mut client = client.into_inner().unwrap_err();
                client.end_write(cx).unwrap();
                let mut client = client.into_inner().unwrap_err();
                client.finish(cx).unwrap();
                client
            },
        );
        let (mut client, mut trailing) = client.into_inner().unwrap();
        let (mut server, nothing) = server.into_inner().unwrap();
        assert!(nothing.is_empty());
        let have = trailing.len();
        trailing.resize(b"trailing".len(), 0);
        client.read_exact(cx, &mut trailing[have..]).unwrap();
        assert_eq!(trailing, b"trailing");
        client.write_all(cx, b"plain").unwrap();
        let mut plain = [0; 5];
        server.read_exact(cx, &mut plain).unwrap();
        assert_eq!(&plain, b"plain");
    });
}

// The bytes after the last record have come in the same read.
// spec: test_ssl.unwrap
#[test]
fn bytes_that_came_with_the_end_are_handed_out() {
    on_workers(|cx| {
        let (mut client, mut server) = pair(cx);
        server.end_write(cx).unwrap();
        server.get_mut().write_all(cx, b"trailing").unwrap();
        client.finish(cx).unwrap();
        let (_, trailing) = client.into_inner().unwrap();
        assert_eq!(trailing, b"trailing");
    });
}

#[test]
fn data_that_nobody_has_read_is_not_dropped_with_the_encryption() {
    on_workers(|cx| {
        let (mut client, mut server) = pair(cx);
        server.write_all(cx, b"unread").unwrap();
        server.end_write(cx).unwrap();
        client.end_write(cx).unwrap();
        let mut byte = [0];
        client.read_exact(cx, &mut byte).unwrap();
        let mut client = client.into_inner().unwrap_err();
        let mut rest = Vec::new();
        client.read_to_end(cx, &mut rest).unwrap();
        assert_eq!(rest, b"nread");
        client.into_inner().unwrap();
    });
}

/// Two ends whose transports count how often they are closed, one for each direction.
fn counted(closed: &Arc<AtomicUsize>) -> (Duplex, Duplex) {
    let count = || {
        let closed = Arc::clone(closed);
        move || {
            closed.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (near, far) = streams::duplex();
    let (near_reader, near_writer) = near.into_split();
    let near = Duplex::new(near_reader.on_close(count()), near_writer.on_close(count()));
    (near, far)
}

// spec: test_ssl.closing_nice_case, test_ssl.ssl_only_closes_stream_once
#[test]
fn both_sides_see_the_end_and_the_transport_is_closed_once() {
    on_workers(|cx| {
        let closed = Arc::new(AtomicUsize::new(0));
        let (mut client, mut server) = shake(cx, attach(counted(&closed)));
        client.end_write(cx).unwrap();
        assert_eq!(server.read(cx, &mut [0]).unwrap(), 0);
        server.end_write(cx).unwrap();
        assert_eq!(client.read(cx, &mut [0]).unwrap(), 0);
        // Again, which is fine.
        client.end_write(cx).unwrap();
        client.finish(cx).unwrap();
        assert_eq!(closed.load(Ordering::Relaxed), 0);
        // This side cannot write any more.
        let error = failed(client.write(cx, b"x"));
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(error.to_string().contains("before `end_write`"), "{error}");
        drop(client);
        assert_eq!(closed.load(Ordering::Relaxed), 2);
    });
}

// spec: test_ssl.closing_nice_case
#[test]
fn an_end_before_the_handshake_is_a_clean_one() {
    on_workers(|cx| {
        let (mut client, server) = attach(streams::duplex());
        let (echoed, ()) = both(cx, |cx| echo(cx, server), |cx| client.finish(cx).unwrap());
        echoed.unwrap();
    });
}

// spec: test_ssl.ssl_bad_shutdown
#[test]
fn a_peer_that_goes_without_a_word_is_an_error() {
    on_workers(|cx| {
        let (client, mut server) = pair(cx);
        drop(client);
        for _ in 0..2 {
            let error = failed(server.read(cx, &mut [0]));
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert!(error.to_string().contains("https_compatible"), "{error}");
            assert!(TlsError::of(&error).unwrap().protocol().is_none());
        }
        // The transport says that nobody reads; from then on the stream is broken.
        assert_eq!(failed(server.write(cx, b"x")).kind(), ErrorKind::BrokenPipe);
        let again = failed(server.write(cx, b"x"));
        assert_eq!(again.kind(), ErrorKind::ConnectionAborted);
        assert!(again.to_string().contains("the stream is broken since"), "{again}");
        assert_eq!(failed(server.flush(cx)).kind(), ErrorKind::ConnectionAborted);
        assert_eq!(failed(server.end_write(cx)).kind(), ErrorKind::ConnectionAborted);
    });
}

// spec: test_ssl.ssl_bad_shutdown_but_its_ok
#[test]
fn a_peer_that_goes_without_a_word_is_the_end_where_that_is_agreed() {
    on_workers(|cx| {
        let (client, mut server) = shake(cx, attach_https(streams::duplex()));
        drop(client);
        for _ in 0..2 {
            assert_eq!(server.read(cx, &mut [0]).unwrap(), 0);
        }
        assert_eq!(failed(server.write(cx, b"x")).kind(), ErrorKind::BrokenPipe);
        assert_eq!(failed(server.write(cx, b"x")).kind(), ErrorKind::ConnectionAborted);
    });
}

// spec: test_ssl.ssl_https_compatibility_disagreement
#[test]
fn sides_that_disagree_about_the_end() {
    on_workers(|cx| {
        let (near, far) = streams::duplex();
        let client = connector().https_compatible(true).attach(HOST, near).unwrap();
        let (client, mut server) = shake(cx, (client, acceptor().attach(far)));
        drop(client);
        assert_eq!(failed(server.read(cx, &mut [0])).kind(), ErrorKind::UnexpectedEof);
    });
}

// spec: test_ssl.https_mode_eof_before_handshake
#[test]
fn a_client_that_goes_before_the_handshake() {
    on_workers(|cx| {
        let (client, mut server) = attach_https(streams::duplex());
        drop(client);
        for _ in 0..2 {
            assert_eq!(server.read(cx, &mut [0]).unwrap(), 0);
        }
        // Whoever asks for the handshake is told that there is none.
        assert_eq!(failed(server.handshake(cx)).kind(), ErrorKind::UnexpectedEof);

        let (client, mut server) = attach(streams::duplex());
        drop(client);
        assert_eq!(failed(server.read(cx, &mut [0])).kind(), ErrorKind::UnexpectedEof);

        // One that had begun.
        let (mut client, mut server) = attach_https(streams::duplex());
        let begun = crate::support::cancel_at_rest(cx, |cx| client.handshake(cx).map(drop));
        assert!(begun.unwrap_err().cancelled().is_some());
        drop(client);
        assert_eq!(failed(server.read(cx, &mut [0])).kind(), ErrorKind::BrokenPipe);
    });
}

// spec: test_ssl.ssl_handshake_failure_during_aclose
#[test]
fn an_end_whose_handshake_fails_says_so() {
    on_workers(|cx| {
        let (near, far) = streams::duplex();
        let (server, client) = both(
            cx,
            |cx| failed(acceptor().attach(far).finish(cx)),
            |cx| {
                let mut client = connector().attach("another.example.org", near).unwrap();
                failed(client.end_write(cx))
            },
        );
        assert!(TlsError::of(&client).unwrap().protocol().is_some(), "{client}");
        assert!(TlsError::of(&server).unwrap().protocol().is_some(), "{server}");
    });
}

fn disk_full() -> conbrio::io::Error {
    std::io::Error::other("the test wants it so").into()
}

/// A client after the handshake, whose transport fails in writes from when `fail` is set.
fn failing_writes(
    cx: &mut Cx,
    closed: &Arc<AtomicUsize>,
    fails_from: usize,
) -> (conbrio::tls::TlsStream<Duplex>, conbrio::tls::TlsStream<Duplex>) {
    let (near, far) = counted(closed);
    let (reader, writer) = near.into_split();
    let mut writes = 0;
    let writer = writer.on_write(move |_| {
        writes += 1;
        if writes < fails_from { Ok(()) } else { Err(disk_full()) }
    });
    shake(cx, attach((Duplex::new(reader, writer), far)))
}

// spec: test_ssl.send_all_fails_in_the_middle
#[test]
fn a_write_that_fails_breaks_its_direction() {
    on_workers(|cx| {
        let closed = Arc::new(AtomicUsize::new(0));
        // The hello and the end of the handshake pass, and the first data.
        let (mut client, mut server) = failing_writes(cx, &closed, 4);
        client.write_all(cx, b"first").unwrap();
        let error = client.write_all(cx, &[0; 200_000]).unwrap_err();
        let error = std::io::Error::from(error.into_cause());
        assert!(error.to_string().contains("the test wants it so"), "{error}");
        assert!(error.to_string().contains(HOST), "{error}");
        for _ in 0..2 {
            let error = failed(client.write_all(cx, b"more"));
            assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
            assert!(error.to_string().contains("the test wants it so"), "{error}");
        }
        let _ = failed(client.end_write(cx));
        // The other direction goes on: an answer may be on its way.
        server.write_all(cx, b"too much").unwrap();
        let mut buf = [0; 8];
        client.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"too much");
        drop(client);
        assert_eq!(closed.load(Ordering::Relaxed), 2);
    });
}

// spec: test_ssl.send_error_during_handshake
#[test]
fn a_write_that_fails_during_the_handshake() {
    on_workers(|cx| {
        let writer = PipeWriter::new().on_write(|_| Err(disk_full()));
        let transport = Duplex::new(PipeReader::new(), writer);
        let mut client = connector().attach(HOST, transport).unwrap();
        let error = failed(client.handshake(cx));
        assert!(error.to_string().contains("the test wants it so"), "{error}");
        assert!(error.to_string().starts_with(&format!("tls handshake with {HOST}")), "{error}");
        for _ in 0..2 {
            assert_eq!(failed(client.handshake(cx)).kind(), ErrorKind::ConnectionAborted);
            assert_eq!(failed(client.read(cx, &mut [0])).kind(), ErrorKind::ConnectionAborted);
            assert_eq!(failed(client.write(cx, b"x")).kind(), ErrorKind::ConnectionAborted);
        }
    });
}

// spec: test_ssl.receive_error_during_handshake
#[test]
fn a_read_that_fails_during_the_handshake() {
    on_workers(|cx| {
        let reader = PipeReader::new().on_read(|_| Err(disk_full()));
        let mut client = connector().attach(HOST, Duplex::new(reader, PipeWriter::new())).unwrap();
        let error = failed(client.handshake(cx));
        assert!(error.to_string().contains("the test wants it so"), "{error}");
        for _ in 0..2 {
            assert_eq!(failed(client.handshake(cx)).kind(), ErrorKind::ConnectionAborted);
            assert_eq!(failed(client.read(cx, &mut [0])).kind(), ErrorKind::ConnectionAborted);
            assert_eq!(failed(client.write(cx, b"x")).kind(), ErrorKind::ConnectionAborted);
        }
    });
}

/// Bytes in the transport that no honest peer has sent.
#[track_caller]
fn tampered(cx: &mut Cx, garbage: &[u8]) {
    let (mut client, mut server) = pair(cx);
    client.write_all(cx, b"before").unwrap();
    client.get_mut().write_all(cx, garbage).unwrap();
    let mut buf = [0; 6];
    server.read_exact(cx, &mut buf).unwrap();
    assert_eq!(&buf, b"before");
    let error = failed(server.read(cx, &mut buf));
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    for _ in 0..2 {
        assert_eq!(failed(server.read(cx, &mut buf)).kind(), ErrorKind::ConnectionAborted);
        assert_eq!(failed(server.write(cx, &buf)).kind(), ErrorKind::ConnectionAborted);
    }
    // The client is told.
    let error = failed(client.read(cx, &mut buf));
    let error = TlsError::of(&error).unwrap().protocol().unwrap();
    assert!(matches!(error, conbrio::tls::rustls::Error::AlertReceived(_)), "{error}");
}

#[test]
fn what_was_tampered_with_is_not_read() {
    on_workers(|cx| {
        // A record that nobody has encrypted with the right key, one that is too long, and one of no kind.
        let mut forged = vec![23, 3, 3, 0, 32];
        forged.extend([7; 32]);
        tampered(cx, &forged);
        tampered(cx, &[23, 3, 3, 255, 255, 0, 0]);
        tampered(cx, b"GET / HTTP/1.0\r\n\r\n");
    });
}

// A record that comes in pieces, also with an end in the middle of it.
#[test]
fn a_record_that_is_cut_in_the_middle_is_not_the_end() {
    on_workers(|cx| {
        let (mut client, mut server) = pair(cx);
        client.write_all(cx, b"whole").unwrap();
        client.write_all(cx, b"cut").unwrap();
        let queue = client.get_ref().writer().queue();
        let all = queue.try_take(usize::MAX).unwrap().unwrap();
        queue.put(&all[..all.len() - 1]).unwrap();
        drop(client);
        let mut buf = [0; 16];
        assert_eq!(server.read(cx, &mut buf).unwrap(), 5);
        assert_eq!(failed(server.read(cx, &mut buf)).kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn halves_end_like_the_whole() {
    on_workers(|cx| {
        let (mut client, mut server) = pair(cx);
        {
            let (mut reader, mut writer) = client.split();
            writer.write_all(cx, b"x").unwrap();
            writer.end_write(cx).unwrap();
            assert_eq!(failed(writer.write(cx, b"y")).kind(), ErrorKind::BrokenPipe);
            let mut text = Vec::new();
            server.read_to_end(cx, &mut text).unwrap();
            assert_eq!(text, b"x");
            server.end_write(cx).unwrap();
            assert_eq!(reader.read(cx, &mut [0]).unwrap(), 0);
        }
        // The stream is whole again.
        client.into_inner().unwrap();
    });
}
