//! Connects to the first of several addresses that answers (RFC 8305, "Happy Eyeballs").
//!
//! Run: `cargo run --example happy_eyeballs -- 192.0.2.1:80 93.184.215.14:80 [2606:2800:21f:cb07::1]:80`
//! Expect: the address that answered, and how long it took. Attempts begin a quarter of a second apart, or
//! at once when one has failed. Those that lost have been called off, and their sockets closed, before the
//! winner is used.
//!
//! `TcpStream::connect` does this by itself for a host with several addresses. Here it is by hand, to show that
//! it is a hedge, and a hedge is a dozen lines: the attempts are closures, and who loses is cancelled.
//!
//! Without arguments it tries addresses of its own: one that never answers or cannot be reached, one that
//! refuses, and one that it listens at itself.
//!
//! smoke:
//! smoke-expect: connected to 127.0.0.1:

use conbrio::prelude::*;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// RFC 8305, section 8: "Connection Attempt Delay".
const DELAY: Duration = Duration::from_millis(250);

fn connect(cx: &mut Cx, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let attempts = addresses.iter().map(|address| {
        move |cx: &mut Cx| {
            println!("trying {address}");
            TcpStream::connect(cx, *address)
                .map_err(io::Error::from)
                .inspect_err(|error| println!("{error}"))
        }
    });
    // All errors, if none has answered; the deadline is for all of them together.
    let stream = cx.fail_after(Duration::from_secs(30), |cx| cx.hedge(DELAY, attempts));
    stream.map_err(|error| match error {
        OrTimedOut::TimedOut(timed_out) => timed_out.into(),
        OrTimedOut::Failed(error) => error.into(),
    })
}

fn main() -> io::Result<()> {
    let given: Result<Vec<SocketAddr>, _> =
        std::env::args().skip(1).map(|word| word.parse()).collect();
    let mut addresses =
        given.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    conbrio::run(|cx| {
        let listener = TcpListener::bind(cx, "127.0.0.1:0")?;
        if addresses.is_empty() {
            let refuses = TcpListener::bind(cx, "127.0.0.1:0")?.local_addr()?; // closed at once
            // 192.0.2.0/24 is for documentation: nobody is there (RFC 5737).
            addresses = vec![([192, 0, 2, 1], 80).into(), refuses, listener.local_addr()?];
        }
        let began = cx.now();
        let stream = connect(cx, &addresses)?;
        println!("connected to {} after {:?}", stream.peer_addr()?, cx.now() - began);
        Ok(())
    })
}
