//! Each call, cancelled at every point at which it can see that: no byte is lost, doubled or corrupted.

use crate::pattern::pattern;
use crate::trial::was_cancelled;
use conbrio::io::{Error, HalfClose, Read, Split, Write};
use conbrio::net::TcpListener;
use conbrio::prelude::*;
use conbrio::testing::streams::{self, Duplex};
use conbrio::testing::{CancelPoints, Trial, cancel_at_every_checkpoint};
use conbrio::tls::{TlsListener, TlsStream};

use crate::support::{
    HOST, acceptor, attach, both, cancel_at_rest, connector, failed, on_workers, shake,
};

#[track_caller]
fn simulated(points: usize, body: impl FnMut(&mut Cx, &Trial) + Send) {
    let passed = cancel_at_every_checkpoint(body);
    assert!(passed >= points, "{passed} points: it did not wait where it was to wait");
}

/// More than one record.
const SENT: usize = 40_000;

/// The three ways to get at bytes.
#[derive(Clone, Copy)]
enum Way {
    Whole,
    Half,
    WithStd,
}

/// Reads to the end in a trial, and what is left after it.
fn reads(cx: &mut Cx, trial: &Trial, reader: &mut impl Read) -> Vec<u8> {
    let mut got = Vec::new();
    let outcome = trial.run(cx, |cx| -> Result<(), Error> {
        let mut buf = [0; 9000];
        loop {
            match reader.read(cx, &mut buf)? {
                0 => return Ok(()),
                count => got.extend(&buf[..count]),
            }
        }
    });
    was_cancelled(trial, &outcome);
    reader.read_to_end(cx, &mut got).unwrap();
    got
}

/// The handshake included, which the first read does.
// N17: tls::TlsStream::{read, with}, tls::ReadHalf::read
#[test]
fn a_cancelled_read_has_taken_nothing() {
    for way in [Way::Whole, Way::Half, Way::WithStd] {
        simulated(20, |cx, trial| {
            let (mut client, mut server) = attach(streams::lockstep_duplex());
            let ((), got) = both(
                cx,
                |cx| {
                    server.write_all(cx, &pattern(SENT)).unwrap();
                    server.end_write(cx).unwrap();
                },
                |cx| match way {
                    Way::Whole => reads(cx, trial, &mut client),
                    Way::Half => reads(cx, trial, &mut client.split().0),
                    Way::WithStd => {
                        let mut got = Vec::new();
                        let outcome = trial.run(cx, |cx| {
                            std::io::Read::read_to_end(&mut client.with(cx), &mut got)
                        });
                        was_cancelled(trial, &outcome);
                        client.read_to_end(cx, &mut got).unwrap();
                        got
                    }
                },
            );
            assert!(got == pattern(SENT), "{} bytes came", got.len());
        });
    }
}

/// How much a call has written, and how it ended.
type Written = (usize, Result<(), Error>);

fn one_step(cx: &mut Cx, writer: &mut dyn Write, data: &[u8]) -> Written {
    match writer.write(cx, &data[..data.len().min(15_000)]) {
        Ok(count) => (count, Ok(())),
        Err(error) => (0, Err(error)),
    }
}

fn all_at_once(cx: &mut Cx, writer: &mut dyn Write, data: &[u8]) -> Written {
    match writer.write_all(cx, data) {
        Ok(()) => (data.len(), Ok(())),
        Err(error) => (error.done() as usize, Err(error.into_cause())),
    }
}

/// Writes and flushes in a trial, and what is left after it; then ends.
fn writes(
    cx: &mut Cx,
    trial: &Trial,
    writer: &mut impl HalfClose,
    write: fn(&mut Cx, &mut dyn Write, &[u8]) -> Written,
) {
    let data = pattern(SENT);
    let mut done = 0;
    let outcome = trial.run(cx, |cx| -> Result<(), Error> {
        while done < SENT {
            let (count, ended) = write(cx, writer, &data[done..]);
            done += count;
            ended?;
        }
        writer.flush(cx)
    });
    was_cancelled(trial, &outcome);
    writer.write_all(cx, &data[done..]).unwrap();
    // Where nothing was left to be written, something may have been left to be sent.
    writer.flush(cx).unwrap();
    writer.end_write(cx).unwrap();
}

