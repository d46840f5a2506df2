//! Servers beside each other: requests per second, how long an answer takes, processor time per request.
//!
//! Separate runs of one server on a shared machine differ by 40 % and cannot be compared. So all servers are up
//! at once, each in its own process, all on core 0. A generator on core 1 polls without sleeping, and visits them
//! in short slices whose order is shuffled in each round. A spinner in the idle class keeps core 0 from halting. A
//! ratio is the median of the ratios of the slices of one round. The first server is there twice: how far the two
//! lie apart is the resolution of the run, and no claim below it is made.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use conbrio_bench_kit::child::{Background, Program};
use conbrio_bench_kit::http::{ECHO_BYTES, REQUEST};
use conbrio_bench_kit::os::{self, CpuTime, Pinned};
use conbrio_bench_kit::stats::{Spread, short};
use conbrio_bench_kit::tls::{ANSWER_BYTES_MAX, REQUEST_BYTES};

use crate::Plan;
use crate::encrypted::{Encrypted, Identity};
use crate::generator::{Generator, Visit, shuffle};
use crate::static_files;
use crate::storm::Storm;
use crate::systems::{
    COMPIO, CONBRIO, CURRENT, GLOMMIO, GO, KERNEL, MAY, MONOIO, MULTI, NGINX, Programs,
    SERVE_EPOLL, SERVE_URING, SMOL, System, WEB,
};

/// A name, a program, and what it is asked to serve.
type Contestant = (&'static str, System, &'static str);

/// The raw loop is the measure of what is possible.
const ECHO: &[Contestant] = &[
    ("raw epoll", KERNEL, "echo-epoll"),
    ("raw epoll, again", KERNEL, "echo-epoll"),
    ("raw io_uring", KERNEL, "echo-uring"),
    ("conbrio, epoll", CONBRIO, "echo-epoll"),
    ("conbrio, io_uring", CONBRIO, "echo-uring"),
    ("tokio current-thread", CURRENT, "echo"),
    ("tokio, 1 worker", MULTI, "echo"),
    ("smol", SMOL, "echo"),
    ("may", MAY, "echo"),
    ("monoio", MONOIO, "echo"),
    ("compio", COMPIO, "echo"),
    ("glommio", GLOMMIO, "echo"),
    ("Go", GO, "echo"),
];

const HTTP: &[Contestant] = &[
    ("raw epoll, no parsing", KERNEL, "http-epoll"),
    ("raw epoll, again", KERNEL, "http-epoll"),
    ("conbrio, epoll", CONBRIO, "http-epoll"),
    ("conbrio, io_uring", CONBRIO, "http-uring"),
    ("hyper on tokio", WEB, "hyper"),
    ("axum", WEB, "axum"),
    ("may_minihttp", MAY, "http"),
    ("Go net/http", GO, "http"),
    ("nginx, static file", NGINX, "nginx"),
];

/// The first, twice, is the rival.
const FILES: &[Contestant] = &[
    ("nginx", NGINX, "files"),
    ("nginx, again", NGINX, "files"),
    ("serve, epoll", SERVE_EPOLL, "files"),
    ("serve, io_uring", SERVE_URING, "files"),
];

/// There is no raw loop: the first, twice, is a rival.
const TLS: &[Contestant] = &[
    ("tokio-rustls, current-thread", CURRENT, "tls"),
    ("tokio-rustls, again", CURRENT, "tls"),
    ("tokio-rustls, 1 worker", MULTI, "tls"),
    ("conbrio, epoll", CONBRIO, "tls-epoll"),
    ("conbrio, io_uring", CONBRIO, "tls-uring"),
];

const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;
/// Handshakes at the same time.
const GUESTS: usize = 16;

pub(crate) fn echo(plan: &Plan, programs: &Programs) -> io::Result<String> {
    let mut text = String::new();
    for (load, goals) in [
        (Load::Kept(1), &[][..]),
        (Load::Kept(64), ECHO_GOALS),
        (Load::Kept(1_000), ECHO_GOALS),
        (Load::Storm, &[]),
    ] {
        text.push_str(&compare(plan, programs, ECHO, load, &[b'x'; ECHO_BYTES], goals)?);
    }
    Ok(text)
}

