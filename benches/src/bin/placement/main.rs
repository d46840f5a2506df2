//! Does the placement of children decide the balance as it should?
//!
//! Tasks are pinned once they run, so that only the choice of the worker a child starts on balances the
//! load. Three questions: does an accept loop on one worker fill all of them (also if each connection is
//! served at once, so that there is never a queue)? Does a burst of children spread? And do cheap
//! children that only wait stay where their parent is, instead of bouncing between cores?
//!
//! Each sample is a fresh process; samples on one worker and on all take turns. What would change our
//! minds: a worker that gets less than a third of its share of connections, a burst on two workers that
//! takes more than 0.6 of the time of one, or more than one in a hundred cheap children elsewhere.
//!
//! Run: `cargo run --release -p conbrio-benches --bin placement [-- --quick]`

mod accept;

use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use conbrio::{Builder, Cancelled, Cx, NurseryError};

use conbrio_benches::stats::{Spread, short};
use conbrio_benches::{child, machine};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["sample", question, workers, work] => sample(question, workers, work),
        [] => report(5),
        ["--quick"] => report(3),
        _ => Err(io::Error::other("usage: placement [--quick]")),
    }
}

/// In a child process: prints the numbers that `report` reads.
fn sample(question: &str, workers: &str, work: &str) -> io::Result<()> {
    let invalid = |_| io::Error::other(format!("sample {question} {workers} {work}: not numbers"));
    let workers: usize = workers.parse().map_err(invalid)?;
    let work: u64 = work.parse().map_err(invalid)?;
    let builder = Builder::new().workers(workers);
    let run = match question {
        "arrivals" => builder.run(arrivals),
        "accept" => builder.run(accept::accept),
        "burst" => builder.run(move |cx| Ok(burst(cx, work)?)),
        "yields" => {
            builder.run(|cx| Ok(cheap(cx, 1, |cx| (0..3).try_for_each(|_| cx.yield_now()))?))
        }
        "waits" => builder.run(|cx| Ok(cheap(cx, 1, |cx| cx.sleep(WAIT))?)),
        "waits-by-ten" => builder.run(|cx| Ok(cheap(cx, 10, |cx| cx.sleep(WAIT))?)),
        _ => return Err(io::Error::other(format!("sample {question}: not known"))),
    };
    let numbers: Result<Vec<f64>, BoxError> = run.map_err(io::Error::other)?;
    for number in numbers.map_err(io::Error::other)? {
        println!("{number}");
    }
    Ok(())
}

/// How many tasks each worker ran.
struct Census(Vec<AtomicUsize>);

impl Census {
    fn new(cx: &Cx) -> Census {
        Census((0..cx.runtime().workers).map(|_| AtomicUsize::new(0)).collect())
    }

    fn count(&self, cx: &Cx) {
        self.0[cx.runtime().worker].fetch_add(1, Ordering::Relaxed);
    }

