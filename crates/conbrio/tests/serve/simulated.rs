//! The example as a whole in the simulator: its own files, unchanged, on a simulated network, told to end
//! by simulated signals. Only the files that it serves are real.

// Its `main` parses the arguments of this process and makes a real runtime; all else is used.
#[allow(dead_code)]
#[path = "../../examples/serve/main.rs"]
mod example;

use std::io::ErrorKind;
use std::time::Duration;

use clap::Parser as _;
use conbrio::io::{BufReader, Read as _};
use conbrio::prelude::*;
use conbrio::signal::Signal;
use conbrio::testing::network::{Host, Network, NetworkOptions};
use conbrio::testing::{Builder, raise};

use super::support::Folder;

type Io<T = ()> = std::io::Result<T>;

const SERVER: &str = "10.0.0.1:80";
/// More than a connection holds on its way, and than goes with the head.
const LONG: usize = 300_000;
/// Longer than a signal is on its way.
const SOON: Duration = Duration::from_millis(2);

/// How many seeds a test tries: many if `CONBRIO_SLOW_TESTS` is set.
fn seeds() -> u64 {
    let wanted = std::env::var_os("CONBRIO_SLOW_TESTS").is_some_and(|value| value != "0");
    if wanted { 2_000 } else { 200 }
}

fn content() -> Vec<u8> {
    (0..LONG).map(|at| (at / 1_000) as u8).collect()
}

/// Serves a folder on a host of its own, on a network in which everything goes wrong now and then. Returns
/// what the server has said when it has ended.
fn served(
    cx: &mut Cx,
    folder: &Folder,
    options: &[&str],
    test: impl FnOnce(&mut Cx, &Network, &Host) -> Io,
) -> String {
    let network = Network::of(cx);
    let host = network.host([10, 0, 0, 1]);
    let www = folder.www();
    let fixed = ["serve", www.to_str().unwrap(), "--listen", SERVER];
    let arguments = fixed.iter().chain(options);
    // The parser needs more than the stack of a task.
    let server = cx.on_thread_stack(|| example::Server::try_parse_from(arguments)).unwrap();
    let mut out = Vec::new();
    cx.nursery(|cx, n| -> Io {
        let mut serving =
            n.task("serve").spawn(|cx| host.enter(cx, |cx| example::serve(cx, &server, &mut out)));
        test(cx, &network, &host)?;
        Ok(serving.join(cx)?)
    })
    .unwrap();
    assert_eq!(host.open_sockets(), 0);
    String::from_utf8(out).unwrap()
}

fn interrupt(cx: &mut Cx, server: &Host) {
    server.enter(cx, |cx| raise(cx, Signal::INTERRUPT));
}

