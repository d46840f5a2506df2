//! WebSockets by a library that knows only the traits of std: it runs unchanged on a stream that is joined
//! with `cx`.

use conbrio::MaybeCancelled;
use conbrio::net::{listen, serve};
use conbrio::prelude::*;
use tungstenite::handshake::HandshakeRole;
use tungstenite::{Error, HandshakeError, Message, accept, client};

use crate::support::*;

/// The part of a library's error that is ours.
fn into_io(error: Error) -> std::io::Error {
    match error {
        Error::Io(error) => error,
        other => std::io::Error::other(other),
    }
}

/// A handshake that has not ended holds the stream, and with it `cx`, so that it cannot be inside an error.
fn failed<R: HandshakeRole>(error: HandshakeError<R>) -> std::io::Error {
    match error {
        HandshakeError::Failure(error) => into_io(error),
        HandshakeError::Interrupted(_) => panic!("it waits where it has to wait"),
    }
}

/// Sends back what comes, until the other side closes.
fn echo(cx: &mut Cx, stream: &mut TcpStream) -> Io {
    let mut socket = accept(stream.with(cx)).map_err(failed)?;
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                socket.send(message).map_err(into_io)?;
            }
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(into_io(error)),
        }
    }
}

/// Serves at a port of this machine while `talk` runs.
fn with_server(cx: &mut Cx, talk: impl FnOnce(&mut Cx, std::net::SocketAddr) -> Io) -> Io {
    let listeners = listen(cx, "127.0.0.1:0")?;
    let address = listeners[0].local_addr()?;
    cx.nursery(|cx, n| -> Io {
        n.spawn(|cx| {
            Ok(serve(cx, listeners, |cx, mut incoming| match echo(cx, &mut incoming.stream) {
                // A client that vanishes is no failure of the server.
                Err(error) if error.cancelled().is_none() => Ok(()),
                outcome => outcome,
            })?)
        });
        talk(cx, address)?;
        n.shutdown(millis(10_000));
        Ok(())
    })?;
    Ok(())
}

#[test]
fn messages_go_there_and_back() {
    on_workers(|cx| {
        with_server(cx, |cx, address| {
            cx.nursery(|_, n| -> Io {
                for number in 0..4 {
                    n.spawn(move |cx| {
                        let mut stream = TcpStream::connect(cx, address)?;
                        let (mut socket, response) =
                            client("ws://localhost/", stream.with(cx)).map_err(failed)?;
                        assert_eq!(response.status(), 101);
                        // The last one does not fit into the buffers of the system.
                        for len in [0, 1, 200, 70_000, 3_000_000] {
                            let data = vec![number; len];
                            socket.send(Message::binary(data.clone())).map_err(into_io)?;
                            let answer = socket.read().map_err(into_io)?;
                            assert!(answer.into_data() == data, "of {len} bytes");
                        }
                        socket.send(Message::Ping("p".into())).map_err(into_io)?;
                        let pong = socket.read().map_err(into_io)?;
                        assert_eq!(pong, Message::Pong("p".into()));
                        socket.close(None).map_err(into_io)?;
                        loop {
                            match socket.read() {
                                Ok(_) => {}
                                Err(Error::ConnectionClosed) => return Ok(()),
                                Err(error) => return Err(into_io(error)),
                            }
                        }
                    });
                }
                Ok(())
            })?;
            Ok(())
        })
    });
}

#[test]
fn a_cancellation_goes_through_the_library_and_is_known_again() {
    on_workers(|cx| {
        with_server(cx, |cx, address| {
            let mut stream = TcpStream::connect(cx, address)?;
            let outcome = cx.move_on_after(millis(1), |cx| {
                let connected = client("ws://localhost/", stream.with(cx));
                let (mut socket, _) = connected.map_err(failed)?;
                // Nobody sends anything.
                let error = into_io(socket.read().unwrap_err());
                assert!(error.cancelled().is_some(), "{error}");
                Err::<(), _>(error)
            });
            assert!(matches!(outcome, Ok(None)), "{outcome:?}");
            drop(stream);
            Ok(())
        })
    });
}
