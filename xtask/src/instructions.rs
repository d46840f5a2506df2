//! `cargo xtask instructions`: what the core operations cost in instructions, against a kept baseline.
//!
//! Wall time on a shared machine tells a tenth from nothing only after minutes; the number of instructions
//! is the same in every run. It says nothing about caches and the kernel: that is what the other benches are
//! for. The baseline holds for one compiler, and is made anew for another.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

const BASELINE: &str = "benches/instructions.txt";
/// Two numbers of times, so that start and end of the program fall out of the difference. Both are whole
/// numbers of the batches that the program works in.
const TIMES: [u64; 2] = [2_000, 6_000];
/// By how much an operation may cost more before that is an error, in percent.
const TOLERANCE: u64 = 3;

pub(crate) fn main(root: &Path, options: &[&str]) -> Result<(), String> {
    match options {
        [] => match check(root)? {
            Outcome::Passed => Ok(()),
            Outcome::Skipped(reason) => Err(reason),
        },
        ["--bless"] => bless(root),
        _ => Err(format!("unknown options {options:?}; there is `--bless`")),
    }
}

pub(crate) enum Outcome {
    Passed,
    /// The reason.
    Skipped(String),
}

/// Measures, prints a table, and fails if an operation costs more than it did.
pub(crate) fn check(root: &Path) -> Result<Outcome, String> {
    if run("valgrind", &["--version"]).is_err() {
        return Ok(Outcome::Skipped("valgrind is not installed".to_owned()));
    }
    let path = root.join(BASELINE);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("read {}: {error}", path.display()))?;
    let baseline = parse(&text)?;
    let compiler = compiler()?;
    if baseline.compiler != compiler {
        let made = &baseline.compiler;
        return Ok(Outcome::Skipped(format!(
            "{BASELINE} was made with {made}, and this is {compiler}; `cargo xtask instructions --bless` makes another"
        )));
    }
    compare(&baseline.costs, &measure(root)?).map(|()| Outcome::Passed)
}

fn compare(baseline: &[Cost], measured: &[Cost]) -> Result<(), String> {
    let mut faults = String::new();
    println!("{:<24}{:>10}{:>10}", "operation", "baseline", "now");
    for Cost { name, instructions } in measured {
        let Some(known) = baseline.iter().find(|cost| cost.name == *name) else {
            let _ = writeln!(faults, "{name} has no baseline");
            continue;
        };
        println!("{name:<24}{:>10}{instructions:>10}", known.instructions);
        // A few instructions are within the tolerance of nothing, so that the smallest may change by one.
        let allowed = known.instructions + (known.instructions * TOLERANCE / 100).max(1);
        if *instructions > allowed {
            let _ = writeln!(
                faults,
                "{name}: {instructions} instructions, and the baseline is {}",
                known.instructions
            );
        }
    }
    for cost in baseline {
        if !measured.iter().any(|measured| measured.name == cost.name) {
            let _ = writeln!(faults, "{} is in the baseline and is not measured", cost.name);
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{faults}if that is wanted, `cargo xtask instructions --bless` makes it the baseline; say why in the commit"
    ))
}

fn bless(root: &Path) -> Result<(), String> {
    let mut text = format!(
        "# Instructions per operation, by callgrind: made by `cargo xtask instructions --bless`.\n# {}\n",
        compiler()?
    );
    for Cost { name, instructions } in measure(root)? {
        let _ = writeln!(text, "{name} {instructions}");
    }
    print!("{text}");
    let path = root.join(BASELINE);
    std::fs::write(&path, text).map_err(|error| format!("write {}: {error}", path.display()))
}

#[derive(Debug, PartialEq)]
struct Cost {
    name: String,
    instructions: u64,
}

struct Baseline {
    compiler: String,
    costs: Vec<Cost>,
}

fn parse(text: &str) -> Result<Baseline, String> {
    let mut compiler = String::new();
    let mut costs = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            if comment.starts_with("rustc ") {
                comment.clone_into(&mut compiler);
            }
            continue;
        }
        let cost = line.split_once(' ').and_then(|(name, instructions)| {
            Some(Cost { name: name.to_owned(), instructions: instructions.trim().parse().ok()? })
        });
        costs.push(cost.ok_or_else(|| format!("{BASELINE}: {line:?} is no name and number"))?);
    }
    Ok(Baseline { compiler, costs })
}

fn measure(root: &Path) -> Result<Vec<Cost>, String> {
    let build = ["build", "--release", "-p", "conbrio-benches", "--bin", "instructions"];
    let status = Command::new("cargo").args(build).current_dir(root).status();
    let status = status.map_err(|error| format!("start cargo: {error}"))?;
    if !status.success() {
        return Err(format!("{status} from: cargo {}", build.join(" ")));
    }
    let target = crate::ci::target_dir(root);
    let program = target.join("release/instructions").display().to_string();
    let names = run(&program, &[])?.stdout;
    names.lines().map(|name| cost_of(&program, name)).collect()
}

fn cost_of(program: &str, name: &str) -> Result<Cost, String> {
    let mut counts = [0; 2];
    for (count, times) in counts.iter_mut().zip(TIMES) {
        let times = times.to_string();
        let arguments =
            ["--tool=callgrind", "--callgrind-out-file=/dev/null", program, name, &times];
        let stderr = run("valgrind", &arguments)?.stderr;
        *count =
            collected(&stderr).ok_or_else(|| format!("callgrind counted nothing:\n{stderr}"))?;
    }
    let instructions = counts[1].saturating_sub(counts[0]) / (TIMES[1] - TIMES[0]);
    Ok(Cost { name: name.to_owned(), instructions })
}

/// The number in the line `==1== Collected : 123`.
fn collected(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.contains("Collected"))?;
    line.split(':').nth(1)?.trim().parse().ok()
}

fn compiler() -> Result<String, String> {
    Ok(run("rustc", &["--version"])?.stdout.trim().to_owned())
}

struct Printed {
    stdout: String,
    stderr: String,
}

fn run(program: &str, arguments: &[&str]) -> Result<Printed, String> {
    let shown = format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("start {shown}: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{} from: {shown}\n{stderr}", output.status));
    }
    Ok(Printed { stdout: String::from_utf8_lossy(&output.stdout).into_owned(), stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(name: &str, instructions: u64) -> Cost {
        Cost { name: name.to_owned(), instructions }
    }

    #[test]
    fn what_costs_more_than_the_tolerance_is_an_error() {
        let baseline = [cost("yield", 100), cost("checkpoint", 10)];
        let fine = [cost("yield", 103), cost("checkpoint", 11)];
        assert_eq!(compare(&baseline, &fine), Ok(()));
        let worse = [cost("yield", 104), cost("checkpoint", 10)];
        assert!(compare(&baseline, &worse).unwrap_err().contains("yield: 104"));
        let more = [cost("yield", 100), cost("checkpoint", 10), cost("spawn", 1)];
        assert!(compare(&baseline, &more).unwrap_err().contains("spawn has no baseline"));
        let fewer = [cost("yield", 100)];
        assert!(compare(&baseline, &fewer).unwrap_err().contains("checkpoint is in the baseline"));
    }

    #[test]
    fn the_baseline_and_the_report_are_read() {
        let read = parse("# Made by x.\n# rustc 1.95.0\nyield 63\n").unwrap();
        assert_eq!(
            (read.compiler.as_str(), &read.costs[..]),
            ("rustc 1.95.0", &[cost("yield", 63)][..])
        );
        assert!(parse("yield many").is_err());
        assert_eq!(collected("==1== \n==1== Collected : 1234\n"), Some(1234));
    }
}
