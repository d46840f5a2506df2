//! A web server for a folder, and how a server is put together with conbrio.
//!
//! `cargo run --release --example serve -- [FOLDER] [OPTIONS]`; `--help` lists the options. `serve` below
//! is its life: a task for each connection, which borrows `Server` from the stack of `run`; on Ctrl-C
//! the nursery drains, and nothing can be left behind. `connection.rs` is the life of a connection; its
//! limits of time are scopes around plain code. `message.rs` and `files.rs` know nothing of tasks.
//!
//! smoke: . --listen 127.0.0.1:0 --quit-after 1
//! smoke-expect: served

mod connection;
mod files;
mod message;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals};
use pico_args::Arguments;

use crate::connection::Connection;

const HELP: &str = "\
usage: serve [FOLDER] [OPTIONS]

  --listen ADDRESS        where to listen, 127.0.0.1:8080 if not given; port 0 takes a free one
  --log                   print a line for each request to standard error
  --follow-symlinks       follow symbolic links that lead out of the folder
  --max-connections N     answer 503 beyond so many connections, 400 if not given
  --idle-timeout SECONDS  how long a connection may stay without a request, 60 if not given
  --timeout SECONDS       how long a client may take for its head or a piece of the response, 20
  --grace SECONDS         how long a drain waits for running responses, 10 if not given
  --quit-after SECONDS    end as if by Ctrl-C

Ctrl-C ends it when the running responses are done, or at once if pressed twice.";

/// What all connections share. It lives on the stack of `run`, and they borrow it.
struct Server {
    folder: files::Folder,
    listen: SocketAddr,
    log: bool,
    /// The default leaves room for two fds each under the usual limit of 1024.
    connections_max: usize,
    idle_timeout: Duration,
    timeout: Duration,
    grace: Duration,
    quit_after: Duration,
    statistics: Statistics,
}

#[derive(Default)]
struct Statistics {
    connections: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
    /// Connections that the server ended against the will of the client.
    cut_off: AtomicU64,
}

fn main() -> std::process::ExitCode {
    let Err(error) = run(Arguments::from_env()) else { return 0.into() };
    eprintln!("serve: {error}");
    1.into()
}

fn run(mut options: Arguments) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if options.contains(["-h", "--help"]) {
        return Ok(writeln!(io::stdout(), "{HELP}")?);
    }
    let mut seconds = |name, default| -> Result<Duration, pico_args::Error> {
        let parse = |text: &str| Duration::try_from_secs_f64(text.parse().unwrap_or(-1.0));
        Ok(options.opt_value_from_fn(name, parse)?.unwrap_or(Duration::from_secs(default)))
    };
    let server = Server {
        idle_timeout: seconds("--idle-timeout", 60)?,
        timeout: seconds("--timeout", 20)?,
        grace: seconds("--grace", 10)?,
        quit_after: seconds("--quit-after", u64::MAX)?,
        listen: options.opt_value_from_str("--listen")?.unwrap_or(([127, 0, 0, 1], 8080).into()),
        log: options.contains("--log"),
        connections_max: options.opt_value_from_str("--max-connections")?.unwrap_or(400),
        folder: files::Folder::open(options.contains("--follow-symlinks"), &options.finish())?,
        statistics: Statistics::default(),
    };
    let began = Instant::now();
    // What is read comes from the page cache most of the time: more threads would only take turns.
    let runtime = conbrio::Builder::new().blocking_threads(32);
    runtime.run(|cx| serve(cx, &server))??;
    let Statistics { connections, requests, bytes, cut_off } = server.statistics;
    let (megabytes, time) = (bytes.into_inner() as f64 / 1e6, began.elapsed());
    Ok(writeln!(
        io::stdout(),
        "served {requests:?} requests ({megabytes:.1} MB) on {connections:?} connections \
         in {time:.1?}; {cut_off:?} connections were cut off"
    )?)
}

/// Serves until it is told to end, then drains; returns when the last connection has ended.
fn serve(cx: &mut Cx, server: &Server) -> io::Result<()> {
    let mut signals = Signals::new(&[Signal::INTERRUPT, Signal::TERMINATE])?;
    let listener = TcpListener::bind(cx, server.listen)?;
    writeln!(io::stdout(), "listening on http://{}/", listener.local_addr()?)?;
    cx.nursery(|cx, watch| {
        cx.nursery(|cx, connections| {
            let drain = connections.handle();
            watch.spawn(move |cx| {
                cx.move_on_after(server.quit_after, |cx| signals.wait(cx))?;
                drain.shutdown(server.grace);
                // Whoever does not want to wait for the running responses asks twice.
                signals.wait(cx)?;
                drain.cancel();
                Ok(())
            });
            cx.move_on_shutdown(|cx| accept(cx, listener, server, connections)).map(drop)
        })?;
        watch.cancel();
        Ok(())
    })?;
    Ok(())
}

/// Accepts until it is cancelled. All connections are children of one nursery.
fn accept<'scope>(
    cx: &mut Cx,
    mut listener: TcpListener,
    server: &'scope Server,
    connections: &'scope Nursery<'scope, '_, io::Error>,
) -> io::Result<()> {
    loop {
        match listener.accept(cx) {
            Ok((stream, peer)) => {
                let is_full = connections.child_count() >= server.connections_max;
                let connection = Connection { server, stream, peer, is_full, received: Vec::new() };
                connections.spawn(move |cx| connection.run(cx));
            }
            Err(OrCancelled::Cancelled(cancelled)) => return Err(cancelled.into()),
            Err(OrCancelled::Failed(error)) => {
                // Often there are no fds left. Connections will end and free theirs.
                server.log(format_args!("accept: {error}"));
                cx.sleep(Duration::from_millis(50))?;
            }
        }
    }
}

impl Server {
    fn log(&self, line: std::fmt::Arguments<'_>) {
        // A log that nobody reads must not end the server.
        let _ = self.log.then(|| writeln!(io::stderr(), "{line}"));
    }
}
