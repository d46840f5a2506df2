//! Addresses, listening, accepting and connecting: no connection is lost, and no descriptor.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use conbrio::io::Error;
use conbrio::net::{
    ConnectOptions, Incoming, ListenOptions, ServeOptions, ToAddrs, UdpSocket, resolve, serve,
};
use conbrio::prelude::*;
use conbrio::testing::{leaks, settle};

use super::{LONG, beside, real, simulated, was_cancelled};
use crate::support::in_a_process_of_its_own;

const LOOPBACK: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn listener(cx: &mut Cx) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(cx, LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

// N17: net::resolve, net::ToAddrs::to_addrs, net::SocketAddr::to_addrs, net::SocketAddrV4::to_addrs
// N17: net::SocketAddrV6::to_addrs, net::Vec::to_addrs, net::str::to_addrs, net::String::to_addrs
#[test]
fn a_name_is_looked_up_or_not() {
    let v4: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let v6: SocketAddr = "[::1]:0".parse().unwrap();
    let numbers: [&(dyn ToAddrs + Sync); 6] = [
        &v4,
        &"127.0.0.1:0".parse::<std::net::SocketAddrV4>().unwrap(),
        &"[::1]:0".parse::<std::net::SocketAddrV6>().unwrap(),
        &vec![v4, v6],
        &"127.0.0.1:0",
        &String::from("[::1]:0"),
    ];
    for address in numbers {
        real(1, |cx, trial| {
            let outcome = trial.run(cx, |cx| resolve(cx, address));
            assert!(was_cancelled(trial, &outcome) || outcome.unwrap()[0].ip().is_loopback());
        });
    }
    // A name is asked for on another thread, before which there is one more checkpoint. If that thread is
    // quick, there is no wait.
    real(2, |cx, trial| {
        let outcome = trial.run(cx, |cx| resolve(cx, "localhost:0"));
        assert!(was_cancelled(trial, &outcome) || outcome.unwrap()[0].ip().is_loopback());
    });
}

// N17: net::TcpListener::{bind, accept}, net::ListenOptions::bind
#[test]
fn no_connection_is_lost() {
    real(4, |cx, trial| {
        // An address that only this test knows, so that it can be bound again.
        let (first, address) = listener(cx);
        drop(first);
        let mut outcome = trial.run(cx, |cx| match trial.point() % 2 {
            0 => TcpListener::bind(cx, address),
            _ => ListenOptions::new().bind(cx, address),
        });
        if was_cancelled(trial, &outcome) {
            outcome = TcpListener::bind(cx, address);
        }
        let mut listener = outcome.unwrap();
        beside(
            cx,
            |cx| {
                settle(cx, std::time::Duration::ZERO)?;
                let mut stream = TcpStream::connect(cx, address)?;
                stream.write_all(cx, b"hello")?;
                Ok(())
            },
            |cx| {
                let mut accepted = trial.run(cx, |cx| listener.accept(cx));
                if was_cancelled(trial, &accepted) {
                    accepted = listener.accept(cx);
                }
                let mut buf = [0; 5];
                accepted.unwrap().0.read_exact(cx, &mut buf).unwrap();
                assert_eq!(&buf, b"hello");
            },
        );
    });
}

// N17: net::serve, net::ServeOptions::serve
#[test]
fn a_server_leaves_no_handler_and_no_listener() {
    for limit in [None, Some(1)] {
        simulated(5, |cx, trial| {
            let (first, address) = listener(cx);
            let (began, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let handler = |cx: &mut Cx, mut incoming: Incoming| -> std::io::Result<()> {
                began.fetch_add(1, SeqCst);
                let outcome = incoming.stream.read(cx, &mut [0]);
                ended.fetch_add(1, SeqCst);
                match outcome {
                    Err(OrCancelled::Cancelled(cancelled)) => Err(cancelled.into()),
                    _ => Ok(()),
                }
            };
            let outcome = cx.cancel_scope(|cx, scope| {
                let server = scope.handle();
                let clients = |cx: &mut Cx| {
                    // They hear of a cancellation by the end of their connection, or are refused.
                    let streams: Vec<_> = (0..3).map(|_| TcpStream::connect(cx, address)).collect();
                    settle(cx, std::time::Duration::ZERO)?;
                    for mut stream in streams.into_iter().flatten() {
                        let _ = stream.write_all(cx, b"!");
                        let _ = stream.read(cx, &mut [0]);
                    }
                    server.shutdown(LONG);
                    Ok(())
                };
                let outcome = beside(cx, clients, |cx| {
                    trial.run(cx, |cx| match limit {
                        None => serve(cx, [first], handler),
                        Some(max) => {
                            ServeOptions::new().connections_max(max).serve(cx, [first], handler)
                        }
                    })
                });
                Ok::<_, Cancelled>(outcome)
            });
            let outcome = outcome.unwrap().expect("its grace is long");
            assert_eq!(began.load(SeqCst), ended.load(SeqCst));
            assert!(was_cancelled(trial, &outcome) || began.into_inner() == 3);
            // The address is free.
            TcpListener::bind(cx, address).unwrap();
        });
    }
}

// N17: net::TcpStream::connect, net::ConnectOptions::connect
#[test]
fn a_connection_is_made_or_closed() {
    for with_options in [false, true] {
        real(2, |cx, trial| {
            let (mut listener, address) = listener(cx);
            let outcome = trial.run(cx, |cx| match with_options {
                true => ConnectOptions::new().connect(cx, address),
                false => TcpStream::connect(cx, address),
            });
            let connected = !was_cancelled(trial, &outcome);
            // Whatever became of it, this is the last one to come.
            let mut last = TcpStream::connect(cx, address).unwrap();
            let ours = last.local_addr().unwrap();
            let mut others = 0;
            loop {
                let (mut peer, from) = listener.accept(cx).unwrap();
                if from == ours {
                    peer.write_all(cx, b"!").unwrap();
                    break;
                }
                others += 1;
                if !connected {
                    // It had reached the system, and was closed.
                    assert_eq!(peer.read(cx, &mut [0]).unwrap_or(0), 0);
                }
            }
            assert!(others <= 1 && (others == 1 || !connected));
            last.read_exact(cx, &mut [0]).unwrap();
        });
    }
}

fn udp(cx: &mut Cx) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(cx, LOOPBACK).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

// N17: net::UdpSocket::{bind, connect, recv_from, recv, peek_from}
#[test]
fn no_datagram_is_lost() {
    for way in 0..3 {
        real(4, |cx, trial| {
            let (mut sender, from) = udp(cx);
            let made = trial.run(cx, |cx| -> Result<UdpSocket, Error> {
                let mut socket = UdpSocket::bind(cx, LOOPBACK)?;
                socket.connect(cx, from)?;
                Ok(socket)
            });
            let mut socket = match was_cancelled(trial, &made) {
                true => udp(cx).0,
                false => made.unwrap(),
            };
            let address = socket.local_addr().unwrap();
            beside(
                cx,
                |cx| {
                    settle(cx, std::time::Duration::ZERO)?;
                    sender.send_to(cx, b"hello", address)?;
                    Ok(())
                },
                |cx| {
                    let mut buf = [0; 8];
                    let outcome = trial.run(cx, |cx| match way {
                        0 => socket.recv_from(cx, &mut buf).map(|(count, _)| count),
                        1 => socket.recv(cx, &mut buf),
                        _ => socket.peek_from(cx, &mut buf).map(|(count, _)| count),
                    });
                    // What was only looked at is still there.
                    let count = match was_cancelled(trial, &outcome) || way == 2 {
                        true => socket.recv(cx, &mut buf).unwrap(),
                        false => outcome.unwrap(),
                    };
                    assert_eq!(&buf[..count], b"hello");
                },
            );
        });
    }
}

// N17: net::UdpSocket::{send_to, send}
#[test]
fn no_datagram_is_sent_in_spite_of_a_cancellation() {
    for connected in [false, true] {
        real(1, |cx, trial| {
            let ((mut sender, from), (mut socket, address)) = (udp(cx), udp(cx));
            sender.connect(cx, address).unwrap();
            let outcome = trial.run(cx, |cx| match connected {
                true => sender.send(cx, b"first"),
                false => sender.send_to(cx, b"first", address),
            });
            sender.send(cx, b"last").unwrap();
            let mut buf = [0; 8];
            if !was_cancelled(trial, &outcome) {
                assert_eq!(socket.recv(cx, &mut buf).unwrap(), outcome.unwrap());
            }
            assert_eq!(socket.recv_from(cx, &mut buf).unwrap(), (4, from));
            assert_eq!(&buf[..4], b"last");
        });
    }
}

// The runs end with nothing left, whatever was cancelled: no descriptor, and no thread.
#[test]
fn no_descriptor_is_lost() {
    in_a_process_of_its_own("waits::network::no_descriptor_is_lost", || {
        let all = || {
            a_name_is_looked_up_or_not();
            no_connection_is_lost();
            a_connection_is_made_or_closed();
            no_datagram_is_lost();
        };
        // What the resolver of the system opens once for the process stays.
        all();
        leaks::assert_none(all);
    });
}
