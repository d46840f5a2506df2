//! UDP, on the simulated network and on the real one.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use conbrio::net::UdpSocket;
use conbrio::prelude::*;
use conbrio::testing::network::{Host, NetworkOptions};

use crate::support::*;

/// Runs a test on both networks.
#[track_caller]
fn on_both(test: impl Fn(&mut Cx) -> Io + Send + Sync) {
    conbrio::testing::run(|cx| test(cx)).unwrap();
    conbrio::run(|cx| test(cx)).unwrap();
}

fn local(cx: &mut Cx) -> Io<UdpSocket> {
    Ok(UdpSocket::bind(cx, "127.0.0.1:0")?)
}

// spec: test_fakenet.basic_udp
#[test]
fn datagrams_go_there_and_back() {
    on_both(|cx| {
        let (mut one, mut two) = (local(cx)?, local(cx)?);
        assert_eq!(one.send_to(cx, b"xyz", two.local_addr()?)?, 3);
        let mut buf = [0; 10];
        let (count, from) = two.recv_from(cx, &mut buf)?;
        assert_eq!((&buf[..count], from), (&b"xyz"[..], one.local_addr()?));
        two.send_to(cx, b"back", from)?;
        let (count, from) = one.recv_from(cx, &mut buf)?;
        assert_eq!((&buf[..count], from), (&b"back"[..], two.local_addr()?));
        // Binding what is bound.
        let error = UdpSocket::bind(cx, one.local_addr()?).failed();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        Ok(())
    });
}

// spec: test_fakenet.msg_trunc
#[test]
fn a_datagram_that_does_not_fit_is_cut() {
    on_both(|cx| {
        let (mut one, mut two) = (local(cx)?, local(cx)?);
        one.send_to(cx, b"long message", two.local_addr()?)?;
        one.send_to(cx, b"next", two.local_addr()?)?;
        let mut buf = [0; 4];
        assert_eq!(two.recv(cx, &mut buf)?, 4);
        assert_eq!(&buf, b"long");
        assert_eq!(two.recv(cx, &mut buf)?, 4);
        assert_eq!(&buf, b"next");
        Ok(())
    });
}

// spec: test_fakenet.recv_methods, test_fakenet.nonwindows_functionality
#[test]
fn all_ways_to_receive_agree() {
    on_both(|cx| {
        let (mut one, mut two) = (local(cx)?, local(cx)?);
        let (from, to) = (one.local_addr()?, two.local_addr()?);
        let mut buf = [0; 10];
        one.send_to(cx, b"", to)?;
        assert_eq!(two.recv_from(cx, &mut buf)?, (0, from), "an empty datagram is one");
        one.send_to(cx, b"abc", to)?;
        assert_eq!(two.peek_from(cx, &mut buf)?, (3, from));
        assert_eq!(two.peek_from(cx, &mut buf[..1])?, (1, from));
        assert_eq!(two.recv(cx, &mut buf)?, 3);
        one.send_to(cx, b"abc", to)?;
        assert_eq!(two.recv_from(cx, &mut [])?, (0, from), "cut to nothing");
        one.connect(cx, to)?;
        assert_eq!(one.send(cx, b"peer")?, 4);
        assert_eq!(two.recv(cx, &mut buf)?, 4);
        // A clone takes from the same queue.
        let mut clone = two.try_clone()?;
        one.send(cx, b"x")?;
        assert_eq!(clone.recv(cx, &mut buf)?, 1);
        Ok(())
    });
}

// spec: test_fakenet.getpeername
#[test]
fn a_peer_is_known_and_heard_alone() {
    on_both(|cx| {
        let (mut one, mut two, mut stranger) = (local(cx)?, local(cx)?, local(cx)?);
        assert_eq!(two.peer_addr().failed().kind(), ErrorKind::NotConnected);
        let error = two.send(cx, b"to whom?").failed();
        assert!(error.to_string().contains("estination"), "{error}");
        two.connect(cx, one.local_addr()?)?;
        assert_eq!(two.peer_addr()?, one.local_addr()?);
        stranger.send_to(cx, b"stranger", two.local_addr()?)?;
        one.send_to(cx, b"peer", two.local_addr()?)?;
        let mut buf = [0; 10];
        assert_eq!(two.recv(cx, &mut buf)?, 4);
        Ok(())
    });
}

// spec: test_fakenet.init
#[test]
fn a_socket_is_of_a_family() {
    on_both(|cx| {
        let mut one = local(cx)?;
        let other_family = (std::net::Ipv6Addr::LOCALHOST, one.local_addr()?.port());
        one.send_to(cx, b"x", other_family).failed();
        one.connect(cx, other_family).failed();
        let address = one.local_addr()?;
        one.send_to(cx, &[0; 65_508], address).failed();
        assert!(format!("{one:?}").contains("127.0.0.1"));
        Ok(())
    });
}

