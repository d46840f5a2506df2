//! How long a poll sleeps.

use std::time::{Duration, Instant};

use conbrio_reactor::{Timeout, Token, op, os};

use crate::support::*;

suite!(
    a_poll_never_ends_before_its_time,
    a_fraction_of_a_millisecond_is_kept,
    now_does_not_sleep,
    now_with_nothing_in_flight_makes_no_system_call,
    the_longest_timeouts_are_taken,
    what_is_ready_comes_before_the_timeout,
);

fn a_poll_never_ends_before_its_time(make: Make) {
    let reactor = make();
    for micros in [0, 1, 10, 100, 500, 999, 1000, 1001, 2500, 10_000] {
        let span = Duration::from_micros(micros);
        let start = Instant::now();
        reactor.poll(Timeout::After(span), &mut Vec::new()).unwrap();
        assert!(start.elapsed() >= span, "{span:?} took {:?}", start.elapsed());
    }
}

/// Where the kernel counts in nanoseconds, the shortest of many short sleeps is short.
fn a_fraction_of_a_millisecond_is_kept(make: Make) {
    let reactor = make();
    if !reactor.info().reason.contains("nanoseconds") {
        println!("SKIPPED: this kernel counts in milliseconds");
        return;
    }
    let span = Duration::from_micros(50);
    let shortest = (0..200).map(|_| {
        let start = Instant::now();
        reactor.poll(Timeout::After(span), &mut Vec::new()).unwrap();
        start.elapsed()
    });
    let shortest = shortest.min().unwrap();
    assert!(shortest >= span && shortest < Duration::from_micros(900), "{shortest:?}");
}

fn now_does_not_sleep(make: Make) {
    let reactor = make();
    let (left, _right) = os::unix_pair().unwrap();
    let ticket = submit(&reactor, &mut op::Readiness::readable(&left), Token(1)).unwrap();
    for _ in 0..100 {
        assert!(poll_now(&reactor).is_empty());
    }
    // A ring shows in its memory that there is nothing: only the first one hands the wait over.
    let polls = if performs(&reactor) { 1 } else { 100 };
    assert_eq!(reactor.statistics().polls, polls);
    call_off_idle(&reactor, ticket, Token(1));
}

fn now_with_nothing_in_flight_makes_no_system_call(make: Make) {
    let reactor = make();
    reactor.notifier().notify();
    assert!(poll_now(&reactor).is_empty());
    assert_eq!(reactor.statistics().polls, 0);
    // The notification is kept for the poll that sleeps.
    reactor.poll(Timeout::Never, &mut Vec::new()).unwrap();
    assert_eq!(reactor.statistics().notified, 1);
}

fn the_longest_timeouts_are_taken(make: Make) {
    let reactor = make();
    for span in
        [Duration::MAX, Duration::from_secs(u64::from(u32::MAX)), Duration::from_secs(1 << 40)]
    {
        reactor.notifier().notify();
        reactor.poll(Timeout::After(span), &mut Vec::new()).unwrap();
    }
    assert_eq!(reactor.statistics().notified, 3);
}

fn what_is_ready_comes_before_the_timeout(make: Make) {
    let reactor = make();
    let (left, right) = os::unix_pair().unwrap();
    let mut readable = op::Readiness::readable(&left);
    submit(&reactor, &mut readable, Token(1)).unwrap();
    done(reactor.attempt(&mut op::Send::new(&right, b"x")));
    let start = Instant::now();
    let mut completions = Vec::new();
    reactor.poll(Timeout::After(LOST), &mut completions).unwrap();
    assert_eq!(completions.len(), 1);
    assert!(start.elapsed() < LOST);
    done(reactor.attempt(&mut readable));
}
