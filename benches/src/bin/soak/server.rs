//! The server under test: connections wait without a buffer, requests are echoed or put on a disk.

use std::io;
use std::path::Path;
use std::time::Duration;

use conbrio::Cx;
use conbrio::net::{ServeOptions, TcpListener, TcpStream};
use conbrio::signal::shutdown_on_termination;
use conbrio::tls::Acceptor;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::connection::{Connection, Identity};
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
    let acceptor = Identity::given().map(|identity| identity.acceptor()).transpose()?;
    let run = conbrio::Builder::new().workers(2).reactor(reactor).run(|cx| {
        let listener = TcpListener::bind(cx, "127.0.0.1:0")?;
        println!("{}", listener.local_addr()?);
        let served = shutdown_on_termination(cx, Duration::from_secs(5), |cx| -> io::Result<()> {
            Ok(ServeOptions::new().serve(cx, [listener], |cx, incoming| {
                // What goes wrong with one connection is its own affair.
                let _ = attend(cx, incoming.stream, acceptor.as_ref(), folder);
                cx.checkpoint().map_err(io::Error::from)
            })?)
        })?;
        served.ok_or_else(|| io::Error::other("some connections did not end in time"))
    });
    run.map_err(io::Error::other)?
}

fn attend(
    cx: &mut Cx,
    stream: TcpStream,
    acceptor: Option<&Acceptor>,
    folder: &Path,
) -> io::Result<()> {
    let mut connection = match acceptor {
        None => Connection::Plain(stream),
        Some(acceptor) => Connection::Encrypted(
            cx.fail_after(HANDSHAKE_MAX, |cx| acceptor.accept(cx, stream))
                .map_err(io::Error::from)?,
        ),
    };
    converse(cx, &mut connection, folder)?;
    // Everything has been answered, and the client is told so.
    Ok(connection.split().1.end_write(cx)?)
}

fn converse(cx: &mut Cx, stream: &mut Connection, folder: &Path) -> io::Result<()> {
    let mut pending: Vec<u8> = Vec::new();
    loop {
        if stream.append(cx, &mut pending)? == 0 {
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
                Kind::Heap => {
                    let bytes = conbrio_bench_kit::os::heap_bytes_in_use();
                    stream.write_all(cx, &bytes.to_le_bytes())?;
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
const FDS: u64 = 1_350;
/// Longer than a flood.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
