//! What the tests share: back ends to run on, waiting that cannot hang, connected pairs, chance.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use conbrio_reactor::sim::{Network, Options};
use conbrio_reactor::{
    Attempt, Cancel, Choice, Completion, Direction, Operation, Outcome, Reactor, Request, Source,
    Ticket, Timeout, Token,
};

pub(crate) use crate::peer::{Peer, real_tcp_and_peer, tcp_and_peer, tcp_pair};

/// Makes a reactor of the back end under test.
pub(crate) type Make = fn() -> Reactor;

pub(crate) fn epoll() -> Reactor {
    Reactor::new(Choice::Epoll).expect("an epoll reactor")
}

pub(crate) fn uring() -> Reactor {
    Reactor::new(Choice::Uring).expect("an io_uring reactor")
}

/// Runs a test on io_uring, where there is one, and if `CONBRIO_TEST_REACTORS` does not forbid it: valgrind
/// stops all threads while one waits in a ring.
pub(crate) fn on_uring(test: fn(Make)) {
    if std::env::var("CONBRIO_TEST_REACTORS").is_ok_and(|value| value == "epoll") {
        println!("SKIPPED: CONBRIO_TEST_REACTORS is epoll");
        return;
    }
    match Reactor::new(Choice::Uring) {
        Ok(_) => test(uring),
        Err(error) => println!("SKIPPED: {error}"),
    }
}

/// Whether the kernel performs what has been submitted, instead of saying when it may be tried again.
pub(crate) fn performs(reactor: &Reactor) -> bool {
    reactor.info().backend == "uring"
}

/// Whether the reactor registers sources, and counts them.
pub(crate) fn registers(reactor: &Reactor) -> bool {
    reactor.info().backend == "epoll"
}

