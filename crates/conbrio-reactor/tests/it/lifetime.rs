//! Sources, reactors and notifiers go away in any order, on any thread.

use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

use conbrio_reactor::{Cancel, Reactor, Timeout, Token, op, os};

use crate::support::*;

suite!(
    a_reactor_may_go_before_its_sources,
    a_source_may_go_before_its_reactor,
    a_source_may_go_on_another_thread,
    a_source_serves_many_reactors_one_after_the_other,
    a_duplicate_of_a_closed_source_reports_nothing,
    an_fd_that_was_taken_out_reports_nothing,
    dropping_a_reactor_with_a_wait_in_flight_aborts,
    slots_are_used_again,
);

fn a_reactor_may_go_before_its_sources(make: Make) {
    let (left, right) = os::unix_pair().unwrap();
    {
        let reactor = make();
        let ticket = submit(&reactor, &mut op::Readiness::readable(&left), Token(1)).unwrap();
        call_off_idle(&reactor, ticket, Token(1));
    }
    // Its memory may be used again for the next one, which must not take it for the old one.
    for _ in 0..100 {
        let reactor = make();
        assert_eq!(reactor.statistics().sources, 0);
        let mut readable = op::Readiness::readable(&left);
        let ticket = submit(&reactor, &mut readable, Token(1)).unwrap();
        assert_eq!(reactor.statistics().registrations, u64::from(registers(&reactor)));
        call_off_idle(&reactor, ticket, Token(1));
    }
    drop(left);
    drop(right);
}

fn a_source_may_go_before_its_reactor(make: Make) {
    let reactor = make();
    let (left, right) = os::unix_pair().unwrap();
    let ticket = submit(&reactor, &mut op::Readiness::readable(&left), Token(1)).unwrap();
    call_off_idle(&reactor, ticket, Token(1));
    assert_eq!(reactor.statistics().sources, u64::from(registers(&reactor)));
    drop(left);
    assert_eq!(reactor.statistics().sources, 0);
    drop(right);
}

fn a_source_may_go_on_another_thread(make: Make) {
    let reactor = make();
    for _ in 0..200 {
        let (left, right) = os::unix_pair().unwrap();
        let ticket = submit(&reactor, &mut op::Readiness::readable(&left), Token(1)).unwrap();
        call_off_idle(&reactor, ticket, Token(1));
        let closer = thread::spawn(move || drop(left));
        // Polling while it happens.
        let ticket = submit(&reactor, &mut op::Readiness::readable(&right), Token(2)).unwrap();
        let mut completions = Vec::new();
        while completions.is_empty() {
            reactor.poll(Timeout::After(LOST), &mut completions).unwrap();
        }
        // The other end has gone, which is what `right` waited for.
        assert_eq!(completions[0].token, Token(2));
        assert_eq!(reactor.cancel(ticket), Cancel::Done);
        closer.join().unwrap();
    }
    assert_eq!(reactor.statistics().sources, 0);
}

/// More reactors than a recursive release of their entries would survive on a small stack.
fn a_source_serves_many_reactors_one_after_the_other(make: Make) {
    let run = move || {
        let (left, _right) = os::unix_pair().unwrap();
        for _ in 0..2000 {
            let reactor = make();
            let mut readable = op::Readiness::readable(&left);
            let ticket = submit(&reactor, &mut readable, Token(1)).unwrap();
            call_off_idle(&reactor, ticket, Token(1));
        }
    };
    let small = thread::Builder::new().stack_size(64 << 10);
    small.spawn(run).unwrap().join().unwrap();
}

/// Does what a stray event would have to survive: the stream behind `fd` gets data.
fn expect_silence(reactor: &Reactor, act: impl FnOnce()) {
    let (watched, other) = os::unix_pair().unwrap();
    let mut readable = op::Readiness::readable(&watched);
    submit(reactor, &mut readable, Token(77)).unwrap();
    // Its own registration, if there is one, reports that it is writable.
    let timeout = if registers(reactor) { Timeout::After(LOST) } else { Timeout::Now };
    let mut completions = Vec::new();
    reactor.poll(timeout, &mut completions).unwrap();
    assert!(completions.is_empty());
    let before = reactor.statistics().events;
    act();
    assert_eq!(done(reactor.attempt(&mut op::Send::new(&other, b"x"))), 1);
    wait_for(reactor, Token(77));
    assert_eq!(reactor.statistics().events, before + 1, "a closed source reported something");
}

fn a_duplicate_of_a_closed_source_reports_nothing(make: Make) {
    let reactor = make();
    let (left, right) = os::unix_pair().unwrap();
    let ticket = submit(&reactor, &mut op::Readiness::readable(&left), Token(1)).unwrap();
    call_off_idle(&reactor, ticket, Token(1));
    let duplicate = left.as_fd().try_clone_to_owned().unwrap();
    drop(left);
    expect_silence(&reactor, || {
        assert_eq!(rustix::io::write(&right, b"data").unwrap(), 4);
    });
    let mut buffer = [0; 8];
    assert_eq!(rustix::io::read(&duplicate, &mut buffer).unwrap(), 4);
}

fn an_fd_that_was_taken_out_reports_nothing(make: Make) {
    let reactor = make();
    let (left, right) = os::unix_pair().unwrap();
    let ticket = submit(&reactor, &mut op::Readiness::readable(&left), Token(1)).unwrap();
    call_off_idle(&reactor, ticket, Token(1));
    let number = left.as_raw_fd();
    let fd = left.into_fd();
    assert_eq!(fd.as_raw_fd(), number);
    expect_silence(&reactor, || {
        assert_eq!(rustix::io::write(&right, b"data").unwrap(), 4);
    });
    let mut buffer = [0; 8];
    assert_eq!(rustix::io::read(&fd, &mut buffer).unwrap(), 4);
}

fn dropping_a_reactor_with_a_wait_in_flight_aborts(make: Make) {
    if is_child() {
        let reactor = make();
        let (left, _right) = os::unix_pair().unwrap();
        submit(&reactor, &mut op::Readiness::readable(&left), Token(1)).unwrap();
        drop(reactor);
        return;
    }
    let module = make().info().backend;
    let name = format!("lifetime::{module}::dropping_a_reactor_with_a_wait_in_flight_aborts");
    let child = in_child(&name);
    let signal = std::os::unix::process::ExitStatusExt::signal(&child.status);
    assert_eq!(signal, Some(libc::SIGABRT), "{child:?}");
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(said.contains("dropped with 1 waits in flight"), "{said}");
}

fn slots_are_used_again(make: Make) {
    let reactor = make();
    for _ in 0..1000 {
        let (left, _right) = os::unix_pair().unwrap();
        let ticket = submit(&reactor, &mut op::Readiness::readable(&left), Token(1)).unwrap();
        call_off_idle(&reactor, ticket, Token(1));
        assert_eq!(reactor.statistics().sources, u64::from(registers(&reactor)));
        reactor.poll(Timeout::After(Duration::ZERO), &mut Vec::new()).unwrap();
    }
}
