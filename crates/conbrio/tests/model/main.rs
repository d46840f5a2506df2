//! The campaign: random programs of nurseries, scopes and requests, on the runtime and against a model.
//!
//! Each seed makes a small program (`generate`), which is run on the real runtime in virtual time (`run`);
//! the run writes down what happens (`trace`), and a sequential reference model (`oracle`) says whether it
//! was allowed to. The oracle knows nothing of the runtime, and the runner nothing of the rules.
//!
//! - A failure prints its seed, the smallest program that still fails, its trace, and the rule.
//! - `CONBRIO_SEED=n` runs one program and prints it.
//! - `CONBRIO_SLOW_TESTS=1` runs a million of them, or as many as `CONBRIO_CAMPAIGN` says, from the seed
//!   `CONBRIO_CAMPAIGN_FROM` on.
//! - `CONBRIO_SHRINK=0` reports failures as they were found.

mod campaign;
mod coverage;
mod found;
mod generate;
mod interpret;
mod nursery;
mod oracle;
mod program;
mod run;
mod shrink;
mod trace;
mod world;

use campaign::{Order, campaign, number};

// spec: N18, S5, S6, S20, S37, S40, N1, N3
#[test]
fn programs() {
    if let Some(order) = Order::from_environment() {
        return order.obey();
    }
    let coverage = campaign(0, PROGRAMS, 1);
    // A generator that makes dull programs proves nothing.
    assert_eq!(coverage.missing(), [""; 0], "no program has shown this:\n{}", coverage.table());
}

// spec: N18
#[test]
fn many_programs() {
    let is_wanted = std::env::var_os("CONBRIO_SLOW_TESTS").is_some_and(|value| value != "0");
    if !is_wanted || Order::from_environment().is_some() {
        eprintln!(
            "SKIPPED: the campaign of a million programs: set CONBRIO_SLOW_TESTS=1 to run it"
        );
        return;
    }
    let variable = |name| std::env::var(name).ok().map(|value| number(&value));
    let first = variable("CONBRIO_CAMPAIGN_FROM").unwrap_or(0);
    let count = variable("CONBRIO_CAMPAIGN").unwrap_or(1_000_000);
    let children = std::thread::available_parallelism().map_or(1, usize::from);
    let coverage = campaign(first, count, children as u64);
    eprintln!("{}", coverage.table());
}

/// As many as a test of the dev profile may take; with a few seconds of them everything occurs.
const PROGRAMS: u64 = 8_000;
