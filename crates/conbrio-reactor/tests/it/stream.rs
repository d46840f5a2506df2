//! Bytes arrive whole and in order, whatever the sizes, and no system call is made for nothing.

use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};

use conbrio_reactor::{
    Attempt, Cancel, Completion, Direction, Operation, Outcome, Reactor, Request, Source, Token,
    op, os,
};
use socket2::SockRef;

use crate::support::*;

shared_suite!(
    a_megabyte_goes_both_ways_over_tcp,
    peek_leaves_the_bytes,
    a_short_peek_does_not_hide_the_bytes,
    vectored_transfers_keep_the_order,
    thousands_of_buffers_are_cut_to_what_the_kernel_takes,
    a_full_read_is_followed_by_another,
);

suite!(
    a_megabyte_goes_both_ways_over_unix_sockets,
    a_megabyte_goes_through_a_pipe,
    a_short_read_on_tcp_saves_the_next_system_call,
    a_short_read_at_a_descriptor_is_followed_by_another,
    a_first_read_that_succeeds_registers_nothing,
);

epoll_suite!(an_operation_that_starts_something_is_called_on_a_blocked_source);

const MEGABYTE: usize = 1 << 20;

fn byte(at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8)) as u8
}

/// One direction of a conversation, as a task would hold it.
struct Flow<'a> {
    from: &'a Source,
    to: &'a Source,
    sent: usize,
    received: usize,
    tokens: [Token; 2],
    /// What the waits lend to a ring: the frames of the two tasks.
    data: Vec<u8>,
    buffer: Box<[u8; 3000]>,
}

fn flow<'a>(from: &'a Source, to: &'a Source, tokens: [u64; 2]) -> Flow<'a> {
    let (data, buffer) = (Vec::new(), Box::new([0; 3000]));
    Flow { from, to, sent: 0, received: 0, tokens: tokens.map(Token), data, buffer }
}

impl Flow<'_> {
    /// Sends until it would wait, and then waits. Says whether everything is sent.
    fn send(&mut self, reactor: &Reactor, chance: &mut Chance, outcome: Outcome) -> bool {
        if let Outcome::Done(count) = outcome {
            self.sent += usize::try_from(count).unwrap();
        }
        while self.sent < MEGABYTE {
            let size = (1 + chance.below(5000)).min(MEGABYTE - self.sent);
            self.data = (self.sent..self.sent + size).map(byte).collect();
            let mut send = op::Write::new(self.from, &self.data);
            match reactor.attempt(&mut send) {
                Attempt::Done(count) => self.sent += count.unwrap(),
                Attempt::Wait => {
                    submit(reactor, &mut send, self.tokens[0]).unwrap();
                    return false;
                }
            }
        }
        true
    }

    fn take(&mut self, count: usize) {
        assert!(count > 0, "the stream ended early");
        for (offset, value) in self.buffer[..count].iter().enumerate() {
            assert_eq!(*value, byte(self.received + offset));
        }
        self.received += count;
    }

    fn receive(&mut self, reactor: &Reactor, chance: &mut Chance, outcome: Outcome) -> bool {
        if let Outcome::Done(count) = outcome {
            self.take(usize::try_from(count).unwrap());
        }
        while self.received < MEGABYTE {
            let size = 1 + chance.below(self.buffer.len());
            let mut receive = op::Read::new(self.to, &mut self.buffer[..size]);
            match reactor.attempt(&mut receive) {
                Attempt::Done(count) => self.take(count.unwrap()),
                Attempt::Wait => {
                    submit(reactor, &mut receive, self.tokens[1]).unwrap();
                    return false;
                }
            }
        }
        true
    }
}