/// A connection from a host of its own. Waits until the server listens.
fn connect(cx: &mut Cx, host: &Host) -> Io<BufReader<TcpStream>> {
    loop {
        match host.enter(cx, |cx| TcpStream::connect(cx, SERVER)) {
            Ok(stream) => return Ok(BufReader::new(stream)),
            Err(OrCancelled::Failed(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                cx.sleep(SOON)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Asks for a file. Returns the status, and how long the body will be.
fn ask(cx: &mut Cx, stream: &mut BufReader<TcpStream>, path: &str) -> Io<(u16, usize)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.get_mut().write_all(cx, request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(cx, &mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    Ok((head[9..12].parse().unwrap(), length.map_or(0, |text| text.parse().unwrap())))
}

fn get(cx: &mut Cx, stream: &mut BufReader<TcpStream>, path: &str) -> Io<(u16, Vec<u8>)> {
    let (status, length) = ask(cx, stream, path)?;
    let mut body = vec![0; length];
    stream.read_exact(cx, &mut body)?;
    Ok((status, body))
}

/// Reads to the end of the stream, or until it fails; how much came.
fn rest(cx: &mut Cx, stream: &mut BufReader<TcpStream>) -> Io<usize> {
    let (mut sum, mut buf) = (0, vec![0; 10_000]);
    loop {
        match stream.read(cx, &mut buf) {
            Ok(0) | Err(OrCancelled::Failed(_)) => return Ok(sum),
            Ok(count) => sum += count,
            Err(error) => return Err(error.into()),
        }
    }
}

// spec: S32
#[test]
fn it_serves_and_drains_whatever_its_clients_and_the_network_do() {
    let (folder, content) = (Folder::new(), content());
    folder.write("long.bin", &content);
    let explored = Builder::new().network(NetworkOptions::rough()).explore(0..seeds(), |cx| {
        let said =
            served(cx, &folder, &["--timeout", "9", "--grace", "60"], |cx, network, host| {
                let clients = [2, 3, 4, 5, 6, 7].map(|last| network.host([10, 0, 0, last]));
                cx.nursery(|_, n| -> Io {
                    let content = &content;
                    for client in &clients[..2] {
                        n.task("well-behaved").spawn(move |cx| {
                            let mut stream = connect(cx, client)?;
                            assert_eq!(get(cx, &mut stream, "/nothing")?.0, 404);
                            assert_eq!(get(cx, &mut stream, "/ten.txt")?.1, b"0123456789");
                            assert!(get(cx, &mut stream, "/long.bin")? == (200, content.clone()));
                            Ok(())
                        });
                    }
                    n.task("resets").spawn(|cx| {
                        let mut stream = connect(cx, &clients[2])?;
                        assert_eq!(ask(cx, &mut stream, "/long.bin")?, (200, LONG));
                        network.reset_connections(host, &clients[2]);
                        assert!(rest(cx, &mut stream)? < LONG);
                        Ok(())
                    });
                    n.task("stands still").spawn(|cx| {
                        let mut stream = connect(cx, &clients[3])?;
                        assert_eq!(ask(cx, &mut stream, "/long.bin")?, (200, LONG));
                        cx.sleep(Duration::from_secs(20))?;
                        assert!(rest(cx, &mut stream)? < LONG);
                        Ok(())
                    });
                    n.task("behind a partition").spawn(|cx| {
                        let mut stream = connect(cx, &clients[4])?;
                        assert_eq!(ask(cx, &mut stream, "/long.bin")?, (200, LONG));
                        network.partition(host, &clients[4]);
                        cx.sleep(Duration::from_secs(20))?;
                        network.heal(host, &clients[4]);
                        assert!(rest(cx, &mut stream)? < LONG);
                        Ok(())
                    });
                    Ok(())
                })?;
                let mut idle = connect(cx, &clients[0])?;
                assert_eq!(get(cx, &mut idle, "/ten.txt")?.0, 200);
                // It reads so slowly that the server is told to end meanwhile, but not too slowly.
                let mut slow = connect(cx, &clients[5])?;
                assert_eq!(ask(cx, &mut slow, "/long.bin")?, (200, LONG));
                interrupt(cx, host);
                assert_eq!(rest(cx, &mut idle)?, 0);
                let mut body = vec![0; LONG];
                for part in body.chunks_mut(30_000) {
                    cx.sleep(Duration::from_secs(1))?;
                    slow.read_exact(cx, part)?;
                }
                assert!(body == content);
                assert_eq!(rest(cx, &mut slow)?, 0);
                let late = clients[0].enter(cx, |cx| TcpStream::connect(cx, SERVER));
                let error = std::io::Error::from(late.unwrap_err());
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                Ok(())
            });
        let rest = said.strip_prefix("listening on http://10.0.0.1:80/\n").unwrap();
        assert!(rest.starts_with("served 8 requests ("), "{said}");
        assert!(rest.contains(" on 7 connections in "), "{said}");
        assert!(rest.ends_with("; 2 connections were cut off\n"), "{said}");
    });
    assert!(explored.runs() >= 1);
}

// spec: S32
#[test]
fn a_second_ctrl_c_cuts_its_drain_short() {
    let folder = Folder::new();
    folder.write("long.bin", &content());
    let options = NetworkOptions::rough();
    let _ = Builder::new().network(options).explore(0..seeds(), |cx| {
        let begin = cx.now();
        let said =
            served(cx, &folder, &["--grace", "3600", "--timeout", "3600"], |cx, network, host| {
                let client = network.host([10, 0, 0, 2]);
                let mut stream = connect(cx, &client)?;
                assert_eq!(ask(cx, &mut stream, "/long.bin")?, (200, LONG));
                interrupt(cx, host);
                cx.sleep(Duration::from_secs(10))?;
                interrupt(cx, host);
                cx.sleep(SOON)?;
                assert!(rest(cx, &mut stream)? < LONG);
                Ok(())
            });
        assert!((cx.now() - begin).as_secs() < 60);
        assert!(said.ends_with("; 1 connections were cut off\n"), "{said}");
    });
}
