//! Does a server under load and faults for a long time lose a good client, memory, or an fd?
//!
//! A server of [`conbrio::net::serve`] runs in a process of its own, with few fds and a small disk. A
//! thousand clients talk to it and check every byte, while others do what clients do on bad days: reset
//! connections in the middle of a request, read slowly, stop altogether, come in floods that use up the
//! fds, and fill the disk. What would change our minds: one error that a good client sees, or memory or
//! fds that have not come back when all clients have gone.
//!
//! Run: `cargo run --release -p conbrio-benches --features tls --bin soak [-- [--tls] [MINUTES [epoll|uring]]]`;
//! 20 minutes, with the reactor of `auto`, if nothing is said. The full disk needs a right to mount, and is
//! skipped, which is said, where there is none.

mod clients;
mod connection;
mod disk;
mod faults;
mod process;
mod server;
mod wire;

use std::io;
use std::time::{Duration, Instant};

use conbrio::Cx;

use clients::{Figures, Room};
use connection::{Identity, Target};
use disk::Disk;
use process::{Server, State};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["serve", reactor, folder] => server::serve(reactor, folder.as_ref()),
        ["stopped", address] => faults::be_stopped(address),
        _ => soak(&words),
    };
    if let Err(error) = outcome {
        eprintln!("soak: {error}");
        std::process::exit(1);
    }
}

fn soak(words: &[&str]) -> io::Result<()> {
    let usage = || io::Error::other("usage: soak [--tls] [MINUTES [auto|epoll|uring]]");
    let (identity, words) = match words {
        ["--tls", rest @ ..] => (Some(Identity::new()?), rest),
        _ => (None, words),
    };
    let (minutes, reactor) = match words {
        [] => ("20", "auto"),
        [minutes] => (*minutes, "auto"),
        [minutes, reactor] => (*minutes, *reactor),
        _ => return Err(usage()),
    };
    let minutes: f64 = minutes.parse().map_err(|_| usage())?;
    let length = Duration::try_from_secs_f64(minutes * 60.0).map_err(|_| usage())?;
    process::raise_fd_limit()?;
    let disk = Disk::mount()?;
    let identity = identity.as_ref();
    let server = Server::start(reactor, disk.folder(), identity)?;
    let target = Target::new(server.address(), identity)?;
    let tls = if identity.is_some() { "TLS" } else { "no TLS" };
    println!("{}", conbrio_bench_kit::machine::line());
    println!("soak: {minutes} minutes on {reactor}, {tls}, server {}", server.address());
    let around = Around { server: &server, target: &target, identity, disk: &disk };

    let run = conbrio::Builder::new().workers(1).reactor(conbrio::Reactor::Epoll);
    let verdict = run.run(|cx| -> io::Result<Verdict> {
        // Everything once, so that pools and caches have the size that they need.
        let warm = WARM_UP.min(length / 4);
        let first = phase(cx, &around, warm)?;
        let before = server.at_rest(cx, &target)?;
        println!("soak: at rest after {warm:?} to warm up: {before}");
        let mut verdict = Verdict { figures: first, after: before, before };
        for part in 1..=PARTS {
            let more = phase(cx, &around, length.saturating_sub(warm) / PARTS)?;
            verdict.figures = verdict.figures.and(more);
            verdict.after = server.at_rest(cx, &target)?;
            println!("soak: at rest after part {part} of {PARTS}: {}", verdict.after);
        }
        Ok(verdict)
    });
    let verdict = verdict.map_err(io::Error::other)??;
    let ended = server.end()?;
    println!("soak: the server has ended after {ended:?}");
    disk.unmount();
    verdict.judge()
}

/// What clients have to do with.
struct Around<'a> {
    server: &'a Server,
    target: &'a Target,
    identity: Option<&'a Identity>,
    disk: &'a Disk,
}

/// All clients and faults, for so long, and then nothing.
fn phase(cx: &mut Cx, around: &Around<'_>, length: Duration) -> io::Result<Figures> {
    let Around { server, target, identity, disk } = *around;
    let (figures, room) = (Figures::default(), Room::default());
    let end = Instant::now() + length;
    let ended = cx.move_on_after(length, |cx| -> io::Result<()> {
        Ok(cx.nursery(|cx, n| -> io::Result<()> {
            let (figures, room) = (&figures, &room);
            for number in 0..clients::GOOD {
                n.spawn(move |cx| clients::good(cx, target, number, figures, room));
            }
            faults::spawn_all(n, target, identity, disk, figures, room);
            n.spawn(move |cx| report(cx, figures, server, end));
            cx.sleep_forever()?;
            Ok(())
        })?)
    });
    ended?;
    Ok(figures)
}

/// A line now and then, so that whoever waits sees that it goes on.
fn report(cx: &mut Cx, figures: &Figures, server: &Server, end: Instant) -> io::Result<()> {
    loop {
        cx.sleep(Duration::from_secs(30))?;
        let left = end.saturating_duration_since(Instant::now());
        let state = server.state()?;
        println!("soak: {:.0} s to go: {figures}; the server: {state}", left.as_secs_f64());
    }
}

struct Verdict {
    figures: Figures,
    before: State,
    after: State,
}

impl Verdict {
    fn judge(self) -> io::Result<()> {
        println!("soak: {}", self.figures);
        let mut wrong = self.figures.errors();
        if self.after.fds > self.before.fds {
            wrong.push(format!("{} fds became {}", self.before.fds, self.after.fds));
        }
        let allowed = self.before.resident_kib * 11 / 10 + 2 * 1024;
        if self.after.resident_kib > allowed {
            let (before, after) = (self.before.resident_kib, self.after.resident_kib);
            wrong.push(format!("{before} KiB of memory became {after}"));
        }
        let (before, after) = (self.before.heap_kib.unwrap_or(0), self.after.heap_kib.unwrap_or(0));
        if after > before * 11 / 10 + 512 {
            wrong.push(format!("{before} KiB of heap in use became {after}"));
        }
        if !self.figures.has_happened() {
            wrong.push("a kind of fault has not happened; let it run longer".to_owned());
        }
        if wrong.is_empty() {
            println!("soak: PASSED");
            return Ok(());
        }
        Err(io::Error::other(format!("FAILED: {}", wrong.join("; "))))
    }
}

const WARM_UP: Duration = Duration::from_secs(60);
/// How often everybody leaves, and it is looked whether memory and fds have come back.
const PARTS: u32 = 4;
