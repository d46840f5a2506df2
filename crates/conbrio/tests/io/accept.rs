//! Listeners.

use std::io::{self, ErrorKind};

use conbrio::net::{ListenOptions, serve};
use conbrio::prelude::*;
use conbrio::testing::settle;

use crate::support::{CUSHION, cancel_when_blocked, cancelled_before, listener, on_workers};

// spec: test_highlevel_socket.SocketListener
#[test]
fn accepts_and_names_the_peer() {
    on_workers(|cx| {
        let mut listener = listener(cx);
        let address = listener.local_addr().unwrap();
        assert_ne!(address.port(), 0);
        for _ in 0..3 {
            let client = TcpStream::connect(cx, address).unwrap();
            let (stream, peer) = listener.accept(cx).unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            assert_eq!(stream.local_addr().unwrap(), address);
        }
    });
}

// A connection is not lost to a cancellation.
// spec: S9, S25
#[test]
fn a_cancelled_accept_loses_no_connection() {
    on_workers(|cx| {
        let mut listener = listener(cx);
        let address = listener.local_addr().unwrap();
        let _ = cancel_when_blocked(cx, |cx| listener.accept(cx));
        let mut client = TcpStream::connect(cx, address).unwrap();
        client.write_all(cx, b"first").unwrap();
        // One waits, and is left there by a call that was cancelled before.
        let _ = cancelled_before(cx, |cx| listener.accept(cx));
        let (mut stream, peer) = listener.accept(cx).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let mut buf = [0; 5];
        stream.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"first");
    });
}

// spec: test_highlevel_serve_listeners.serve_listeners_accept_unrecognized_error
#[test]
fn an_error_of_the_listener_ends_the_server() {
    on_workers(|cx| {
        let listener = listener(cx);
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
        let outcome = serve(cx, [listener], |_, _| -> io::Result<()> { unreachable!() });
        let error = io::Error::from(outcome.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    });
}

#[test]
fn an_address_in_use_is_named() {
    on_workers(|cx| {
        let listener = listener(cx);
        let address = listener.local_addr().unwrap();
        let error = TcpListener::bind(cx, address).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert_eq!(error.to_string().matches(&address.to_string()).count(), 1, "{error}");
    });
}

// spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_rebind
#[test]
fn an_address_can_be_bound_again_at_once() {
    on_workers(|cx| {
        // An address of its own, because the port is free for a moment.
        let mut first = TcpListener::bind(cx, "127.0.0.9:0").unwrap();
        let address = first.local_addr().unwrap();
        // The server closes first, so that its address lingers in TIME_WAIT.
        let mut client = TcpStream::connect(cx, address).unwrap();
        let (server, _) = first.accept(cx).unwrap();
        drop((first, server));
        assert_eq!(client.read(cx, &mut [0; 1]).unwrap(), 0);
        drop(client);
        TcpListener::bind(cx, address).unwrap();
    });
}

// spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_backlog, test_highlevel_open_tcp_listeners.open_tcp_listeners_ipv6_v6only
#[test]
fn options_of_listeners() {
    on_workers(|cx| {
        ListenOptions::new().backlog(u32::MAX).bind(cx, "127.0.0.1:0").unwrap();
        ListenOptions::new().backlog(0).bind(cx, "127.0.0.1:0").unwrap();
        let shared = ListenOptions::new().reuse_port(true);
        let first = shared.bind(cx, "127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        let _second = shared.bind(cx, address).unwrap();
        let _ = ListenOptions::new().bind(cx, address).unwrap_err();

        let only_v6 = ListenOptions::new().only_v6(true).reuse_address(false);
        let six = only_v6.bind(cx, "[::]:0").unwrap();
        assert!(socket2::SockRef::from(&six).only_v6().unwrap());

        let mut slow = ListenOptions::new().nodelay(false).bind(cx, "127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(cx, slow.local_addr().unwrap()).unwrap();
        assert!(!slow.accept(cx).unwrap().0.nodelay().unwrap());
    });
}

// spec: test_socket.SocketType_dup
#[test]
fn clones_share_the_queue() {
    on_workers(|cx| {
        let mut first = listener(cx);
        let address = first.local_addr().unwrap();
        let mut second = first.try_clone().unwrap();
        let _clients = [(); 2].map(|()| std::net::TcpStream::connect(address).unwrap());
        first.accept(cx).unwrap();
        drop(first);
        second.accept(cx).unwrap();
    });
}

#[test]
fn two_tasks_accept_at_once() {
    on_workers(|cx| {
        let listener = listener(cx);
        let address = listener.local_addr().unwrap();
        cx.nursery(|cx, n| -> io::Result<()> {
            let mut children = Vec::new();
            for _ in 0..2 {
                let mut listener = listener.try_clone()?;
                children.push(n.spawn(move |cx| Ok(listener.accept(cx)?.1)));
            }
            settle(cx, CUSHION)?;
            let clients = [(); 2].map(|()| std::net::TcpStream::connect(address).unwrap());
            let mut peers = Vec::new();
            for child in &mut children {
                peers.push(child.join(cx)?);
            }
            let mut expected = clients.map(|client| client.local_addr().unwrap());
            peers.sort();
            expected.sort();
            assert_eq!(peers, expected);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_connection_that_died_in_the_queue_does_not_end_the_listener() {
    on_workers(|cx| {
        let mut listener = listener(cx);
        let address = listener.local_addr().unwrap();
        let dead = TcpStream::connect(cx, address).unwrap();
        dead.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(dead);
        let alive = TcpStream::connect(cx, address).unwrap();
        // Linux hands the dead one out, with its error in the first read; others skip it.
        let mut peer = listener.accept(cx).unwrap().1;
        if peer != alive.local_addr().unwrap() {
            peer = listener.accept(cx).unwrap().1;
        }
        assert_eq!(peer, alive.local_addr().unwrap());
    });
}
