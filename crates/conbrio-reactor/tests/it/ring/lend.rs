//! The buffers that a ring takes by itself: too few of them, called off, and after the end.

use conbrio_reactor::{Choice, Outcome, Reactor, RingOptions, Token, op, os};

use crate::lend::receive;
use crate::support::*;

ring_suite!(
    who_finds_no_buffer_left_gets_the_data_all_the_same,
    buffers_that_were_called_off_come_back,
    a_loan_may_outlive_its_reactor,
);

/// A ring with two buffers, and room for two entries.
fn small() -> Reactor {
    let options = RingOptions::new().entries(2).buffers(2);
    Reactor::with_ring(Choice::Uring, options).expect("an io_uring reactor")
}

/// Twenty connections have data at once, and the ring has two buffers.
fn who_finds_no_buffer_left_gets_the_data_all_the_same(_: Make) {
    let reactor = small();
    let pairs: Vec<_> = (0..20).map(|_| os::unix_pair().unwrap()).collect();
    for round in 0..50u8 {
        let mut ops: Vec<_> = pairs.iter().map(|(ours, _)| receive(&reactor, ours)).collect();
        for (at, op) in (0..).zip(&mut ops) {
            submit(&reactor, op, Token(at)).unwrap();
        }
        assert!(poll_now(&reactor).is_empty());
        for (at, (_, peer)) in (0..).zip(&pairs) {
            assert_eq!(finish(&reactor, &mut op::Send::new(peer, &[round, at])).unwrap(), 2);
        }
        let (mut ended, mut loans, mut others) = (0, Vec::new(), 0);
        while ended < ops.len() {
            for completion in wait_some(&reactor) {
                ended += 1;
                let at = completion.token.0 as usize;
                match conclude(&mut ops[at], completion.outcome) {
                    Some(bytes) => loans.push((at, bytes.unwrap())),
                    // It finds it with a buffer that is not the ring's.
                    None => {
                        others += 1;
                        loans.push((at, done(reactor.attempt(&mut ops[at]))));
                    }
                }
            }
        }
        assert_eq!(reactor.in_flight(), 0);
        assert!(others >= ops.len() - 2, "{others} found no buffer");
        for (at, bytes) in &loans {
            assert_eq!(**bytes, [round, *at as u8]);
        }
    }
}

/// Data and cancellation at the same time, many times: the ring has both of its buffers afterwards.
fn buffers_that_were_called_off_come_back(_: Make) {
    let reactor = small();
    let (ours, peer) = os::unix_pair().unwrap();
    let (mut taken, mut cancelled) = (0, 0);
    let mut chance = Chance::new(0x1e4d);
    for _ in 0..2_000 {
        let mut op = receive(&reactor, &ours);
        let ticket = submit(&reactor, &mut op, Token(1)).unwrap();
        if chance.below(2) == 0 {
            assert!(poll_now(&reactor).is_empty());
        }
        assert_eq!(finish(&reactor, &mut op::Send::new(&peer, b"x")).unwrap(), 1);
        match call_off(&reactor, ticket, Token(1)) {
            Some(outcome) => {
                let bytes = conclude(&mut op, outcome).map(Result::unwrap);
                let bytes = bytes.unwrap_or_else(|| done(reactor.attempt(&mut op)));
                assert_eq!(&*bytes, b"x");
                taken += 1;
            }
            None => {
                cancelled += 1;
                // What was not taken is still there.
                assert_eq!(&*finish(&reactor, &mut op).unwrap(), b"x");
            }
        }
        assert_eq!(reactor.in_flight(), 0);
    }
    println!("{taken} taken, {cancelled} cancelled");
    // Both buffers are with the kernel again: two loans at once are of the ring.
    let (second, second_peer) = os::unix_pair().unwrap();
    let mut ops = [receive(&reactor, &ours), receive(&reactor, &second)];
    for (at, op) in (0..).zip(&mut ops) {
        submit(&reactor, op, Token(at)).unwrap();
    }
    for peer in [&peer, &second_peer] {
        assert_eq!(finish(&reactor, &mut op::Send::new(peer, b"y")).unwrap(), 1);
    }
    let mut loans = Vec::new();
    while loans.len() < 2 {
        for completion in wait_some(&reactor) {
            assert!(matches!(completion.outcome, Outcome::Done(_)), "a buffer is missing");
            let op = &mut ops[completion.token.0 as usize];
            loans.push(conclude(op, completion.outcome).unwrap().unwrap());
        }
    }
}

/// The memory of a loan belongs to the loan.
fn a_loan_may_outlive_its_reactor(make: Make) {
    let reactor = make();
    let (ours, peer) = os::unix_pair().unwrap();
    let mut op = receive(&reactor, &ours);
    submit(&reactor, &mut op, Token(1)).unwrap();
    assert_eq!(finish(&reactor, &mut op::Send::new(&peer, b"kept")).unwrap(), 4);
    let bytes = finish_wait(&reactor, &mut op, Token(1)).unwrap();
    drop(reactor);
    assert_eq!(&*bytes, b"kept");
    drop((op, bytes));
}
