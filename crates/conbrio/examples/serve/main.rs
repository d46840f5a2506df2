//! A web server for a folder, and how a server is put together with conbrio.
//!
//! `cargo run --release --example serve -- [FOLDER] [OPTIONS]`; `--help` lists the options. `serve` below
//! is its life: a task for each connection, which borrows `Server` from the stack of `run`; on Ctrl-C
//! the nursery drains, and nothing can be left behind. `connection.rs` is the life of a connection; its
//! limits of time are scopes around plain code. The other two files know nothing of tasks.
//!
//! smoke: . --listen 127.0.0.1:0 --quit-after 1
//! smoke-expect: served

mod connection;
mod request;
mod response;

use std::io::{self, Write as _};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use std::{error::Error, ffi::OsString, fs::File, net::SocketAddr, path::Path};

use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals};

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
    listen: SocketAddr,
    log: bool,
    follow_symlinks: bool,
    connections_max: usize,
    idle_timeout: Duration,
    timeout: Duration,
    grace: Duration,
    quit_after: Duration,
    folder: File,
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
    let Err(error) = run(pico_args::Arguments::from_env()) else { return 0.into() };
    eprintln!("serve: {error}");
    1.into()
}

fn run(mut options: pico_args::Arguments) -> Result<(), Box<dyn Error + Send + Sync>> {
    if options.contains(["-h", "--help"]) {
        return Ok(writeln!(io::stdout(), "{HELP}")?);
    }
    let mut seconds = |name, default| -> Result<Duration, Box<dyn Error + Send + Sync>> {
        let said = options.opt_value_from_str(name)?.unwrap_or(default);
        Duration::try_from_secs_f64(said).map_err(|error| format!("{name} {said}: {error}").into())
    };
    let server = Server {
        idle_timeout: seconds("--idle-timeout", 60.0)?,
        timeout: seconds("--timeout", 20.0)?,
        grace: seconds("--grace", 10.0)?,
        // Without the option it is longer than anything lasts.
        quit_after: seconds("--quit-after", 1e18)?,
        listen: options.opt_value_from_str("--listen")?.unwrap_or(([127, 0, 0, 1], 8080).into()),
        log: options.contains("--log"),
        follow_symlinks: options.contains("--follow-symlinks"),
        // This leaves room for two fds each under the usual limit of 1024.
        connections_max: options.opt_value_from_str("--max-connections")?.unwrap_or(400),
        folder: open_folder(options.finish())?,
        statistics: Statistics::default(),
    };
    let began = Instant::now();
    // What is read comes from the page cache most of the time: more threads would only take turns.
    conbrio::Builder::new().blocking_threads(32).run(|cx| serve(cx, &server))??;
    let Statistics { connections, requests, bytes, cut_off } = server.statistics;
    let (megabytes, time) = (bytes.into_inner() as f64 / 1e6, began.elapsed());
    Ok(writeln!(
        io::stdout(),
        "served {requests:?} requests ({megabytes:.1} MB) on {connections:?} connections \
         in {time:.1?}; {cut_off:?} connections were cut off"
    )?)
}

/// Opens the folder that the arguments name, which is the current one if there are none.
fn open_folder(arguments: Vec<OsString>) -> Result<File, String> {
    let path = arguments.first().map_or(Path::new("."), Path::new);
    if arguments.len() > 1 {
        return Err(format!("not one folder and options that --help lists: {arguments:?}"));
    }
    // The slash that `join` adds makes this fail if it is no folder.
    File::open(path.join("")).map_err(|error| format!("open {}: {error}", path.display()))
}

/// Serves until it is told to end, then drains; returns when the last connection has ended.
fn serve(cx: &mut Cx, server: &Server) -> io::Result<()> {
    let mut signals = Signals::new(&[Signal::INTERRUPT, Signal::TERMINATE])?;
    let mut listener = TcpListener::bind(cx, server.listen)?;
    writeln!(io::stdout(), "listening on http://{}/", listener.local_addr()?)?;
    Ok(cx.nursery(|cx, watch| {
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
            cx.move_on_shutdown(|cx| -> io::Result<()> {
                loop {
                    let (stream, peer) = server.accept(cx, &mut listener)?;
                    let is_full = connections.child_count() >= server.connections_max;
                    let connection = Connection { server, stream, peer, is_full, received: vec![] };
                    connections.spawn(move |cx| connection.run(cx));
                }
            })
        })?;
        watch.cancel();
        Ok(())
    })?)
}

impl Server {
    /// The next connection, as soon as there is one and it can be had.
    fn accept(&self, cx: &mut Cx, at: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            match at.accept(cx) {
                Ok(accepted) => return Ok(accepted),
                Err(error) => self.log(format_args!("accept: {}", error.into_failed()?)),
            }
            // Often there are no fds left. Connections will end and free theirs.
            cx.sleep(Duration::from_millis(50))?;
        }
    }

    fn log(&self, line: std::fmt::Arguments<'_>) {
        // A log that nobody reads must not end the server.
        let _ = self.log.then(|| writeln!(io::stderr(), "{line}"));
    }
}
