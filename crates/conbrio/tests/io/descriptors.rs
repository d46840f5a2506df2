//! What happens when the limit of open files is reached. In a process of its own, whose limit it is.

use std::io::ErrorKind;

use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals};
use conbrio::testing::settle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{
    CUSHION, exhaust, in_a_process_of_its_own, listener, on_workers, open_descriptors, refusing,
};

// spec: test_highlevel_socket.SocketListener_accept_errors
#[test]
fn no_descriptor_left() {
    in_a_process_of_its_own("descriptors::no_descriptor_left", || {
        let hard = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum: hard }).unwrap();
        on_workers(|cx| {
            let mut listener = listener(cx);
            let address = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(cx, address).unwrap();
            client.write_all(cx, b"patient").unwrap();
            settle(cx, CUSHION).unwrap();
            let files = exhaust();
            for _ in 0..3 {
                let error = listener.accept(cx).unwrap_err().into_failed().unwrap();
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            }
            let error = TcpStream::connect(cx, address).unwrap_err().into_failed().unwrap();
            assert!(error.to_string().contains(&address.to_string()), "{error}");
            let _ = TcpListener::bind(cx, "127.0.0.1:0").unwrap_err();
            listener.try_clone().unwrap_err();
            Signals::new(&[Signal::USER1]).unwrap_err();
            drop(files);
            // The connection was not lost, and everything works again.
            let (mut stream, peer) = listener.accept(cx).unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            let mut buf = [0; 7];
            stream.read_exact(cx, &mut buf).unwrap();
            assert_eq!(&buf, b"patient");
            TcpStream::connect(cx, address).unwrap();
            // A half-made one leaves nothing behind.
            let error = Signals::new(&[Signal::USER1, Signal::from_raw(9999)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        });
    });
}

// No descriptor is lost.
// spec: N17
#[test]
fn everything_that_was_opened_is_closed() {
    in_a_process_of_its_own("descriptors::everything_that_was_opened_is_closed", || {
        on_workers(|cx| {
            // The first time may open what stays, such as the threads for name resolution.
            for round in 0..3 {
                let before = open_descriptors();
                let mut listener = listener(cx);
                let address = listener.local_addr().unwrap();
                let left = TcpStream::connect(cx, address).unwrap();
                let (right, _) = listener.accept(cx).unwrap();
                let (reader, writer) = left.into_split();
                drop(reader);
                drop(writer);
                let right = TcpStream::from_std(right.into_std().unwrap()).unwrap();
                let clone = listener.try_clone().unwrap();
                let signals = Signals::new(&[Signal::USER2, Signal::HANGUP]).unwrap();
                Signals::new(&[Signal::USER1, Signal::from_raw(libc::SIGKILL)]).unwrap_err();
                let (guard, address) = refusing();
                let refused = TcpStream::connect(cx, address);
                let _ = refused.unwrap_err();
                drop((listener, right, clone, signals, guard));
                if round > 0 {
                    assert_eq!(open_descriptors(), before);
                }
            }
        });
    });
}
