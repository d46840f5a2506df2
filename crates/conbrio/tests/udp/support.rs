//! What the suites share.

pub(crate) use crate::reactors::reactors;
use std::net::SocketAddr;

use conbrio::Builder;
use conbrio::net::UdpSocket;
use conbrio::prelude::*;

/// Runs a test on one worker, and on two, on each reactor that the machine has.
#[track_caller]
pub(crate) fn on_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for reactor in reactors() {
        for workers in [1, 2] {
            Builder::new().workers(workers).reactor(reactor).run(|cx| test(cx)).unwrap();
        }
    }
}

/// The same, and on the simulated network.
#[track_caller]
pub(crate) fn everywhere(test: impl Fn(&mut Cx) + Send + Sync) {
    conbrio::testing::run(|cx| test(cx));
    on_workers(test);
}

/// A socket, and where it is.
pub(crate) fn udp(cx: &mut Cx) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(cx, "127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
