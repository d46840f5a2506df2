//! What the suites share.

use std::sync::Mutex;
use std::time::Duration;

use conbrio::net::{OwnedReadHalf, OwnedWriteHalf};
use conbrio::prelude::*;
use conbrio::testing::{MockClock, settle};
use conbrio::{Builder, MaybeCancelled};

/// Runs a test on one worker, and on two, in virtual time.
#[track_caller]
pub(crate) fn on_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for workers in [1, 2] {
        in_virtual_time(workers, |cx| test(cx));
    }
}

/// Runs a test whose waits that nobody ends take no time.
#[track_caller]
pub(crate) fn in_virtual_time(workers: usize, test: impl FnOnce(&mut Cx) + Send) {
    let clock = MockClock::new().autojump(Duration::ZERO);
    Builder::new().workers(workers).clock(clock).run(test).unwrap();
}

/// Runs a test with the network, which takes real time.
#[track_caller]
pub(crate) fn with_network(test: impl Fn(&mut Cx) + Send + Sync) {
    for workers in [1, 2] {
        Builder::new().workers(workers).run(|cx| test(cx)).unwrap();
    }
}

/// Two ends of a connection.
pub(crate) fn tcp(cx: &mut Cx) -> (TcpStream, TcpStream) {
    let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let left = TcpStream::connect(cx, address).unwrap();
    let (right, _) = listener.accept(cx).unwrap();
    (left, right)
}

/// One direction of a connection, as halves; the other direction is closed.
pub(crate) fn tcp_halves(cx: &mut Cx) -> (OwnedWriteHalf, OwnedReadHalf) {
    let (left, right) = tcp(cx);
    (left.into_split().1, right.into_split().0)
}

/// Runs `f` until it waits and everything has come to rest, and cancels it there.
pub(crate) fn cancel_at_rest<T: Send>(cx: &mut Cx, f: impl FnOnce(&mut Cx) -> T + Send) -> T {
    let result = Mutex::new(None);
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        n.spawn(|cx| {
            let value = f(cx);
            *result.lock().unwrap() = Some(value);
            Ok(())
        });
        settle(cx, Duration::ZERO)?;
        n.cancel();
        Ok(())
    })
    .unwrap();
    result.into_inner().unwrap().expect("it has ended")
}

/// The error of `f` in a scope that is cancelled already, which must be the cancellation.
#[track_caller]
pub(crate) fn cancelled_before<R: std::fmt::Debug, E: MaybeCancelled>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> Result<R, E>,
) -> E {
    let mut seen = None;
    cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
        scope.cancel();
        seen = Some(f(cx));
        Ok(())
    })
    .unwrap();
    let error = seen.unwrap().unwrap_err();
    assert!(error.cancelled().is_some(), "it was to be cancelled");
    error
}
