//! What the suites share.

use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::network::{Host, Network, NetworkOptions};
use conbrio::testing::{Builder, run};

/// The result of everything in these tests.
pub(crate) type Io<T = ()> = std::io::Result<T>;

/// A server and a client, with an ordinary network between them.
#[track_caller]
pub(crate) fn on_two_hosts(test: impl FnOnce(&mut Cx, &Network, &Host, &Host) -> Io) {
    run(|cx| {
        let network = Network::of(cx);
        let (server, client) = (network.host([10, 0, 0, 1]), network.host([10, 0, 0, 2]));
        test(cx, &network, &server, &client)
    })
    .unwrap();
}

/// The same on a network with these options.
#[track_caller]
pub(crate) fn with_options(
    options: NetworkOptions,
    test: impl FnOnce(&mut Cx, &Network, &Host, &Host) -> Io,
) {
    Builder::new()
        .network(options)
        .run(|cx| {
            let network = Network::of(cx);
            let (server, client) = (network.host([10, 0, 0, 1]), network.host([10, 0, 0, 2]));
            test(cx, &network, &server, &client)
        })
        .unwrap();
}

pub(crate) const SERVER: &str = "10.0.0.1:80";
// tidy: allow(ports) it is a port of a simulated host, where nobody else is
pub(crate) const LOCAL: &str = "127.0.0.1:80";

pub(crate) fn listen(cx: &mut Cx, server: &Host) -> Io<TcpListener> {
    Ok(server.enter(cx, |cx| TcpListener::bind(cx, SERVER))?)
}

/// The client's stream and the server's.
pub(crate) fn pair(cx: &mut Cx, server: &Host, client: &Host) -> Io<(TcpStream, TcpStream)> {
    let mut listener = listen(cx, server)?;
    let stream = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
    let (accepted, _) = listener.accept(cx)?;
    Ok((stream, accepted))
}

pub(crate) fn read(cx: &mut Cx, stream: &mut TcpStream) -> Io<Vec<u8>> {
    let mut buf = vec![0; 1024];
    let count = stream.read(cx, &mut buf)?;
    buf.truncate(count);
    Ok(buf)
}

/// Whether `f` goes on waiting for a second of virtual time.
pub(crate) fn waits<R>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> Result<R, conbrio::io::Error>,
) -> bool {
    cx.move_on_after(Duration::from_secs(1), f).unwrap().is_none()
}

/// How many seeds a test tries: many if `CONBRIO_SLOW_TESTS` is set.
pub(crate) fn seeds(few: u64, many: u64) -> u64 {
    let wanted = std::env::var_os("CONBRIO_SLOW_TESTS").is_some_and(|value| value != "0");
    if wanted { many } else { few }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The error of an operation that must have failed, whatever it is wrapped in.
pub(crate) trait Failed {
    #[track_caller]
    fn failed(self) -> std::io::Error;
}

impl<T, E: Into<std::io::Error>> Failed for Result<T, E> {
    #[track_caller]
    fn failed(self) -> std::io::Error {
        match self {
            Ok(_) => panic!("the operation succeeded"),
            Err(error) => error.into(),
        }
    }
}