pub(crate) fn http(plan: &Plan, programs: &Programs) -> io::Result<String> {
    let mut text = compare(plan, programs, HTTP, Load::Kept(64), REQUEST, HTTP_GOALS)?;
    for (connections, file, request) in [
        (64, "1 KiB", b"GET /1k HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice()),
        (16, "100 KiB", b"GET /100k HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (4, "10 MiB", b"GET /10m HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ] {
        let load = Load::Files { connections, file };
        text.push_str(&compare(plan, programs, FILES, load, request, &[])?);
    }
    Ok(text)
}

pub(crate) fn tls(plan: &Plan, programs: &Programs) -> io::Result<String> {
    let mut text = String::new();
    for load in [
        Load::Handshakes,
        Load::Encrypted { connections: 64, answer_bytes: REQUEST_BYTES },
        Load::Encrypted { connections: 16, answer_bytes: ANSWER_BYTES_MAX },
    ] {
        text.push_str(&compare(plan, programs, TLS, load, &[], TLS_GOALS)?);
    }
    Ok(text)
}

/// What is compared.
#[derive(Clone, Copy)]
enum Measure {
    Rate,
    Cpu,
    UserShare,
}

/// A server, what it should reach, and beside whom: the best of several.
struct Goal {
    server: &'static str,
    measure: Measure,
    part: f64,
    beside: &'static [&'static str],
}

const fn goal(
    server: &'static str,
    measure: Measure,
    part: f64,
    beside: &'static [&'static str],
) -> Goal {
    Goal { server, measure, part, beside }
}

const EPOLL: &[&str] = &["raw epoll"];
const TOKIO: &[&str] = &["tokio current-thread", "tokio, 1 worker"];
const RUNTIMES: &[&str] = &[
    "tokio current-thread",
    "tokio, 1 worker",
    "smol",
    "may",
    "monoio",
    "compio",
    "glommio",
    "Go",
];

const ECHO_GOALS: &[Goal] = &[
    goal("conbrio, epoll", Measure::Rate, 0.98, EPOLL),
    goal("conbrio, io_uring", Measure::Rate, 1.03, EPOLL),
    goal("conbrio, epoll", Measure::Rate, 1.0, RUNTIMES),
    goal("conbrio, io_uring", Measure::Rate, 1.0, RUNTIMES),
    goal("conbrio, epoll", Measure::Cpu, 1.02, EPOLL),
    goal("conbrio, io_uring", Measure::Cpu, 0.95, EPOLL),
    goal("conbrio, epoll", Measure::UserShare, 0.5, TOKIO),
    goal("conbrio, io_uring", Measure::UserShare, 0.5, TOKIO),
];

const HTTP_GOALS: &[Goal] = &[
    goal("conbrio, epoll", Measure::Rate, 1.05, &["hyper on tokio"]),
    goal("conbrio, io_uring", Measure::Rate, 1.05, &["hyper on tokio"]),
    goal("conbrio, epoll", Measure::Rate, 2.0, &["Go net/http"]),
    goal("conbrio, io_uring", Measure::Rate, 2.0, &["Go net/http"]),
];

/// The generator may be the slower one, so it is the time of the processor that counts.
const TLS_GOALS: &[Goal] = &[
    goal("conbrio, epoll", Measure::Cpu, 1.0, RUSTLS),
    goal("conbrio, io_uring", Measure::Cpu, 1.0, RUSTLS),
];
const RUSTLS: &[&str] = &["tokio-rustls, current-thread", "tokio-rustls, 1 worker"];

impl Goal {
    fn verdict(&self, servers: &[Server]) -> String {
        let Goal { server: name, measure, part, beside } = self;
        let of = |name: &str| servers.iter().find(|server| server.name == name).map(|s| &s.samples);
        let (what, is_at_least) = match measure {
            Measure::Rate => ("requests/s", true),
            Measure::Cpu => ("CPU per request", false),
            Measure::UserShare => ("user share", false),
        };
        let ratio_to = |own: &Samples, rival: &Samples| match measure {
            Measure::Rate => Spread::of_ratios(&own.rates, &rival.rates).median,
            Measure::Cpu => Spread::of_ratios(&own.cpu_ns, &rival.cpu_ns).median,
            Measure::UserShare => own.user_share() / rival.user_share(),
        };
        let ratios =
            beside.iter().filter_map(|rival| Some((*rival, ratio_to(of(name)?, of(rival)?))));
        // The best rival is the one beside which conbrio looks worst.
        let worst = ratios.reduce(|a, b| if (b.1 < a.1) == is_at_least { b } else { a });
        let sign = if is_at_least { '≥' } else { '≤' };
        let Some((rival, ratio)) = worst else {
            return format!("{name}, {what} {sign} {part} × {}: not measured", beside[0]);
        };
        let is_met = if is_at_least { ratio >= *part } else { ratio <= *part };
        let verdict = if is_met { "met" } else { "**missed**" };
        format!("{name}, {what} {sign} {part} × {rival}: {ratio:.3}, {verdict}")
    }
}

