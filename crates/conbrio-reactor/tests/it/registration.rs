//! Registrations follow the task that waits, and what is left behind falls silent.

use std::io::Write as _;
use std::sync::mpsc;
use std::thread;

use conbrio_reactor::{Attempt, Cancel, Outcome, Reactor, Source, Timeout, Token, op, os};

use crate::support::*;

epoll_suite!(
    a_source_is_registered_once_per_reactor,
    what_is_left_behind_falls_silent,
    a_source_that_fell_silent_can_be_waited_for_again,
    a_direction_nobody_uses_falls_silent_and_the_other_goes_on,
    an_edge_before_the_watch_comes_back_is_not_missed,
    what_is_not_watched_is_always_tried,
    falling_silent_while_another_thread_closes_hits_no_other_source,
);

/// One message through `ours`, waited for on this reactor.
fn exchange(reactor: &Reactor, ours: &Source, mut peer: &std::net::TcpStream) {
    let mut buffer = [0; 64];
    let mut receive = op::Recv::new(ours, &mut buffer);
    assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
    submit(reactor, &mut receive, Token(1)).unwrap();
    peer.write_all(b"ping").unwrap();
    assert_eq!(finish_reading(reactor, &mut receive), 4);
}

fn finish_reading(reactor: &Reactor, receive: &mut op::Recv<'_>) -> usize {
    loop {
        assert_eq!(wait_for(reactor, Token(1)), Outcome::Ready);
        match reactor.attempt(receive) {
            Attempt::Done(count) => return count.unwrap(),
            Attempt::Wait => drop(submit(reactor, receive, Token(1)).unwrap()),
        }
    }
}

/// Takes every event that is there, while a wait on another source keeps the poll honest.
fn drain_events(reactor: &Reactor) {
    let (left, _right) = os::unix_pair().unwrap();
    let ticket = submit(reactor, &mut op::Readiness::readable(&left), Token(9)).unwrap();
    let mut completions = Vec::new();
    reactor.poll(Timeout::Now, &mut completions).unwrap();
    assert!(completions.is_empty());
    assert_eq!(reactor.cancel(ticket), Cancel::Done);
}

fn a_source_is_registered_once_per_reactor(make: Make) {
    let (a, b) = (make(), make());
    let (ours, peer) = real_tcp_and_peer();
    for _ in 0..50 {
        exchange(&a, &ours, &peer);
        exchange(&b, &ours, &peer);
        exchange(&b, &ours, &peer);
    }
    assert_eq!(a.statistics().registrations, 1);
    assert_eq!(b.statistics().registrations, 1);
    drop(ours);
    assert_eq!(a.statistics().sources + b.statistics().sources, 0);
}

fn what_is_left_behind_falls_silent(make: Make) {
    let (a, b) = (make(), make());
    let (ours, peer) = real_tcp_and_peer();
    exchange(&a, &ours, &peer);
    drain_events(&a);
    let before = a.statistics();
    for _ in 0..100 {
        exchange(&b, &ours, &peer);
        drain_events(&a);
    }
    let useless = a.statistics().useless_events - before.useless_events;
    // Each drain brings one useless event of its own pair.
    assert!(useless <= 100 + 10, "{useless} events for a stream that has moved away");
    assert_eq!(a.statistics().changes - before.changes, 1);
}

fn a_source_that_fell_silent_can_be_waited_for_again(make: Make) {
    let (a, b) = (make(), make());
    let (ours, peer) = real_tcp_and_peer();
    for _ in 0..5 {
        exchange(&a, &ours, &peer);
        for _ in 0..12 {
            exchange(&b, &ours, &peer);
            drain_events(&a);
        }
    }
    exchange(&a, &ours, &peer);
    // Five times silent, five times back.
    assert_eq!(a.statistics().changes, 5);
    drop(ours);
    assert_eq!(a.statistics().sources, 0);
}