/// A reactor on a simulated network of its own, on which every decision is the ordinary one.
pub(crate) fn simulated() -> Reactor {
    let network = Network::new(Options::default(), Arc::new(|_: &'static str, _| 0));
    Reactor::simulated(&network).expect("a simulated reactor")
}

/// Instantiates tests that take a `Make` for every back end.
macro_rules! shared_suite {
    ($($name:ident),* $(,)?) => {
        mod on_epoll {
            $(#[test] fn $name() { super::$name(crate::support::epoll) })*
        }
        mod on_uring {
            $(#[test] fn $name() { crate::support::on_uring(super::$name) })*
        }
        mod simulated {
            $(#[test] fn $name() { super::$name(crate::support::simulated) })*
        }
    };
}

/// Instantiates tests that take a `Make` for the back ends that work on fds of the kernel.
macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod epoll {
            $(#[test] fn $name() { super::$name(crate::support::epoll) })*
        }
        mod uring {
            $(#[test] fn $name() { crate::support::on_uring(super::$name) })*
        }
    };
}

/// Instantiates tests of what only epoll has: registrations and readiness bits.
macro_rules! epoll_suite {
    ($($name:ident),* $(,)?) => {
        mod only_epoll {
            $(#[test] fn $name() { super::$name(crate::support::epoll) })*
        }
    };
}

/// After so long without progress a wake has been lost. Far above any load of the machine.
pub(crate) const LOST: Duration = Duration::from_secs(30);

/// Performs the operation as a task would, with this reactor for itself.
pub(crate) fn finish<O: Operation>(reactor: &Reactor, op: &mut O) -> io::Result<O::Output> {
    loop {
        if let Attempt::Done(result) = reactor.attempt(op) {
            return result;
        }
        // SAFETY: `wait_for` returns only when the wait has ended; a panic ends the process's test.
        unsafe { reactor.submit(op, SOLE)? };
        if let Some(result) = conclude(op, wait_for(reactor, SOLE)) {
            return result;
        }
    }
}

/// What the end of the operation's wait has brought, or none if it has to be attempted again.
pub(crate) fn conclude<O: Operation>(
    op: &mut O,
    outcome: Outcome,
) -> Option<io::Result<O::Output>> {
    match outcome {
        Outcome::Ready => None,
        // SAFETY: it is the result of the request that the operation's last `submit` asked for: each
        // caller has just got it for the token of that wait.
        Outcome::Done(raw) => Some(unsafe { op.complete(raw) }),
    }
}

/// Waits for the end of the operation's only wait, and then for the end of the operation.
pub(crate) fn finish_wait<O: Operation>(
    reactor: &Reactor,
    op: &mut O,
    token: Token,
) -> io::Result<O::Output> {
    match conclude(op, wait_for(reactor, token)) {
        Some(result) => result,
        None => finish(reactor, op),
    }
}

/// Calls the only wait in flight off, and waits until nothing of it is pending. Returns its outcome if
/// it was too late.
pub(crate) fn call_off(reactor: &Reactor, ticket: Ticket, token: Token) -> Option<Outcome> {
    if reactor.cancel(ticket) == Cancel::Done {
        return None;
    }
    match wait_for(reactor, token) {
        CANCELLED => None,
        outcome => Some(outcome),
    }
}

/// Calls off a wait that nothing can end meanwhile.
pub(crate) fn call_off_idle(reactor: &Reactor, ticket: Ticket, token: Token) {
    assert_eq!(call_off(reactor, ticket, token), None);
}

pub(crate) const CANCELLED: Outcome = Outcome::Done(-libc::ECANCELED);

/// Polls until the completion of `token`, which is the only one in flight.
pub(crate) fn wait_for(reactor: &Reactor, token: Token) -> Outcome {
    let completions = wait_some(reactor);
    assert_eq!(completions.len(), 1, "{completions:?}");
    assert_eq!(completions[0].token, token);
    completions[0].outcome
}

/// Polls until there are completions.
pub(crate) fn wait_some(reactor: &Reactor) -> Vec<Completion> {
    let start = Instant::now();
    let mut completions = Vec::new();
    while completions.is_empty() {
        if start.elapsed() > LOST {
            // Unwinding would meet waits in flight, and the abort would hide this message.
            eprintln!("a wake-up was lost: {:?}", reactor.statistics());
            std::process::exit(101);
        }
        if let Some(network) = reactor.network() {
            // Nobody else does anything: what has not happened by then never will.
            let Some(next) = network.next_event() else {
                reactor.poll(Timeout::Now, &mut completions).expect("poll");
                if completions.is_empty() {
                    eprintln!("nothing will ever happen: {:?}", network.statistics());
                    std::process::exit(101);
                }
                continue;
            };
            network.advance(next);
        }
        reactor.poll(Timeout::After(LOST), &mut completions).expect("poll");
    }
    completions
}

/// Takes what has completed without sleeping.
pub(crate) fn poll_now(reactor: &Reactor) -> Vec<Completion> {
    let mut completions = Vec::new();
    reactor.poll(Timeout::Now, &mut completions).expect("poll");
    completions
}

/// Begins a wait that the test ends before the operation goes away.
pub(crate) fn submit<O: Operation>(
    reactor: &Reactor,
    op: &mut O,
    token: Token,
) -> io::Result<conbrio_reactor::Ticket> {
    // SAFETY: every test ends its waits before it leaves the operation, or aborts on purpose.
    unsafe { reactor.submit(op, token) }
}

pub(crate) fn done<T>(attempt: Attempt<io::Result<T>>) -> T {
    match attempt {
        Attempt::Done(Ok(value)) => value,
        Attempt::Done(Err(error)) => panic!("the operation failed: {error}"),
        Attempt::Wait => panic!("the operation would wait"),
    }
}

pub(crate) fn localhost() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// xorshift64*: reproducible chance. Vigna, "An experimental exploration of Marsaglia's xorshift
/// generators, scrambled", 2016.
pub(crate) struct Chance(u64);

impl Chance {
    /// The seed is printed when the test fails; `CONBRIO_SEED` replaces it.
    pub(crate) fn new(default: u64) -> Chance {
        let seed = std::env::var("CONBRIO_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(default);
        println!("seed {seed}");
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// An operation that counts its system calls.
pub(crate) struct Counted<O> {
    pub(crate) op: O,
    pub(crate) calls: usize,
}

impl<O> Counted<O> {
    pub(crate) fn new(op: O) -> Counted<O> {
        Counted { op, calls: 0 }
    }
}

// SAFETY: everything is the inner operation's, which moves only with this one.
unsafe impl<O: Operation> Operation for Counted<O> {
    type Output = O::Output;
    fn source(&self) -> &Source {
        self.op.source()
    }
    fn direction(&self) -> Direction {
        self.op.direction()
    }
    fn try_now(&mut self) -> io::Result<O::Output> {
        self.calls += 1;
        self.op.try_now()
    }
    fn may_skip(&self) -> bool {
        self.op.may_skip()
    }
    fn drained(&self, output: &O::Output) -> bool {
        self.op.drained(output)
    }
    fn request(&mut self) -> Request {
        self.op.request()
    }
    unsafe fn complete(&mut self, raw: i32) -> io::Result<O::Output> {
        // SAFETY: the same contract.
        unsafe { self.op.complete(raw) }
    }
}

/// Runs one test of this binary again in a process of its own, where it finds `CONBRIO_CHILD` set:
/// for what would end or cripple this process.
pub(crate) fn in_child(test: &str) -> Output {
    Command::new(std::env::current_exe().expect("our own path"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("CONBRIO_CHILD", "1")
        .output()
        .expect("a child process")
}

pub(crate) fn is_child() -> bool {
    std::env::var_os("CONBRIO_CHILD").is_some()
}

const SOLE: Token = Token(0x5013);
