//! Datagrams arrive whole with the address they came from, or are cut; the socket's peer is a filter.

use std::io::ErrorKind;
use std::net::SocketAddr;

use conbrio_reactor::sim::HostId;
use conbrio_reactor::{Attempt, Cancel, Outcome, Reactor, Source, Token, op, os};

use crate::peer::settle;
use crate::support::*;

shared_suite!(
    a_datagram_arrives_whole_with_its_senders_address,
    what_does_not_fit_is_lost,
    peeking_leaves_the_datagram,
    an_empty_datagram_is_a_datagram,
    a_connected_socket_hears_its_peer_only,
    a_connected_socket_is_told_that_nobody_is_there,
    a_socket_without_a_peer_cannot_just_send,
    a_datagram_that_is_too_long_is_refused,
    a_wait_for_a_datagram_ends_when_it_comes,
    a_cancelled_wait_takes_no_datagram,
    a_clone_shares_the_queue,
    a_port_in_use_is_named,
);

fn socket(reactor: &Reactor) -> (Source, SocketAddr) {
    let socket = reactor.udp_socket(HostId::default(), localhost()).unwrap();
    let address = os::local_address(&socket).unwrap();
    assert_ne!(address.port(), 0);
    (socket, address)
}

/// Sends and lets it arrive.
fn send(reactor: &Reactor, from: &Source, data: &[u8], to: SocketAddr) {
    let count = finish(reactor, &mut op::SendTo::new(from, data, to)).unwrap();
    assert_eq!(count, data.len());
    reactor.network().map(settle);
}

fn would_wait(reactor: &Reactor, socket: &Source) -> bool {
    let mut buffer = [0; 64];
    matches!(reactor.attempt(&mut op::RecvFrom::new(socket, &mut buffer)), Attempt::Wait)
}

fn a_datagram_arrives_whole_with_its_senders_address(make: Make) {
    let reactor = make();
    let ((left, from), (right, to)) = (socket(&reactor), socket(&reactor));
    send(&reactor, &left, b"one", to);
    send(&reactor, &left, b"another", to);
    let mut buffer = [0; 64];
    for expected in [&b"one"[..], b"another"] {
        let received = finish(&reactor, &mut op::RecvFrom::new(&right, &mut buffer)).unwrap();
        assert_eq!((&buffer[..received.0], received.1), (expected, from));
    }
    assert!(would_wait(&reactor, &right));
}

fn what_does_not_fit_is_lost(make: Make) {
    let reactor = make();
    let ((left, _), (right, to)) = (socket(&reactor), socket(&reactor));
    send(&reactor, &left, b"a long one", to);
    send(&reactor, &left, b"next", to);
    let mut buffer = [0; 6];
    let (count, _) = finish(&reactor, &mut op::RecvFrom::new(&right, &mut buffer)).unwrap();
    assert_eq!(&buffer[..count], b"a long");
    assert_eq!(finish(&reactor, &mut op::Recv::new(&right, &mut buffer)).unwrap(), 4);
    assert_eq!(&buffer[..4], b"next");
}

fn peeking_leaves_the_datagram(make: Make) {
    let reactor = make();
    let ((left, from), (right, to)) = (socket(&reactor), socket(&reactor));
    send(&reactor, &left, b"hello", to);
    let mut buffer = [0; 3];
    for _ in 0..3 {
        let peeked = finish(&reactor, &mut op::RecvFrom::peek(&right, &mut buffer)).unwrap();
        assert_eq!(peeked, (3, from));
    }
    let mut buffer = [0; 16];
    assert_eq!(finish(&reactor, &mut op::Recv::new(&right, &mut buffer)).unwrap(), 5);
}

fn an_empty_datagram_is_a_datagram(make: Make) {
    let reactor = make();
    let ((left, from), (right, to)) = (socket(&reactor), socket(&reactor));
    send(&reactor, &left, b"", to);
    let mut buffer = [0; 4];
    let received = finish(&reactor, &mut op::RecvFrom::new(&right, &mut buffer)).unwrap();
    assert_eq!(received, (0, from));
    assert!(would_wait(&reactor, &right));
}

fn a_connected_socket_hears_its_peer_only(make: Make) {
    let reactor = make();
    let ((left, peer), (stranger, _), (right, to)) =
        (socket(&reactor), socket(&reactor), socket(&reactor));
    assert_eq!(os::peer_address(&right).unwrap_err().kind(), ErrorKind::NotConnected);
    os::connect_udp(&right, peer).unwrap();
    assert_eq!(os::peer_address(&right).unwrap(), peer);
    send(&reactor, &stranger, b"stranger", to);
    send(&reactor, &left, b"peer", to);
    let mut buffer = [0; 16];
    let count = finish(&reactor, &mut op::Recv::new(&right, &mut buffer)).unwrap();
    assert_eq!(&buffer[..count], b"peer");
    assert!(would_wait(&reactor, &right));
    // And it sends to it.
    assert_eq!(finish(&reactor, &mut op::Send::new(&right, b"back")).unwrap(), 4);
    let received = finish(&reactor, &mut op::RecvFrom::new(&left, &mut buffer)).unwrap();
    assert_eq!(received, (4, to));
}