fn converse(reactor: &Reactor, flows: &mut [Flow<'_>]) {
    let mut chance = Chance::new(11);
    let mut open = 2 * flows.len();
    let first = |token| Completion { token, outcome: Outcome::Ready };
    let mut runnable: Vec<Completion> =
        flows.iter().flat_map(|flow| flow.tokens).map(first).collect();
    while open > 0 {
        for Completion { token, outcome } in std::mem::take(&mut runnable) {
            let flow = flows.iter_mut().find(|flow| flow.tokens.contains(&token)).unwrap();
            let finished = if flow.tokens[0] == token {
                flow.send(reactor, &mut chance, outcome)
            } else {
                flow.receive(reactor, &mut chance, outcome)
            };
            open -= usize::from(finished);
        }
        if open > 0 {
            runnable.extend(wait_some(reactor));
        }
    }
    assert_eq!(reactor.in_flight(), 0);
}

fn both_ways(reactor: &Reactor, left: &Source, right: &Source) {
    for source in [left, right] {
        // Small, so that both directions wait often. A small receive buffer as well would make TCP
        // crawl: its window opens again only in 40 ms steps.
        SockRef::from(source).set_send_buffer_size(8192).unwrap();
    }
    let mut flows = [flow(left, right, [1, 2]), flow(right, left, [3, 4])];
    converse(reactor, &mut flows);
    assert!(reactor.statistics().submitted > 10, "the buffers were never full");
}

fn a_megabyte_goes_both_ways_over_tcp(make: Make) {
    let reactor = make();
    let (left, right) = tcp_pair(&reactor);
    both_ways(&reactor, &left, &right);
}

fn a_megabyte_goes_both_ways_over_unix_sockets(make: Make) {
    let (left, right) = os::unix_pair().unwrap();
    both_ways(&make(), &left, &right);
}

fn a_megabyte_goes_through_a_pipe(make: Make) {
    let reactor = make();
    let (read, write) = os::pipe().unwrap();
    let mut flows = [flow(&write, &read, [1, 2])];
    converse(&reactor, &mut flows);
}

fn peek_leaves_the_bytes(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    let mut buffer = [0; 8];
    peer.write_all(b"hello").unwrap();
    for _ in 0..3 {
        let count = finish(&reactor, &mut op::Recv::peek(&ours, &mut buffer)).unwrap();
        assert_eq!(&buffer[..count], b"hello");
    }
    assert_eq!(finish(&reactor, &mut op::Recv::new(&ours, &mut buffer)).unwrap(), 5);
}

fn a_short_peek_does_not_hide_the_bytes(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    let mut buffer = [0; 8];
    let mut peek = op::Recv::peek(&ours, &mut buffer);
    assert!(matches!(reactor.attempt(&mut peek), Attempt::Wait));
    submit(&reactor, &mut peek, Token(1)).unwrap();
    peer.write_all(b"hello").unwrap();
    assert_eq!(finish_wait(&reactor, &mut peek, Token(1)).unwrap(), 5);
    // No edge comes for bytes that are there already: this must not be skipped.
    assert_eq!(done(reactor.attempt(&mut op::Recv::new(&ours, &mut buffer))), 5);
}

fn vectored_transfers_keep_the_order(make: Make) {
    let reactor = make();
    let (left, right) = tcp_pair(&reactor);
    let (mut one, mut two) = ([0; 3], [0; 10]);
    let mut list = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    let mut receive = op::RecvVectored::new(&right, &mut list);
    assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
    submit(&reactor, &mut receive, Token(1)).unwrap();
    let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdefg")];
    assert_eq!(finish_send(&reactor, &left, &parts), 7);
    let count = finish_wait(&reactor, &mut receive, Token(1)).unwrap();
    assert_eq!((count, &one, &two[..4]), (7, b"abc", &b"defg"[..]));
}

fn finish_send(reactor: &Reactor, to: &Source, parts: &[IoSlice<'_>]) -> usize {
    done(reactor.attempt(&mut op::SendVectored::new(to, parts)))
}

fn thousands_of_buffers_are_cut_to_what_the_kernel_takes(make: Make) {
    let reactor = make();
    let (left, right) = tcp_pair(&reactor);
    let parts = vec![IoSlice::new(b"x"); 3000];
    assert_eq!(finish_send(&reactor, &left, &parts), 1024);
    let mut bytes = vec![[0u8; 1]; 3000];
    let mut list: Vec<_> = bytes.iter_mut().map(|byte| IoSliceMut::new(byte)).collect();
    let mut receive = op::RecvVectored::new(&right, &mut list);
    assert_eq!(finish(&reactor, &mut receive).unwrap(), 1024);
}

/// Registers the source for reading by waiting once, and brings the reactor to a known state.
fn warm_up(reactor: &Reactor, ours: &Source, mut peer: &Peer) {
    let mut buffer = [0; 1];
    let mut receive = op::Recv::new(ours, &mut buffer);
    assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
    submit(reactor, &mut receive, Token(1)).unwrap();
    peer.write_all(b"w").unwrap();
    assert_eq!(finish_wait(reactor, &mut receive, Token(1)).unwrap(), 1);
}

fn a_short_read_on_tcp_saves_the_next_system_call(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    warm_up(&reactor, &ours, &peer);
    let mut buffer = [0; 64];
    let mut receive = Counted::new(op::Recv::new(&ours, &mut buffer));
    peer.write_all(b"hello").unwrap();
    assert_eq!(finish(&reactor, &mut receive).unwrap(), 5);
    receive.calls = 0;
    assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
    assert_eq!(receive.calls, 0, "asked a socket that a short read had emptied");
    submit(&reactor, &mut receive, Token(1)).unwrap();
    peer.write_all(b"again").unwrap();
    assert_eq!(finish_wait(&reactor, &mut receive, Token(1)).unwrap(), 5);
    // A ring receives it by itself.
    assert_eq!(receive.calls, usize::from(!performs(&reactor)));
}

fn a_full_read_is_followed_by_another(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    warm_up(&reactor, &ours, &peer);
    peer.write_all(b"abcd").unwrap();
    let mut buffer = [0; 2];
    let mut receive = op::Recv::new(&ours, &mut buffer);
    assert_eq!(finish(&reactor, &mut receive).unwrap(), 2);
    assert_eq!(done(reactor.attempt(&mut receive)), 2);
}

/// A Unix stream read ends where a message with descriptors ends, though there is more (unix(7)).
fn a_short_read_at_a_descriptor_is_followed_by_another(make: Make) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    use std::os::fd::AsFd;
    let reactor = make();
    let (left, right) = os::unix_pair().unwrap();
    let mut buffer = [0; 64];
    let mut receive = op::Recv::new(&right, &mut buffer);
    assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
    submit(&reactor, &mut receive, Token(1)).unwrap();
    let fds = [left.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let data = [IoSlice::new(b"abc")];
    rustix::net::sendmsg(&left, &data, &mut control, SendFlags::empty()).unwrap();
    assert_eq!(done(reactor.attempt(&mut op::Send::new(&left, b"def"))), 3);
    assert_eq!(finish_wait(&reactor, &mut receive, Token(1)).unwrap(), 3);
    assert_eq!(finish(&reactor, &mut receive).unwrap(), 3);
    assert_eq!(&buffer[..3], b"def");
}

fn a_first_read_that_succeeds_registers_nothing(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    peer.write_all(b"GET").unwrap();
    let mut buffer = [0; 3];
    let count = finish(&reactor, &mut op::Recv::new(&ours, &mut buffer)).unwrap();
    assert_eq!(finish(&reactor, &mut op::Send::new(&ours, b"200")).unwrap(), count);
    drop(ours);
    peer.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"200");
    let statistics = reactor.statistics();
    assert_eq!((statistics.registrations, statistics.polls, statistics.sources), (0, 0, 0));
}

/// An operation whose first call starts something, as connect does.
struct Starts<'a>(&'a Source, bool);

