//! Listening at several addresses at once.

use std::io::ErrorKind;

use conbrio::net::{ListenOptions, Wildcard, listen, serve};
use conbrio::prelude::*;
use conbrio::testing::network::Network;
use conbrio::testing::{cancel_at_every_checkpoint, run};

use crate::support::*;

// spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_basic
// spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_ipv6_v6only
#[test]
fn a_wildcard_is_heard_in_both_families() {
    on_workers(|cx| {
        let mut listeners = listen(cx, Wildcard(0))?;
        let port = listeners[0].local_addr()?.port();
        assert_ne!(port, 0);
        for listener in &mut listeners {
            let address = listener.local_addr()?;
            assert_eq!(address.port(), port);
            assert!(address.ip().is_unspecified());
            let loopback = if address.is_ipv6() {
                assert!(socket2::SockRef::from(&*listener).only_v6()?);
                "::1"
            } else {
                "127.0.0.1"
            };
            // Two may wait at least until one is accepted.
            let clients = [
                TcpStream::connect(cx, (loopback, port))?,
                TcpStream::connect(cx, (loopback, port))?,
            ];
            for client in clients {
                assert_eq!(listener.accept(cx)?.1, client.local_addr()?);
            }
        }
        if listeners.len() < 2 {
            println!("SKIPPED for IPv6: this machine has none");
        }
        Ok(())
    });
}

// spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_specific_port_specific_host
// spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_rebind
#[test]
fn a_port_of_a_host_is_taken_and_free_again() {
    on_workers(|cx| {
        // An address of its own, because the port is free for a moment.
        let first = listen(cx, "127.0.0.19:0")?;
        let address = first[0].local_addr()?;
        let error = listen(cx, address).failed();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        drop(first);
        let mut again = listen(cx, vec![address, address])?;
        assert_eq!(again.len(), 1);
        let _client = TcpStream::connect(cx, address)?;
        // Also while a connection of it is open.
        let (_open, _) = again[0].accept(cx)?;
        drop(again);
        assert_eq!(listen(cx, address)?[0].local_addr()?, address);
        Ok(())
    });
}

// spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_multiple_host_cleanup_on_error
#[test]
fn one_address_that_is_taken_leaves_none_bound() {
    run(|cx| {
        let network = Network::of(cx);
        let host = network.host([10, 0, 0, 1]);
        network.name("both.test", [host.address(), [10, 9, 9, 9].into()]);
        let error = host.enter(cx, |cx| listen(cx, "both.test:80")).failed();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains("10.9.9.9:80"), "{error}");
        assert_eq!(host.open_sockets(), 0);
        host.add_address([10, 9, 9, 9]);
        let listeners = host.enter(cx, |cx| listen(cx, "both.test:80")).unwrap();
        assert_eq!((listeners.len(), host.open_sockets()), (2, 2));
        let error = listen(cx, &[][..]).failed();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

// spec: test_highlevel_open_tcp_listeners.serve_tcp
#[test]
fn what_listens_at_a_name_is_served() {
    on_workers(|cx| {
        let listeners = listen(cx, "localhost:0")?;
        let port = listeners[0].local_addr()?.port();
        cx.nursery(|cx, n| -> Io {
            n.spawn(|cx| {
                Ok(serve(cx, listeners, |cx, mut incoming| -> Io {
                    Ok(incoming.stream.write_all(cx, b"x")?)
                })?)
            });
            let mut stream = TcpStream::connect(cx, ("localhost", port))?;
            let mut answer = [0];
            stream.read_exact(cx, &mut answer)?;
            assert_eq!(&answer, b"x");
            n.shutdown(millis(10_000));
            Ok(())
        })?;
        Ok(())
    });
}

// spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_backlog
#[test]
fn options_hold_for_all_listeners() {
    on_workers(|cx| {
        for backlog in [0, 1, u32::MAX] {
            let options = ListenOptions::new().backlog(backlog).nodelay(false);
            for listener in options.listen(cx, Wildcard(0))? {
                assert!(!socket2::SockRef::from(&listener).tcp_nodelay()?);
            }
        }
        // Who wants one socket for both families says so.
        let both = ListenOptions::new().only_v6(false).listen(cx, "[::]:0")?;
        assert!(!socket2::SockRef::from(&both[0]).only_v6()?);
        Ok(())
    });
}

// N17: net::listen, net::ListenOptions::listen
#[test]
fn listening_that_was_cancelled_has_bound_nothing() {
    for with_options in [false, true] {
        let points = cancel_at_every_checkpoint(|cx, trial| {
            let network = Network::of(cx);
            let host = network.host([10, 0, 0, 1]);
            host.add_address([10, 0, 0, 2]);
            network.name("both.test", [host.address(), [10, 0, 0, 2].into()]);
            host.enter(cx, |cx| {
                let mut outcome = trial.run(cx, |cx| match with_options {
                    true => ListenOptions::new().listen(cx, "both.test:80"),
                    false => listen(cx, "both.test:80"),
                });
                if was_cancelled(trial, &outcome) {
                    assert_eq!(host.open_sockets(), 0);
                    outcome = listen(cx, "both.test:80");
                }
                assert_eq!(outcome.unwrap().len(), 2);
            });
        });
        assert!(points >= 2, "{points} points");
    }
}
