//! Connecting to the first of several addresses that answers, with sockets. When attempts begin is checked
//! with attempts of paper, beside the source; here it is what is left of them.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use conbrio::net::{AddressErrors, ConnectOptions, with_resolver};
use conbrio::prelude::*;
use conbrio::testing::network::{Host, Network, NetworkOptions};
use conbrio::testing::{Builder, cancel_at_every_checkpoint, run};

use crate::support::*;

/// A client and a server that listens at both of its families' addresses; nobody answers elsewhere.
fn world(cx: &mut Cx) -> (Host, Host, Vec<TcpListener>) {
    let network = Network::of(cx);
    network.set_options(NetworkOptions::new().answer_for_unknown(false));
    let (server, client) = (network.host([10, 0, 0, 1]), network.host([10, 0, 0, 2]));
    server.add_address([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
    client.add_address([0xfd00, 0, 0, 0, 0, 0, 0, 2]);
    let listeners =
        server.enter(cx, |cx| conbrio::net::listen(cx, conbrio::net::Wildcard(80))).unwrap();
    (server, client, listeners)
}

fn name(cx: &Cx, addresses: &[&str]) {
    let ips = addresses.iter().map(|text| text.parse::<IpAddr>().unwrap());
    Network::of(cx).name("server.test", ips);
}

// spec: test_highlevel_open_tcp_stream.basic_fallthrough, test_socket.custom_socket_factory
#[test]
fn silent_addresses_cost_a_delay_each() {
    run(|cx| {
        let (_server, client, mut listeners) = world(cx);
        name(cx, &["fd00::7", "fd00::8", "10.0.0.7", "10.0.0.1"]);
        Network::of(cx).set_options(
            NetworkOptions::new()
                .answer_for_unknown(false)
                .lookup_latency(millis(0))
                .latency(millis(5)..=millis(5)),
        );
        let start = cx.now();
        let stream = client.enter(cx, |cx| TcpStream::connect(cx, "server.test:80")).unwrap();
        // The fourth begins after three delays, and its answer takes a way there and back.
        assert_eq!(cx.now() - start, millis(3 * 250 + 2 * 5));
        assert_eq!(stream.peer_addr().unwrap().to_string(), "10.0.0.1:80");
        assert_eq!(client.open_sockets(), 1, "the others have been closed");
        let (_, peer) = listeners[1].accept(cx).unwrap();
        assert_eq!(peer, stream.local_addr().unwrap());
    });
}

// spec: test_highlevel_open_tcp_stream.handles_no_ipv4, test_highlevel_open_tcp_stream.handles_no_ipv6
#[test]
fn a_family_that_the_client_lacks_costs_no_time() {
    run(|cx| {
        let (server, _, _listeners) = world(cx);
        let network = Network::of(cx);
        let (only_v4, only_v6) =
            (network.host([10, 0, 0, 4]), network.host([0xfd00, 0, 0, 0, 0, 0, 0, 6]));
        network.set_options(
            network.options().lookup_latency(millis(0)).latency(millis(1)..=millis(1)),
        );
        name(cx, &["fd00::1", "10.0.0.1"]);
        for (client, expected) in [(only_v4, "10.0.0.1:80"), (only_v6, "[fd00::1]:80")] {
            let start = cx.now();
            let stream = client.enter(cx, |cx| TcpStream::connect(cx, "server.test:80")).unwrap();
            assert_eq!(stream.peer_addr().unwrap().to_string(), expected);
            assert_eq!(cx.now() - start, millis(2));
        }
        drop(server);
    });
}

// spec: test_highlevel_open_tcp_stream.multi_success, test_highlevel_open_tcp_stream.close_all
#[test]
fn whoever_answers_too_late_is_hung_up_on() {
    // The answers are on their way together; which one wins is drawn.
    let mut winners = std::collections::BTreeSet::new();
    for seed in 0..32 {
        let winner = Builder::new().seed(seed).run(|cx| {
            let (_server, client, mut listeners) = world(cx);
            name(cx, &["fd00::1", "10.0.0.1"]);
            let network = Network::of(cx);
            network.set_options(network.options().latency(millis(1)..=millis(300)));
            let options = ConnectOptions::new().attempt_delay(millis(100));
            let stream = client.enter(cx, |cx| options.connect(cx, "server.test:80")).unwrap();
            assert_eq!(client.open_sockets(), 1);
            let winner = stream.peer_addr().unwrap();
            // Each listener has heard of one attempt at most, and only the winner's is alive.
            for listener in &mut listeners {
                let accepted = cx.move_on_after(millis(5_000), |cx| listener.accept(cx)).unwrap();
                let Some((mut accepted, peer)) = accepted else { continue };
                let is_winner = peer == stream.local_addr().unwrap();
                let read = cx.move_on_after(millis(5_000), |cx| accepted.read(cx, &mut [0]));
                match read {
                    Ok(None) => assert!(is_winner, "a loser is open"),
                    _ => assert!(!is_winner, "the winner was closed: {read:?}"),
                }
            }
            winner
        });
        winners.insert(winner);
    }
    assert_eq!(winners.len(), 2, "each can win: {winners:?}");
}

// spec: test_highlevel_open_tcp_stream.all_fail, test_highlevel_open_tcp_stream.format_host_port
#[test]
fn every_attempt_is_in_the_error_with_its_address_and_cause() {
    run(|cx| {
        let (_server, client, listeners) = world(cx);
        drop(listeners);
        name(cx, &["10.0.0.1", "fd00::1", "10.0.0.7"]);
        let network = Network::of(cx);
        network.set_options(network.options().connect_timeout(millis(3_000)));
        let error = client.enter(cx, |cx| TcpStream::connect(cx, "server.test:80")).failed();
        let errors = AddressErrors::of(&error).unwrap();
        let mut seen: Vec<(String, ErrorKind)> =
            errors.iter().map(|(address, error)| (address.to_string(), error.kind())).collect();
        assert_eq!(seen.pop().unwrap(), ("10.0.0.7:80".to_owned(), ErrorKind::TimedOut));
        assert_eq!(error.kind(), ErrorKind::TimedOut, "that of the last");
        seen.sort();
        let refused = ErrorKind::ConnectionRefused;
        assert_eq!(seen, [("10.0.0.1:80".into(), refused), ("[fd00::1]:80".into(), refused)]);
        for address in ["connect to 10.0.0.1:80: ", "connect to [fd00::1]:80: ", "10.0.0.7:80"] {
            assert_eq!(error.to_string().matches(address).count(), 1, "{error}");
        }
        assert_eq!(client.open_sockets(), 0);
    });
}

#[test]
fn without_a_delay_addresses_are_tried_in_turn_and_in_order() {
    run(|cx| {
        let (_server, client, _listeners) = world(cx);
        name(cx, &["10.0.0.7", "10.0.0.1", "fd00::1"]);
        let network = Network::of(cx);
        network.set_options(network.options().connect_timeout(millis(60_000)));
        let options = ConnectOptions::new().attempt_delay(None);
        let start = cx.now();
        let stream = client.enter(cx, |cx| options.connect(cx, "server.test:80")).unwrap();
        assert_eq!(stream.peer_addr().unwrap().to_string(), "10.0.0.1:80");
        assert!(cx.now() - start >= millis(60_000));
    });
}

#[test]
fn a_local_address_rules_the_other_family_out() {
    run(|cx| {
        let (_server, client, _listeners) = world(cx);
        name(cx, &["fd00::1", "10.0.0.1"]);
        let options = ConnectOptions::new().local_address(address("10.0.0.2:0"));
        let stream = client.enter(cx, |cx| options.connect(cx, "server.test:80")).unwrap();
        assert_eq!(stream.local_addr().unwrap().ip().to_string(), "10.0.0.2");
        name(cx, &["fd00::1"]);
        let error = client.enter(cx, |cx| options.connect(cx, "server.test:80")).failed();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("10.0.0.2:0"), "{error}");
        assert!(error.to_string().contains("[fd00::1]:80"), "{error}");
    });
}

// spec: test_highlevel_open_tcp_stream.cancel, test_highlevel_open_tcp_stream.open_tcp_stream_real_socket_smoketest
// N17: net::TcpStream::connect, net::ConnectOptions::connect
#[test]
fn a_race_that_is_cancelled_leaves_no_socket() {
    for resolver in [false, true] {
        let points = cancel_at_every_checkpoint(|cx, trial| {
            let (_server, client, mut listeners) = world(cx);
            let ips = ["fd00::7", "10.0.0.7", "10.0.0.1", "fd00::1"];
            name(cx, &ips);
            let addresses: Vec<SocketAddr> =
                ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            let outcome = client.enter(cx, |cx| {
                trial.run(cx, |cx| match resolver {
                    true => with_resolver(cx, Slow("server.test", addresses), |cx| {
                        TcpStream::connect(cx, "server.test:80")
                    }),
                    false => ConnectOptions::new().connect(cx, "server.test:80"),
                })
            });
            if was_cancelled(trial, &outcome) {
                assert_eq!(client.open_sockets(), 0);
                // Whoever has heard of it hears of its end, too.
                for listener in &mut listeners {
                    let accepted = cx.move_on_after(millis(5_000), |cx| listener.accept(cx));
                    if let Some((mut accepted, _)) = accepted.unwrap() {
                        let ended =
                            cx.move_on_after(millis(5_000), |cx| accepted.read(cx, &mut [0]));
                        assert!(!matches!(ended, Ok(None)), "it is open");
                    }
                }
            } else {
                assert_eq!(client.open_sockets(), 1);
            }
        });
        assert!(points >= 6, "{points} points");
    }
}

#[test]
fn connecting_while_the_task_unwinds_fails_at_once() {
    struct OnDrop<F: FnMut()>(F);
    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    run(|cx| {
        let (_server, client, _listeners) = world(cx);
        name(cx, &["fd00::1", "10.0.0.1"]);
        client.enter(cx, |cx| {
            let start = cx.now();
            let mut seen = None;
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _guard = OnDrop(|| seen = Some(TcpStream::connect(cx, "server.test:80")));
                panic!("it unwinds");
            }));
            assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"it unwinds"));
            assert!(seen.unwrap().unwrap_err().cancelled().is_some());
            assert_eq!(cx.now(), start);
        });
        assert_eq!(client.open_sockets(), 0);
    });
}

