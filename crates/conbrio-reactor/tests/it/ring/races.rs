//! A cancellation and the operation race: whoever wins, no byte and no connection is lost, and none is
//! counted twice. Thousands of times, with the other side on this thread and on another.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use conbrio_reactor::{Attempt, Outcome, Reactor, Source, Token, op, os};
use socket2::SockRef;

use crate::support::*;

ring_suite!(
    receives_against_cancellations_lose_no_byte,
    receives_against_cancellations_and_a_writing_thread_keep_the_order,
    sends_against_cancellations_count_to_the_byte,
    accepts_against_cancellations_lose_no_connection,
    a_receive_that_asks_for_everything_counts_what_came,
    a_cancellation_between_two_attempts_is_not_lost,
    an_untouched_buffer_is_left_after_a_cancellation,
);

const ROUNDS: usize = 4_000;

/// How often each side has won. Both must have, or the test shows nothing.
#[derive(Default)]
struct Score {
    done: usize,
    cancelled: usize,
}

impl Score {
    fn count<T>(&mut self, result: Option<T>) -> Option<T> {
        match &result {
            Some(_) => self.done += 1,
            None => self.cancelled += 1,
        }
        result
    }

    fn assert_both(&self) {
        let Score { done, cancelled } = self;
        assert!(*done > 20 && *cancelled > 20, "{done} done, {cancelled} cancelled");
    }
}

/// Waits a random number of nanoseconds, so that the other side comes before, between, or after.
fn dawdle(chance: &mut Chance, most: usize) {
    for _ in 0..chance.below(most) {
        std::hint::spin_loop();
    }
}

/// Receives once, and calls it off at a random time. `None` if nothing was received.
fn receive(
    reactor: &Reactor,
    from: &Source,
    buffer: &mut [u8],
    chance: &mut Chance,
    meanwhile: impl FnOnce(&mut Chance),
) -> Option<usize> {
    let mut receive = op::Recv::new(from, buffer);
    let ticket = submit(reactor, &mut receive, Token(1)).unwrap();
    if chance.below(4) > 0 {
        // Now the kernel has it.
        let early = poll_now(reactor);
        if let [completion] = &early[..] {
            return Some(conclude(&mut receive, completion.outcome).unwrap().unwrap());
        }
    }
    meanwhile(chance);
    let outcome = call_off(reactor, ticket, Token(1))?;
    Some(conclude(&mut receive, outcome).unwrap().unwrap())
}

fn receives_against_cancellations_lose_no_byte(make: Make) {
    let reactor = make();
    let (ours, mut peer) = real_tcp_and_peer();
    let mut chance = Chance::new(31);
    let (mut sent, mut received) = (0usize, 0usize);
    let mut score = Score::default();
    let mut buffer = [0; 16];
    for _ in 0..ROUNDS {
        let got = receive(&reactor, &ours, &mut buffer, &mut chance, |chance| {
            if chance.below(2) == 0 {
                let message = [sent as u8; 3];
                peer.write_all(&message).unwrap();
                sent += 3;
            }
        });
        received += score.count(got).unwrap_or(0);
    }
    while received < sent {
        received += finish(&reactor, &mut op::Recv::new(&ours, &mut buffer)).unwrap();
    }
    assert_eq!(received, sent);
    score.assert_both();
    assert_eq!(reactor.in_flight(), 0);
}

fn receives_against_cancellations_and_a_writing_thread_keep_the_order(make: Make) {
    let (ours, mut peer) = real_tcp_and_peer();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = &stop;
        let writer = scope.spawn(move || {
            let mut chance = Chance::new(32);
            let mut next = 0u32;
            while !stop.load(Ordering::Relaxed) {
                peer.write_all(&next.to_le_bytes()).unwrap();
                next += 1;
                dawdle(&mut chance, 3_000);
            }
            next
        });
        let reactor = make();
        let mut chance = Chance::new(33);
        let mut score = Score::default();
        let mut stream = Vec::new();
        let mut buffer = [0; 64];
        for _ in 0..ROUNDS {
            let got =
                receive(&reactor, &ours, &mut buffer, &mut chance, |chance| dawdle(chance, 2_000));
            if let Some(count) = score.count(got) {
                assert!(count > 0);
                stream.extend_from_slice(&buffer[..count]);
            }
        }
        stop.store(true, Ordering::Relaxed);
        let sent = writer.join().unwrap();
        while stream.len() < 4 * sent as usize {
            let count = finish(&reactor, &mut op::Recv::new(&ours, &mut buffer)).unwrap();
            stream.extend_from_slice(&buffer[..count]);
        }
        let words = stream.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        assert!(words.eq(0..sent), "the stream is not what was sent");
        println!("{} done, {} cancelled", score.done, score.cancelled);
        assert!(score.done > 50);
    });
}

