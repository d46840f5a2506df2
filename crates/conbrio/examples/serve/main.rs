//! A web server for a folder, and how a server is put together with conbrio.
//!
//! `cargo run --release --example serve -- [FOLDER] [OPTIONS]`; `--help` lists the options. It speaks
//! HTTP/1.1 (GET and HEAD) with keep-alive, pipelining, ranges, conditional requests and listings.
//!
//! What to look for:
//!
//! - `serve` below is the life of the server: a task for each connection, which borrows `Server` from the
//!   stack of `run`; on Ctrl-C the nursery drains, and nothing can be left behind.
//! - `connection.rs` is the life of a connection. Its limits of time are scopes around plain code.
//! - `request.rs` and `files.rs` are plain code that never waits: `cx.blocking` runs what touches files.
//!
//! smoke: . --listen 127.0.0.1:0 --quit-after 1
//! smoke-expect: served

mod connection;
mod files;
mod options;
mod request;

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use conbrio::net::TcpListener;
use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals};

use crate::connection::Connection;
use crate::files::Folder;
use crate::options::Options;

/// What all connections share. It lives on the stack of `run`, and they borrow it.
struct Server {
    options: Options,
    folder: Folder,
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

fn main() -> ExitCode {
    let outcome = match Options::from_arguments(std::env::args_os().skip(1)) {
        Ok(Some(options)) => run(options).map_err(|error| error.to_string()),
        Ok(None) => writeln!(io::stdout(), "{}", options::HELP).map_err(|error| error.to_string()),
        Err(wrong) => Err(format!("{wrong} (see --help)")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("serve: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> io::Result<()> {
    let mut runtime = conbrio::Builder::new().blocking_threads(BLOCKING_THREADS);
    if let Some(workers) = options.workers {
        runtime = runtime.workers(workers.get());
    }
    let folder = Folder::open(&options.folder, options.follow_symlinks)?;
    let server = Server {
        options,
        folder,
        statistics: Statistics::default(),
    };
    let began = Instant::now();
    runtime.run(|cx| serve(cx, &server))??;
    let Statistics {
        connections,
        requests,
        bytes,
        cut_off,
    } = server.statistics;
    writeln!(
        io::stdout(),
        "served {} requests ({:.1} MB) on {} connections in {:.1} s; {} connections were cut off",
        requests.into_inner(),
        bytes.into_inner() as f64 / 1e6,
        connections.into_inner(),
        began.elapsed().as_secs_f64(),
        cut_off.into_inner(),
    )
}

impl Server {
    fn log(&self, line: fmt::Arguments<'_>) {
        if self.options.log {
            // A log that nobody reads must not end the server.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// Serves until it is told to end, then drains; returns when the last connection has ended.
fn serve(cx: &mut Cx, server: &Server) -> io::Result<()> {
    let mut signals = Signals::new(&[Signal::INTERRUPT, Signal::TERMINATE])?;
    let listener = TcpListener::bind(cx, server.options.listen)?;
    writeln!(
        io::stdout(),
        "listening on http://{}/",
        listener.local_addr()?
    )?;
    cx.nursery(|cx, watch| {
        cx.nursery(|cx, connections| {
            let accepting = connections.spawn(|cx| accept(cx, listener, connections, server));
            match server.options.quit_after {
                Some(time) => cx.move_on_after(time, |cx| signals.wait(cx))?,
                None => Some(signals.wait(cx)?),
            };
            accepting.cancel();
            connections.shutdown(server.options.grace);
            // Whoever does not want to wait for the running responses asks twice.
            let connections = connections.handle();
            watch.spawn(move |cx| {
                signals.wait(cx)?;
                connections.cancel();
                Ok(())
            });
            Ok(())
        })?;
        watch.cancel();
        Ok(())
    })?;
    Ok(())
}

/// Accepts until it is cancelled.
fn accept<'scope>(
    cx: &mut Cx,
    mut listener: TcpListener,
    connections: &'scope Nursery<'scope, '_, io::Error>,
    server: &'scope Server,
) -> io::Result<()> {
    let max = server.options.connections_max;
    loop {
        let (stream, peer) = match listener.accept(cx) {
            Ok(accepted) => accepted,
            Err(OrCancelled::Cancelled(cancelled)) => return Err(cancelled.into()),
            Err(OrCancelled::Failed(error)) => {
                // Often there are no fds left. Connections will end and free theirs.
                server.log(format_args!("accept: {error}"));
                cx.sleep(ACCEPT_PAUSE)?;
                continue;
            }
        };
        let connection = Connection {
            stream,
            peer,
            server,
            received: Vec::new(),
        };
        // This task is one of the children. Beyond twice the limit there is not even an answer.
        match connections.child_count() {
            count if count / 2 > max => drop(connection),
            count => drop(connections.spawn(move |cx| connection.run(cx, count > max))),
        }
    }
}

/// What is read comes from the page cache most of the time: more threads would only take turns.
const BLOCKING_THREADS: usize = 32;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
