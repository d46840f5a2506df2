//! Waking a poll from other threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use conbrio_reactor::{Notifier, Timeout};

use crate::support::*;

suite!(
    a_notification_before_the_poll_ends_it,
    a_notification_during_the_poll_ends_it,
    many_notifications_make_one_wake,
    no_notification_of_four_threads_is_lost,
    a_notifier_outlives_its_reactor,
    a_notification_ends_one_poll_only,
);

fn a_notification_before_the_poll_ends_it(make: Make) {
    let reactor = make();
    reactor.notifier().notify();
    let start = Instant::now();
    reactor.poll(Timeout::After(LOST), &mut Vec::new()).unwrap();
    assert!(start.elapsed() < LOST);
    assert_eq!(reactor.statistics().notified, 1);
}

fn a_notification_during_the_poll_ends_it(make: Make) {
    let (send, receive) = mpsc::channel::<Notifier>();
    let poller = thread::spawn(move || {
        let reactor = make();
        send.send(reactor.notifier()).unwrap();
        let start = Instant::now();
        while reactor.statistics().notified == 0 {
            assert!(start.elapsed() < LOST, "the notification was lost");
            reactor.poll(Timeout::After(LOST), &mut Vec::new()).unwrap();
        }
    });
    receive.recv().unwrap().notify();
    poller.join().unwrap();
}

fn many_notifications_make_one_wake(make: Make) {
    let reactor = make();
    let notifier = reactor.notifier();
    for round in 1..=10 {
        for _ in 0..1000 {
            notifier.notify();
        }
        reactor.poll(Timeout::Never, &mut Vec::new()).unwrap();
        assert_eq!(reactor.statistics().notified, round);
        assert_eq!(reactor.statistics().polls, round);
    }
}

/// Each thread hands something over and waits until it has been taken: with one lost wake, the
/// poller sleeps although there is something, and its long timeout shows it.
fn no_notification_of_four_threads_is_lost(make: Make) {
    const THREADS: usize = 4;
    const ROUNDS: usize = 2_500;
    let reactor = make();
    let inbox: [AtomicBool; THREADS] = Default::default();
    let taken: [AtomicUsize; THREADS] = Default::default();
    thread::scope(|scope| {
        for (inbox, taken) in inbox.iter().zip(&taken) {
            let notifier = reactor.notifier();
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    inbox.store(true, Ordering::Release);
                    notifier.notify();
                    while taken.load(Ordering::Acquire) == round {
                        thread::yield_now();
                    }
                }
            });
        }
        let mut total = 0;
        while total < THREADS * ROUNDS {
            let start = Instant::now();
            reactor.poll(Timeout::After(LOST), &mut Vec::new()).unwrap();
            if start.elapsed() >= LOST {
                eprintln!("a notification was lost after {total} rounds");
                std::process::exit(101);
            }
            for (inbox, taken) in inbox.iter().zip(&taken) {
                if inbox.swap(false, Ordering::AcqRel) {
                    total += 1;
                    taken.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
    });
    assert!(reactor.statistics().notified <= (THREADS * ROUNDS) as u64);
}

fn a_notifier_outlives_its_reactor(make: Make) {
    let reactor = make();
    let notifier = reactor.notifier();
    drop(reactor);
    for _ in 0..10 {
        notifier.notify();
        notifier.clone().notify();
    }
    // Nor does it reach a reactor that came after.
    let later = make();
    let start = Instant::now();
    later.poll(Timeout::After(Duration::from_millis(2)), &mut Vec::new()).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(2));
    assert_eq!(later.statistics().notified, 0);
}

fn a_notification_ends_one_poll_only(make: Make) {
    let reactor = make();
    reactor.notifier().notify();
    reactor.poll(Timeout::Never, &mut Vec::new()).unwrap();
    let start = Instant::now();
    let span = Duration::from_millis(2);
    reactor.poll(Timeout::After(span), &mut Vec::new()).unwrap();
    assert!(start.elapsed() >= span);
}
