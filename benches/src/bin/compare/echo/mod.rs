//! Requests per second of a TCP echo with 64 connections, and processor time per request.
//!
//! How it is measured, for separate runs on a shared machine differ by 40 % and cannot be compared: all
//! servers are up at once, each in its own process, all on core 0. A generator on core 1 polls without
//! sleeping, and visits the servers in short slices whose order is shuffled in each round. A spinner in
//! the idle class keeps core 0 from halting. A ratio is the median of the ratios of the slices of one
//! round; the resolution is about 5 %, and a claim below it is not made.
//!
//! What would change our minds: conbrio below the best rival, or below 0.98 × the raw epoll loop.

mod generator;
mod servers;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use conbrio_benches::child::{Background, end_with_parent};
use conbrio_benches::os::{self, CpuTime};
use conbrio_benches::stats::Spread;

pub(crate) use servers::serve;

use generator::{Generator, shuffle};

/// The raw loop is the measure of what is possible. It is there twice: the ratio between the two shows how
/// far two measurements of the same thing lie apart in this run.
const SERVERS: &[(&str, &str)] = &[
    ("epoll", "raw epoll loop"),
    ("epoll", "raw epoll loop, again"),
    ("tokio-current", "tokio current-thread"),
    ("tokio-multi", "tokio 1 worker"),
    ("conbrio", "conbrio, 1 worker"),
];
const EPOLL: usize = 0;
const CONTROL: usize = 1;
const TOKIO: usize = 2;

const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;
const CONNECTIONS: usize = 64;
/// Bytes of a request and of its answer.
const REQUEST_BYTES: usize = 64;

struct Server {
    process: Background,
    generator: Generator,
    /// Requests per second, one entry for each round.
    rates: Vec<f64>,
    /// Processor time per request, likewise.
    cpu_ns: Vec<f64>,
    /// Processor time of all rounds.
    cpu: CpuTime,
}

/// In the process that keeps the servers' core awake.
pub(crate) fn spin() -> io::Result<()> {
    end_with_parent();
    os::pin(SERVER_CORE)?;
    os::run_when_idle()?;
    println!("spinning");
    loop {
        std::hint::spin_loop();
    }
}

/// Measures and prints.
pub(crate) fn compare(is_quick: bool) -> io::Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        println!("TCP echo: SKIPPED, server and generator need a core each");
        return Ok(());
    }
    os::pin(GENERATOR_CORE)?;
    let mut servers =
        SERVERS.iter().map(|(key, _)| Server::start(key)).collect::<io::Result<Vec<_>>>()?;
    let _spinner = Background::start(&["spin"])?;
    let (rounds, slice) = if is_quick { (10, 100) } else { (20, 250) };
    let slice = Duration::from_millis(slice);
    let mut order: Vec<usize> = (0..servers.len()).collect();
    // A round to warm up, which does not count.
    for round in 0..=rounds {
        shuffle(&mut order, round);
        for &index in &order {
            servers[index].visit(slice, round > 0)?;
        }
    }
    print(&servers, rounds, slice);
    Ok(())
}

impl Server {
    fn start(key: &str) -> io::Result<Server> {
        let process = Background::start(&["serve", key])?;
        let address: SocketAddr = process.first_line().parse().map_err(|_| {
            io::Error::other(format!("server {key} printed {:?}, no address", process.first_line()))
        })?;
        let generator = Generator::connect(address, CONNECTIONS, REQUEST_BYTES)?;
        Ok(Server {
            process,
            generator,
            rates: Vec::new(),
            cpu_ns: Vec::new(),
            cpu: CpuTime::default(),
        })
    }

    fn visit(&mut self, slice: Duration, counts: bool) -> io::Result<()> {
        let before = CpuTime::of(self.process.id())?;
        let visit = self.generator.visit(slice)?;
        let cpu = CpuTime::of(self.process.id())?.since(before);
        if counts {
            self.rates.push(visit.in_time as f64 / visit.elapsed.as_secs_f64());
            self.cpu_ns.push(cpu.ns / visit.in_all as f64);
            self.cpu.ns += cpu.ns;
            self.cpu.user_ticks += cpu.user_ticks;
            self.cpu.system_ticks += cpu.system_ticks;
        }
        Ok(())
    }
}

fn ratio(above: &[f64], below: &[f64]) -> String {
    format!("{:.3}", Spread::of_ratios(above, below).median)
}

fn print(servers: &[Server], rounds: usize, slice: Duration) {
    println!(
        "TCP echo, {CONNECTIONS} connections, {REQUEST_BYTES} bytes, 1 server core, {rounds} rounds of \
         {slice:?}; median (least–greatest), ratios: median of the rounds' ratios\n"
    );
    println!(
        "| server | requests/s | ratio to raw epoll | ratio to tokio current-thread | CPU ns/request \
         | ratio to raw epoll | user share |"
    );
    println!("|---|---|---|---|---|---|---|");
    let epoll = &servers[EPOLL];
    for (server, (_, name)) in servers.iter().zip(SERVERS) {
        println!(
            "| {name} | {} | {} | {} | {} | {} | {:.1} % |",
            Spread::of(&server.rates),
            ratio(&server.rates, &epoll.rates),
            ratio(&server.rates, &servers[TOKIO].rates),
            Spread::of(&server.cpu_ns),
            ratio(&server.cpu_ns, &epoll.cpu_ns),
            100.0 * server.cpu.user_ticks / (server.cpu.user_ticks + server.cpu.system_ticks),
        );
    }
    let control = Spread::of_ratios(&servers[CONTROL].rates, &epoll.rates).median;
    println!(
        "\nResolution of this run: {:.1} %, the distance between the raw epoll loop and itself.",
        100.0 * (control - 1.0).abs()
    );
    println!(
        "\nTo reach: requests ≥ 1.0 × the best rival and ≥ 0.98 × raw epoll; CPU ≤ 1.02 × raw epoll; user \
         share ≤ 0.5 × tokio's."
    );
}
