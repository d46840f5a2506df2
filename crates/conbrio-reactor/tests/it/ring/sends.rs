//! Sends that are left to the ring: after a poll that has ended many waits, or always, if so asked.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use conbrio_reactor::{Attempt, Choice, Outcome, Reactor, RingOptions, Token, op, os};

use crate::support::*;

ring_suite!(
    a_single_wait_leaves_sends_to_the_task,
    sends_after_a_batch_are_handed_over_together,
    a_send_without_room_waits_and_goes_on,
    a_send_to_a_reset_connection_is_an_error,
    what_was_called_off_was_sent_whole_or_not_at_all,
    a_wait_for_room_is_not_taken_for_a_send,
);

/// A ring that all sends go through.
fn always() -> Reactor {
    Reactor::with_ring(Choice::Uring, RingOptions::new().batch(0)).expect("an io_uring reactor")
}

fn a_single_wait_leaves_sends_to_the_task(make: Make) {
    let reactor = make();
    let (ours, mut peer) = real_tcp_and_peer();
    let mut buffer = [0; 8];
    for _ in 0..3 {
        let mut receive = op::Recv::new(&ours, &mut buffer);
        submit(&reactor, &mut receive, Token(1)).unwrap();
        peer.write_all(b"question").unwrap();
        assert_eq!(finish_wait(&reactor, &mut receive, Token(1)).unwrap(), 8);
        assert_eq!(done(reactor.attempt(&mut op::Send::new(&ours, b"answer"))), 6);
        peer.read_exact(&mut [0; 6]).unwrap();
    }
}

fn sends_after_a_batch_are_handed_over_together(make: Make) {
    const MANY: usize = 8;
    let reactor = make();
    let (sources, mut peers): (Vec<_>, Vec<_>) = (0..MANY).map(|_| real_tcp_and_peer()).unzip();
    // There is room: all of these end with the poll that hands them over.
    let mut waits: Vec<_> = sources.iter().map(op::Readiness::writable).collect();
    for (at, wait) in (0..).zip(&mut waits) {
        submit(&reactor, wait, Token(at)).unwrap();
    }
    assert_eq!(poll_now(&reactor).len(), MANY);
    let before = reactor.statistics().polls;
    let mut sends: Vec<_> = sources.iter().map(|source| op::Send::new(source, b"gone")).collect();
    for (at, send) in (0..).zip(&mut sends) {
        assert!(matches!(reactor.attempt(send), Attempt::Wait));
        submit(&reactor, send, Token(at)).unwrap();
    }
    let completions = poll_now(&reactor);
    assert_eq!((completions.len(), reactor.statistics().polls - before), (MANY, 1));
    assert!(completions.iter().all(|completion| completion.outcome == Outcome::Done(4)));
    for peer in &mut peers {
        let mut said = [0; 4];
        peer.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"gone");
    }
}

fn a_send_without_room_waits_and_goes_on(_: Make) {
    let reactor = always();
    let (ours, mut peer) = real_tcp_and_peer();
    let data = vec![7; 1 << 20];
    let mut sent = 0;
    let mut was_called_off = false;
    // Until nothing fits any more; what comes after it has to wait.
    while !was_called_off {
        let mut send = op::Send::new(&ours, &data);
        assert!(matches!(reactor.attempt(&mut send), Attempt::Wait));
        let ticket = submit(&reactor, &mut send, Token(1)).unwrap();
        let outcome = match poll_now(&reactor).first() {
            Some(completion) => Some(completion.outcome),
            None => call_off(&reactor, ticket, Token(1)),
        };
        was_called_off = outcome.is_none();
        // The system may have made room meanwhile.
        let result = outcome.and_then(|outcome| conclude(&mut send, outcome));
        sent += result.map_or(0, Result::unwrap);
    }
    let mut send = op::Send::new(&ours, b"the end");
    submit(&reactor, &mut send, Token(2)).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all
    });
    assert_eq!(finish_wait(&reactor, &mut send, Token(2)).unwrap(), 7);
    drop(ours);
    let all = reader.join().unwrap();
    assert_eq!(all.len(), sent + 7);
    assert!(all[..sent].iter().all(|byte| *byte == 7) && all.ends_with(b"the end"));
}

fn a_send_to_a_reset_connection_is_an_error(_: Make) {
    let reactor = always();
    let (ours, peer) = real_tcp_and_peer();
    finish(&reactor, &mut op::Send::new(&ours, b"unread")).unwrap();
    drop(peer);
    let error = loop {
        match finish(&reactor, &mut op::Send::new(&ours, b"more")) {
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    let number = error.raw_os_error();
    assert!(matches!(number, Some(libc::EPIPE | libc::ECONNRESET)), "{error}");
}

fn what_was_called_off_was_sent_whole_or_not_at_all(_: Make) {
    let reactor = always();
    let (ours, mut peer) = real_tcp_and_peer();
    let mut chance = Chance::new(0x5e9d);
    let mut expected = Vec::new();
    for round in 0..2_000u32 {
        let message = round.to_le_bytes();
        let mut send = op::Send::new(&ours, &message);
        assert!(matches!(reactor.attempt(&mut send), Attempt::Wait));
        let ticket = submit(&reactor, &mut send, Token(1)).unwrap();
        // Handed over, or still in the queue.
        if chance.below(2) == 0 {
            let completions = poll_now(&reactor);
            if let [completion] = completions[..] {
                assert_eq!(completion.outcome, Outcome::Done(4));
                expected.extend(message);
                continue;
            }
        }
        if let Some(outcome) = call_off(&reactor, ticket, Token(1)) {
            assert_eq!(conclude(&mut send, outcome).unwrap().unwrap(), 4);
            expected.extend(message);
        }
    }
    os::shutdown(&ours, Shutdown::Write).unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert!(all == expected, "{} bytes, {} expected", all.len(), expected.len());
}

/// An attempt that is not followed by its submission leaves nothing for whoever submits next.
fn a_wait_for_room_is_not_taken_for_a_send(_: Make) {
    let reactor = always();
    let (ours, mut peer) = real_tcp_and_peer();
    assert!(matches!(reactor.attempt(&mut op::Send::new(&ours, b"not sent")), Attempt::Wait));
    let mut ready = op::Readiness::writable(&ours);
    submit(&reactor, &mut ready, Token(1)).unwrap();
    finish_wait(&reactor, &mut ready, Token(1)).unwrap();
    drop(ours);
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert!(all.is_empty());
}
