//! What the suites share.

pub(crate) use crate::alone::in_a_process_of_its_own;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::settle;
use conbrio::{Builder, MaybeCancelled, Reactor};
use socket2::{Domain, Socket, Type};

/// Runs a test on one worker, and on two, on each reactor that the machine has.
#[track_caller]
pub(crate) fn on_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for reactor in reactors() {
        for workers in [1, 2] {
            Builder::new().workers(workers).reactor(reactor).run(|cx| test(cx)).unwrap();
        }
    }
}

pub(crate) fn reactors() -> impl Iterator<Item = Reactor> {
    let uring = match Builder::new().workers(1).reactor(Reactor::Uring).run(|_| ()) {
        Ok(()) => Some(Reactor::Uring),
        Err(error) => {
            println!("SKIPPED on io_uring: {error}");
            None
        }
    };
    std::iter::once(Reactor::Epoll).chain(uring)
}

/// A listener that nobody else knows.
pub(crate) fn listener(cx: &mut Cx) -> TcpListener {
    TcpListener::bind(cx, "127.0.0.1:0").unwrap()
}

/// An address that refuses connections: it is taken by a socket that does not listen.
pub(crate) fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Two ends of a connection.
pub(crate) fn pair(cx: &mut Cx) -> (TcpStream, TcpStream) {
    let mut listener = listener(cx);
    let address = listener.local_addr().unwrap();
    let left = TcpStream::connect(cx, address).unwrap();
    let (right, _) = listener.accept(cx).unwrap();
    (left, right)
}

/// Runs `f` until it ends, or until it waits and everything has come to rest, and cancels it there.
pub(crate) fn cancel_if_blocked<R: Send, E: Send>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> Result<R, E> + Send,
) -> Result<R, E> {
    let (outcome, has_ended) = (Mutex::new(None), AtomicBool::new(false));
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        n.spawn(|cx| {
            *outcome.lock().unwrap() = Some(f(cx));
            has_ended.store(true, Ordering::SeqCst);
            Ok(())
        });
        settle(cx, CUSHION)?;
        if !has_ended.load(Ordering::SeqCst) {
            n.cancel();
        }
        Ok(())
    })
    .unwrap();
    outcome.into_inner().unwrap().expect("it has ended")
}

/// Runs `f` until it waits and everything has come to rest, cancels it there, and returns its error, which
/// must be a cancellation.
#[track_caller]
pub(crate) fn cancel_when_blocked<R, E>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> Result<R, E> + Send,
) -> E
where
    R: std::fmt::Debug + Send,
    E: MaybeCancelled + std::fmt::Debug + Send,
{
    let error = cancel_if_blocked(cx, f).expect_err("it was to wait");
    assert!(error.cancelled().is_some(), "it was to be cancelled");
    error
}

/// Calls `f` in a scope that is cancelled already, and returns its error, which must be the cancellation.
#[track_caller]
pub(crate) fn cancelled_before<R, E>(cx: &mut Cx, f: impl FnOnce(&mut Cx) -> Result<R, E>) -> E
where
    R: std::fmt::Debug,
    E: MaybeCancelled,
{
    let mut seen = None;
    let outcome = cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
        scope.cancel();
        seen = Some(f(cx));
        Ok(())
    });
    assert!(matches!(outcome, Ok(Some(()))));
    let error = seen.unwrap().unwrap_err();
    assert!(error.cancelled().is_some(), "it was to be cancelled");
    error
}

/// Bytes that show where they were lost, doubled or exchanged.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Spins until `flag` is set by a task on another worker.
pub(crate) fn wait_for_other_worker(flag: &AtomicBool) {
    while !flag.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
}

/// Loopback delivers at once; this is for the threads on the way.
pub(crate) const CUSHION: Duration = Duration::from_millis(3);

/// How many descriptors this process has.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