// N17: tls::TlsStream::{write, write_all, flush}, tls::WriteHalf::{write, write_all, flush}
#[test]
fn a_cancelled_write_counts_what_it_has_written() {
    for halves in [false, true] {
        for write in [one_step, all_at_once] {
            simulated(20, |cx, trial| {
                let (mut client, mut server) = attach(streams::lockstep_duplex());
                let (got, ()) = both(
                    cx,
                    |cx| {
                        let mut got = Vec::new();
                        server.read_to_end(cx, &mut got).unwrap();
                        got
                    },
                    |cx| {
                        if halves {
                            writes(cx, trial, &mut client.split().1, write);
                        } else {
                            writes(cx, trial, &mut client, write);
                        }
                    },
                );
                assert!(got == pattern(SENT), "{} bytes came", got.len());
            });
        }
    }
}

// A record that the transport took a part of: the rest goes first.
#[test]
fn a_record_that_was_cut_short_is_sent_to_its_end() {
    on_workers(|cx| {
        let (mut client, mut server) = shake(cx, attach(streams::lockstep_duplex()));
        let data = pattern(10_000);
        let (error, first) = {
            let (client, server) = (&mut client, &mut server);
            cx.nursery(|cx, n| -> std::io::Result<_> {
                let mut part = n.spawn(|cx| {
                    // What the transport brings is a part of a record: nothing can be read of it.
                    let mut part = vec![0; 3000];
                    server.get_mut().read_exact(cx, &mut part)?;
                    Ok(part)
                });
                let error = cancel_at_rest(cx, |cx| client.write_all(cx, &data)).unwrap_err();
                Ok((error, part.join(cx)?))
            })
            .unwrap()
        };
        // All of it counts, though not all has left.
        assert!(error.is_cancelled());
        assert_eq!(error.done(), 10_000);
        let ((), rest) = both(
            cx,
            |cx| client.write_all(cx, b"the end").unwrap(),
            |cx| {
                let mut rest = vec![0; 10_000 + 2 * 22 - 3000 + 7];
                server.get_mut().read_exact(cx, &mut rest).unwrap();
                rest
            },
        );
        // Two records, whose lengths are in their headers: nothing is missing in between.
        let all = [&first[..], &rest].concat();
        let second = 5 + usize::from(u16::from_be_bytes([all[3], all[4]]));
        assert_eq!(second, 10_000 + 22);
        let next = &all[second..];
        assert_eq!(&next[..3], [23, 3, 3]);
        assert_eq!(next.len(), 5 + usize::from(u16::from_be_bytes([next[3], next[4]])));
    });
}

// N17: tls::TlsStream::end_write, tls::WriteHalf::end_write
#[test]
fn an_end_that_was_cancelled_can_be_said_again() {
    for halves in [false, true] {
        simulated(5, |cx, trial| {
            let (mut client, mut server) = attach(streams::lockstep_duplex());
            let (text, ()) = both(
                cx,
                |cx| {
                    let mut text = Vec::new();
                    server.read_to_end(cx, &mut text).unwrap();
                    text
                },
                |cx| {
                    client.write_all(cx, b"x").unwrap();
                    if halves {
                        let (_, mut writer) = client.split();
                        let outcome = trial.run(cx, |cx| writer.end_write(cx));
                        was_cancelled(trial, &outcome);
                        writer.end_write(cx).unwrap();
                    } else {
                        let outcome = trial.run(cx, |cx| client.end_write(cx));
                        was_cancelled(trial, &outcome);
                        client.end_write(cx).unwrap();
                    }
                    let _ = failed(client.write(cx, b"y"));
                },
            );
            assert_eq!(text, b"x");
        });
    }
}

// N17: tls::TlsStream::handshake
#[test]
fn a_handshake_goes_on_where_it_was_cancelled() {
    for is_server in [false, true] {
        simulated(8, |cx, trial| {
            let (mut client, mut server) = attach(streams::lockstep_duplex());
            let (tried, other) =
                if is_server { (&mut server, &mut client) } else { (&mut client, &mut server) };
            both(
                cx,
                |cx| {
                    other.handshake(cx).map(drop).unwrap();
                    other.read_exact(cx, &mut [0]).unwrap();
                },
                |cx| {
                    let outcome = trial.run(cx, |cx| tried.handshake(cx).map(drop));
                    was_cancelled(trial, &outcome);
                    tried.handshake(cx).unwrap();
                    tried.write_all(cx, b"x").unwrap();
                },
            );
        });
    }
}