/// A reader here and a writer elsewhere: the writer's edges stop coming here, the reader's do not.
fn a_direction_nobody_uses_falls_silent_and_the_other_goes_on(make: Make) {
    let reactor = make();
    let (left, right) = os::unix_pair().unwrap();
    let mut byte = [0; 1];
    let mut receive = op::Recv::new(&left, &mut byte);
    assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
    submit(&reactor, &mut receive, Token(1)).unwrap();
    // Every message that the peer takes makes `left` writable once more: an edge.
    let mut buffer = [0; 8];
    for _ in 0..50 {
        assert_eq!(rustix::io::write(&left, b"out").unwrap(), 3);
        assert_eq!(rustix::io::read(&right, &mut buffer).unwrap(), 3);
        assert!(poll_now(&reactor).is_empty());
    }
    let statistics = reactor.statistics();
    assert!(statistics.useless_events <= 10, "{statistics:?}");
    assert_eq!(statistics.changes, 1);
    assert_eq!(rustix::io::write(&right, b"!").unwrap(), 1);
    assert_eq!(wait_for(&reactor, Token(1)), Outcome::Ready);
    assert_eq!(done(reactor.attempt(&mut receive)), 1);
    // And the silent direction comes back when somebody waits for it.
    while let Attempt::Done(count) = reactor.attempt(&mut op::Send::new(&left, &[0; 4096])) {
        count.unwrap();
    }
    let mut send = op::Send::new(&left, b"more");
    submit(&reactor, &mut send, Token(2)).unwrap();
    let mut sink = vec![0; 1 << 20];
    while rustix::io::read(&right, &mut sink).is_ok() {}
    assert_eq!(wait_for(&reactor, Token(2)), Outcome::Ready);
    assert_eq!(done(reactor.attempt(&mut send)), 4);
}

fn an_edge_before_the_watch_comes_back_is_not_missed(make: Make) {
    let (a, b) = (make(), make());
    let (ours, mut peer) = real_tcp_and_peer();
    exchange(&a, &ours, &peer);
    for _ in 0..12 {
        exchange(&b, &ours, &peer);
        drain_events(&a);
    }
    let mut buffer = [0; 64];
    let mut receive = op::Recv::new(&ours, &mut buffer);
    assert!(matches!(a.attempt(&mut receive), Attempt::Wait));
    // The bytes arrive between the attempt and the wait, while A watches nothing.
    peer.write_all(b"ping").unwrap();
    submit(&a, &mut receive, Token(1)).unwrap();
    assert_eq!(finish_reading(&a, &mut receive), 4);
}

fn what_is_not_watched_is_always_tried(make: Make) {
    let (a, b) = (make(), make());
    let (ours, mut peer) = real_tcp_and_peer();
    exchange(&a, &ours, &peer);
    for _ in 0..12 {
        exchange(&b, &ours, &peer);
        drain_events(&a);
    }
    let mut buffer = [0; 64];
    let mut receive = op::Recv::new(&ours, &mut buffer);
    for _ in 0..3 {
        peer.write_all(b"ping").unwrap();
        assert_eq!(done(a.attempt(&mut receive)), 4);
        assert!(matches!(a.attempt(&mut receive), Attempt::Wait));
    }
    assert_eq!(a.statistics().changes, 1);
}

/// The reactor stops watching by fd number while another thread closes the source and its number is
/// used again at once. The newcomer must stay watched.
fn falling_silent_while_another_thread_closes_hits_no_other_source(make: Make) {
    let reactor = make();
    let mut chance = Chance::new(5);
    let (send, receive) = mpsc::channel::<Source>();
    thread::scope(|scope| {
        scope.spawn(move || receive.iter().for_each(drop));
        for _ in 0..1500 {
            let (left, right) = os::unix_pair().unwrap();
            let ticket = submit(&reactor, &mut op::Readiness::readable(&left), Token(1)).unwrap();
            assert_eq!(reactor.cancel(ticket), Cancel::Done);
            // Up to the last useless event before the watch ends.
            let mut buffer = [0; 8];
            for _ in 0..7 {
                assert_eq!(rustix::io::write(&left, b"out").unwrap(), 3);
                assert_eq!(rustix::io::read(&right, &mut buffer).unwrap(), 3);
                drain_events(&reactor);
            }
            rustix::io::write(&right, b"last").unwrap();
            send.send(left).unwrap();
            for _ in 0..chance.below(200) {
                std::hint::spin_loop();
            }
            drain_events(&reactor);
            // Its fd number may well be the one that has just been closed.
            let (young, other) = os::unix_pair().unwrap();
            let mut byte = [0; 1];
            let mut read = op::Recv::new(&young, &mut byte);
            assert!(matches!(reactor.attempt(&mut read), Attempt::Wait));
            submit(&reactor, &mut read, Token(2)).unwrap();
            assert_eq!(rustix::io::write(&other, b"!").unwrap(), 1);
            assert_eq!(wait_for(&reactor, Token(2)), Outcome::Ready);
            assert_eq!(done(reactor.attempt(&mut read)), 1);
        }
        drop(send);
    });
    assert_eq!(reactor.statistics().sources, 0);
}
