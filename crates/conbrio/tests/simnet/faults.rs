//! Partitions, crashes, and who finds out about them when.

use std::io::ErrorKind;
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::network::NetworkOptions;
use socket2::{SockRef, TcpKeepalive};

use crate::support::*;

#[test]
fn data_arrives_after_a_partition_has_healed() {
    on_two_hosts(|cx, network, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        network.partition(server, client);
        stream.write_all(cx, b"one ")?;
        cx.sleep(seconds(60))?;
        stream.write_all(cx, b"two ")?;
        assert!(waits(cx, |cx| accepted.read(cx, &mut [0])));
        network.heal(server, client);
        stream.write_all(cx, b"three")?;
        let mut buf = [0; 13];
        accepted.read_exact(cx, &mut buf)?;
        assert_eq!(&buf, b"one two three");
        Ok(())
    });
}

#[test]
fn a_partition_that_lasts_ends_the_connection_of_whoever_has_sent() {
    on_two_hosts(|cx, network, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        network.partition(server, client);
        stream.write_all(cx, b"anybody?")?;
        let start = cx.now();
        let error = stream.read(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let took = cx.now() - start;
        assert!((seconds(900)..seconds(1000)).contains(&took), "{took:?}");
        assert_eq!(stream.write(cx, b"x").failed().kind(), ErrorKind::BrokenPipe);
        // The other side has sent nothing, and goes on waiting.
        assert!(waits(cx, |cx| accepted.read(cx, &mut [0])));
        // When the way is open again, it hears that nobody knows the connection any more.
        network.heal(server, client);
        accepted.write_all(cx, b"still here")?;
        let error = accepted.read(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        drop(stream);
        Ok(())
    });
}

#[test]
fn a_user_timeout_ends_it_sooner() {
    on_two_hosts(|cx, network, server, client| {
        let (mut stream, _accepted) = pair(cx, server, client)?;
        SockRef::from(&stream).set_tcp_user_timeout(Some(seconds(5)))?;
        assert!(waits(cx, |cx| stream.read(cx, &mut [0])));
        network.partition(server, client);
        stream.write_all(cx, b"anybody?")?;
        let start = cx.now();
        let error = stream.read(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!((seconds(5)..seconds(6)).contains(&(cx.now() - start)));
        Ok(())
    });
}

#[test]
fn a_partition_in_one_direction_lets_the_other_through() {
    on_two_hosts(|cx, network, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        network.block(client, server);
        accepted.write_all(cx, b"down")?;
        assert_eq!(read(cx, &mut stream)?, b"down");
        stream.write_all(cx, b"up")?;
        assert!(waits(cx, |cx| accepted.read(cx, &mut [0])));
        // What went down was received, but nobody told the sender: it gives up in the end.
        let error = accepted.read(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        network.unblock(client, server);
        Ok(())
    });
}

#[test]
fn an_idle_partition_that_heals_is_never_noticed() {
    on_two_hosts(|cx, network, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        network.partition(server, client);
        cx.sleep(seconds(1_000_000))?;
        network.heal(server, client);
        stream.write_all(cx, b"hello")?;
        assert_eq!(read(cx, &mut accepted)?, b"hello");
        Ok(())
    });
}

#[test]
fn connecting_across_a_partition_succeeds_when_it_heals_or_times_out() {
    on_two_hosts(|cx, network, server, client| {
        let mut listener = listen(cx, server)?;
        network.partition(server, client);
        let start = cx.now();
        let error = client.enter(cx, |cx| TcpStream::connect(cx, SERVER)).failed();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains(SERVER), "{error}");
        assert_eq!(cx.now() - start, seconds(127));
        cx.nursery(|cx, n| -> Io {
            n.spawn(|cx| {
                cx.sleep(seconds(100))?;
                network.heal(server, client);
                Ok(())
            });
            client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
            listener.accept(cx)?;
            Ok(())
        })?;
        Ok(())
    });
}