#[test]
fn a_peer_that_is_not_there_refuses() {
    on_both(|cx| {
        let (mut one, two) = (local(cx)?, local(cx)?);
        let gone = two.local_addr()?;
        drop(two);
        one.connect(cx, gone)?;
        one.send(cx, b"anybody?")?;
        let error = one.recv(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn a_cancelled_receive_takes_nothing() {
    on_both(|cx| {
        let (mut one, mut two) = (local(cx)?, local(cx)?);
        let short = Duration::from_millis(1);
        assert!(cx.move_on_after(short, |cx| two.recv(cx, &mut [0; 9])).unwrap().is_none());
        one.send_to(cx, b"kept", two.local_addr()?)?;
        assert_eq!(two.recv(cx, &mut [0; 9])?, 4);
        Ok(())
    });
}

/// Sends numbered datagrams, one each millisecond, and returns those that arrive, in order.
fn arrivals(cx: &mut Cx, from: &Host, to: &Host, count: u8) -> Io<Vec<u8>> {
    let mut receiver = to.enter(cx, |cx| UdpSocket::bind(cx, "0.0.0.0:9"))?;
    let mut sender = from.enter(cx, |cx| UdpSocket::bind(cx, "0.0.0.0:0"))?;
    let address = (to.address(), 9);
    cx.nursery(|cx, n| -> Io<Vec<u8>> {
        n.spawn(move |cx| {
            for number in 0..count {
                sender.send_to(cx, &[number], address)?;
                cx.sleep(Duration::from_millis(1))?;
            }
            Ok(())
        });
        let mut arrived = Vec::new();
        let mut buf = [0];
        while cx.move_on_after(seconds(1), |cx| receiver.recv(cx, &mut buf))?.is_some() {
            arrived.push(buf[0]);
        }
        Ok(arrived)
    })
    .map_err(Into::into)
}

#[test]
fn an_ordinary_network_loses_nothing() {
    on_two_hosts(|cx, _, server, client| {
        assert!(arrivals(cx, client, server, 200)?.into_iter().eq(0..200));
        Ok(())
    });
}

#[test]
fn datagrams_get_lost() {
    with_options(NetworkOptions::new().datagram_loss(0.25), |cx, network, server, client| {
        let arrived = arrivals(cx, client, server, 200)?;
        assert!((100..190).contains(&arrived.len()), "{}", arrived.len());
        assert!(arrived.is_sorted());
        assert_eq!(network.statistics().lost, 200 - arrived.len() as u64);
        Ok(())
    });
}

#[test]
fn datagrams_arrive_twice() {
    with_options(NetworkOptions::new().datagram_duplication(0.25), |cx, _, server, client| {
        let arrived = arrivals(cx, client, server, 200)?;
        assert!(arrived.len() > 220, "{}", arrived.len());
        assert_eq!(BTreeSet::from_iter(arrived).len(), 200);
        Ok(())
    });
}

#[test]
fn datagrams_pass_one_another() {
    with_options(NetworkOptions::new().datagram_reordering(0.25), |cx, _, server, client| {
        let mut arrived = arrivals(cx, client, server, 200)?;
        assert!(!arrived.is_sorted());
        arrived.sort();
        assert!(arrived.into_iter().eq(0..200));
        Ok(())
    });
}

#[test]
fn a_partition_loses_datagrams_for_good() {
    on_two_hosts(|cx, network, server, client| {
        network.partition(server, client);
        assert_eq!(arrivals(cx, client, server, 9)?, []);
        network.heal(server, client);
        assert_eq!(arrivals(cx, client, server, 9)?.len(), 9);
        Ok(())
    });
}

#[test]
fn a_full_socket_loses_what_comes() {
    with_options(NetworkOptions::new().datagram_buffer(10), |cx, network, server, client| {
        let mut receiver = server.enter(cx, |cx| UdpSocket::bind(cx, "10.0.0.1:9"))?;
        let mut sender = client.enter(cx, |cx| UdpSocket::bind(cx, "10.0.0.2:9"))?;
        for _ in 0..5 {
            sender.send_to(cx, b"four", "10.0.0.1:9")?;
        }
        cx.sleep(seconds(1))?;
        assert_eq!(network.statistics().lost, 3);
        receiver.recv(cx, &mut [0; 4])?;
        receiver.recv(cx, &mut [0; 4])?;
        assert!(waits(cx, |cx| receiver.recv(cx, &mut [0; 4])));
        Ok(())
    });
}
