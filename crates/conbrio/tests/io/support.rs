//! What the suites share.

pub(crate) use crate::alone::in_a_process_of_its_own;
pub(crate) use crate::cancelling::{
    CUSHION, cancel_if_blocked, cancel_when_blocked, cancelled_before,
};
pub(crate) use crate::on_workers::on_workers;
pub(crate) use crate::open_files::{exhaust, open_descriptors};
pub(crate) use crate::pattern::pattern;
pub(crate) use crate::reactors::reactors;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use conbrio::prelude::*;
use socket2::{Domain, Socket, Type};

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

/// Spins until `flag` is set by a task on another worker.
pub(crate) fn wait_for_other_worker(flag: &AtomicBool) {
    while !flag.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
}
