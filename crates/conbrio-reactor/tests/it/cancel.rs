//! A cancelled wait has no effect and leaves nothing behind.

use std::io::Write as _;

use conbrio_reactor::{Attempt, Cancel, Outcome, Timeout, Token, op, os};

use crate::support::*;

shared_suite!(
    data_after_a_cancelled_wait_goes_to_the_next_attempt,
    a_cancelled_wait_never_completes,
    cancelling_twice_or_after_the_end_changes_nothing,
    a_wait_without_an_attempt_does_not_miss_what_is_there,
    an_early_wait_can_be_cancelled,
);

suite!(an_old_ticket_does_not_end_a_later_wait);

fn data_after_a_cancelled_wait_goes_to_the_next_attempt(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    let mut buffer = [0; 16];
    for _ in 0..100 {
        let mut receive = op::Recv::new(&ours, &mut buffer);
        assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
        let ticket = submit(&reactor, &mut receive, Token(1)).unwrap();
        assert_eq!(reactor.in_flight(), 1);
        call_off_idle(&reactor, ticket, Token(1));
        assert_eq!(reactor.in_flight(), 0);
        peer.write_all(b"complete").unwrap();
        let count = finish(&reactor, &mut op::Recv::new(&ours, &mut buffer)).unwrap();
        assert_eq!(&buffer[..count], b"complete");
    }
    if registers(&reactor) {
        assert_eq!(reactor.statistics().registrations, 1);
    }
}

fn a_cancelled_wait_never_completes(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    let (other, _other_peer) = tcp_and_peer(&reactor);
    let (mut one, mut two) = ([0; 4], [0; 4]);
    let mut receive = op::Recv::new(&ours, &mut one);
    let ticket = submit(&reactor, &mut receive, Token(1)).unwrap();
    call_off_idle(&reactor, ticket, Token(1));
    // Another wait keeps the poll below from being skipped.
    let mut elsewhere = op::Recv::new(&other, &mut two);
    let elsewhere = submit(&reactor, &mut elsewhere, Token(2)).unwrap();
    peer.write_all(b"data").unwrap();
    let before = reactor.statistics().events;
    // The simulated network has delivered it already, and a ring knows nothing of it.
    while registers(&reactor) && reactor.statistics().events == before {
        let mut completions = Vec::new();
        reactor.poll(Timeout::Never, &mut completions).unwrap();
        assert!(completions.is_empty(), "{completions:?}");
    }
    assert!(poll_now(&reactor).is_empty());
    call_off_idle(&reactor, elsewhere, Token(2));
    assert_eq!(finish(&reactor, &mut receive).unwrap(), 4);
}

fn cancelling_twice_or_after_the_end_changes_nothing(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    let mut buffer = [0; 4];
    let mut receive = op::Recv::new(&ours, &mut buffer);
    let ticket = submit(&reactor, &mut receive, Token(1)).unwrap();
    peer.write_all(b"data").unwrap();
    let outcome = wait_for(&reactor, Token(1));
    for _ in 0..2 {
        assert_eq!(reactor.cancel(ticket), Cancel::Done);
        assert_eq!(reactor.in_flight(), 0);
    }
    let result = conclude(&mut receive, outcome);
    assert_eq!(result.unwrap_or_else(|| finish(&reactor, &mut receive)).unwrap(), 4);
    drop(ours);
    assert_eq!(reactor.statistics().sources, 0);
    assert_eq!(reactor.cancel(ticket), Cancel::Done);
}

fn an_old_ticket_does_not_end_a_later_wait(make: Make) {
    let reactor = make();
    let mut old = Vec::new();
    for round in 0..50 {
        // The slot and the fd number are the same in every round.
        let (ours, mut peer) = os_pair();
        let mut buffer = [0; 4];
        for _ in 0..3 {
            let mut receive = op::Recv::new(&ours, &mut buffer);
            assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
            let ticket = submit(&reactor, &mut receive, Token(round)).unwrap();
            for old in &old {
                assert_eq!(reactor.cancel(*old), Cancel::Done);
            }
            assert_eq!(reactor.in_flight(), 1, "an old ticket ended a later wait");
            old.push(ticket);
            peer.write_all(b"data").unwrap();
            assert_eq!(finish_wait(&reactor, &mut receive, Token(round)).unwrap(), 4);
        }
    }
    if registers(&reactor) {
        assert_eq!(reactor.statistics().registrations, 50);
    }
}

fn os_pair() -> (conbrio_reactor::Source, std::os::unix::net::UnixStream) {
    let (ours, peer) = os::unix_pair().unwrap();
    (ours, peer.into_fd().into())
}

/// The edge has been fetched already, so that no event will come: the reactor must know by itself.
fn a_wait_without_an_attempt_does_not_miss_what_is_there(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    let mut buffer = [0; 4];
    let mut receive = op::Recv::new(&ours, &mut buffer);
    for _ in 0..3 {
        peer.write_all(b"data").unwrap();
        submit(&reactor, &mut receive, Token(1)).unwrap();
        if performs(&reactor) {
            assert_eq!(wait_for(&reactor, Token(1)), Outcome::Done(4));
            continue;
        }
        for _ in 0..3 {
            assert_eq!(wait_for(&reactor, Token(1)), Outcome::Ready);
            submit(&reactor, &mut receive, Token(1)).unwrap();
        }
        assert_eq!(finish_wait(&reactor, &mut receive, Token(1)).unwrap(), 4);
    }
}

fn an_early_wait_can_be_cancelled(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    let mut buffer = [0; 4];
    let mut receive = op::Recv::new(&ours, &mut buffer);
    peer.write_all(b"data").unwrap();
    if !performs(&reactor) {
        // The edge has been fetched: every later wait begins too late for it.
        submit(&reactor, &mut receive, Token(9)).unwrap();
        assert_eq!(wait_for(&reactor, Token(9)), Outcome::Ready);
    }
    let mut left = 4;
    for round in 0..3 {
        let ticket = submit(&reactor, &mut receive, Token(round)).unwrap();
        // A ring performs it before it hears of the cancellation: then it counts.
        if let Some(outcome) = call_off(&reactor, ticket, Token(round)) {
            left -= conclude(&mut receive, outcome).unwrap().unwrap();
            peer.write_all(b"more").unwrap();
            left += 4;
        }
    }
    submit(&reactor, &mut receive, Token(3)).unwrap();
    assert_eq!(finish_wait(&reactor, &mut receive, Token(3)).unwrap(), left);
    assert!(poll_now(&reactor).is_empty());
}