#[derive(Clone, Copy, Debug)]
enum Load {
    /// So many connections that stay.
    Kept(usize),
    /// So many that stay, on which a file of this size is asked for.
    Files { connections: usize, file: &'static str },
    /// Connections of one request each.
    Storm,
    /// The same with TLS, and a handshake each.
    Handshakes,
    /// So many connections with TLS that stay.
    Encrypted { connections: usize, answer_bytes: usize },
}

impl Load {
    fn name(self) -> String {
        match self {
            Load::Kept(1) => "1 connection".to_owned(),
            Load::Kept(connections) => format!("{connections} connections"),
            Load::Files { connections, file } => {
                format!("{connections} connections, a file of {file}")
            }
            Load::Storm => "connect, one request, close; 16 at a time".to_owned(),
            Load::Handshakes => {
                format!("handshake, one request, close; {GUESTS} at a time")
            }
            Load::Encrypted { connections, answer_bytes } => {
                format!("{connections} connections, answers of {answer_bytes} bytes")
            }
        }
    }

    fn is_encrypted(self) -> bool {
        matches!(self, Load::Handshakes | Load::Encrypted { .. })
    }
}

enum Client {
    Kept(Generator),
    Storm(Storm),
    Encrypted(Encrypted),
}

/// What a server is asked.
#[derive(Clone, Copy)]
struct Ask<'a> {
    load: Load,
    /// Without TLS.
    request: &'static [u8],
    /// With TLS.
    identity: Option<&'a Identity>,
}

struct Server {
    name: &'static str,
    process: Background,
    client: Client,
    samples: Samples,
}

/// One entry for each round, and sums over all.
#[derive(Default)]
struct Samples {
    rates: Vec<f64>,
    cpu_ns: Vec<f64>,
    /// Microseconds: half of the answers came sooner, 99 %, 99.9 %.
    latencies: [Vec<f64>; 3],
    cpu: CpuTime,
}

const PARTS: [f64; 3] = [0.5, 0.99, 0.999];

fn compare(
    plan: &Plan,
    programs: &Programs,
    contestants: &[Contestant],
    load: Load,
    request: &'static [u8],
    goals: &[Goal],
) -> io::Result<String> {
    let title = load.name();
    if !contestants.iter().any(|(name, ..)| plan.wants(&title, name)) {
        return Ok(String::new());
    }
    if std::thread::available_parallelism()?.get() < 2 {
        return Ok(format!("{title}: SKIPPED, server and generator need a core each\n\n"));
    }
    os::raise_fd_limit()?;
    let _pinned = Pinned::to(GENERATOR_CORE)?;
    let identity = load.is_encrypted().then(Identity::new).transpose()?;
    let mut servers = Vec::new();
    let mut absent = Vec::new();
    for (name, system, what) in contestants {
        let Some(mut program) = programs.of(*system) else {
            absent.push(format!("{name}: missing"));
            continue;
        };
        for (name, value) in identity.iter().flat_map(Identity::variables) {
            program = program.with(name, value);
        }
        let ask = Ask { load, request, identity: identity.as_ref() };
        match Server::start(name, &program, *system, what, ask) {
            Ok(server) => servers.push(server),
            Err(error) => {
                eprintln!("FAILED: {name}: {error}");
                absent.push(format!("{name}: {error}"));
            }
        }
    }
    let spinner =
        programs.of(KERNEL).ok_or_else(|| io::Error::other("no program for the spinner"))?;
    let _spinner = spinner.start(&["spin", &SERVER_CORE.to_string()])?;
    let (rounds, slice_ms) = if plan.is_quick { (5, 60) } else { (15, 200) };
    let slice = Duration::from_millis(slice_ms);
    let mut order: Vec<usize> = (0..servers.len()).collect();
    // A round to warm up, which does not count.
    for round in 0..=rounds {
        shuffle(&mut order, round);
        for &index in &order {
            servers[index].visit(slice, round > 0)?;
        }
    }
    let mut text = format!("### {title}, {rounds} rounds of {slice_ms} ms\n\n");
    write_table(&mut text, &servers);
    for goal in goals {
        let _ = writeln!(text, "- {}", goal.verdict(&servers));
    }
    text.push('\n');
    for absent in absent {
        let _ = writeln!(text, "{absent}\n");
    }
    Ok(text)
}

