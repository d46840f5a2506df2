//! Connections work as they do on a real network.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::time::Duration;

use conbrio::net::{ConnectOptions, ListenOptions};
use conbrio::prelude::*;
use conbrio::testing::network::{Network, NetworkOptions};
use conbrio::testing::run;

use crate::support::*;

#[test]
fn a_program_for_a_real_network_runs_unchanged() {
    fn program(cx: &mut Cx) -> Io<String> {
        let mut listener = TcpListener::bind(cx, "127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let answer = cx.nursery(|cx, n| -> Io<String> {
            n.spawn(move |cx| {
                let (mut stream, _) = listener.accept(cx)?;
                let mut name = [0; 5];
                stream.read_exact(cx, &mut name)?;
                stream.write_all(cx, b"hello, ")?;
                stream.write_all(cx, &name)?;
                Ok(())
            });
            let mut stream = TcpStream::connect(cx, address)?;
            stream.write_all(cx, b"world")?;
            let mut answer = String::new();
            conbrio::io::Read::read_to_string(&mut stream, cx, &mut answer)?;
            Ok(answer)
        });
        Ok(answer?)
    }
    assert_eq!(conbrio::run(program).unwrap(), "hello, world");
    assert_eq!(run(program).unwrap(), "hello, world");
}

#[test]
fn packets_take_their_time_and_no_more() {
    let options = NetworkOptions::new().latency(seconds(2)..=seconds(2));
    with_options(options, |cx, _, server, client| {
        let mut listener = listen(cx, server)?;
        let start = cx.now();
        let mut stream = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
        assert_eq!(cx.now() - start, seconds(4), "there and back");
        let (mut accepted, _) = listener.accept(cx)?;
        stream.write_all(cx, b"x")?;
        read(cx, &mut accepted)?;
        assert_eq!(cx.now() - start, seconds(6));
        Ok(())
    });
}

#[test]
fn bandwidth_is_shared_by_what_is_on_the_way() {
    let options = NetworkOptions::new().bandwidth(1000).latency(Duration::ZERO..=Duration::ZERO);
    with_options(options, |cx, _, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        let start = cx.now();
        stream.write_all(cx, &[0; 960])?;
        stream.write_all(cx, &[0; 960])?;
        accepted.read_exact(cx, &mut [0; 1920])?;
        // With their headers: 40 bytes each.
        assert_eq!(cx.now() - start, seconds(2));
        Ok(())
    });
}

#[test]
fn both_sides_know_their_addresses() {
    on_two_hosts(|cx, _, server, client| {
        let (stream, accepted) = pair(cx, server, client)?;
        assert_eq!(stream.peer_addr()?.to_string(), SERVER);
        assert_eq!(accepted.local_addr()?.to_string(), SERVER);
        assert_eq!(stream.local_addr()?, accepted.peer_addr()?);
        assert_eq!(stream.local_addr()?.ip(), client.address());
        assert!(stream.local_addr()?.port() >= 32768);
        Ok(())
    });
}

#[test]
fn a_writer_waits_while_the_buffer_is_full() {
    let options = NetworkOptions::new().stream_buffer(1000);
    with_options(options, |cx, _, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        assert_eq!(stream.write(cx, &[7; 1500])?, 1000);
        assert!(waits(cx, |cx| stream.write(cx, &[7])));
        // A part of the room comes back when it has been read, and the reader's word has travelled.
        accepted.read_exact(cx, &mut [0; 300])?;
        let start = cx.now();
        assert_eq!(stream.write(cx, &[7; 1500])?, 300);
        assert_eq!(cx.now() - start, Duration::from_micros(500));
        accepted.read_exact(cx, &mut [0; 1000])?;
        assert!(waits(cx, |cx| accepted.read(cx, &mut [0])));
        Ok(())
    });
}

#[test]
fn a_half_closed_connection_goes_on_the_other_way() {
    on_two_hosts(|cx, _, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        stream.write_all(cx, b"question")?;
        stream.shutdown(Shutdown::Write)?;
        assert_eq!(read(cx, &mut accepted)?, b"question");
        assert_eq!(read(cx, &mut accepted)?, b"");
        assert_eq!(stream.write(cx, b"x").failed().kind(), ErrorKind::BrokenPipe);
        accepted.write_all(cx, b"answer")?;
        drop(accepted);
        assert_eq!(read(cx, &mut stream)?, b"answer");
        assert_eq!(read(cx, &mut stream)?, b"");
        Ok(())
    });
}

