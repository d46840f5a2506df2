//! A chat server: whatever one writes, all others read.
//!
//! Run: `cargo run --example chat -- 127.0.0.1:7000`, then `nc 127.0.0.1 7000` in several terminals
//! Expect: lines go to everybody else. Ctrl-C ends it: everybody is told, and has two seconds to go.
//! Without an address two clients of its own talk to each other.
//!
//! smoke:
//! smoke-expect: Bob reads: 1: hello, is anybody there?
//! smoke-expect: the server has ended

use conbrio::channel::{BroadcastError, BroadcastSender, broadcast};
use conbrio::io::{BufRead, BufReader};
use conbrio::net::{Incoming, serve};
use conbrio::prelude::*;
use conbrio::signal::shutdown_on_termination;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// A line, and the number of whoever wrote it.
type Line = (usize, String);

fn chat(
    cx: &mut Cx,
    incoming: Incoming,
    number: usize,
    room: &BroadcastSender<Line>,
) -> io::Result<()> {
    let mut stream = incoming.stream;
    let (reader, mut writer) = stream.split();
    let mut heard = room.subscribe();
    writer.write_all(cx, format!("you are {number}\n").as_bytes())?;
    // Two things at once: what comes in, and what goes out. The first to end ends the other.
    cx.race(
        |cx| -> io::Result<()> {
            let mut reader = BufReader::new(reader);
            let mut line = String::new();
            while reader.read_line(cx, &mut line)? > 0 {
                room.send((number, std::mem::take(&mut line)));
            }
            Ok(())
        },
        |cx| loop {
            let text = match cx.move_on_shutdown(|cx| heard.recv(cx)) {
                Ok(Some((writer, _))) if writer == number => continue,
                Ok(Some((writer, line))) => format!("{writer}: {line}"),
                Ok(None) => return Ok(writer.write_all(cx, b"the server ends\n")?),
                Err(OrCancelled::Failed(BroadcastError::Lagged(count))) => {
                    format!("(you are slow, and have missed {count} lines)\n")
                }
                Err(OrCancelled::Failed(_)) => return Ok(()), // nobody can write any more
                Err(OrCancelled::Cancelled(cancelled)) => return Err(cancelled.into()),
            };
            writer.write_all(cx, text.as_bytes())?;
        },
    )?;
    Ok(())
}

fn server(cx: &mut Cx, listener: TcpListener) -> io::Result<()> {
    let (room, _) = broadcast(64);
    let numbers = AtomicUsize::new(1);
    Ok(serve(cx, [listener], |cx, incoming| {
        let result = chat(cx, incoming, numbers.fetch_add(1, Relaxed), &room);
        // A connection that breaks harms nobody else.
        result.or_else(|error| if error.cancelled().is_some() { Err(error) } else { Ok(()) })
    })?)
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    conbrio::run(|cx| {
        let listener = TcpListener::bind(cx, address.as_deref().unwrap_or("127.0.0.1:0"))?;
        let here = listener.local_addr()?;
        println!("listening on {here}");
        shutdown_on_termination(cx, Duration::from_secs(2), |cx| {
            cx.nursery(|cx, n| {
                n.spawn(move |cx| server(cx, listener));
                if address.is_none() {
                    let mut alice = TcpStream::connect(cx, here)?;
                    alice.read_exact(cx, &mut [0; "you are 1\n".len()])?;
                    let mut bob = BufReader::new(TcpStream::connect(cx, here)?);
                    let mut line = String::new();
                    bob.read_line(cx, &mut line)?;
                    alice.write_all(cx, b"hello, is anybody there?\n")?;
                    line.clear();
                    bob.read_line(cx, &mut line)?;
                    print!("Bob reads: {line}");
                    n.shutdown(Duration::from_secs(2));
                }
                Ok(())
            })
            .map_err(io::Error::from)
        })?;
        println!("the server has ended");
        Ok(())
    })
}
