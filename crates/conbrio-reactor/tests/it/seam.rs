//! The other way to perform an operation: its request, performed by somebody else, completed with
//! the raw result. Here that somebody is a thread that makes the plain system call, as a ring or a
//! simulator would answer.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, RawFd};

use conbrio_reactor::{Operation, Request, op, os};
use socket2::SockAddr;

/// Performs the request with blocking system calls and returns what a completion would carry.
fn perform(fd: RawFd, request: &Request) -> i32 {
    let poll = |events: i16| {
        let mut poll = libc::pollfd { fd, events, revents: 0 };
        // SAFETY: one valid `pollfd`.
        unsafe { libc::poll(&mut poll, 1, 30_000) }
    };
    // SAFETY: the contract of `Operation::request`: the pointers are valid until the completion.
    let result = unsafe {
        match *request {
            Request::Recv { buffer, length, flags } => {
                poll(libc::POLLIN);
                libc::recv(fd, buffer.cast(), length, flags as i32)
            }
            Request::Read { buffer, length } => {
                poll(libc::POLLIN);
                libc::read(fd, buffer.cast(), length)
            }
            Request::ReadVectored { buffers, count } => {
                poll(libc::POLLIN);
                libc::readv(fd, buffers, count as i32)
            }
            Request::Send { buffer, length, flags } => {
                libc::send(fd, buffer.cast(), length, flags as i32)
            }
            Request::Write { buffer, length } => libc::write(fd, buffer.cast(), length),
            Request::SendMessage { message, flags } => libc::sendmsg(fd, message, flags as i32),
            Request::Accept { address, address_length, flags } => {
                poll(libc::POLLIN);
                libc::accept4(fd, address, address_length, flags) as isize
            }
            Request::Connect { address, address_length } => {
                match libc::connect(fd, address, address_length) {
                    -1 if last_error() == libc::EINPROGRESS => {
                        poll(libc::POLLOUT);
                        libc::connect(fd, address, address_length) as isize
                    }
                    result => result as isize,
                }
            }
            Request::Ready { events } => poll(events) as isize,
            ref other => panic!("a request that this test does not know: {other:?}"),
        }
    };
    if result >= 0 {
        return result as i32;
    }
    -last_error()
}

fn last_error() -> i32 {
    std::io::Error::last_os_error().raw_os_error().expect("an errno")
}

fn by_request<O: Operation>(op: &mut O) -> std::io::Result<O::Output> {
    let fd = op.source().as_raw_fd();
    let request = op.request();
    let raw = perform(fd, &request);
    // SAFETY: the result of the request above, once.
    unsafe { op.complete(raw) }
}

#[test]
fn transfers_complete_with_their_counts() {
    let (left, right) = os::unix_pair().unwrap();
    assert_eq!(by_request(&mut op::Send::new(&left, b"hello ")).unwrap(), 6);
    let parts = [IoSlice::new(b"big "), IoSlice::new(b"world")];
    assert_eq!(by_request(&mut op::SendVectored::new(&left, &parts)).unwrap(), 9);
    by_request(&mut op::Readiness::readable(&right)).unwrap();
    let mut buffer = [0; 6];
    assert_eq!(by_request(&mut op::Recv::peek(&right, &mut buffer)).unwrap(), 6);
    assert_eq!(by_request(&mut op::Recv::new(&right, &mut buffer)).unwrap(), 6);
    assert_eq!(&buffer, b"hello ");
    let (mut one, mut two) = ([0; 4], [0; 9]);
    let mut list = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    assert_eq!(by_request(&mut op::RecvVectored::new(&right, &mut list)).unwrap(), 9);
    assert_eq!((&one, &two[..5]), (b"big ", &b"world"[..]));
    let (read, write) = os::pipe().unwrap();
    assert_eq!(by_request(&mut op::Write::new(&write, b"pipe")).unwrap(), 4);
    assert_eq!(by_request(&mut op::Read::new(&read, &mut buffer)).unwrap(), 4);
    drop(left);
    assert_eq!(by_request(&mut op::Recv::new(&right, &mut buffer)).unwrap(), 0);
}

#[test]
fn errors_complete_as_themselves() {
    let (left, right) = os::unix_pair().unwrap();
    drop(right);
    let error = by_request(&mut op::Send::new(&left, b"x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let parts = [IoSlice::new(b"x")];
    let error = by_request(&mut op::SendVectored::new(&left, &parts)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let error = by_request(&mut op::Accept::new(&left)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn connecting_and_accepting_complete_with_fd_and_address() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let address = address.parse().unwrap();
        let Ok(listener) = os::tcp_listener(address, os::ListenOptions::default()) else {
            println!("SKIPPED: {address} cannot be bound on this machine");
            assert!(address.is_ipv6());
            continue;
        };
        let address = os::local_address(&listener).unwrap();
        let client = os::tcp_socket(address).unwrap();
        by_request(&mut op::Connect::new(&client, address)).unwrap();
        let (accepted, peer) = by_request(&mut op::Accept::new(&listener)).unwrap();
        assert_eq!(peer, os::local_address(&client).unwrap());
        assert_eq!(os::peer_address(&accepted).unwrap(), peer);
        // Begun by an attempt, ended by a ring: the request is then to wait, and not to connect.
        let client = os::tcp_socket(address).unwrap();
        let mut connect = op::Connect::new(&client, SockAddr::from(address));
        if connect.try_now().is_err() {
            by_request(&mut connect).unwrap();
        }
        drop(by_request(&mut op::AcceptFd::new(&listener)).unwrap());
    }
}
