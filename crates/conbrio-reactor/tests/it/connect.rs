//! Connecting and accepting, and how they fail.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use conbrio_reactor::sim::HostId;
use conbrio_reactor::{Attempt, Completion, Operation, Reactor, Source, Token, op, os};
use rustix::io::FdFlags;
use socket2::SockAddr;

use crate::support::*;

shared_suite!(
    both_ends_meet_and_know_each_other,
    an_accepted_fd_is_non_blocking_and_close_on_exec,
    a_closed_port_refuses,
    a_broadcast_address_is_unreachable,
    a_connect_that_was_refused_can_be_followed_by_another,
    an_address_in_use_is_named,
);

suite!(
    unix_sockets_connect_by_path,
    a_full_unix_backlog_is_an_error_and_not_a_wait,
    accept_with_address_says_so_for_a_unix_listener,
);

fn listener(reactor: &Reactor) -> (Source, SocketAddr) {
    let options = os::ListenOptions::default();
    let listener = reactor.tcp_listener(HostId::default(), localhost(), options).unwrap();
    let address = os::local_address(&listener).unwrap();
    (listener, address)
}

fn connect(reactor: &Reactor, address: SocketAddr) -> std::io::Result<Source> {
    let socket = reactor.tcp_socket(HostId::default(), address)?;
    finish(reactor, &mut op::Connect::new(&socket, address))?;
    Ok(socket)
}

fn both_ends_meet_and_know_each_other(make: Make) {
    let reactor = make();
    let (listener, address) = listener(&reactor);
    let mut accept = op::Accept::new(&listener);
    assert!(matches!(reactor.attempt(&mut accept), Attempt::Wait));
    submit(&reactor, &mut accept, Token(1)).unwrap();
    let socket = reactor.tcp_socket(HostId::default(), address).unwrap();
    let mut connect = op::Connect::new(&socket, address);
    let connected = matches!(reactor.attempt(&mut connect), Attempt::Done(Ok(())));
    if !connected {
        submit(&reactor, &mut connect, Token(2)).unwrap();
    }
    let (mut accepted, mut is_connected) = (None, connected);
    while accepted.is_none() || !is_connected {
        for Completion { token, outcome } in wait_some(&reactor) {
            if token == Token(1) {
                let result = conclude(&mut accept, outcome);
                accepted = Some(result.unwrap_or_else(|| Ok(done(reactor.attempt(&mut accept)))));
            } else {
                match conclude(&mut connect, outcome) {
                    Some(result) => result.unwrap(),
                    None => done(reactor.attempt(&mut connect)),
                }
                is_connected = true;
            }
        }
    }
    let (accepted, peer) = accepted.unwrap().unwrap();
    assert_eq!(os::local_address(&socket).unwrap(), peer);
    assert_eq!(os::peer_address(&accepted).unwrap(), peer);
    assert_eq!(os::peer_address(&socket).unwrap(), address);
}

fn an_accepted_fd_is_non_blocking_and_close_on_exec(make: Make) {
    let reactor = make();
    let (listener, address) = listener(&reactor);
    let _client = connect(&reactor, address).unwrap();
    let (accepted, _) = finish(&reactor, &mut op::Accept::new(&listener)).unwrap();
    let _client = connect(&reactor, address).unwrap();
    let plain = finish(&reactor, &mut op::AcceptFd::new(&listener)).unwrap();
    for fd in [accepted.as_fd(), plain.as_fd()] {
        assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
        let flags = rustix::fs::fcntl_getfl(fd).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    }
}

/// A port that was free a moment ago, with nobody listening on it.
fn closed_port(reactor: &Reactor) -> (SocketAddr, Source) {
    // Bound without listening: it refuses, and nobody else can take it meanwhile.
    let socket = reactor.tcp_socket(HostId::default(), localhost()).unwrap();
    os::bind(&socket, localhost()).unwrap();
    (os::local_address(&socket).unwrap(), socket)
}

fn a_closed_port_refuses(make: Make) {
    let reactor = make();
    let (address, _holder) = closed_port(&reactor);
    let error = connect(&reactor, address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(reactor.in_flight(), 0);
}

fn a_broadcast_address_is_unreachable(make: Make) {
    let reactor = make();
    let error = connect(&reactor, "255.255.255.255:9".parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
}

/// The write side is known not to be ready when the second connect begins; it must begin still.
fn a_connect_that_was_refused_can_be_followed_by_another(make: Make) {
    let reactor = make();
    let (closed, _holder) = closed_port(&reactor);
    let (listener, open) = listener(&reactor);
    let socket = reactor.tcp_socket(HostId::default(), open).unwrap();
    let mut readiness = op::Readiness::readable(&socket);
    // Registered before anything: an unconnected socket counts as hung up.
    submit(&reactor, &mut readiness, Token(3)).unwrap();
    wait_for(&reactor, Token(3));
    for _ in 0..3 {
        let error = finish(&reactor, &mut op::Connect::new(&socket, closed)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    finish(&reactor, &mut op::Connect::new(&socket, open)).unwrap();
    let (_accepted, peer) = finish(&reactor, &mut op::Accept::new(&listener)).unwrap();
    assert_eq!(peer, os::local_address(&socket).unwrap());
    // The hang-up of the unconnected time must not make the stream look ended.
    let mut buffer = [0; 4];
    assert!(matches!(reactor.attempt(&mut op::Recv::new(&socket, &mut buffer)), Attempt::Wait));
}

fn unix_path(name: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("conbrio-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).unwrap();
    directory.join("socket")
}

fn unix_sockets_connect_by_path(make: Make) {
    let reactor = make();
    let path = unix_path("connect");
    let listener = os::unix_listener(&path, 4).unwrap();
    let client = os::unix_socket().unwrap();
    finish(&reactor, &mut op::Connect::new(&client, SockAddr::unix(&path).unwrap())).unwrap();
    let server = finish(&reactor, &mut op::AcceptFd::new(&listener)).unwrap();
    assert_eq!(finish(&reactor, &mut op::Send::new(&client, b"hi")).unwrap(), 2);
    let mut buffer = [0; 4];
    assert_eq!(finish(&reactor, &mut op::Recv::new(&server, &mut buffer)).unwrap(), 2);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

fn a_full_unix_backlog_is_an_error_and_not_a_wait(make: Make) {
    let reactor = make();
    let path = unix_path("backlog");
    let _listener = os::unix_listener(&path, 0).unwrap();
    let address = SockAddr::unix(&path).unwrap();
    let mut clients = Vec::new();
    let error = loop {
        assert!(clients.len() < 100, "the backlog is never full");
        let client = os::unix_socket().unwrap();
        match finish(&reactor, &mut op::Connect::new(&client, address.clone())) {
            Ok(()) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("backlog"), "{error}");
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

fn accept_with_address_says_so_for_a_unix_listener(make: Make) {
    let reactor = make();
    let path = unix_path("accept");
    let listener = os::unix_listener(&path, 4).unwrap();
    let client = os::unix_socket().unwrap();
    finish(&reactor, &mut op::Connect::new(&client, SockAddr::unix(&path).unwrap())).unwrap();
    let mut accept = op::Accept::new(&listener);
    let error = accept.try_now().unwrap_err();
    assert!(error.to_string().contains("AcceptFd"), "{error}");
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

fn an_address_in_use_is_named(make: Make) {
    let reactor = make();
    let (_listener, address) = listener(&reactor);
    let options = os::ListenOptions::default();
    let error = reactor.tcp_listener(HostId::default(), address, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("listen on {address}: ")), "{error}");
}
