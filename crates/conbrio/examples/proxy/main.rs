//! A reverse proxy for TCP: it takes connections and passes their bytes on to one of several servers.
//!
//! `cargo run --release --example proxy -- --to HOST:PORT [--to HOST:PORT ...]`; `--help` lists the options.
//! A connection goes to the first server that answers: they take turns in being asked first, and the next
//! one is asked as well when one takes long (a hedge). What lost has been hung up on before the first byte
//! is passed on. A connection on which nothing moves is ended; on Ctrl-C the open ones drain.
//!
//! With `--features tls`, `--tls CHAIN.pem KEY.pem` ends TLS here. `--demo` brings its own servers and
//! clients, see `demo.rs`.
//!
//! smoke: --demo --listen 127.0.0.1:0 --hedge 0.05
//! smoke-expect: passed on 20 connections
//! smoke-expect: drained

mod demo;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use clap::Parser as _;
use conbrio::CancelHandle;
use conbrio::io::{HalfClose, Read, Split};
use conbrio::net::{Incoming, ServeOptions, listen};
use conbrio::prelude::*;
use conbrio::signal::shutdown_on_termination;

/// Passes TCP connections on to one of several servers. Times are in seconds.
// And what all connections share: it lives on the stack of `main`, and they borrow it.
#[derive(clap::Parser)]
struct Proxy {
    /// Where to listen: HOST:PORT, all addresses of the host
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// A server, as HOST:PORT; may be given several times
    #[arg(long = "to", required_unless_present = "demo")]
    servers: Vec<String>,
    /// How long a server may take to answer before the next one is asked as well
    #[arg(long, value_parser = seconds, default_value = "0.25")]
    hedge: Duration,
    /// How long all of them together may take
    #[arg(long, value_parser = seconds, default_value = "10")]
    connect_timeout: Duration,
    /// How long nothing may move on a connection
    #[arg(long, value_parser = seconds, default_value = "60")]
    idle_timeout: Duration,
    /// How long a drain waits for open connections
    #[arg(long, value_parser = seconds, default_value = "10")]
    grace: Duration,
    /// So many connections at a time; others wait
    #[arg(long, default_value = "400")] // Of two fds each: the usual limit is 1024.
    max_connections: usize,
    /// The certificates and the key of a server that speaks TLS
    #[arg(long, num_args = 2, value_names = ["CHAIN", "KEY"])]
    tls: Vec<PathBuf>,
    /// Bring servers and clients along
    #[arg(long)]
    demo: bool,
    #[arg(skip)]
    statistics: Statistics,
}

#[derive(Default)]
struct Statistics {
    /// The server that is asked first is the next one each time.
    turn: AtomicUsize,
    passed_on: AtomicU64,
    bytes: AtomicU64,
    /// No server has answered.
    turned_away: AtomicU64,
    /// Nothing has moved for too long, or one side has vanished.
    cut_off: AtomicU64,
}

fn seconds(text: &str) -> Result<Duration, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn main() -> io::Result<()> {
    let proxy = Proxy::parse();
    let ended = conbrio::run(|cx| if proxy.demo { demo::run(cx, proxy) } else { proxy.run(cx) })?;
    println!("{ended}");
    Ok(())
}

impl Proxy {
    /// Passes connections on until somebody wants it to end. Returns what there is to say about it.
    fn run(&self, cx: &mut Cx) -> io::Result<String> {
        let listeners = listen(cx, &self.listen)?;
        self.serve(cx, listeners)
    }

    fn serve(&self, cx: &mut Cx, listeners: Vec<TcpListener>) -> io::Result<String> {
        let tls = tls::Acceptor::new(&self.tls)?;
        for listener in &listeners {
            writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
        }
        let options = ServeOptions::new()
            .connections_max(self.max_connections)
            .on_shortage(|error| eprintln!("no more connections for now: {error}"));
        let drained = shutdown_on_termination(cx, self.grace, |cx| {
            let served = options.serve(cx, listeners, |cx, incoming| {
                let peer = incoming.peer;
                match self.connection(cx, incoming, &tls) {
                    Err(error) if error.cancelled().is_none() => {
                        // It is the end of this connection, and of no other.
                        eprintln!("{peer}: {error}");
                        Ok(())
                    }
                    outcome => outcome,
                }
            });
            served.map_err(io::Error::from)
        })?;
        let Statistics { passed_on, bytes, turned_away, cut_off, .. } = &self.statistics;
        Ok(format!(
            "passed on {passed_on:?} connections ({bytes:?} bytes); {turned_away:?} were turned away, \
             {cut_off:?} cut off; {}",
            if drained.is_some() { "drained" } else { "did not wait for the last" }
        ))
    }

