//! More operations than the queues hold: none is lost, none is answered twice.

use std::collections::HashSet;

use conbrio_reactor::{
    Cancel, Completion, Operation as _, Outcome, Reactor, Source, Ticket, Token, op, os,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::*;

ring_suite!(
    more_submissions_than_the_queue_holds_all_begin,
    more_completions_than_the_queue_holds_all_arrive,
    more_cancellations_than_the_queue_holds_all_arrive,
    more_cancellations_of_what_is_ready_than_the_queue_holds_all_end,
    a_poll_without_news_makes_no_system_call,
    one_poll_hands_over_everything_and_fetches_everything,
);

/// Three times the completion queue, twelve times the submission queue.
const MANY: usize = 3 * 1024;

/// Many sources of one pipe: a byte makes all of them ready at once.
fn many_ends() -> (Vec<Source>, Source) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(1 << 16, |maximum| maximum.min(1 << 16));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
    let (read, write) = os::pipe().unwrap();
    let ends = (0..MANY).map(|_| read.try_clone().expect("raise `ulimit -n` to 8192")).collect();
    (ends, write)
}

fn submit_all(reactor: &Reactor, ends: &[Source]) -> Vec<Ticket> {
    let submit_one = |(at, end): (usize, &Source)| {
        // A wait for readiness lends no memory, so that the operation may go.
        submit(reactor, &mut op::Readiness::readable(end), Token(at as u64)).unwrap()
    };
    ends.iter().enumerate().map(submit_one).collect()
}

/// Polls until everything has ended; each token once.
fn collect(reactor: &Reactor) -> Vec<Completion> {
    let mut all = Vec::new();
    while reactor.in_flight() > 0 {
        all.extend(wait_some(reactor));
    }
    let tokens: HashSet<u64> = all.iter().map(|completion| completion.token.0).collect();
    assert_eq!((all.len(), tokens.len()), (MANY, MANY));
    all
}

fn more_submissions_than_the_queue_holds_all_begin(make: Make) {
    let reactor = make();
    let (ends, write) = many_ends();
    submit_all(&reactor, &ends);
    assert_eq!(reactor.in_flight(), MANY);
    assert!(poll_now(&reactor).is_empty());
    assert_eq!(finish(&reactor, &mut op::Write::new(&write, b"x")).unwrap(), 1);
    for completion in collect(&reactor) {
        let ready = i32::from(libc::POLLIN);
        assert!(matches!(completion.outcome, Outcome::Done(events) if events & ready != 0));
    }
}

fn more_completions_than_the_queue_holds_all_arrive(make: Make) {
    let reactor = make();
    let (ends, write) = many_ends();
    assert_eq!(finish(&reactor, &mut op::Write::new(&write, b"x")).unwrap(), 1);
    for _ in 0..5 {
        // They are ready: the kernel answers while it takes them, which nobody fetches meanwhile.
        submit_all(&reactor, &ends);
        collect(&reactor);
    }
    // The bell still rings after the flood.
    reactor.notifier().notify();
    let before = reactor.statistics().notified;
    while reactor.statistics().notified == before {
        reactor.poll(conbrio_reactor::Timeout::After(LOST), &mut Vec::new()).unwrap();
    }
}

fn more_cancellations_than_the_queue_holds_all_arrive(make: Make) {
    let reactor = make();
    let (ends, _write) = many_ends();
    for handed_over in [true, false] {
        let tickets = submit_all(&reactor, &ends);
        if handed_over {
            assert!(poll_now(&reactor).is_empty());
        }
        for ticket in tickets {
            assert_eq!(reactor.cancel(ticket), Cancel::Pending);
        }
        for completion in collect(&reactor) {
            assert_eq!(completion.outcome, CANCELLED);
        }
    }
}

/// What is ready is between two attempts when it is called off, and is not found there.
fn more_cancellations_of_what_is_ready_than_the_queue_holds_all_end(make: Make) {
    let reactor = make();
    let pairs: Vec<_> = (0..MANY / 4).map(|_| os::unix_pair().unwrap()).collect();
    let mut bytes = vec![[0u8; 1]; pairs.len()];
    let mut receives: Vec<_> =
        pairs.iter().zip(&mut bytes).map(|((left, _), byte)| op::Recv::new(left, byte)).collect();
    for handed_over in [true, false] {
        let mut tickets = Vec::new();
        for (at, receive) in receives.iter_mut().enumerate() {
            tickets.push(submit(&reactor, receive, Token(at as u64)).unwrap());
        }
        if handed_over {
            assert!(poll_now(&reactor).is_empty());
        }
        for (_, right) in &pairs {
            assert_eq!(done(reactor.attempt(&mut op::Send::new(right, b"z"))), 1);
        }
        for ticket in tickets {
            let _ = reactor.cancel(ticket);
        }
        let (mut ended, mut taken) = (0, 0);
        while ended < pairs.len() {
            for completion in wait_some(&reactor) {
                ended += 1;
                taken += usize::from(completion.outcome == Outcome::Done(1));
            }
        }
        assert_eq!((ended, reactor.in_flight()), (pairs.len(), 0));
        // What was not taken is still there.
        let mut left = 0;
        for (ours, _) in &pairs {
            let mut byte = [0; 1];
            let mut receive = op::Recv::new(ours, &mut byte);
            left += usize::from(matches!(receive.try_now(), Ok(1)));
        }
        assert_eq!(taken + left, pairs.len());
    }
}

fn a_poll_without_news_makes_no_system_call(make: Make) {
    let reactor = make();
    let (left, right) = os::unix_pair().unwrap();
    let mut byte = [0; 1];
    let mut receive = op::Recv::new(&left, &mut byte);
    submit(&reactor, &mut receive, Token(1)).unwrap();
    assert!(poll_now(&reactor).is_empty());
    let polls = reactor.statistics().polls;
    for _ in 0..1_000 {
        assert!(poll_now(&reactor).is_empty());
    }
    assert_eq!(reactor.statistics().polls, polls);
    // And it hears of news without asking.
    assert_eq!(done(reactor.attempt(&mut op::Send::new(&right, b"x"))), 1);
    let mut polled = 0;
    while poll_now(&reactor).is_empty() {
        polled += 1;
        assert!(polled < 1_000_000, "the news never came");
    }
    assert_eq!(reactor.in_flight(), 0);
}

fn one_poll_hands_over_everything_and_fetches_everything(make: Make) {
    let reactor = make();
    let pairs: Vec<_> = (0..100).map(|_| os::unix_pair().unwrap()).collect();
    let mut bytes = vec![[0u8; 1]; pairs.len()];
    let mut receives: Vec<_> =
        pairs.iter().zip(&mut bytes).map(|((left, _), byte)| op::Recv::new(left, byte)).collect();
    for (at, receive) in receives.iter_mut().enumerate() {
        submit(&reactor, receive, Token(at as u64)).unwrap();
    }
    for (_, right) in &pairs {
        assert_eq!(done(reactor.attempt(&mut op::Send::new(right, b"y"))), 1);
    }
    let mut completions = Vec::new();
    while completions.len() < pairs.len() {
        completions.extend(wait_some(&reactor));
    }
    assert!(completions.iter().all(|completion| completion.outcome == Outcome::Done(1)));
    // The kernel answers twenty at a time, and more if it is not waited for.
    assert!(reactor.statistics().polls <= 10, "{:?}", reactor.statistics());
    drop(receives);
    assert!(bytes.iter().all(|byte| byte == b"y"));
}
