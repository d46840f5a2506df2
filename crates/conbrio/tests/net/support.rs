//! What the suites share.

pub(crate) use crate::alone::in_a_process_of_its_own;
pub(crate) use crate::trial::was_cancelled;
use std::net::SocketAddr;
use std::time::Duration;

use conbrio::Builder;
use conbrio::io::Error;
use conbrio::net::Resolve;
use conbrio::prelude::*;

use crate::reactors::reactors;

/// The result of everything in these tests.
pub(crate) type Io<T = ()> = std::io::Result<T>;

/// Runs a test on one worker, and on two, on each reactor that the machine has.
#[track_caller]
pub(crate) fn on_workers(test: impl Fn(&mut Cx) -> Io + Send + Sync) {
    for reactor in reactors() {
        for workers in [1, 2] {
            let runtime = Builder::new().workers(workers).reactor(reactor);
            runtime.run(|cx| test(cx)).unwrap().unwrap();
        }
    }
}

/// The error of what was to fail, but not for a cancellation.
pub(crate) trait Failed {
    fn failed(self) -> std::io::Error;
}

impl<T: std::fmt::Debug> Failed for Result<T, Error> {
    #[track_caller]
    fn failed(self) -> std::io::Error {
        self.expect_err("it was to fail").into_failed().expect("it was not cancelled")
    }
}

/// A resolver that knows one name, and takes its time.
pub(crate) struct Slow(pub(crate) &'static str, pub(crate) Vec<SocketAddr>);

impl Resolve for Slow {
    fn resolve(&self, cx: &mut Cx, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        cx.sleep(SHORT)?;
        if host != self.0 {
            let message = format!("resolve {host:?}: I only know {}", self.0);
            return Err(std::io::Error::new(std::io::ErrorKind::NotFound, message).into());
        }
        let with_port = |address: &SocketAddr| SocketAddr::new(address.ip(), port);
        Ok(self.1.iter().map(with_port).collect())
    }
}

pub(crate) const SHORT: Duration = Duration::from_millis(1);

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
