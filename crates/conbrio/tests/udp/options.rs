//! Options of UDP sockets and TCP streams: they are what was set, and do what they say.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use conbrio::net::{UdpOptions, UdpSocket};
use conbrio::prelude::*;

use crate::support::{on_workers, udp};

#[test]
fn options_are_what_was_set() {
    on_workers(|cx| {
        let (socket, _) = udp(cx);
        assert!(!socket.broadcast().unwrap());
        socket.set_broadcast(true).unwrap();
        assert!(socket.broadcast().unwrap());
        socket.set_ttl(42).unwrap();
        assert_eq!(socket.ttl().unwrap(), 42);
        socket.set_multicast_ttl_v4(3).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 3);
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        socket.set_send_buffer_size(20_000).unwrap();
        assert!(socket.send_buffer_size().unwrap() >= 20_000);
        socket.set_recv_buffer_size(20_000).unwrap();
        assert!(socket.recv_buffer_size().unwrap() >= 20_000);

        let six = UdpSocket::bind(cx, "[::1]:0").unwrap();
        six.set_ttl(9).unwrap();
        assert_eq!(six.ttl().unwrap(), 9);
        six.set_multicast_hops_v6(4).unwrap();
        assert_eq!(six.multicast_hops_v6().unwrap(), 4);
        six.set_multicast_loop_v6(false).unwrap();
        assert!(!six.multicast_loop_v6().unwrap());
    });
}

#[test]
fn options_of_streams_are_what_was_set() {
    on_workers(|cx| {
        let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(cx, listener.local_addr().unwrap()).unwrap();
        listener.accept(cx).unwrap();
        assert_eq!(stream.user_timeout().unwrap(), None);
        stream.set_user_timeout(Some(Duration::from_millis(1500))).unwrap();
        assert_eq!(stream.user_timeout().unwrap(), Some(Duration::from_millis(1500)));
        stream.set_user_timeout(None).unwrap();
        assert_eq!(stream.user_timeout().unwrap(), None);
        for on in [false, true] {
            stream.set_quickack(on).unwrap();
            assert_eq!(stream.quickack().unwrap(), on);
        }
        stream.set_keepalive(Some(Duration::from_secs(20))).unwrap();
        stream.set_keepalive_probes(Duration::from_secs(5), 3).unwrap();
        let socket = socket2::SockRef::from(&stream);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(20));
        stream.set_send_buffer_size(50_000).unwrap();
        stream.set_recv_buffer_size(50_000).unwrap();
        assert!(stream.send_buffer_size().unwrap() >= 50_000);
        assert!(stream.recv_buffer_size().unwrap() >= 50_000);
    });
}

#[test]
fn an_address_is_shared_by_those_who_want_to() {
    on_workers(|cx| {
        let (_alone, address) = udp(cx);
        let error = UdpSocket::bind(cx, address).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        for options in [UdpOptions::new().reuse_address(true), UdpOptions::new().reuse_port(true)] {
            let first = options.bind(cx, "127.0.0.1:0").unwrap();
            options.bind(cx, first.local_addr().unwrap()).unwrap();
        }
        // One for IPv6 alone leaves the port of IPv4 free.
        let six = UdpOptions::new().only_v6(true).bind(cx, "[::]:0").unwrap();
        let port = six.local_addr().unwrap().port();
        UdpSocket::bind(cx, (Ipv4Addr::UNSPECIFIED, port)).unwrap();
    });
}

#[test]
fn members_of_a_group_get_what_is_sent_to_it() {
    on_workers(|cx| {
        // An address of this process only, so that concurrent runs do not meet.
        let id = std::process::id().to_le_bytes();
        let group = Ipv4Addr::new(239, 255, id[0], id[1]);
        let interface = Ipv4Addr::LOCALHOST;
        let options = UdpOptions::new().reuse_address(true);
        let mut one = options.bind(cx, "0.0.0.0:0").unwrap();
        let port = one.local_addr().unwrap().port();
        let mut two = options.bind(cx, (Ipv4Addr::UNSPECIFIED, port)).unwrap();
        for member in [&one, &two] {
            member.join_multicast_v4(group, interface).unwrap();
            assert!(member.join_multicast_v4(group, interface).is_err(), "it was joined twice");
        }
        let (mut sender, from) = udp(cx);
        sender.set_multicast_interface_v4(interface).unwrap();
        let to = SocketAddr::from((group, port));
        sender.send_to(cx, b"all", to).unwrap();
        let mut buf = [0; 8];
        for member in [&mut one, &mut two] {
            assert_eq!(member.recv_from(cx, &mut buf).unwrap(), (3, from));
        }
        two.leave_multicast_v4(group, interface).unwrap();
        let error = two.leave_multicast_v4(group, interface).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        sender.send_to(cx, b"rest", to).unwrap();
        assert_eq!(one.recv(cx, &mut buf).unwrap(), 4);
        assert!(one.join_multicast_v4(Ipv4Addr::LOCALHOST, interface).is_err());
    });
}

#[test]
fn groups_of_ipv6_are_joined_and_left() {
    on_workers(|cx| {
        let socket = UdpSocket::bind(cx, "[::]:0").unwrap();
        let group: Ipv6Addr = "ff01::c0b".parse().unwrap();
        // The loopback interface is the first one.
        socket.join_multicast_v6(group, 1).unwrap();
        socket.set_multicast_interface_v6(1).unwrap();
        socket.leave_multicast_v6(group, 1).unwrap();
        assert!(socket.leave_multicast_v6(group, 1).is_err());
    });
}

#[test]
fn broadcasting_has_to_be_allowed() {
    on_workers(|cx| {
        let (mut sender, _) = udp(cx);
        let mut receiver = UdpSocket::bind(cx, "0.0.0.0:0").unwrap();
        let to = (Ipv4Addr::new(127, 255, 255, 255), receiver.local_addr().unwrap().port());
        let error = sender.send_to(cx, b"x", to).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        sender.set_broadcast(true).unwrap();
        sender.send_to(cx, b"x", to).unwrap();
        assert_eq!(receiver.recv(cx, &mut [0; 2]).unwrap(), 1);
    });
}

#[test]
fn the_simulated_network_has_no_groups() {
    conbrio::testing::run(|cx| {
        let options = UdpOptions::new().reuse_address(true);
        let socket = options.bind(cx, "127.0.0.1:0").unwrap();
        let group = Ipv4Addr::new(239, 255, 0, 1);
        for error in [
            socket.join_multicast_v4(group, Ipv4Addr::UNSPECIFIED).unwrap_err(),
            socket.leave_multicast_v6("ff01::c0b".parse().unwrap(), 1).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
        assert!(!socket.set_joining(true).unwrap());
    });
}
