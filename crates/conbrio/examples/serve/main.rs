//! A web server for a folder, and how a server is put together with conbrio.
//!
//! `cargo run --release --example serve -- [FOLDER] [OPTIONS]`; `--help` lists the options. `serve` below
//! is its life: a task for each connection, which borrows `Server` from the stack of `main`; on Ctrl-C
//! they drain, and none is left behind. `connection.rs` is the life of a connection; its limits of time
//! are scopes around plain code. `stream.rs` puts TLS under it, with `--tls`. The other two files know
//! nothing of tasks.
//!
//! smoke: . --listen 127.0.0.1:0 --quit-after 1
//! smoke-expect: served

mod connection;
mod request;
mod response;
mod stream;

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use std::{error::Error, fs::File, net::SocketAddr, path::PathBuf, sync::Arc};

use clap::Parser as _;
use clap::builder::{PathBufValueParser, TypedValueParser as _};
use conbrio::prelude::*;
use conbrio::{net::ServeOptions, signal::shutdown_on_termination};
use rustix::process::{Signal, getpid, kill_process};

/// Serves the files of a folder. Ctrl-C ends it when the running responses are done, or at once if
/// pressed twice. Times are in seconds.
// And what all connections share: it lives on the stack of `main`, and they borrow it.
#[derive(clap::Parser)]
pub(crate) struct Server {
    #[arg(default_value = ".", value_parser = PathBufValueParser::new().try_map(open_folder))]
    folder: Arc<File>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Print a line for each request to standard error
    #[arg(long)]
    log: bool,
    /// Follow symbolic links that lead out of the folder
    #[arg(long)]
    follow_symlinks: bool,
    /// Answer 503 beyond so many connections
    #[arg(long, default_value = "400")] // Of two fds each: the usual limit is 1024.
    max_connections: usize,
    /// How long a connection may stay without a request
    #[arg(long, value_parser = seconds, default_value = "60")]
    idle_timeout: Duration,
    /// How long a client may take for its head, or for a piece of the response
    #[arg(long, value_parser = seconds, default_value = "20")]
    timeout: Duration,
    /// How long a drain waits for running responses
    #[arg(long, value_parser = seconds, default_value = "10")]
    grace: Duration,
    /// End as if by Ctrl-C
    #[arg(long, value_parser = seconds)]
    quit_after: Option<Duration>,
    /// Encrypt, with a certificate made for this run (needs the feature `tls` of the crate)
    #[arg(long)]
    tls: bool,
    #[arg(skip)]
    encryption: stream::Encryption,
    #[arg(skip)]
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

fn open_folder(path: PathBuf) -> io::Result<Arc<File>> {
    // The slash that `join` adds makes this fail if it is no folder.
    File::open(path.join("")).map(Arc::new)
}

fn seconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = Server::parse();
    if server.tls {
        server.encryption = stream::Encryption::new()?;
    }
    // What is read comes from the page cache most of the time: more threads would only take turns.
    conbrio::Builder::new()
        .blocking_threads(32)
        .run(|cx| serve(cx, &server, &mut io::stdout()))??;
    Ok(())
}

/// Serves until it is told to end, then drains; returns when the last connection has ended. Says to `out`
/// where it listens, and at the end what it has done.
pub(crate) fn serve(cx: &mut Cx, server: &Server, out: &mut impl io::Write) -> io::Result<()> {
    let began = cx.now();
    let serve =
        ServeOptions::new().on_shortage(|error| server.log(format_args!("accept: {error}")));
    let _ended = shutdown_on_termination(cx, server.grace, |cx| {
        let listener = TcpListener::bind(cx, server.listen)?;
        let scheme = if server.tls { "https" } else { "http" };
        writeln!(out, "listening on {scheme}://{}/", listener.local_addr()?)?;
        cx.nursery(|cx, n| {
            if let Some(time) = server.quit_after {
                n.spawn(move |cx| {
                    cx.sleep(time)?;
                    Ok(kill_process(getpid(), Signal::INT)?)
                });
            }
            serve.serve(cx, [listener], |cx, incoming| connection::run(cx, server, incoming))?;
            n.cancel();
            Ok(())
        })
        .map_err(io::Error::from)
    })?;
    let Statistics { connections, requests, bytes, cut_off } = &server.statistics;
    let (megabytes, time) = (bytes.load(Relaxed) as f64 / 1e6, cx.now() - began);
    writeln!(
        out,
        "served {requests:?} requests ({megabytes:.1} MB) on {connections:?} connections \
         in {time:.1?}; {cut_off:?} connections were cut off"
    )
}

impl Server {
    fn log(&self, line: std::fmt::Arguments<'_>) {
        // A log that nobody reads must not end the server.
        let _ = self.log.then(|| writeln!(io::stderr(), "{line}"));
    }
}
