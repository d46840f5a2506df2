//! Both directions at once, by two tasks, and streams over streams.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use conbrio::io::{HalfClose, Read, Split, Write};
use conbrio::prelude::*;
use conbrio::testing::streams;
use conbrio::tls::rustls;

use crate::support::{
    HOST, acceptor, attach, both, client_config, echo, on_workers, pair, shake, tcp, with_network,
};

fn noise(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8 ^ seed).collect()
}

/// About a megabyte there and back, in two tasks, while two more would do the handshake.
fn exchange<S: Split + Send>(cx: &mut Cx, transport: (S, S)) {
    exchange_chunks(cx, transport, 30);
}

fn exchange_chunks<S: Split + Send>(cx: &mut Cx, transport: (S, S), chunks: usize) {
    let (mut client, server) = attach(transport);
    let data = &noise(chunks * 32 * 1024, 3);
    let mut received = Vec::new();
    cx.nursery(|cx, n| -> std::io::Result<()> {
        n.spawn(|cx| echo(cx, server));
        let (mut reader, mut writer) = client.split();
        // Each half begins with the handshake that neither has done.
        n.spawn(move |cx| {
            writer.handshake(cx)?;
            for chunk in data.chunks(32 * 1024) {
                writer.write_all(cx, chunk)?;
            }
            Ok(writer.end_write(cx)?)
        });
        reader.handshake(cx)?;
        reader.read_to_end(cx, &mut received)?;
        Ok(())
    })
    .unwrap();
    assert!(received == *data, "what came back is not what was sent");
}

// spec: test_ssl.full_duplex_basics
#[test]
fn both_directions_at_once() {
    on_workers(|cx| exchange(cx, streams::duplex()));
}

// spec: test_ssl.full_duplex_basics
#[test]
fn both_directions_at_once_without_buffers() {
    on_workers(|cx| exchange(cx, streams::lockstep_duplex()));
}

// spec: test_ssl.full_duplex_basics
#[test]
fn both_directions_of_a_connection_at_once() {
    with_network(|cx| {
        let transport = tcp(cx);
        exchange(cx, transport);
    });
}

// spec: test_ssl.ssl_over_ssl
#[test]
fn a_stream_over_a_stream() {
    on_workers(|cx| {
        let (near, far) = attach(streams::duplex());
        exchange(cx, (near, far));
        let (near, far) = attach(streams::lockstep_duplex());
        exchange(cx, (near, far));
        // And one more.
        let (near, far) = attach(attach(attach(streams::duplex())));
        exchange(cx, (near, far));
    });
}

// The half that comes second to the handshake does not wait until the other has sent its data.
#[test]
fn a_half_that_finds_the_handshake_done_reads_at_once() {
    for seed in 0..40 {
        conbrio::testing::Builder::new().workers(2).seed(seed).run(|cx| {
            exchange_chunks(cx, attach(streams::lockstep_duplex()), 2);
        });
    }
}

// The half to write to does the whole handshake if nobody reads.
#[test]
fn one_half_alone_does_the_handshake() {
    on_workers(|cx| {
        for writes_first in [false, true] {
            let (mut client, mut server) = attach(streams::lockstep_duplex());
            both(
                cx,
                |cx| {
                    let (_, mut writer) = client.split();
                    writer.write_all(cx, b"one way").unwrap();
                },
                |cx| {
                    if writes_first {
                        server.handshake(cx).unwrap();
                    }
                    let mut text = [0; 7];
                    server.read_exact(cx, &mut text).unwrap();
                    assert_eq!(&text, b"one way");
                },
            );
        }
    });
}

// Whoever waits for the other's handshake goes on when that one is cancelled.
#[test]
fn a_half_goes_on_with_the_handshake_of_the_other() {
    on_workers(|cx| {
        let (mut client, mut server) = attach(streams::duplex());
        let (mut reader, mut writer) = client.split();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            let first = crate::support::cancel_at_rest(cx, |cx| {
                // Sends the hello, and waits for the answer.
                reader.handshake(cx).map(drop)
            });
            assert!(first.unwrap_err().cancelled().is_some());
            n.spawn(|cx| Ok(server.write_all(cx, b"answer")?));
            writer.handshake(cx)?;
            let mut text = [0; 6];
            reader.read_exact(cx, &mut text)?;
            assert_eq!(&text, b"answer");
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_ssl.resource_busy_errors
#[test]
fn a_read_that_waits_holds_up_no_write() {
    on_workers(|cx| {
        let (mut client, mut server) = pair(cx);
        let (mut reader, mut writer) = client.split();
        let (answer, ()) = both(
            cx,
            |cx| {
                let mut answer = [0; 6];
                reader.read_exact(cx, &mut answer).unwrap();
                answer
            },
            |cx| {
                conbrio::testing::settle(cx, std::time::Duration::ZERO).unwrap();
                writer.write_all(cx, b"question").unwrap();
                let mut question = [0; 8];
                server.read_exact(cx, &mut question).unwrap();
                server.write_all(cx, b"answer").unwrap();
            },
        );
        assert_eq!(&answer, b"answer");
    });
}

// A client that has only written so far, and a server that has only read: neither waits for the other.
#[test]
fn what_a_server_says_about_later_sessions_holds_up_nobody() {
    on_workers(|cx| {
        let (mut client, mut server) = shake(cx, attach(streams::lockstep_duplex()));
        let data = &noise(100_000, 1);
        both(
            cx,
            |cx| client.write_all(cx, data).unwrap(),
            |cx| {
                let mut got = vec![0; data.len()];
                server.read_exact(cx, &mut got).unwrap();
                assert!(got == *data);
            },
        );
    });
}

// The answer to a change of keys goes out with the next write, which RFC 8446, section 4.6.3, allows: the half
// to read from, which sees it, does not write.
#[test]
fn the_peer_may_change_the_keys_at_any_time() {
    with_network(|cx| {
        let (server, client) = tcp(cx);
        let client = client.into_std().unwrap();
        std::thread::scope(|threads| {
            let thread = threads.spawn(move || {
                let config = Arc::new(client_config(&[&rustls::version::TLS13]));
                let name = HOST.try_into().unwrap();
                let connection = rustls::ClientConnection::new(config, name).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, client);
                for round in 0..50 {
                    stream.write_all(&[round; 100]).unwrap();
                    stream.conn.refresh_traffic_keys().unwrap();
                    stream.write_all(&[round; 1000]).unwrap();
                    let mut answer = [0; 1100];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, [round; 1100]);
                }
                stream.conn.send_close_notify();
                stream.flush().unwrap();
                assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            });
            echo(cx, acceptor().attach(server)).unwrap();
            cx.blocking(|| thread.join().unwrap()).unwrap();
        });
    });
}

#[test]
fn a_library_that_knows_only_std_can_use_it() {
    on_workers(|cx| {
        let (mut client, mut server) = pair(cx);
        client.write_all(cx, b"one\ntwo\n").unwrap();
        client.end_write(cx).unwrap();
        let lines: Vec<String> = std::io::BufRead::lines(std::io::BufReader::new(server.with(cx)))
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(lines, ["one", "two"]);
    });
}