#[test]
fn without_files_every_attempt_fails_and_says_so() {
    run(|cx| {
        let (_server, client, _listeners) = world(cx);
        name(cx, &["fd00::1", "10.0.0.1", "fd00::7"]);
        client.set_fd_limit(0);
        let start = cx.now();
        let error = client.enter(cx, |cx| TcpStream::connect(cx, "server.test:80")).failed();
        assert_eq!(AddressErrors::of(&error).unwrap().len(), 3, "{error}");
        assert!(cx.now() - start < millis(250), "a failure lets the next one begin");
        // One file is enough for one attempt after the other.
        client.set_fd_limit(1);
        let stream = client.enter(cx, |cx| TcpStream::connect(cx, "server.test:80")).unwrap();
        assert_eq!(stream.peer_addr().unwrap().to_string(), "[fd00::1]:80");
    });
}

// spec: test_highlevel_open_tcp_stream.open_tcp_stream_real_socket_smoketest
#[test]
fn a_name_with_several_addresses_is_connected_to() {
    on_workers(|cx| {
        let mut listener = TcpListener::bind(cx, "127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        // Nobody listens at the first two, or somebody else does: the port is the listener's in 127.0.0.1 only.
        let ips = ["127.0.0.77:0", "127.0.0.78:0", "127.0.0.1:0"];
        let resolver = Slow("here.test", ips.iter().map(|text| address(text)).collect());
        let mut stream =
            with_resolver(cx, resolver, |cx| TcpStream::connect(cx, ("here.test", port)))?;
        assert_eq!(stream.peer_addr()?, listener.local_addr()?);
        let (mut accepted, peer) = listener.accept(cx)?;
        assert_eq!(peer, stream.local_addr()?);
        stream.write_all(cx, b"hello")?;
        accepted.read_exact(cx, &mut [0; 5])?;
        Ok(())
    });
}
