//! The server under test: connections wait without a buffer, requests are echoed or put on a disk.

use std::io;
use std::path::Path;
use std::time::Duration;

use conbrio::Cx;
use conbrio::net::{ServeOptions, TcpListener, TcpStream};
use conbrio::signal::shutdown_on_termination;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::wire::{self, Kind};

/// In the server's process: prints its address, and serves until it is told to stop.
pub(crate) fn serve(reactor: &str, folder: &Path) -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(FDS), maximum })?;
    let reactor = match reactor {
        "auto" => conbrio::Reactor::Auto,
        "epoll" => conbrio::Reactor::Epoll,
        "uring" => conbrio::Reactor::Uring,
        other => return Err(io::Error::other(format!("no such reactor: {other}"))),
    };
    let run = conbrio::Builder::new().workers(2).reactor(reactor).run(|cx| {
        let listener = TcpListener::bind(cx, "127.0.0.1:0")?;
        println!("{}", listener.local_addr()?);
        let served = shutdown_on_termination(cx, Duration::from_secs(5), |cx| -> io::Result<()> {
            Ok(ServeOptions::new().serve(cx, [listener], |cx, mut incoming| {
                // What goes wrong with one connection is its own affair.
                let _ = converse(cx, &mut incoming.stream, folder);
                cx.checkpoint().map_err(io::Error::from)
            })?)
        })?;
        served.ok_or_else(|| io::Error::other("some connections did not end in time"))
    });
    run.map_err(io::Error::other)?
}

fn converse(cx: &mut Cx, stream: &mut TcpStream, folder: &Path) -> io::Result<()> {
    let mut pending: Vec<u8> = Vec::new();
    loop {
        let count = stream.read_with(cx, |bytes| {
            pending.extend(bytes);
            bytes.len()
        })?;
        if count == 0 {
            return Ok(());
        }
        while let Some((kind, payload)) = wire::first(&pending)? {
            let used = wire::HEADER_BYTES + payload.len();
            match kind {
                Kind::Echo => stream.write_all(cx, payload)?,
                Kind::Store => {
                    let answer = store_patiently(cx, folder, payload)?;
                    stream.write_all(cx, answer)?;
                }
            }
            pending.drain(..used);
        }
        if pending.is_empty() {
            // A connection that waits keeps nothing.
            pending = Vec::new();
        }
    }
}

/// Puts `payload` on the disk, as soon as there is an fd for it.
fn store_patiently(cx: &mut Cx, folder: &Path, payload: &[u8]) -> io::Result<&'static [u8; 4]> {
    loop {
        match cx.blocking(|| store(folder, payload))? {
            Err(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
                cx.sleep(Duration::from_millis(50))?;
            }
            result => return result,
        }
    }
}

/// Puts `payload` on the disk for a moment.
fn store(folder: &Path, payload: &[u8]) -> io::Result<&'static [u8; 4]> {
    let id = std::thread::current().id();
    let path = folder.join(format!("{id:?}").replace(['(', ')'], "-"));
    let written = std::fs::write(&path, payload);
    let _ = std::fs::remove_file(&path);
    match written {
        Ok(()) => Ok(wire::STORED),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(wire::FULL),
        Err(error) => Err(error),
    }
}

/// Enough for the clients that stay, and not for a flood.
const FDS: u64 = 1_150;
