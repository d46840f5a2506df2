//! The server's process, seen from outside: its fds and its memory.

use std::fmt;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use conbrio::Cx;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::connection::{Identity, Target};
use crate::wire::{self, Kind};

pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

/// What a process holds.
#[derive(Clone, Copy)]
pub(crate) struct State {
    pub(crate) fds: usize,
    pub(crate) resident_kib: u64,
    pub(crate) threads: u64,
    /// What its heap has given out. Asked for when it is at rest.
    pub(crate) heap_kib: Option<u64>,
}

impl Server {
    pub(crate) fn start(
        reactor: &str,
        folder: &Path,
        identity: Option<&Identity>,
    ) -> io::Result<Server> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", reactor])
            .arg(folder)
            // The allocator of the system may keep what was freed for long, by tens of megabytes after a
            // storm of large requests (mallopt(3)). Told to give it back, it hides no leak.
            .env("MALLOC_MMAP_THRESHOLD_", "65536")
            .env("MALLOC_TRIM_THRESHOLD_", "65536")
            .envs(identity.into_iter().flat_map(Identity::variables))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().expect("it was asked for");
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().map_err(|_| {
            io::Error::other(format!("the server has said {line:?} instead of its address"))
        })?;
        Ok(Server { child, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it holds now.
    pub(crate) fn state(&self) -> io::Result<State> {
        State::of(self.child.id())
    }

    /// What it holds when its fds have stopped to become fewer: all clients have gone.
    pub(crate) fn at_rest(&self, cx: &mut Cx, target: &Target) -> io::Result<State> {
        self.wait_for_rest(cx)?;
        let mut connection = target.connect(cx)?;
        wire::ask(cx, &mut connection, Kind::Heap, &[])?;
        let mut bytes = [0; 8];
        connection.read_exact(cx, &mut bytes)?;
        connection.part(cx)?;
        drop(connection);
        let mut state = self.wait_for_rest(cx)?;
        state.heap_kib = Some(u64::from_le_bytes(bytes) / 1024);
        Ok(state)
    }

    fn wait_for_rest(&self, cx: &mut Cx) -> io::Result<State> {
        let mut last = self.state()?;
        for _ in 0..20 {
            cx.sleep(Duration::from_secs(1))?;
            let now = self.state()?;
            let is_steady = now.fds == last.fds && now.threads == last.threads;
            last = now;
            if is_steady && last.fds < FDS_AT_REST {
                break;
            }
        }
        Ok(last)
    }

    /// Asks it to end, and waits for it.
    pub(crate) fn end(mut self) -> io::Result<Duration> {
        let began = Instant::now();
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            kill_process(pid, Signal::TERM)?;
        }
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return match status.success() {
                    true => Ok(began.elapsed()),
                    false => Err(io::Error::other(format!("the server has ended with {status}"))),
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other("the server does not end when it is told to"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // No more than what it was started for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl State {
    fn of(process: u32) -> io::Result<State> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok())
                .ok_or_else(|| io::Error::other(format!("/proc/{process}/status has no {name}")))
        };
        Ok(State {
            fds: std::fs::read_dir(format!("/proc/{process}/fd"))?.count(),
            resident_kib: number("VmRSS:")?,
            threads: number("Threads:")?,
            heap_kib: None,
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { fds, resident_kib, threads, heap_kib } = self;
        write!(f, "{fds} fds, {resident_kib} KiB resident, {threads} threads")?;
        match heap_kib {
            Some(heap_kib) => write!(f, ", {heap_kib} KiB of heap in use"),
            None => Ok(()),
        }
    }
}

/// As many fds as this process may have, for the clients' ends.
pub(crate) fn raise_fd_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    match limit.maximum {
        Some(maximum) if maximum < 4096 => {
            Err(io::Error::other(format!("raise `ulimit -n` from {maximum} to 4096")))
        }
        _ => Ok(()),
    }
}

/// A server without clients has fewer.
const FDS_AT_REST: usize = 40;
/// Longer than the server gives its connections.
const PATIENCE: Duration = Duration::from_secs(20);
