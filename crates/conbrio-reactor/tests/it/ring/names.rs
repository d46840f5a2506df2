//! A name of an operation is never used again (rule R4): what was meant for one wait hits no other.

use std::io::Write as _;

use conbrio_reactor::{Attempt, Cancel, Outcome, Source, Token, op, os};

use crate::support::*;

ring_suite!(
    a_cancellation_that_is_late_does_not_hit_the_next_wait,
    an_old_ticket_finds_nobody,
    what_would_not_wait_waits_for_readiness,
    a_peer_that_half_closes_does_not_wake_writers,
);

/// The next wait has the same slot, the same fd, the same direction and the same buffer.
fn a_cancellation_that_is_late_does_not_hit_the_next_wait(make: Make) {
    let reactor = make();
    let (ours, mut peer) = real_tcp_and_peer();
    let mut chance = Chance::new(41);
    let mut buffer = [0; 8];
    let mut late = 0;
    for _ in 0..5_000 {
        if chance.below(2) == 0 {
            peer.write_all(b"early").unwrap();
        }
        let mut first = op::Recv::new(&ours, &mut buffer);
        let ticket = submit(&reactor, &mut first, Token(1)).unwrap();
        if chance.below(2) == 0 && !poll_now(&reactor).is_empty() {
            assert_eq!(reactor.cancel(ticket), Cancel::Done);
        } else {
            assert_eq!(reactor.cancel(ticket), Cancel::Pending);
            // Asking again asks nobody twice.
            assert_eq!(reactor.cancel(ticket), Cancel::Pending);
            late += usize::from(wait_for(&reactor, Token(1)) != CANCELLED);
        }
        while let Attempt::Done(count) = reactor.attempt(&mut op::Recv::new(&ours, &mut buffer)) {
            assert!(count.unwrap() > 0);
        }
        let mut second = op::Recv::new(&ours, &mut buffer);
        submit(&reactor, &mut second, Token(2)).unwrap();
        assert_eq!(reactor.cancel(ticket), Cancel::Done);
        assert!(poll_now(&reactor).is_empty(), "the wait was hit by what was meant for another");
        peer.write_all(b"data").unwrap();
        assert_eq!(wait_for(&reactor, Token(2)), Outcome::Done(4));
    }
    assert!(late > 50, "only {late} cancellations were late");
}

fn an_old_ticket_finds_nobody(make: Make) {
    let reactor = make();
    let (left, right) = os::unix_pair().unwrap();
    let mut old = Vec::new();
    let mut byte = [0; 1];
    for _ in 0..100 {
        let mut receive = op::Recv::new(&left, &mut byte);
        let ticket = submit(&reactor, &mut receive, Token(1)).unwrap();
        for old in &old {
            assert_eq!(reactor.cancel(*old), Cancel::Done);
        }
        assert_eq!(done(reactor.attempt(&mut op::Send::new(&right, b"x"))), 1);
        assert_eq!(wait_for(&reactor, Token(1)), Outcome::Done(1));
        old.push(ticket);
    }
}

/// A terminal in non-blocking mode is one of the things that a ring does not wait for: it says that it
/// would block. The wait then goes on as one for readiness, under the same name.
fn what_would_not_wait_waits_for_readiness(make: Make) {
    let reactor = make();
    let (ours, theirs) = terminal();
    let mut buffer = [0; 16];
    for round in 0..50 {
        let mut read = op::Read::new(&ours, &mut buffer);
        assert!(matches!(reactor.attempt(&mut read), Attempt::Wait));
        let ticket = submit(&reactor, &mut read, Token(1)).unwrap();
        assert!(poll_now(&reactor).is_empty());
        if round % 2 == 0 {
            call_off_idle(&reactor, ticket, Token(1));
        } else {
            rustix::io::write(&theirs, b"key\n").unwrap();
            assert!(finish_wait(&reactor, &mut read, Token(1)).unwrap() > 0);
            while let Attempt::Done(count) = reactor.attempt(&mut read) {
                count.unwrap();
            }
        }
    }
    assert_eq!(reactor.in_flight(), 0);
}

/// The terminal's own side, in non-blocking mode, and the side of whoever types.
fn terminal() -> (Source, std::os::fd::OwnedFd) {
    use std::os::fd::{FromRawFd as _, OwnedFd};
    let (mut master, mut slave) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: both numbers are written by the call, and nothing else is asked for.
    let result =
        unsafe { libc::openpty(&raw mut master, &raw mut slave, null, null.cast(), null.cast()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the call has made both, and nobody else owns them.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    rustix::io::ioctl_fionbio(&slave, true).unwrap();
    (Source::new(slave), master)
}

/// The kernel reports the end of the other direction to everybody; a writer must sleep on, cost nothing,
/// and wake when there is room. No kernel thread may do its waiting.
/// In a process of its own, where no other test has such a thread.
fn a_peer_that_half_closes_does_not_wake_writers(make: Make) {
    if !is_child() {
        let name = "a_peer_that_half_closes_does_not_wake_writers";
        let child = in_child(&format!("ring::names::on_a_ring::{name}"));
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{child:?}");
        return;
    }
    let reactor = make();
    for (round, is_send) in [(0, false), (1, true), (2, false), (3, true)] {
        let (ours, peer) = real_tcp_and_peer();
        let data = vec![0; 65536];
        let mut filled = 0;
        while let Attempt::Done(count) = reactor.attempt(&mut op::Send::new(&ours, &data)) {
            filled += count.unwrap();
        }
        let half_close = || peer.shutdown(std::net::Shutdown::Write).unwrap();
        if round < 2 {
            half_close();
        }
        let (mut send, mut writable) =
            (op::Send::new(&ours, &data), op::Readiness::writable(&ours));
        let submit_one = |send: &mut op::Send<'_>, writable: &mut op::Readiness<'_>| match is_send {
            true => submit(&reactor, send, Token(1)).unwrap(),
            false => submit(&reactor, writable, Token(1)).unwrap(),
        };
        let ticket = submit_one(&mut send, &mut writable);
        let expect_silence = || {
            for _ in 0..300 {
                assert!(poll_now(&reactor).is_empty(), "woken without room");
            }
        };
        expect_silence();
        half_close_late(round, half_close);
        expect_silence();
        call_off_idle(&reactor, ticket, Token(1));
        submit_one(&mut send, &mut writable);
        expect_silence();
        let polls = reactor.statistics().polls;
        expect_silence();
        assert!(reactor.statistics().polls <= polls + 1, "it does not sleep");
        assert_eq!(kernel_threads(), 0, "a kernel thread waits in our place");
        let mut sink = vec![0; 1 << 20];
        while filled > 0 {
            filled -= std::io::Read::read(&mut &peer, &mut sink).unwrap();
        }
        match wait_for(&reactor, Token(1)) {
            Outcome::Ready => assert!(is_send),
            Outcome::Done(events) => assert!(!is_send && events & i32::from(libc::POLLOUT) != 0),
        }
    }
}

fn half_close_late(round: usize, half_close: impl FnOnce()) {
    if round >= 2 {
        half_close();
    }
}

/// Threads of the kernel that work for our rings.
fn kernel_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
    };
    tasks.map(name).filter(|name| name.starts_with("iou-wrk")).count()
}
