//! Hosts: who is where, who has which address, and what names stand for.

use std::io::ErrorKind;

use conbrio::net::{UdpSocket, resolve};
use conbrio::prelude::*;
use conbrio::testing::network::{Network, NetworkOptions};
use conbrio::testing::run;

use crate::support::*;

#[test]
fn each_host_has_its_own_loopback_and_ports() {
    on_two_hosts(|cx, _, server, client| {
        let one = server.enter(cx, |cx| TcpListener::bind(cx, LOCAL))?;
        let _two = client.enter(cx, |cx| TcpListener::bind(cx, LOCAL))?;
        let _default = TcpListener::bind(cx, LOCAL)?;
        let error = server.enter(cx, |cx| TcpListener::bind(cx, LOCAL)).failed();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        // A listener on the loopback address is not there for others.
        let error = client.enter(cx, |cx| TcpStream::connect(cx, SERVER)).failed();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        drop(one);
        let _again = server.enter(cx, |cx| TcpListener::bind(cx, LOCAL))?;
        Ok(())
    });
}

#[test]
fn a_general_listener_hears_all_addresses_of_its_host() {
    on_two_hosts(|cx, _, server, client| {
        server.add_address([10, 9, 9, 9]);
        let mut listener = server.enter(cx, |cx| TcpListener::bind(cx, "0.0.0.0:80"))?;
        for (host, address) in [(client, "10.0.0.1:80"), (client, "10.9.9.9:80"), (server, LOCAL)] {
            let _stream = host.enter(cx, |cx| TcpStream::connect(cx, address))?;
            let (accepted, _) = listener.accept(cx)?;
            assert_eq!(accepted.local_addr()?.to_string(), address);
        }
        Ok(())
    });
}

#[test]
fn addresses_of_the_other_family_work() {
    on_two_hosts(|cx, _, server, client| {
        server.add_address([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
        let mut listener = server.enter(cx, |cx| TcpListener::bind(cx, "[::]:80"))?;
        // The client has no such address to come from.
        let error = client.enter(cx, |cx| TcpStream::connect(cx, "[fd00::1]:80")).failed();
        assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
        client.add_address([0xfd00, 0, 0, 0, 0, 0, 0, 2]);
        let _stream = client.enter(cx, |cx| TcpStream::connect(cx, "[fd00::1]:80"))?;
        let (_accepted, peer) = listener.accept(cx)?;
        assert_eq!(peer.ip().to_string(), "fd00::2");
        Ok(())
    });
}

#[test]
fn an_address_of_another_host_cannot_be_bound() {
    on_two_hosts(|cx, _, _, client| {
        let error = client.enter(cx, |cx| TcpListener::bind(cx, SERVER)).failed();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains(SERVER), "{error}");
        Ok(())
    });
}

#[test]
fn nobody_at_an_address_is_unreachable_or_silent() {
    on_two_hosts(|cx, _, _, client| {
        let connect = |cx: &mut Cx| TcpStream::connect(cx, "10.7.7.7:80");
        let error = client.enter(cx, connect).failed();
        assert_eq!(error.kind(), ErrorKind::HostUnreachable);
        Ok(())
    });
    let silent = NetworkOptions::new().answer_for_unknown(false).connect_timeout(seconds(3));
    with_options(silent, |cx, _, _, client| {
        let start = cx.now();
        let error = client.enter(cx, |cx| TcpStream::connect(cx, "10.7.7.7:80")).failed();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(cx.now() - start, seconds(3));
        Ok(())
    });
}

#[test]
fn children_are_where_their_nursery_was_opened() {
    on_two_hosts(|cx, _, server, client| {
        let here = |cx: &mut Cx| -> Io<String> {
            let socket = UdpSocket::bind(cx, "0.0.0.0:0")?;
            let mut socket = socket;
            socket.connect(cx, "10.0.0.1:9")?;
            Ok(socket.local_addr()?.ip().to_string())
        };
        server.enter(cx, |cx| {
            cx.nursery(|cx, n| -> Io {
                assert_eq!(here(cx)?, "10.0.0.1");
                client.enter(cx, |cx| -> Io {
                    assert_eq!(here(cx)?, "10.0.0.2");
                    // Of the nursery outside, however they are started.
                    assert_eq!(n.spawn(here).join(cx)?, "10.0.0.1");
                    assert_eq!(n.spawn_local(cx, here).join(cx)?, "10.0.0.1");
                    let ip = n.start(cx, move |cx, started| {
                        let ip = here(cx)?;
                        started.ready(ip.clone());
                        // It goes on there when the caller's closure may have ended.
                        cx.sleep(seconds(1))?;
                        assert_eq!(here(cx)?, ip);
                        Ok(())
                    })?;
                    assert_eq!(ip, "10.0.0.1");
                    // Of one that is opened here, and theirs in turn.
                    cx.nursery(|cx, n| -> Io {
                        let mut child = n.spawn(move |cx| {
                            let ip = cx.nursery(|cx, n| -> Io<String> {
                                let mut child = n.spawn(here);
                                Ok(child.join(cx)?)
                            });
                            Ok(ip?)
                        });
                        assert_eq!(child.join(cx)?, "10.0.0.2");
                        Ok(())
                    })?;
                    Ok(())
                })?;
                assert_eq!(here(cx)?, "10.0.0.1");
                Ok(())
            })
        })?;
        assert_eq!(here(cx)?, "192.0.2.1");
        Ok(())
    });
}

#[test]
fn a_panic_leaves_the_host() {
    on_two_hosts(|cx, _, server, _| {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            server.enter(cx, |_| panic!("on the server"));
        }));
        assert!(panicked.is_err());
        let error = TcpListener::bind(cx, SERVER).failed();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        Ok(())
    });
}

#[test]
fn names_are_looked_up_in_the_table_only() {
    on_two_hosts(|cx, network, server, client| {
        network.name("server.test", [client.address(), server.address()]);
        let start = cx.now();
        let addresses = resolve(cx, "server.test:80")?;
        assert_eq!(addresses, ["10.0.0.2:80".parse().unwrap(), SERVER.parse().unwrap()]);
        assert!(cx.now() > start, "a lookup takes time");
        assert_eq!(resolve(cx, ("localhost", 80))?[0].to_string(), LOCAL);
        // The first address refuses, the second one accepts.
        let _listener = listen(cx, server)?;
        let stream = client.enter(cx, |cx| TcpStream::connect(cx, "server.test:80"))?;
        assert_eq!(stream.peer_addr()?.to_string(), SERVER);
        network.name("server.test", []);
        let error = resolve(cx, "server.test:80").failed();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("server.test"), "{error}");
        Ok(())
    });
}

#[test]
fn asking_for_the_network_of_a_real_run_says_what_to_do() {
    let panicked = std::panic::catch_unwind(|| conbrio::run(|cx| drop(Network::of(cx))));
    let payload = panicked.unwrap_err();
    let message = payload.downcast_ref::<&str>().unwrap();
    assert!(message.contains("conbrio::testing::run"), "{message}");
}

#[test]
fn a_host_has_one_handle_by_its_address() {
    run(|cx| {
        let network = Network::of(cx);
        let host = network.host([10, 0, 0, 1]);
        host.crash();
        assert!(!network.host([10, 0, 0, 1]).is_up());
        assert!(format!("{host:?}").contains("10.0.0.1"));
        assert_eq!(network.default_host().address().to_string(), "192.0.2.1");
    });
}
