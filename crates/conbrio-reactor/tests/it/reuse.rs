//! A reused fd number or slot never wakes the wrong token.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc;
use std::thread;

use conbrio_reactor::{
    Attempt, Cancel, Completion, Reactor, Source, Ticket, Timeout, Token, op, os,
};

use crate::support::*;

suite!(
    ten_thousand_random_lives_wake_nobody_wrongly,
    closing_from_another_thread_wakes_nobody_wrongly,
);

/// A source with a wait on it, or just a source, and what must be true of it.
struct Life {
    /// Boxed: the operation below borrows it and the map moves.
    ours: Box<Source>,
    peer: OwnedFd,
    wait: Option<(Token, Ticket)>,
    /// Bytes that are in the socket and not read.
    unread: usize,
}

fn ten_thousand_random_lives_wake_nobody_wrongly(make: Make) {
    for seed in [1, 2, 3] {
        random_lives(&make(), Chance::new(seed), 10_000, drop);
    }
}

fn closing_from_another_thread_wakes_nobody_wrongly(make: Make) {
    let (send, receive) = mpsc::channel::<Source>();
    thread::scope(|scope| {
        scope.spawn(move || receive.iter().for_each(drop));
        let reactor = make();
        random_lives(&reactor, Chance::new(4), 10_000, |source| send.send(source).unwrap());
        drop(send);
    });
}

fn random_lives(reactor: &Reactor, mut chance: Chance, steps: usize, close: impl Fn(Source)) {
    let mut lives: Vec<Life> = Vec::new();
    // Duplicates of closed fds: they keep the open files alive, which would keep a forgotten
    // registration reporting.
    let mut ghosts: Vec<(OwnedFd, OwnedFd)> = Vec::new();
    let mut next_token = 0;
    let mut numbers: HashMap<i32, usize> = HashMap::new();
    for _ in 0..steps {
        match chance.below(10) {
            0..=2 if lives.len() < 12 => {
                let (ours, peer) = os::unix_pair().unwrap();
                *numbers.entry(ours.as_raw_fd()).or_default() += 1;
                let ours = Box::new(ours);
                lives.push(Life { ours, peer: peer.into_fd(), wait: None, unread: 0 });
            }
            3 if !lives.is_empty() => {
                let at = chance.below(lives.len());
                end_wait(reactor, &mut lives, at);
                let life = lives.swap_remove(at);
                if chance.below(3) == 0 {
                    let ghost = rustix::io::fcntl_dupfd_cloexec(&*life.ours, 200).unwrap();
                    ghosts.push((ghost, life.peer));
                }
                close(*life.ours);
                ghosts.drain(..ghosts.len().saturating_sub(8));
            }
            4 if !ghosts.is_empty() => {
                let (_, peer) = &ghosts[chance.below(ghosts.len())];
                let _ = rustix::io::write(peer, b"boo");
            }
            5 if !lives.is_empty() => {
                let at = chance.below(lives.len());
                end_wait(reactor, &mut lives, at);
            }
            6 if !lives.is_empty() => {
                let at = chance.below(lives.len());
                lives[at].unread += rustix::io::write(&lives[at].peer, b"x").unwrap();
            }
            7..=8 if !lives.is_empty() => {
                let at = chance.below(lives.len());
                next_token += 1;
                wait_or_read(reactor, &mut lives[at], Token(next_token));
            }
            _ => absorb(reactor, &mut lives),
        }
    }
    let lived: usize = numbers.values().sum();
    assert!(lived > 2 * numbers.len(), "{lived} sources had {} fd numbers", numbers.len());
    for at in 0..lives.len() {
        end_wait(reactor, &mut lives, at);
    }
    assert_eq!(reactor.in_flight(), 0);
}

fn wait_or_read(reactor: &Reactor, life: &mut Life, token: Token) {
    if life.wait.is_some() {
        return;
    }
    let mut byte = [0; 1];
    let mut receive = op::Recv::new(&life.ours, &mut byte);
    match reactor.attempt(&mut receive) {
        Attempt::Done(count) => {
            assert_eq!(count.unwrap(), 1);
            life.unread -= 1;
        }
        // A wait for readiness: it lends no memory, which this test would have to keep.
        Attempt::Wait => {
            let mut readable = op::Readiness::readable(&life.ours);
            life.wait = Some((token, submit(reactor, &mut readable, token).unwrap()));
        }
    }
}

/// Polls, and checks that exactly those wake who wait and have something.
fn absorb(reactor: &Reactor, lives: &mut [Life]) {
    let due = lives.iter().filter(|life| life.wait.is_some() && life.unread > 0).count();
    let mut completions = Vec::new();
    while completions.len() < due {
        let before = completions.len();
        reactor.poll(Timeout::After(LOST), &mut completions).unwrap();
        assert!(completions.len() > before || due == 0 || before < due);
    }
    reactor.poll(Timeout::Now, &mut completions).unwrap();
    take_in(lives, &completions);
}

fn take_in(lives: &mut [Life], completions: &[Completion]) {
    for completion in completions {
        let life = lives
            .iter_mut()
            .find(|life| matches!(life.wait, Some((t, _)) if t == completion.token));
        let life = life.expect("a token that nobody waits for was woken");
        let is_cancelled = completion.outcome == CANCELLED;
        assert!(is_cancelled || life.unread > 0, "a wait was woken without anything to read");
        life.wait = None;
    }
}

/// Calls off the wait of one life, if it has one; others may end meanwhile.
fn end_wait(reactor: &Reactor, lives: &mut [Life], at: usize) {
    let Some((_, ticket)) = lives[at].wait else {
        return;
    };
    if reactor.cancel(ticket) == Cancel::Done {
        lives[at].wait = None;
    }
    while lives[at].wait.is_some() {
        take_in(lives, &wait_some(reactor));
    }
}
