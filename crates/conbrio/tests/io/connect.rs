//! Connecting, and addresses.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use conbrio::io::Error;
use conbrio::net::{ConnectOptions, ListenOptions, ToAddrs, resolve};
use conbrio::prelude::*;

use crate::support::{
    cancel_if_blocked, cancelled_before, in_a_process_of_its_own, listener, on_workers,
    open_descriptors, pair, refusing,
};

// spec: test_socket.SocketType_connect_paths, test_socket.address_in_socket_error
#[test]
fn a_refusal_names_the_address() {
    on_workers(|cx| {
        let (_guard, address) = refusing();
        let error = TcpStream::connect(cx, address).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.starts_with(&format!("connect to {address}: ")), "{text}");
        assert_eq!(text.matches(&address.to_string()).count(), 1, "{text}");
    });
}

// spec: test_highlevel_open_tcp_stream.one_host_failed_after_connect, test_highlevel_open_tcp_stream.all_fail
#[test]
fn addresses_are_tried_in_order() {
    on_workers(|cx| {
        let mut listener = listener(cx);
        let good = listener.local_addr().unwrap();
        let ((_guard, first), (_another, second)) = (refusing(), refusing());
        let stream = TcpStream::connect(cx, [first, second, good]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert_eq!(listener.accept(cx).unwrap().1, stream.local_addr().unwrap());

        let error = TcpStream::connect(cx, vec![first, second]).unwrap_err();
        let error = error.into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        for address in [first, second] {
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
    });
}

// spec: test_highlevel_open_tcp_stream.no_hosts
#[test]
fn no_address_at_all_is_an_error() {
    on_workers(|cx| {
        let error = TcpStream::connect(cx, &[][..]).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = TcpListener::bind(cx, &[][..]).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

// spec: test_socket.SocketType_connect_paths, test_highlevel_open_tcp_stream.cancel
#[test]
fn a_cancelled_connect_closes_its_socket() {
    in_a_process_of_its_own("connect::a_cancelled_connect_closes_its_socket", || {
        on_workers(|cx| {
            let listener = ListenOptions::new().backlog(0).bind(cx, "127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            // Nobody accepts: when the queue is full the system drops the packets that ask for a
            // connection, and connecting waits.
            let mut connected = Vec::new();
            let (error, before) = loop {
                assert!(connected.len() < 64, "a queue of length 0 takes connections without end");
                let before = open_descriptors();
                match cancel_if_blocked(cx, |cx| TcpStream::connect(cx, address)).0 {
                    Ok(stream) => connected.push(stream),
                    Err(error) => break (error, before),
                }
            };
            assert!(error.cancelled().is_some(), "{error}");
            assert_eq!(open_descriptors(), before);
        });
    });
}

// spec: test_socket.SocketType_connect_paths
#[test]
fn a_connect_that_was_cancelled_before_begins_nothing() {
    on_workers(|cx| {
        let mut listener = listener(cx);
        let address = listener.local_addr().unwrap();
        let _ = cancelled_before(cx, |cx| TcpStream::connect(cx, address));
        let stream = TcpStream::connect(cx, address).unwrap();
        // The first in the queue is the second attempt.
        assert_eq!(listener.accept(cx).unwrap().1, stream.local_addr().unwrap());
        let _ = cancelled_before(cx, |cx| TcpListener::bind(cx, "127.0.0.1:0"));
        let _ = cancelled_before(cx, |cx| resolve(cx, "127.0.0.1:0"));
        let _ = cancelled_before(cx, |cx| resolve(cx, "localhost:0"));
    });
}

// spec: test_highlevel_open_tcp_stream.local_address_real
#[test]
fn a_local_address_is_used() {
    on_workers(|cx| {
        let mut listener = listener(cx);
        let address = listener.local_addr().unwrap();
        let local = SocketAddr::from(([127, 0, 0, 3], 0));
        let stream = ConnectOptions::new().local_address(local).connect(cx, address).unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), local.ip());
        assert_eq!(listener.accept(cx).unwrap().1, stream.local_addr().unwrap());
        // One that is not of this machine is named.
        let foreign = SocketAddr::from(([192, 0, 2, 1], 0));
        let error = ConnectOptions::new().local_address(foreign).connect(cx, address);
        let error = error.unwrap_err().into_failed().unwrap();
        assert!(error.to_string().contains("192.0.2.1"), "{error}");
    });
}

/// Only written down: nothing listens there.
const PORT: u16 = 80;

// spec: test_socket.SocketType_resolve, test_socket.getaddrinfo
#[test]
fn every_form_of_an_address_is_understood() {
    on_workers(|cx| {
        let four = SocketAddr::from(([127, 0, 0, 1], PORT));
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, PORT));
        let (SocketAddr::V4(v4), SocketAddr::V6(v6)) = (four, six) else { unreachable!() };
        assert_eq!(resolve(cx, four).unwrap(), [four]);
        assert_eq!(resolve(cx, v4).unwrap(), [four]);
        assert_eq!(resolve(cx, v6).unwrap(), [six]);
        assert_eq!(resolve(cx, (IpAddr::V4(Ipv4Addr::LOCALHOST), PORT)).unwrap(), [four]);
        assert_eq!(resolve(cx, (Ipv4Addr::LOCALHOST, PORT)).unwrap(), [four]);
        assert_eq!(resolve(cx, (Ipv6Addr::LOCALHOST, PORT)).unwrap(), [six]);
        assert_eq!(resolve(cx, ("127.0.0.1", PORT)).unwrap(), [four]);
        assert_eq!(resolve(cx, ("::1", PORT)).unwrap(), [six]);
        assert_eq!(resolve(cx, (String::from("::1"), PORT)).unwrap(), [six]);
        assert_eq!(resolve(cx, format!("127.0.0.1:{PORT}").as_str()).unwrap(), [four]);
        assert_eq!(resolve(cx, format!("[::1]:{PORT}")).unwrap(), [six]);
        assert_eq!(resolve(cx, format!("[::1]:{PORT}")).unwrap(), [six]);
        assert_eq!(resolve(cx, &[four, six][..]).unwrap(), [four, six]);
        let named = resolve(cx, format!("localhost:{PORT}")).unwrap();
        assert!(named.contains(&four) || named.contains(&six), "{named:?}");
        assert_eq!(resolve(cx, ("localhost", PORT)).unwrap(), named);
    });
}

#[test]
fn a_literal_address_does_not_wake_a_thread() {
    on_workers(|cx| {
        // A literal is made in place: the task keeps its turn, so that a sibling sees nothing of it.
        let turns = Cell::new(0);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn_local(cx, |_| {
                turns.set(turns.get() + 1);
                Ok(())
            });
            resolve(cx, format!("127.0.0.1:{PORT}").as_str()).unwrap();
            resolve(cx, ("::1", PORT)).unwrap();
            assert_eq!(turns.get(), 0, "it gave way");
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn what_is_no_address_is_named() {
    on_workers(|cx| {
        // tidy: allow(ports) no port at all: the number is too large
        for wrong in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999", "host:port", "[::1]"] {
            let error = TcpStream::connect(cx, wrong).unwrap_err().into_failed().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}: {error}");
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
    });
}

// spec: test_socket.resolve_address_exception_in_connect_closes_socket
#[test]
fn a_name_that_does_not_exist_is_named() {
    on_workers(|cx| {
        // A name with a NUL is refused before any server is asked.
        let error = resolve(cx, "nul\0byte:80").unwrap_err().into_failed().unwrap();
        assert!(error.to_string().starts_with("resolve \"nul\\0byte\": "), "{error}");
        let error = TcpStream::connect(cx, ("nul\0byte", 80)).unwrap_err().into_failed().unwrap();
        assert!(error.to_string().starts_with("resolve \"nul\\0byte\": "), "{error}");
    });
}

// spec: test_socket.custom_hostname_resolver
#[test]
fn a_resolver_of_ones_own_may_wait() {
    struct Ask<'a>(RefCell<&'a mut TcpStream>);

    impl ToAddrs for Ask<'_> {
        fn to_addrs(&self, cx: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
            let mut answer = [0; 2];
            self.0.borrow_mut().read_exact(cx, &mut answer)?;
            Ok(vec![(Ipv4Addr::LOCALHOST, u16::from_be_bytes(answer)).into()])
        }
    }

    on_workers(|cx| {
        let listener = listener(cx);
        let port = listener.local_addr().unwrap().port();
        let (mut server, mut client) = pair(cx);
        server.write_all(cx, &port.to_be_bytes()).unwrap();
        let stream = TcpStream::connect(cx, Ask((&mut client).into())).unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
    });
}
