//! Slow, vanished and too many clients, too few fds, and the end of the server.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::{BIG_BYTES, Server, binary};

/// When the server gives up on a client that does not read, if nothing else ends it first.
const WRITE_LIMIT: Duration = Duration::from_secs(20);
const GET_BIG: &str = "GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n";
const GET_TEN: &str = "GET /ten.txt HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_slow_head_is_cut_off() {
    let mut server = Server::start(&["--timeout", "0.05"]);
    let mut client = server.connect();
    client.send("GET /ten.txt HT");
    assert_eq!(client.answer(true).status, 408);
    client.expect_end();
    drop(client);
    server.expect_cut_off(1);
}

#[test]
fn a_silent_connection_ends_quietly() {
    let mut server = Server::start(&["--idle-timeout", "0.05"]);
    server.connect().expect_end();
    let mut client = server.connect();
    assert_eq!(client.ask(GET_TEN).status, 200);
    client.expect_end();
    server.expect_cut_off(0);
}

#[test]
fn a_reader_that_stands_still_is_cut_off() {
    let mut server = Server::start(&["--timeout", "0.05", "--log"]);
    server.folder.write_big();
    let fds = server.fd_count();
    let mut client = server.connect();
    client.send(GET_BIG);
    // Its end shows in the open files: it does not read, and so cannot see it.
    client.head();
    server.expect_fds(fds);
    assert!(client.rest().map_or(true, |count| count < BIG_BYTES));
    server.expect_cut_off(1);
}

#[test]
fn a_client_that_vanishes_harms_nobody() {
    let mut server = Server::start(&[]);
    server.folder.write_big();
    let mut witness = server.connect();
    assert_eq!(witness.ask(GET_TEN).status, 200);
    let fds = server.fd_count();
    for _ in 0..20 {
        let mut client = server.connect();
        client.send(GET_BIG);
        client.head();
        drop(client);
        let mut client = server.connect();
        client.send("GET /ten.txt HTTP");
        drop(client);
        assert_eq!(witness.ask(GET_TEN).text(), "0123456789");
    }
    server.expect_fds(fds);
    drop(witness);
    server.expect_cut_off(0);
}

#[test]
fn connections_leave_no_fds() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/").status, 200);
    let fds = server.fd_count();
    for _ in 0..200 {
        assert_eq!(server.get("/ten.txt").text(), "0123456789");
    }
    assert_eq!(server.fd_count(), fds);
}

#[test]
fn beyond_the_limit_is_503() {
    let server = Server::start(&["--max-connections", "2"]);
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        assert_eq!(client.ask(GET_TEN).status, 200);
    }
    let mut third = server.connect();
    let answer = third.answer(true);
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
    third.expect_end();
    for client in &mut clients {
        assert_eq!(client.ask(GET_TEN).status, 200);
    }
}

#[test]
fn it_outlives_a_lack_of_fds() {
    let mut server = Server::start_with_fds(32, &["--log"]);
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    // The first of them were accepted, the last wait in the kernel.
    clients[0].send(GET_TEN);
    clients[0].head();
    clients[59].send(GET_TEN);
    let mut last = clients.pop().unwrap();
    drop(clients);
    assert_eq!(last.answer(true).text(), "0123456789");
    drop(last);
    server.signal(Signal::INT);
    let (_, log) = server.expect_success();
    assert!(log.contains("accept: ") && log.contains("os error 24"), "{log}");
}

#[test]
fn ctrl_c_closes_the_idle_and_finishes_what_runs() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut server = Server::start(&["--log"]);
        server.folder.write_big();
        let mut idle = server.connect();
        assert_eq!(idle.ask(GET_TEN).status, 200);
        let mut running = server.connect();
        running.send(GET_BIG);
        running.head();
        server.signal(signal);
        idle.expect_end();
        assert_eq!(running.rest().unwrap(), BIG_BYTES);
        let (line, log) = server.expect_success();
        assert!(line.contains("served 2 requests (33.6 MB) on 2 connections in "), "{line:?}");
        assert!(line.contains("; 0 connections were cut off"), "{line:?}");
        assert!(log.contains("\"GET /ten.txt HTTP/1.1\" 200 10 "), "{log}");
    }
}

#[test]
fn the_grace_period_ends() {
    let mut server = Server::start(&["--grace", "0.05"]);
    server.folder.write_big();
    let mut running = server.connect();
    running.send(GET_BIG);
    running.head();
    let began = Instant::now();
    server.expect_cut_off(1);
    assert!(began.elapsed() < WRITE_LIMIT / 2);
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let mut server = Server::start(&["--grace", "600"]);
    server.folder.write_big();
    let (mut idle, mut running) = (server.connect(), server.connect());
    assert_eq!(idle.ask(GET_TEN).status, 200);
    running.send(GET_BIG);
    running.head();
    server.signal(Signal::INT);
    // By its end it is known that the first signal has arrived: two at once would count as one.
    idle.expect_end();
    let began = Instant::now();
    server.expect_cut_off(1);
    assert!(began.elapsed() < WRITE_LIMIT / 2);
}

#[test]
fn the_command_line_is_checked() {
    let run = |arguments: &[&str]| Command::new(binary()).args(arguments).output().unwrap();
    let help = run(&["--help"]);
    assert!(
        help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Usage: serve ")
    );
    for (status, start, arguments) in [
        (2, "error: ", &["--fast"][..]),
        (2, "error: ", &["--listen"]),
        (2, "error: ", &["--listen", "here"]),
        (2, "error: ", &["--grace=-1"]),
        (2, "error: ", &["one", "two"]),
        (2, "error: ", &["/nowhere/at/all"]),
    ] {
        let refused = run(arguments);
        assert_eq!(refused.status.code(), Some(status), "{arguments:?}");
        assert!(refused.stderr.starts_with(start.as_bytes()), "{arguments:?}");
    }
    let timed = run(&["--listen", "127.0.0.1:0", "--quit-after", "0"]);
    assert!(timed.status.success(), "{timed:?}");
}
