//! Many orders, each repeatable by its seed, and a network that breaks.

use conbrio::io::{HalfClose, Read, Split, Write};
use conbrio::prelude::*;
use conbrio::testing::{Builder, check_two_way_stream, streams};
use conbrio::tls::TlsListener;

use crate::support::{HOST, acceptor, attach_https, connector, echo, shake, tcp};

/// Streams in small pieces take many turns.
const STEPS_MAX: u64 = 50_000_000;

const SEEDS: u64 = 8;

// spec: N18, test_ssl.SSLStream_generic
#[test]
fn the_checks_in_many_orders() {
    for seed in 0..SEEDS {
        Builder::new().seed(seed).steps_max(STEPS_MAX).run(|cx| {
            check_two_way_stream(cx, |cx| {
                let transport =
                    if seed % 2 == 0 { streams::duplex() } else { streams::lockstep_duplex() };
                shake(cx, attach_https(transport))
            })
            .unwrap();
        });
    }
}

// spec: N18, test_ssl.SSLStream_generic
#[test]
fn the_checks_over_simulated_connections() {
    for seed in 0..2 {
        Builder::new().seed(seed).steps_max(STEPS_MAX).run(|cx| {
            check_two_way_stream(cx, |cx| {
                let transport = tcp(cx);
                shake(cx, attach_https(transport))
            })
            .unwrap();
        });
    }
}

/// Several clients of an echo server, on several workers, each with both halves in use.
fn clients(cx: &mut Cx, seed: u64) {
    let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut listener = TlsListener::new(listener, acceptor());
    cx.nursery(|cx, n| -> std::io::Result<()> {
        n.spawn(move |cx| {
            for _ in 0..CLIENTS {
                let (stream, _) = listener.accept(cx)?;
                n.spawn(move |cx| echo(cx, stream));
            }
            Ok(())
        });
        for client in 0..CLIENTS {
            n.spawn(move |cx| {
                let transport = TcpStream::connect(cx, address)?;
                let mut stream = connector().attach(HOST, transport)?;
                let data = &vec![(seed + client) as u8; 3000 * client as usize + 1];
                let (mut reader, mut writer) = stream.split();
                let mut got = Vec::new();
                cx.nursery(|cx, n| -> std::io::Result<()> {
                    n.spawn(move |cx| {
                        writer.write_all(cx, data)?;
                        Ok(writer.end_write(cx)?)
                    });
                    reader.read_to_end(cx, &mut got)?;
                    Ok(())
                })?;
                assert!(got == *data);
                Ok(())
            });
        }
        let _ = cx;
        Ok(())
    })
    .unwrap();
}

const CLIENTS: u64 = 4;

// spec: N18
#[test]
fn clients_and_a_server_in_many_orders() {
    for seed in 0..4 * SEEDS {
        let builder = Builder::new().seed(seed).workers(1 + seed as usize % 3);
        builder.steps_max(STEPS_MAX).run(|cx| clients(cx, seed));
    }
}
