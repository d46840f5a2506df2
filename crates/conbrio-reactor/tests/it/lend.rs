//! Receives that bring no buffer: a back end lends one when data has arrived, and gets it back.

use std::io::Write as _;
use std::net::Shutdown;

use conbrio_reactor::{Attempt, BUFFER_BYTES, Lent, Reactor, Source, Token, op};

use crate::support::*;

shared_suite!(
    what_is_there_is_lent_at_once,
    what_comes_later_is_lent_when_it_comes,
    an_end_is_an_empty_loan,
    a_cancelled_loan_takes_nothing,
    more_than_a_buffer_comes_in_pieces,
);

pub(crate) fn receive<'a>(reactor: &Reactor, source: &'a Source) -> op::RecvLent<'a> {
    op::RecvLent::new(source, reactor.lender())
}

fn what_is_there_is_lent_at_once(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    for _ in 0..200 {
        peer.write_all(b"some").unwrap();
        let bytes = finish(&reactor, &mut receive(&reactor, &ours)).unwrap();
        assert_eq!(&*bytes, b"some");
    }
}

fn what_comes_later_is_lent_when_it_comes(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    let mut kept: Vec<Lent> = Vec::new();
    // More than a ring has: whoever keeps them all gets ordinary ones in the end.
    for round in 0..200u8 {
        let mut op = receive(&reactor, &ours);
        assert!(matches!(reactor.attempt(&mut op), Attempt::Wait));
        submit(&reactor, &mut op, Token(1)).unwrap();
        assert!(poll_now(&reactor).is_empty());
        peer.write_all(&[round; 3]).unwrap();
        kept.push(finish_wait(&reactor, &mut op, Token(1)).unwrap());
    }
    for (round, bytes) in (0..200u8).zip(&kept) {
        assert_eq!(**bytes, [round; 3]);
    }
}

fn an_end_is_an_empty_loan(make: Make) {
    let reactor = make();
    for waits in [false, true] {
        let (ours, peer) = tcp_and_peer(&reactor);
        let mut op = receive(&reactor, &ours);
        if waits {
            assert!(matches!(reactor.attempt(&mut op), Attempt::Wait));
            submit(&reactor, &mut op, Token(1)).unwrap();
        }
        peer.shutdown(Shutdown::Write).unwrap();
        let bytes = if waits {
            finish_wait(&reactor, &mut op, Token(1)).unwrap()
        } else {
            finish(&reactor, &mut op).unwrap()
        };
        assert!(bytes.is_empty());
    }
}

fn a_cancelled_loan_takes_nothing(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    // Often enough that a buffer that does not come back is missed.
    for _ in 0..200 {
        let mut op = receive(&reactor, &ours);
        let ticket = submit(&reactor, &mut op, Token(1)).unwrap();
        call_off_idle(&reactor, ticket, Token(1));
    }
    peer.write_all(b"still here").unwrap();
    let bytes = finish(&reactor, &mut receive(&reactor, &ours)).unwrap();
    assert_eq!(&*bytes, b"still here");
}

fn more_than_a_buffer_comes_in_pieces(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    let sent: Vec<u8> = (0..3 * BUFFER_BYTES + 7).map(|at| (at % 251) as u8).collect();
    peer.write_all(&sent).unwrap();
    let mut got = Vec::new();
    while got.len() < sent.len() {
        let bytes = finish(&reactor, &mut receive(&reactor, &ours)).unwrap();
        assert!(!bytes.is_empty() && bytes.len() <= BUFFER_BYTES);
        got.extend_from_slice(&bytes);
    }
    assert!(got == sent);
}