impl Server {
    fn start(
        name: &'static str,
        program: &Program,
        system: System,
        what: &str,
        Ask { load, request, identity }: Ask<'_>,
    ) -> io::Result<Server> {
        let (process, address) = match system {
            NGINX => static_files::nginx(program)?,
            SERVE_EPOLL | SERVE_URING => static_files::serve(program)?,
            _ => {
                let process = program.start(&["serve", what, &SERVER_CORE.to_string()])?;
                let address: SocketAddr = process.first_line().parse().map_err(|_| {
                    io::Error::other(format!("it printed {:?}, no address", process.first_line()))
                })?;
                (process, address)
            }
        };
        let client = match (load, identity) {
            (Load::Kept(connections) | Load::Files { connections, .. }, _) => {
                Client::Kept(Generator::connect(address, connections, request)?)
            }
            (Load::Storm, _) => Client::Storm(Storm::new(address, request)?),
            (Load::Handshakes, Some(identity)) => {
                Client::Encrypted(Encrypted::storm(address, identity, GUESTS)?)
            }
            (Load::Encrypted { connections, answer_bytes }, Some(identity)) => {
                let kept = Encrypted::kept(address, identity, connections, answer_bytes)?;
                Client::Encrypted(kept)
            }
            (_, None) => return Err(io::Error::other("no certificate for TLS")),
        };
        Ok(Server { name, process, client, samples: Samples::default() })
    }

    fn visit(&mut self, slice: Duration, counts: bool) -> io::Result<()> {
        let before = CpuTime::of(self.process.id())?;
        let visit = match &mut self.client {
            Client::Kept(generator) => generator.visit(slice),
            Client::Storm(storm) => storm.visit(slice),
            Client::Encrypted(client) => client.visit(slice),
        };
        let visit = visit.map_err(|error| io::Error::other(format!("{}: {error}", self.name)))?;
        let cpu = CpuTime::of(self.process.id())?.since(before);
        if counts {
            self.samples.add(visit, cpu);
        }
        Ok(())
    }
}

impl Samples {
    fn add(&mut self, mut visit: Visit, cpu: CpuTime) {
        self.rates.push(visit.in_time as f64 / visit.elapsed.as_secs_f64());
        self.cpu_ns.push(cpu.ns / visit.in_all as f64);
        self.cpu.ns += cpu.ns;
        self.cpu.user_ticks += cpu.user_ticks;
        self.cpu.system_ticks += cpu.system_ticks;
        visit.latencies.sort_unstable();
        let last = visit.latencies.len().saturating_sub(1);
        for (part, list) in PARTS.iter().zip(&mut self.latencies) {
            let place = (last as f64 * part) as usize;
            list.push(visit.latencies.get(place).map_or(0.0, |ns| f64::from(*ns) / 1_000.0));
        }
    }

    /// In percent. Counted in ticks of the clock, so that it needs some seconds to mean something.
    fn user_share(&self) -> f64 {
        100.0 * self.cpu.user_ticks / (self.cpu.user_ticks + self.cpu.system_ticks).max(1.0)
    }

    fn latency(&self) -> String {
        let [half, most, nearly_all] =
            [0, 1, 2].map(|index| short(Spread::of(&self.latencies[index]).median));
        format!("{half} / {most} / {nearly_all}")
    }
}

fn ratio(above: &[f64], below: &[f64]) -> String {
    format!("{:.3}", Spread::of_ratios(above, below).median)
}

fn write_table(text: &mut String, servers: &[Server]) {
    let Some(Server { name: measure, samples: first, .. }) = servers.first() else {
        return;
    };
    let _ = writeln!(
        text,
        "| server | requests/s | ratio to {measure} | µs: p50 / p99 / p99.9 | CPU ns/request | ratio | user share |"
    );
    let _ = writeln!(text, "|---|---|---|---|---|---|---|");
    for Server { name, samples, .. } in servers {
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {:.1} % |",
            Spread::of(&samples.rates),
            ratio(&samples.rates, &first.rates),
            samples.latency(),
            Spread::of(&samples.cpu_ns),
            ratio(&samples.cpu_ns, &first.cpu_ns),
            samples.user_share(),
        );
    }
    if let Some(again) = servers.get(1) {
        let apart = Spread::of_ratios(&again.samples.rates, &first.rates).median;
        let _ = writeln!(
            text,
            "\nResolution of this run: {:.1} %, the distance between the first server and itself.\n",
            100.0 * (apart - 1.0).abs()
        );
    }
}