fn sends_against_cancellations_count_to_the_byte(make: Make) {
    let reactor = make();
    let (ours, mut peer) = real_tcp_and_peer();
    SockRef::from(&ours).set_send_buffer_size(16 << 10).unwrap();
    SockRef::from(&peer).set_recv_buffer_size(16 << 10).unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut chance = Chance::new(34);
    let data: Vec<u8> = (0..1 << 20).map(|at: usize| (at % 251) as u8).collect();
    let mut sink = vec![0; 1 << 20];
    let (mut sent, mut drained) = (0usize, 0usize);
    let mut score = Score::default();
    for _ in 0..ROUNDS {
        // Always the same place of the pattern as the stream has.
        let start = sent % 251;
        let mut send = op::Send::new(&ours, &data[start..start + 200_000]);
        if let Attempt::Done(count) = reactor.attempt(&mut send) {
            sent += count.unwrap();
            continue;
        }
        let ticket = submit(&reactor, &mut send, Token(1)).unwrap();
        // What the peer's kernel has taken meanwhile may have made room already.
        let mut outcome = poll_now(&reactor).first().map(|completion| completion.outcome);
        // Reading a little makes no room, reading on does: it becomes a race.
        for _ in 0..chance.below(40) * chance.below(2) {
            drained += drain(&mut peer, &mut sink, drained);
            outcome = outcome.or(poll_now(&reactor).first().map(|completion| completion.outcome));
        }
        if outcome.is_none() {
            outcome = call_off(&reactor, ticket, Token(1));
        }
        let outcome = score.count(outcome);
        // The ring waits, and the caller sends: what has ended the wait has sent nothing.
        assert!(outcome.is_none_or(|outcome| outcome == Outcome::Ready), "{outcome:?}");
    }
    os::shutdown(&ours, std::net::Shutdown::Write).unwrap();
    peer.set_nonblocking(false).unwrap();
    while let Ok(count @ 1..) = peer.read(&mut sink) {
        check(&sink[..count], drained);
        drained += count;
    }
    assert_eq!(drained, sent);
    score.assert_both();
}

fn drain(peer: &mut TcpStream, sink: &mut [u8], mut at: usize) -> usize {
    let before = at;
    while let Ok(count @ 1..) = peer.read(sink) {
        check(&sink[..count], at);
        at += count;
    }
    at - before
}

fn check(bytes: &[u8], at: usize) {
    assert!(bytes.iter().enumerate().all(|(offset, byte)| *byte == ((at + offset) % 251) as u8));
}

fn accepts_against_cancellations_lose_no_connection(make: Make) {
    let reactor = make();
    let listener = os::tcp_listener(localhost(), os::ListenOptions::default()).unwrap();
    let address = os::local_address(&listener).unwrap();
    let mut chance = Chance::new(35);
    let mut score = Score::default();
    let (mut connected, mut accepted) = (0, 0);
    for _ in 0..1_000 {
        let mut accept = op::Accept::new(&listener);
        let ticket = submit(&reactor, &mut accept, Token(1)).unwrap();
        let mut outcome = poll_now(&reactor).first().map(|completion| completion.outcome);
        let client = (chance.below(2) == 0).then(|| TcpStream::connect(address).unwrap());
        connected += usize::from(client.is_some());
        if outcome.is_none() {
            outcome = call_off(&reactor, ticket, Token(1));
        }
        if let Some(outcome) = score.count(outcome) {
            // The client may have gone, but this is a connection: it has an address.
            let (_source, address) = conclude(&mut accept, outcome).unwrap().unwrap();
            assert_ne!(address.port(), 0);
            accepted += 1;
        }
    }
    while let Attempt::Done(result) = reactor.attempt(&mut op::Accept::new(&listener)) {
        result.unwrap();
        accepted += 1;
    }
    assert_eq!(accepted, connected);
    score.assert_both();
}