#[test]
fn closing_with_unread_data_resets() {
    on_two_hosts(|cx, _, server, client| {
        let (mut stream, accepted) = pair(cx, server, client)?;
        stream.write_all(cx, b"nobody reads this")?;
        cx.sleep(seconds(1))?;
        drop(accepted);
        let error = stream.read(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(stream.write(cx, b"x").failed().kind(), ErrorKind::BrokenPipe);
        assert_eq!(stream.read(cx, &mut [0])?, 0);
        Ok(())
    });
}

#[test]
fn writing_to_a_peer_that_has_closed_breaks() {
    on_two_hosts(|cx, _, server, client| {
        let (mut stream, accepted) = pair(cx, server, client)?;
        drop(accepted);
        assert_eq!(read(cx, &mut stream)?, b"");
        // The first write finds out, the next one is told.
        stream.write_all(cx, b"x")?;
        cx.sleep(seconds(1))?;
        assert_eq!(stream.write(cx, b"x").failed().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn a_linger_time_of_zero_resets() {
    on_two_hosts(|cx, _, server, client| {
        let (mut stream, accepted) = pair(cx, server, client)?;
        accepted.set_linger(Some(Duration::ZERO))?;
        drop(accepted);
        let error = stream.read(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn an_error_can_be_taken_without_reading() {
    on_two_hosts(|cx, network, server, client| {
        let (mut stream, _accepted) = pair(cx, server, client)?;
        assert!(stream.take_error()?.is_none());
        network.reset_connections(server, client);
        assert_eq!(stream.take_error()?.unwrap().kind(), ErrorKind::ConnectionReset);
        assert_eq!(stream.read(cx, &mut [0])?, 0);
        Ok(())
    });
}

#[test]
fn options_of_sockets_are_kept_and_inherited() {
    on_two_hosts(|cx, _, server, client| {
        let mut listener =
            server.enter(cx, |cx| ListenOptions::new().nodelay(false).bind(cx, SERVER))?;
        let options = ConnectOptions::new().local_address("10.0.0.2:4000".parse().unwrap());
        let stream = client.enter(cx, |cx| options.connect(cx, SERVER))?;
        let (accepted, peer) = listener.accept(cx)?;
        assert_eq!(peer.to_string(), "10.0.0.2:4000");
        assert!(stream.nodelay()? && !accepted.nodelay()?);
        stream.set_ttl(7)?;
        assert_eq!(stream.ttl()?, 7);
        Ok(())
    });
}

#[test]
fn peeking_and_lists_of_buffers_work() {
    on_two_hosts(|cx, _, server, client| {
        let (mut stream, mut accepted) = pair(cx, server, client)?;
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(stream.write_vectored(cx, &parts)?, 5);
        let mut buf = [0; 8];
        assert_eq!(accepted.peek(cx, &mut buf)?, 5);
        let (mut one, mut two) = ([0; 3], [0; 8]);
        let mut list = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(accepted.read_vectored(cx, &mut list)?, 5);
        assert_eq!((&one, &two[..2]), (b"abc", &b"de"[..]));
        Ok(())
    });
}

#[test]
fn a_cancelled_connect_leaves_nothing() {
    on_two_hosts(|cx, network, server, client| {
        let mut listener = listen(cx, server)?;
        let moment = Duration::from_micros(700);
        let gone = cx.move_on_after(moment, |cx| {
            client.enter(cx, |cx| TcpStream::connect(cx, SERVER)).map(drop)
        });
        assert!(gone.unwrap().is_none());
        assert_eq!(client.open_sockets(), 0);
        // Its request had arrived: what is accepted is found to be over.
        let (mut accepted, _) = listener.accept(cx)?;
        let error = accepted.read(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        drop(accepted);
        assert_eq!(network.statistics().connections, 0);
        Ok(())
    });
}

#[test]
fn a_cancelled_accept_and_a_cancelled_read_take_nothing() {
    on_two_hosts(|cx, _, server, client| {
        let mut listener = listen(cx, server)?;
        assert!(waits(cx, |cx| listener.accept(cx)));
        let mut stream = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
        let (mut accepted, _) = listener.accept(cx)?;
        assert!(waits(cx, |cx| accepted.read(cx, &mut [0; 4])));
        stream.write_all(cx, b"data")?;
        assert_eq!(read(cx, &mut accepted)?, b"data");
        Ok(())
    });
}

#[test]
fn a_descriptor_of_the_system_is_refused() {
    run(|cx| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut listener = TcpListener::from_std(listener).unwrap();
        let error = listener.accept(cx).failed();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("simulated"), "{error}");
    });
}

#[test]
fn nothing_is_left_open_at_the_end() {
    let statistics = run(|cx| {
        let network = Network::of(cx);
        let (server, client) = (network.host([10, 0, 0, 1]), network.host([10, 0, 0, 2]));
        let streams = pair(cx, &server, &client).unwrap();
        assert_eq!((server.open_sockets(), client.open_sockets()), (1, 1));
        drop(streams);
        network.statistics()
    });
    assert_eq!((statistics.sockets, statistics.connections), (0, 0));
    assert!(statistics.packets > 0);
}