#[test]
fn a_crashed_peer_stays_connected_until_data_shows_that_it_has_gone() {
    on_two_hosts(|cx, _, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        server.crash();
        assert!(!server.is_up());
        let error = accepted.read(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::NetworkDown);
        assert!(waits(cx, |cx| stream.read(cx, &mut [0])), "nobody told the client");
        assert_eq!(stream.peer_addr()?.to_string(), SERVER);
        // It comes back, and knows nothing.
        server.restart();
        assert!(waits(cx, |cx| stream.read(cx, &mut [0])), "nobody told the client");
        stream.write_all(cx, b"hello?")?;
        let error = stream.read(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn whoever_waits_in_accept_hears_that_its_host_has_crashed() {
    for performs in [false, true] {
        let options = NetworkOptions::new().perform_operations(performs);
        with_options(options, |cx, _, server, client| {
            let mut listener = listen(cx, server)?;
            cx.nursery(|cx, n| -> Io {
                let mut waiting = n.spawn(move |cx| {
                    // Again and again: it does not come to life again with its host.
                    let mut error = || listener.accept(cx).failed();
                    Ok([error(), error()])
                });
                cx.sleep(seconds(1))?;
                server.crash();
                for error in waiting.join(cx)? {
                    assert_eq!(error.kind(), ErrorKind::NetworkDown);
                }
                Ok(())
            })?;
            server.restart();
            let (_stream, _accepted) = pair(cx, server, client)?;
            Ok(())
        });
    }
}

#[test]
fn a_crashed_peer_that_stays_down_times_out() {
    on_two_hosts(|cx, _, server, client| {
        let (mut stream, _accepted) = pair(cx, server, client)?;
        server.crash();
        stream.write_all(cx, b"hello?")?;
        assert_eq!(stream.read(cx, &mut [0]).failed().kind(), ErrorKind::TimedOut);
        let error = client.enter(cx, |cx| TcpStream::connect(cx, SERVER)).failed();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        Ok(())
    });
}

#[test]
fn keepalive_finds_out_about_a_silent_peer() {
    on_two_hosts(|cx, _, server, client| {
        for restarts in [false, true] {
            let (mut stream, accepted) = pair(cx, server, client)?;
            let keepalive = TcpKeepalive::new()
                .with_time(seconds(60))
                .with_interval(seconds(10))
                .with_retries(3);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            assert!(waits(cx, |cx| stream.read(cx, &mut [0])));
            server.crash();
            if restarts {
                server.restart();
            }
            let start = cx.now();
            let error = stream.read(cx, &mut [0]).failed();
            let expected = if restarts { ErrorKind::ConnectionReset } else { ErrorKind::TimedOut };
            assert_eq!(error.kind(), expected);
            assert_eq!(cx.now() - start, seconds(90));
            drop(accepted);
            server.restart();
        }
        Ok(())
    });
}

#[test]
fn keepalive_leaves_a_living_connection_alone() {
    on_two_hosts(|cx, network, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        stream.set_keepalive(Some(seconds(60)))?;
        let day = Duration::from_secs(86_400);
        assert!(cx.move_on_after(day, |cx| stream.read(cx, &mut [0])).unwrap().is_none());
        // A partition that is shorter than it takes changes nothing either.
        network.partition(server, client);
        assert!(waits(cx, |cx| stream.read(cx, &mut [0])));
        network.heal(server, client);
        assert!(cx.move_on_after(day, |cx| stream.read(cx, &mut [0])).unwrap().is_none());
        accepted.write_all(cx, b"x")?;
        assert_eq!(read(cx, &mut stream)?, b"x");
        Ok(())
    });
}

#[test]
fn a_reset_reaches_both_sides() {
    on_two_hosts(|cx, network, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        network.reset_connections(client, server);
        for stream in [&mut stream, &mut accepted] {
            let error = stream.read(cx, &mut [0]).failed();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        Ok(())
    });
}

#[test]
fn lost_segments_are_late_and_in_order() {
    let options = NetworkOptions::new().stream_loss(0.3);
    with_options(options, |cx, network, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        let start = cx.now();
        cx.nursery(|cx, n| -> Io {
            n.spawn(move |cx| {
                for number in 0..100_u8 {
                    stream.write_all(cx, &[number])?;
                }
                Ok(())
            });
            let mut buf = [0; 100];
            accepted.read_exact(cx, &mut buf)?;
            assert!(buf.iter().copied().eq(0..100));
            Ok(())
        })?;
        assert!(network.statistics().lost > 10);
        assert!(cx.now() - start >= Duration::from_millis(200));
        Ok(())
    });
}

#[test]
fn a_host_that_is_down_makes_no_sockets() {
    on_two_hosts(|cx, _, server, _| {
        server.crash();
        listen(cx, server).failed();
        server.restart();
        listen(cx, server)?;
        Ok(())
    });
}