// N17: tls::ReadHalf::handshake, tls::WriteHalf::handshake
#[test]
fn a_handshake_of_halves_goes_on_where_it_was_cancelled() {
    for first in [0, 1] {
        simulated(8, |cx, trial| {
            let (mut client, mut server) = attach(streams::lockstep_duplex());
            both(
                cx,
                |cx| {
                    server.write_all(cx, b"x").unwrap();
                },
                |cx| {
                    let (mut reader, mut writer) = client.split();
                    let outcome = trial.run(cx, |cx| {
                        if first == 0 {
                            reader.handshake(cx).map(drop)
                        } else {
                            writer.handshake(cx).map(drop)
                        }
                    });
                    was_cancelled(trial, &outcome);
                    if first == 0 {
                        writer.handshake(cx).unwrap();
                    }
                    reader.read_exact(cx, &mut [0]).unwrap();
                },
            );
        });
    }
}

/// A listener that answers each client with a letter, also clients that go away.
fn answers(cx: &mut Cx, listener: &mut TlsListener) -> std::io::Result<()> {
    cx.nursery(|cx, n| -> std::io::Result<()> {
        loop {
            let (mut stream, _) = listener.accept(cx)?;
            n.spawn(move |cx| match stream.write_all(cx, b"x") {
                Err(error) if error.is_cancelled() => Err(error.into()),
                _ => Ok(()),
            });
        }
    })?;
    Ok(())
}

// N17: tls::Connector::connect_tcp
#[test]
fn a_connection_that_was_cancelled_is_closed() {
    simulated(10, |cx, trial| {
        let local = &crate::support::authority().0.server("127.0.0.1");
        let acceptor = conbrio::tls::Acceptor::builder()
            .certificate_pem(local.certificate.as_bytes(), local.key.as_bytes())
            .build()
            .unwrap();
        let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut listener = TlsListener::new(listener, acceptor);
        let ended = cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| answers(cx, &mut listener));
            let outcome = trial.run(cx, |cx| connector().connect_tcp(cx, "127.0.0.1", port));
            was_cancelled(trial, &outcome);
            drop(outcome);
            let mut again = connector().connect_tcp(cx, "127.0.0.1", port)?;
            again.read_exact(cx, &mut [0])?;
            n.cancel();
            Ok(())
        });
        ended.unwrap();
    });
}

// N17: tls::TlsListener::accept
#[test]
fn an_accept_that_was_cancelled_loses_no_connection() {
    simulated(3, |cx, trial| {
        let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = TlsListener::new(listener, acceptor());
        let ((), ()) = both(
            cx,
            |cx| {
                let transport = TcpStream::connect(cx, address).unwrap();
                let mut stream = connector().connect(cx, HOST, transport).unwrap();
                stream.read_exact(cx, &mut [0]).unwrap();
            },
            |cx| {
                let outcome = trial.run(cx, |cx| listener.accept(cx));
                was_cancelled(trial, &outcome);
                let (mut stream, _) = outcome.or_else(|_| listener.accept(cx)).unwrap();
                stream.write_all(cx, b"x").unwrap();
            },
        );
    });
}

// N17: tls::Connector::connect, tls::Acceptor::accept
#[test]
fn a_stream_that_was_not_made_leaves_no_transport() {
    for is_server in [false, true] {
        simulated(8, |cx, trial| {
            let (near, far) = streams::lockstep_duplex();
            let mut peer: TlsStream<Duplex>;
            let mine;
            if is_server {
                (peer, mine) = (connector().attach(HOST, near).unwrap(), far);
            } else {
                (peer, mine) = (acceptor().attach(far), near);
            }
            both(
                cx,
                |cx| {
                    let outcome = peer.write_all(cx, b"x").and_then(|()| peer.write_all(cx, b"y"));
                    // It cannot hang, and learns that nobody is there.
                    if let Err(error) = outcome {
                        assert!(!error.is_cancelled());
                    }
                },
                |cx| {
                    let outcome = trial.run(cx, |cx| {
                        if is_server {
                            acceptor().accept(cx, mine)
                        } else {
                            connector().connect(cx, HOST, mine)
                        }
                    });
                    if was_cancelled(trial, &outcome) {
                        return;
                    }
                    let mut text = [0; 2];
                    outcome.unwrap().read_exact(cx, &mut text).unwrap();
                    assert_eq!(&text, b"xy");
                },
            );
        });
    }
}

// With sockets of the system, and on both of its reactors by the variable that chooses one.
#[test]
fn over_connections_of_the_system() {
    CancelPoints::new().real(conbrio::Builder::new().workers(1)).run(|cx, trial| {
        let transport = crate::support::tcp(cx);
        let (mut client, mut server) = attach(transport);
        let ((), got) = both(
            cx,
            |cx| {
                server.write_all(cx, &pattern(SENT)).unwrap();
                server.end_write(cx).unwrap();
            },
            |cx| reads(cx, trial, &mut client),
        );
        assert!(got == pattern(SENT), "{} bytes came", got.len());
    });
}