fn a_connected_socket_is_told_that_nobody_is_there(make: Make) {
    let reactor = make();
    let ((left, _), (right, gone)) = (socket(&reactor), socket(&reactor));
    drop(right);
    os::connect_udp(&left, gone).unwrap();
    assert_eq!(finish(&reactor, &mut op::Send::new(&left, b"anybody?")).unwrap(), 8);
    let mut buffer = [0; 16];
    let error = finish(&reactor, &mut op::Recv::new(&left, &mut buffer)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // Once.
    assert!(would_wait(&reactor, &left));
}

fn a_socket_without_a_peer_cannot_just_send(make: Make) {
    let reactor = make();
    let (left, _) = socket(&reactor);
    let error = finish(&reactor, &mut op::Send::new(&left, b"to whom?")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EDESTADDRREQ));
}

fn a_datagram_that_is_too_long_is_refused(make: Make) {
    let reactor = make();
    let ((left, _), (_right, to)) = (socket(&reactor), socket(&reactor));
    let data = vec![0; 65_508];
    let error = finish(&reactor, &mut op::SendTo::new(&left, &data, to)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(finish(&reactor, &mut op::SendTo::new(&left, &data[1..], to)).unwrap(), 65_507);
}

fn a_wait_for_a_datagram_ends_when_it_comes(make: Make) {
    let reactor = make();
    let ((left, from), (right, to)) = (socket(&reactor), socket(&reactor));
    let mut buffer = [0; 16];
    let mut receive = op::RecvFrom::new(&right, &mut buffer);
    assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
    submit(&reactor, &mut receive, Token(1)).unwrap();
    assert!(poll_now(&reactor).is_empty());
    send(&reactor, &left, b"x", to);
    assert_eq!(finish_wait(&reactor, &mut receive, Token(1)).unwrap(), (1, from));
}

fn a_cancelled_wait_takes_no_datagram(make: Make) {
    let reactor = make();
    let ((left, from), (right, to)) = (socket(&reactor), socket(&reactor));
    let mut buffer = [0; 16];
    let mut receive = op::RecvFrom::new(&right, &mut buffer);
    let ticket = submit(&reactor, &mut receive, Token(1)).unwrap();
    if performs(&reactor) {
        // It would take what is there before it hears of the cancellation, which then is too late.
        call_off_idle(&reactor, ticket, Token(1));
        send(&reactor, &left, b"x", to);
    } else {
        send(&reactor, &left, b"x", to);
        assert_eq!(reactor.cancel(ticket), Cancel::Done);
    }
    assert!(poll_now(&reactor).is_empty());
    let received = finish(&reactor, &mut op::RecvFrom::new(&right, &mut buffer)).unwrap();
    assert_eq!(received, (1, from));
}

fn a_clone_shares_the_queue(make: Make) {
    let reactor = make();
    let ((left, _), (right, to)) = (socket(&reactor), socket(&reactor));
    let clone = right.try_clone().unwrap();
    assert_eq!(os::local_address(&clone).unwrap(), to);
    // Both wait at once, which one source could not.
    let (mut one, mut two) = ([0; 4], [0; 4]);
    let mut first = op::Recv::new(&right, &mut one);
    let mut second = op::Recv::new(&clone, &mut two);
    let tickets = [submit(&reactor, &mut first, Token(1)), submit(&reactor, &mut second, Token(2))];
    send(&reactor, &left, b"x", to);
    let mut woken = wait_some(&reactor);
    assert!((1..=2).contains(&woken.len()));
    let pending = tickets.map(|ticket| reactor.cancel(ticket.unwrap()));
    if pending.contains(&Cancel::Pending) {
        woken.extend(wait_some(&reactor));
    }
    let taken = woken.iter().filter(|woken| woken.outcome == Outcome::Done(1)).count();
    if performs(&reactor) {
        assert_eq!((taken, woken.len()), (1, 2), "{woken:?}");
    } else {
        assert_eq!(done(reactor.attempt(&mut second)), 1);
    }
    assert!(matches!(reactor.attempt(&mut first), Attempt::Wait));
    // The socket lives as long as one of them does.
    drop(right);
    send(&reactor, &left, b"y", to);
    assert_eq!(finish(&reactor, &mut op::Recv::new(&clone, &mut two)).unwrap(), 1);
}

fn a_port_in_use_is_named(make: Make) {
    let reactor = make();
    let (_holder, address) = socket(&reactor);
    let error = reactor.udp_socket(HostId::default(), address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let named = format!("bind a UDP socket to {address}: ");
    assert!(error.to_string().starts_with(&named), "{error}");
}
