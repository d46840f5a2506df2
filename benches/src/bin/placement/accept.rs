//! Does an accept loop on one worker fill all of them, if each connection is served at once?
//!
//! The handlers stay until all connections are open: what counts is where each of them began. What
//! would change our minds: a worker that gets less than a third of its share.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use conbrio::Cx;
use conbrio::net::{TcpListener, TcpStream};

use crate::{BoxError, CONNECTIONS, Census, PAUSE};

/// An accept loop and its handlers: how many handlers each worker ran.
pub(super) fn accept(cx: &mut Cx) -> Result<Vec<f64>, BoxError> {
    let mut listener = TcpListener::bind(cx, (Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let census = Census::new(cx);
    let client = std::thread::spawn(move || open_one_by_one(address));
    // If the client fails, there is nothing more to accept, and this must not wait for it.
    cx.fail_after(PATIENCE, |cx| -> io::Result<()> {
        cx.nursery(|cx, n| {
            for _ in 0..CONNECTIONS {
                let (mut stream, _) = listener.accept(cx)?;
                let census = &census;
                n.spawn(move |cx| {
                    census.count(cx);
                    echo(cx, &mut stream)
                });
            }
            Ok(())
        })?;
        Ok(())
    })?;
    client.join().map_err(|_| "the client panicked")??;
    Ok(census.into_numbers().collect())
}

fn echo(cx: &mut Cx, stream: &mut TcpStream) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        let bytes = stream.read(cx, &mut buf)?;
        if bytes == 0 {
            return Ok(());
        }
        stream.write_all(cx, &buf[..bytes])?;
    }
}

/// Opens connections, each after the one before was answered and the workers have had time to fall
/// asleep, and closes all at the end.
fn open_one_by_one(address: SocketAddr) -> io::Result<()> {
    let mut streams = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        streams.push(stream);
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(30);
