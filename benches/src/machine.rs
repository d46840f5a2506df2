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
    let commit = output(
        "git",
        &[
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "rev-parse",
            "--short",
            "HEAD",
        ],
    );
    let changes = output(
        "git",
        &["-C", env!("CARGO_MANIFEST_DIR"), "status", "--porcelain"],
    );
    let changed = if changes.is_empty() {
        ""
    } else {
        " with changes"
    };
    format!(
        "{cpu}, {cores} cores, Linux {}, {rustc}, commit {commit}{changed}, load {load}",
        kernel.trim()
    )
}

/// What a command prints; empty if it cannot be run, for the benches also run from an unpacked archive.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |o| String::from_utf8_lossy(&o.stdout).trim().to_owned(),
    )
}