    fn total(&self) -> usize {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn into_numbers(self) -> impl Iterator<Item = f64> {
        self.0.into_iter().map(|count| count.into_inner() as f64)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What an accept loop does, without the sockets: it waits for something from outside, spawns a child for
/// it, and the child stays. How many children each worker ran.
fn arrivals(cx: &mut Cx) -> Result<Vec<f64>, BoxError> {
    let census = Census::new(cx);
    let (arrive, mut arrived) = mpsc::channel();
    let (serve, served) = mpsc::channel();
    let outside = std::thread::spawn(move || {
        for _ in 0..CONNECTIONS {
            // The other side is gone only if it has failed, and then says so itself.
            if arrive.send(()).is_err() || served.recv().is_err() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    });
    let ended = cx.nursery(|cx, n| {
        for _ in 0..CONNECTIONS {
            // A receiver may be sent, not shared.
            let arrived = &mut arrived;
            cx.blocking(move || arrived.recv())??;
            let (census, serve) = (&census, serve.clone());
            n.spawn(move |cx| {
                census.count(cx);
                serve.send(())?;
                Ok(cx.sleep_forever()?)
            });
        }
        while census.total() < CONNECTIONS {
            cx.yield_now()?;
        }
        n.cancel();
        Ok::<_, BoxError>(())
    });
    match ended {
        Err(error) if !error.is_stopped() => return Err(error.to_string().into()),
        _ => {}
    }
    outside.join().map_err(|_| "the thread outside panicked")?;
    Ok(census.into_numbers().collect())
}

/// 1,000 children that compute: microseconds for all, then how many each worker ran.
fn burst(cx: &mut Cx, work: u64) -> Result<Vec<f64>, NurseryError<Cancelled>> {
    let census = Census::new(cx);
    // The first burst brings up stacks and workers.
    spawn_burst(cx, work, &Census::new(cx))?;
    let begun = Instant::now();
    spawn_burst(cx, work, &census)?;
    let elapsed = begun.elapsed().as_nanos() as f64 / 1_000.0;
    Ok(std::iter::once(elapsed).chain(census.into_numbers()).collect())
}

fn spawn_burst(cx: &mut Cx, work: u64, census: &Census) -> Result<(), NurseryError<Cancelled>> {
    cx.nursery(|_, n| {
        for _ in 0..BURST {
            n.spawn(move |cx| {
                census.count(cx);
                compute(work);
                Ok(())
            });
        }
        Ok(())
    })
}

/// Arithmetic that takes as long on each core, and touches no memory.
fn compute(work: u64) {
    let mut state = black_box(1_u64);
    for _ in 0..work {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    black_box(state);
}

/// The work that takes `BURST_CHILD` when nobody else wants the core.
fn calibrated() -> u64 {
    let tried = 1_000_000;
    let time = || {
        let begun = Instant::now();
        compute(tried);
        begun.elapsed()
    };
    // The least of several: interruptions only lengthen.
    let least = (0..10).map(|_| time()).min().unwrap_or_default();
    (tried as f64 * BURST_CHILD.as_secs_f64() / least.as_secs_f64()) as u64
}

/// Cheap children, `group` at a time: nanoseconds per child, then how many ran elsewhere than their
/// parent.
fn cheap(
    cx: &mut Cx,
    group: usize,
    work: impl Fn(&mut Cx) -> Result<(), Cancelled> + Copy + Send,
) -> Result<Vec<f64>, NurseryError<Cancelled>> {
    // The first time brings up stacks and workers.
    spawn_cheap(cx, group, work)?;
    let begun = Instant::now();
    let elsewhere = spawn_cheap(cx, group, work)?;
    Ok(vec![begun.elapsed().as_nanos() as f64 / CHEAP as f64, elsewhere as f64])
}

fn spawn_cheap(
    cx: &mut Cx,
    group: usize,
    work: impl Fn(&mut Cx) -> Result<(), Cancelled> + Copy + Send,
) -> Result<usize, NurseryError<Cancelled>> {
    let here = cx.runtime().worker;
    let child = move |cx: &mut Cx| {
        work(cx)?;
        Ok(cx.runtime().worker)
    };
    cx.nursery(|cx, n| {
        let mut elsewhere = 0;
        for _ in 0..CHEAP / group {
            let children: Vec<_> = (0..group).map(|_| n.spawn(child)).collect();
            for mut child in children {
                elsewhere += usize::from(child.join(cx)? != here);
            }
        }
        Ok(elsewhere)
    })
}

fn report(rounds: usize) -> io::Result<()> {
    println!("{}\n", machine::line());
    if let Some(warning) = machine::warning() {
        println!("{warning}\n");
    }
    let workers = std::thread::available_parallelism()?.get().max(2);
    report_arrivals("accept", "Connections to an accept loop", rounds, workers)?;
    report_arrivals("arrivals", "Events from a thread outside", rounds, workers)?;
    report_burst(rounds, workers)?;
    report_cheap("yields", "that yield three times, one at a time", rounds, workers)?;
    report_cheap("waits", &format!("that sleep {WAIT:?}, one at a time"), rounds, workers)?;
    report_cheap("waits-by-ten", &format!("that sleep {WAIT:?}, ten at a time"), rounds, workers)
}

fn report_arrivals(question: &str, what: &str, rounds: usize, workers: usize) -> io::Result<()> {
    println!("{what}, {CONNECTIONS} one by one, each served before the next comes,");
    println!("on one of {workers} workers: handlers on each worker");
    for _ in 0..rounds {
        let counts = child::numbers(&["sample", question, &workers.to_string(), "0"])?;
        println!("  {}", counts.iter().map(|c| short(*c)).collect::<Vec<_>>().join(" | "));
    }
    println!();
    Ok(())
}

fn report_burst(rounds: usize, workers: usize) -> io::Result<()> {
    let work = calibrated().to_string();
    println!(
        "Burst of {BURST} children that compute for {BURST_CHILD:?} each: children on each worker"
    );
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(child::numbers(&["sample", "burst", "1", &work])?[0]);
        let numbers = child::numbers(&["sample", "burst", &workers.to_string(), &work])?;
        all.push(numbers[0]);
        println!("  {}", numbers[1..].iter().map(|c| short(*c)).collect::<Vec<_>>().join(" | "));
    }
    println!("  1 worker: {} µs; {workers} workers: {} µs", Spread::of(&one), Spread::of(&all));
    println!("  part of the time of one: {}\n", Spread::of_ratios(&all, &one));
    Ok(())
}

fn report_cheap(question: &str, what: &str, rounds: usize, workers: usize) -> io::Result<()> {
    let (mut one, mut all, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(child::numbers(&["sample", question, "1", "0"])?[0]);
        let numbers = child::numbers(&["sample", question, &workers.to_string(), "0"])?;
        all.push(numbers[0]);
        elsewhere.push(numbers[1]);
    }
    println!("{CHEAP} children {what}");
    println!("  ran elsewhere than their parent: {}", Spread::of(&elsewhere));
    println!(
        "  1 worker: {} ns a child; {workers} workers: {}",
        Spread::of(&one),
        Spread::of(&all)
    );
    println!("  ratio: {}\n", Spread::of_ratios(&all, &one));
    Ok(())
}

const CONNECTIONS: usize = 400;
const BURST: usize = 1_000;
const BURST_CHILD: Duration = Duration::from_micros(50);
const CHEAP: usize = 1_000;
const WAIT: Duration = Duration::from_micros(20);
/// Longer than a worker without work stays awake.
const PAUSE: Duration = Duration::from_micros(300);
