//! The line that says what was measured on: a figure without it is a rumour.

use std::fs;
use std::process::Command;

/// Processor, number of cores, kernel, compiler, commit, and load of the machine at this moment.
pub fn line() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let rustc = output("rustc", &["--version"]);
    let commit = output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "--short", "HEAD"]);
    // What the benches themselves write does not count.
    let status = ["-C", env!("CARGO_MANIFEST_DIR"), "status", "--porcelain", "--", ":/", ":!/docs"];
    let changes = output("git", &status);
    let changed = if changes.is_empty() { "" } else { " with changes" };
    format!(
        "{cpu}, {cores} cores, Linux {}, {rustc}, commit {commit}{changed}, load {load}",
        kernel.trim()
    )
}

/// What to say before the figures of a machine that does other things: `None` if it does not.
///
/// The ratios of single operations are still of use then; nothing that fills a core for a while is.
pub fn warning() -> Option<String> {
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = load.split(' ').next()?.parse().ok()?;
    (load > LOAD_MAX).then(|| {
        format!(
            "WARNING: the load is {load}, so others compete for the cores. Goals are not to be judged by \
             this run, least of all those of the echo, of two workers, and of the burst."
        )
    })
}

/// A quarter of what fills both cores of the smallest machine that can run all of the benches.
const LOAD_MAX: f64 = 0.5;

/// What a command prints; empty if it cannot be run, for the benches also run from an unpacked archive.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| String::new(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}