/// The matrix of cancellations has this row: what has arrived counts, and is not lost.
fn a_receive_that_asks_for_everything_counts_what_came(make: Make) {
    let reactor = make();
    let (ours, mut peer) = real_tcp_and_peer();
    for _ in 0..200 {
        let mut buffer = [0; 1000];
        let mut receive = WaitAll { inner: op::Recv::new(&ours, &mut buffer) };
        let ticket = submit(&reactor, &mut receive, Token(1)).unwrap();
        assert!(poll_now(&reactor).is_empty());
        peer.write_all(&[5; 300]).unwrap();
        assert!(poll_now(&reactor).is_empty());
        assert_eq!(call_off(&reactor, ticket, Token(1)), Some(Outcome::Done(300)));
        assert!(buffer[..300].iter().all(|byte| *byte == 5) && buffer[300..] == [0; 700]);
    }
}

/// Its readiness has been reported, and it is queued to be tried again: there the kernel does not find it,
/// and then it waits on for the rest.
fn a_cancellation_between_two_attempts_is_not_lost(make: Make) {
    let reactor = make();
    let (ours, mut peer) = real_tcp_and_peer();
    for round in 0..500 {
        let mut buffer = [0; 1000];
        let mut receive = WaitAll { inner: op::Recv::new(&ours, &mut buffer) };
        let is_there_before = round % 2 == 0;
        if is_there_before {
            peer.write_all(&[5; 300]).unwrap();
        }
        let ticket = submit(&reactor, &mut receive, Token(1)).unwrap();
        if !is_there_before {
            assert!(poll_now(&reactor).is_empty());
            peer.write_all(&[5; 300]).unwrap();
        }
        match call_off(&reactor, ticket, Token(1)) {
            Some(outcome) => assert_eq!(outcome, Outcome::Done(300)),
            None => {
                let mut rest = [0; 300];
                assert_eq!(finish(&reactor, &mut op::Recv::new(&ours, &mut rest)).unwrap(), 300);
            }
        }
    }
}

/// A receive with `MSG_WAITALL`.
struct WaitAll<'a> {
    inner: op::Recv<'a>,
}

// SAFETY: everything is the inner operation's, which moves only with this one.
unsafe impl conbrio_reactor::Operation for WaitAll<'_> {
    type Output = usize;
    fn source(&self) -> &Source {
        self.inner.source()
    }
    fn direction(&self) -> conbrio_reactor::Direction {
        self.inner.direction()
    }
    fn try_now(&mut self) -> std::io::Result<usize> {
        self.inner.try_now()
    }
    fn request(&mut self) -> conbrio_reactor::Request {
        let mut request = self.inner.request();
        if let conbrio_reactor::Request::Recv { flags, .. } = &mut request {
            *flags |= libc::MSG_WAITALL as u32;
        }
        request
    }
    unsafe fn complete(&mut self, raw: i32) -> std::io::Result<usize> {
        // SAFETY: the same contract.
        unsafe { self.inner.complete(raw) }
    }
}

/// `Cancelled` means no effect: nothing was written, and what comes later goes to the next receive.
fn an_untouched_buffer_is_left_after_a_cancellation(make: Make) {
    let reactor = make();
    let (ours, mut peer) = real_tcp_and_peer();
    for _ in 0..500 {
        let mut buffer = [0xAA; 32];
        let mut receive = op::Recv::new(&ours, &mut buffer);
        let ticket = submit(&reactor, &mut receive, Token(1)).unwrap();
        poll_now(&reactor);
        call_off_idle(&reactor, ticket, Token(1));
        peer.write_all(b"later").unwrap();
        let mut next = [0; 32];
        assert_eq!(finish(&reactor, &mut op::Recv::new(&ours, &mut next)).unwrap(), 5);
        assert_eq!(buffer, [0xAA; 32], "a cancelled receive wrote");
    }
}