// SAFETY: the request points to nothing.
unsafe impl Operation for Starts<'_> {
    type Output = ();
    fn source(&self) -> &Source {
        self.0
    }
    fn direction(&self) -> Direction {
        Direction::Write
    }
    fn try_now(&mut self) -> std::io::Result<()> {
        self.1 = true;
        Err(std::io::ErrorKind::WouldBlock.into())
    }
    fn may_skip(&self) -> bool {
        self.1
    }
    fn request(&mut self) -> Request {
        Request::Ready { events: libc::POLLOUT }
    }
    unsafe fn complete(&mut self, _raw: i32) -> std::io::Result<()> {
        Ok(())
    }
}

fn an_operation_that_starts_something_is_called_on_a_blocked_source(make: Make) {
    let reactor = make();
    let (_read, write) = os::pipe().unwrap();
    let fill = |reactor: &Reactor| {
        while let Attempt::Done(count) = reactor.attempt(&mut op::Write::new(&write, &[0; 4096])) {
            count.unwrap();
        }
    };
    fill(&reactor);
    let ticket = submit(&reactor, &mut op::Readiness::writable(&write), Token(1)).unwrap();
    assert_eq!(reactor.cancel(ticket), Cancel::Done);
    fill(&reactor);
    let mut starts = Starts(&write, false);
    assert!(matches!(reactor.attempt(&mut starts), Attempt::Wait));
    assert!(starts.1, "the start was skipped");
    let skipped = reactor.statistics().skipped;
    assert!(matches!(reactor.attempt(&mut starts), Attempt::Wait));
    assert_eq!(reactor.statistics().skipped, skipped + 1);
}