    fn connection(&self, cx: &mut Cx, incoming: Incoming, tls: &tls::Acceptor) -> io::Result<()> {
        let mut server = match self.connect(cx, incoming.peer) {
            Ok(server) => server,
            Err(error) if error.cancelled().is_some() => return Err(error),
            Err(error) => {
                self.statistics.turned_away.fetch_add(1, Relaxed);
                return Err(error);
            }
        };
        self.statistics.passed_on.fetch_add(1, Relaxed);
        let mut client = incoming.stream;
        #[cfg(feature = "tls")]
        if let Some(acceptor) = &tls.0 {
            let timeout = self.connect_timeout;
            let mut client = cx.fail_after(timeout, |cx| acceptor.accept(cx, client))?;
            return self.pass_on(cx, &mut client, &mut server);
        }
        let _ = tls;
        self.pass_on(cx, &mut client, &mut server)
    }

    /// Connects to the first server that answers.
    fn connect(&self, cx: &mut Cx, peer: SocketAddr) -> io::Result<TcpStream> {
        let turn = self.statistics.turn.fetch_add(1, Relaxed);
        let attempts = (0..self.servers.len()).map(|offset| {
            let server = &self.servers[turn.wrapping_add(offset) % self.servers.len()];
            move |cx: &mut Cx| TcpStream::connect(cx, server).map_err(io::Error::from)
        });
        let connected = cx.fail_after(self.connect_timeout, |cx| cx.hedge(self.hedge, attempts));
        connected.map_err(|error| match error {
            OrTimedOut::TimedOut(timed_out) => io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no server for {peer}: {timed_out}"),
            ),
            OrTimedOut::Failed(error) => error.into(),
        })
    }

    /// Passes bytes on in both directions until both have ended, or nothing moves for too long.
    fn pass_on<S>(&self, cx: &mut Cx, client: &mut S, server: &mut TcpStream) -> io::Result<()>
    where
        S: Split,
        for<'a> S::Writer<'a>: HalfClose,
    {
        let outcome = cx.cancel_scope(|cx, scope| {
            scope.set_timeout(self.idle_timeout);
            let alive = scope.handle();
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = server.split();
            cx.nursery(|cx, n| -> io::Result<()> {
                n.spawn(|cx| self.pump(cx, &mut from_client, &mut to_server, &alive));
                self.pump(cx, &mut from_server, &mut to_client, &alive)
            })
            .map_err(io::Error::from)
        });
        if !matches!(outcome, Ok(Some(()))) {
            self.statistics.cut_off.fetch_add(1, Relaxed);
        }
        outcome.map(|_| ())
    }

    /// One direction: its end is passed on as well, and every piece puts the deadline of both off.
    fn pump(
        &self,
        cx: &mut Cx,
        from: &mut impl Read,
        to: &mut impl HalfClose,
        alive: &CancelHandle,
    ) -> io::Result<()> {
        let mut buf = [0; 16 * 1024];
        loop {
            let count = from.read(cx, &mut buf)?;
            alive.set_deadline(Some(cx.now() + self.idle_timeout));
            if count == 0 {
                return Ok(to.end_write(cx)?);
            }
            to.write_all(cx, &buf[..count])?;
            self.statistics.bytes.fetch_add(count as u64, Relaxed);
        }
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::{fs, io, path::PathBuf};

    /// None if it does not speak TLS.
    pub(crate) struct Acceptor(pub(crate) Option<conbrio::tls::Acceptor>);

    impl Acceptor {
        pub(crate) fn new(files: &[PathBuf]) -> io::Result<Acceptor> {
            let [chain, key] = files else { return Ok(Acceptor(None)) };
            let (chain, key) = (fs::read(chain)?, fs::read(key)?);
            let acceptor =
                conbrio::tls::Acceptor::builder().certificate_pem(&chain, &key).build()?;
            Ok(Acceptor(Some(acceptor)))
        }
    }
}

#[cfg(not(feature = "tls"))]
mod tls {
    use std::{io, path::PathBuf};

    pub(crate) struct Acceptor;

    impl Acceptor {
        pub(crate) fn new(files: &[PathBuf]) -> io::Result<Acceptor> {
            match files {
                [] => Ok(Acceptor),
                _ => Err(io::Error::other("`--tls` needs `--features tls`")),
            }
        }
    }
}
