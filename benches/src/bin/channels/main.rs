//! What does an item cost on its way through a channel, beside tokio, flume, async-channel, kanal and
//! crossbeam-channel, in this run?
//!
//! Samples are fresh processes that take turns, as in `compare`. What would change our minds about the design
//! (one short lock, waiting parties linked through their own frames): a ratio to tokio above 0.4 for a round
//! trip or above 0.25 for a full buffer on one worker, in several runs.
//!
//! The async channels run on tokio's runtime of the same number of workers. crossbeam-channel has a thread for
//! each task, so it is in the table of two workers only. `-` says that a library has no such channel.
//!
//! Run: `cargo run --release -p conbrio-benches --bin channels [-- --quick] [filter]`

mod asynchronous;
mod tasks;
mod threads;

use std::io;
use std::time::Duration;

use conbrio_benches::meter::Meter;
use conbrio_benches::stats::{Spread, short};
use conbrio_benches::{child, machine};

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Two tasks and two channels; an operation is a round trip.
    PingPong,
    /// So many producers and consumers of one channel; an operation is an item.
    Many(usize, usize),
}

const SHAPES: &[(&str, Shape)] = &[
    ("ping-pong", Shape::PingPong),
    ("1 to 1", Shape::Many(1, 1)),
    ("4 to 1", Shape::Many(4, 1)),
    ("4 to 4", Shape::Many(4, 4)),
];

/// Capacities, `None` without a limit.
const CAPACITIES: &[(&str, Option<usize>)] =
    &[("0", Some(0)), ("1", Some(1)), ("1024", Some(1024)), ("unbounded", None)];

const SYSTEMS: &[&str] = &["conbrio", "tokio", "flume", "async-channel", "kanal", "crossbeam"];

/// How many items a pass moves, or how many round trips it makes.
pub(crate) const OPERATIONS: usize = 20_000;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["sample", shape, capacity, system, workers, budget_ms] => {
            sample([shape, capacity, system, workers, budget_ms])
        }
        _ => compare(&words),
    }
}

fn sample(words: [&str; 5]) -> io::Result<()> {
    let [shape, capacity, system, workers, budget_ms] = words;
    let invalid = || io::Error::other(format!("sample {words:?}: not known"));
    let shape = SHAPES.iter().find(|(name, _)| *name == shape).ok_or_else(invalid)?.1;
    let capacity = CAPACITIES.iter().find(|(name, _)| *name == capacity).ok_or_else(invalid)?.1;
    let workers: usize = workers.parse().map_err(|_| invalid())?;
    let budget = Duration::from_millis(budget_ms.parse().map_err(|_| invalid())?);
    let meter = Meter::new(budget);
    let meter = match system {
        "conbrio" => tasks::measure(shape, capacity, workers, meter),
        "crossbeam" => threads::measure(shape, capacity, meter),
        _ => asynchronous::measure(system, shape, capacity, workers, meter),
    };
    println!("{}", meter.ns_per_operation());
    Ok(())
}

/// Whether a library has such a channel.
fn has(system: &str, shape: Shape, capacity: Option<usize>, workers: usize) -> bool {
    match system {
        "tokio" => capacity != Some(0) && !matches!(shape, Shape::Many(_, 2..)),
        "async-channel" => capacity != Some(0),
        "crossbeam" => workers == 2,
        _ => true,
    }
}

fn compare(words: &[&str]) -> io::Result<()> {
    let is_quick = words.contains(&"--quick");
    let filter = words.iter().find(|word| **word != "--quick").copied().unwrap_or_default();
    if filter.starts_with('-') {
        return Err(io::Error::other("usage: channels [--quick] [a part of a row's name]"));
    }
    println!("{}\n", machine::line());
    if let Some(warning) = machine::warning() {
        println!("{warning}\n");
    }
    let budget_ms = if is_quick { "30" } else { "150" };
    for workers in [1, 2] {
        println!(
            "{workers} worker(s), ns per item or round trip; in parentheses conbrio / rival\n"
        );
        println!("| | {} |", SYSTEMS.join(" | "));
        println!("|---|{}", "---|".repeat(SYSTEMS.len()));
        for (shape_name, shape) in SHAPES {
            for (capacity_name, capacity) in CAPACITIES {
                let name = format!("{shape_name}, {capacity_name}");
                if *shape == Shape::PingPong && capacity.is_none_or(|items| items > 1)
                    || !name.contains(filter)
                {
                    continue;
                }
                let systems: Vec<&str> = SYSTEMS
                    .iter()
                    .copied()
                    .filter(|system| has(system, *shape, *capacity, workers))
                    .collect();
                let mut samples = vec![Vec::new(); systems.len()];
                for _ in 0..ROUNDS {
                    for (system, samples) in systems.iter().zip(&mut samples) {
                        let workers = workers.to_string();
                        let arguments =
                            ["sample", shape_name, capacity_name, system, &workers, budget_ms];
                        samples.push(child::numbers(&arguments)?[0]);
                    }
                }
                print_row(&name, &systems, &samples);
            }
        }
        println!();
    }
    Ok(())
}

fn print_row(name: &str, systems: &[&str], samples: &[Vec<f64>]) {
    let cells: Vec<String> = SYSTEMS
        .iter()
        .map(|system| {
            let Some(place) = systems.iter().position(|other| other == system) else {
                return "-".to_owned();
            };
            let median = short(Spread::of(&samples[place]).median);
            match place {
                0 => median,
                _ => {
                    let ratio = Spread::of_ratios(&samples[0], &samples[place]).median;
                    format!("{median} ({ratio:.2})")
                }
            }
        })
        .collect();
    println!("| {name} | {} |", cells.join(" | "));
}

/// Odd, so that the median is a sample.
const ROUNDS: usize = 5;
