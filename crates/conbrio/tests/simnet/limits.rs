//! Backlogs, limits of open sockets, and ports.

use std::io::ErrorKind;

use conbrio::net::ListenOptions;
use conbrio::prelude::*;
use conbrio::testing::network::NetworkOptions;

use crate::support::*;

#[test]
fn a_full_backlog_is_found_later() {
    on_two_hosts(|cx, _, server, client| {
        let mut listener =
            server.enter(cx, |cx| ListenOptions::new().backlog(2).bind(cx, SERVER))?;
        let connect = |cx: &mut Cx| TcpStream::connect(cx, SERVER);
        let _first = client.enter(cx, connect)?;
        let _second = client.enter(cx, connect)?;
        cx.nursery(|cx, n| -> Io {
            let start = cx.now();
            n.spawn(move |cx| {
                // Asked again after 1, 3 and 7 seconds, and then there is room.
                cx.sleep(seconds(5))?;
                listener.accept(cx)?;
                cx.sleep(seconds(5))?;
                Ok(())
            });
            client.enter(cx, connect)?;
            let took = cx.now() - start;
            assert!((seconds(7)..seconds(8)).contains(&took), "{took:?}");
            Ok(())
        })?;
        Ok(())
    });
}

#[test]
fn a_full_backlog_refuses_if_asked_to() {
    with_options(NetworkOptions::new().refuse_when_full(true), |cx, _, server, client| {
        let _listener = server.enter(cx, |cx| ListenOptions::new().backlog(1).bind(cx, SERVER))?;
        let connect = |cx: &mut Cx| TcpStream::connect(cx, SERVER);
        let _first = client.enter(cx, connect)?;
        let error = client.enter(cx, connect).failed();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn accepting_beyond_the_limit_of_open_sockets_fails_and_loses_nothing() {
    on_two_hosts(|cx, _, server, client| {
        let mut listener = listen(cx, server)?;
        let mut stream = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
        stream.write_all(cx, b"I wait")?;
        server.set_fd_limit(1);
        for _ in 0..3 {
            let error = listener.accept(cx).failed();
            assert_eq!(error.raw_os_error(), Some(24), "EMFILE: {error}");
        }
        server.enter(cx, |cx| TcpListener::bind(cx, "10.0.0.1:81")).failed();
        server.set_fd_limit(None);
        let (mut accepted, _) = listener.accept(cx)?;
        assert_eq!(read(cx, &mut accepted)?, b"I wait");
        assert_eq!(server.open_sockets(), 2);
        Ok(())
    });
}

#[test]
fn a_dropped_listener_refuses_and_resets_what_it_has_not_accepted() {
    on_two_hosts(|cx, _, server, client| {
        let listener = listen(cx, server)?;
        let mut stream = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
        drop(listener);
        let error = stream.read(cx, &mut [0]).failed();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = client.enter(cx, |cx| TcpStream::connect(cx, SERVER)).failed();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn clones_of_a_listener_share_its_queue() {
    on_two_hosts(|cx, _, server, client| {
        let mut one = listen(cx, server)?;
        let mut two = one.try_clone()?;
        let accepted = cx.nursery(|cx, n| -> Io<_> {
            let mut first = n.spawn(move |cx| Ok(one.accept(cx)?.1));
            let mut second = n.spawn(move |cx| Ok(two.accept(cx)?.1));
            let streams = [0, 1].map(|_| client.enter(cx, |cx| TcpStream::connect(cx, SERVER)));
            let mut peers = [first.join(cx)?, second.join(cx)?];
            let mut mine = streams.map(|stream| stream.and_then(|s| Ok(s.local_addr()?)).unwrap());
            peers.sort();
            mine.sort();
            Ok((peers, mine))
        })?;
        assert_eq!(accepted.0, accepted.1);
        Ok(())
    });
}

#[test]
fn listeners_that_share_a_port_both_get_connections() {
    on_two_hosts(|cx, _, server, client| {
        let options = ListenOptions::new().reuse_port(true);
        let mut one = server.enter(cx, |cx| options.bind(cx, SERVER))?;
        let mut two = server.enter(cx, |cx| options.bind(cx, SERVER))?;
        let mut streams = Vec::new();
        for _ in 0..20 {
            streams.push(client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?);
        }
        for listener in [&mut one, &mut two] {
            listener.accept(cx)?;
        }
        Ok(())
    });
}
