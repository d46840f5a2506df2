//! `cargo xtask mutate`: do the tests find mistakes?
//!
//! Seeds mistakes into a copy of the tree, one at a time, and runs on each the test that must find it: the
//! campaign (`tests/model`) for most. A mistake that it does not find is a hole in the tests, and fails the
//! task. The copy lies in the target
//! folder and keeps its build between runs; the tree itself is not touched.

use crate::mutate_list::{CAMPAIGN, MUTATIONS, Mutation, Test};
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn main(root: &Path, options: &[&str]) -> Result<(), String> {
    let wanted: Vec<&Mutation> = match options {
        [] => MUTATIONS.iter().collect(),
        ["--only", text] => MUTATIONS.iter().filter(|m| m.what.contains(text)).collect(),
        _ => {
            return Err(format!("unknown options {options:?}; there is `--only <part of a name>`"));
        }
    };
    if wanted.is_empty() {
        return Err("no mutation has a name like that".to_owned());
    }
    // All of them first: half an hour later would be a bad time to hear it.
    for mutation in &wanted {
        mutated(root, mutation)?;
    }
    let bench = Bench::new(root)?;
    let mut tests: Vec<Test> = Vec::new();
    for mutation in &wanted {
        if !tests.contains(&mutation.caught_by) {
            tests.push(mutation.caught_by);
        }
    }
    for test in tests {
        if let Verdict::Caught(how) = bench.test(test)? {
            return Err(format!("{} fails without a mistake: {how}", in_words(test)));
        }
    }
    println!("| mistake | file | caught by | seconds |\n|---|---|---|---|");
    let mut survivors = Vec::new();
    for mutation in &wanted {
        let begun = Instant::now();
        let how = match bench.try_mutation(root, mutation)? {
            Verdict::Caught(how) => how,
            Verdict::Survived => {
                survivors.push(mutation.what);
                "NOTHING".to_owned()
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        println!("| {} | `{}` | {how} | {seconds:.0} |", mutation.what, mutation.file);
    }
    if survivors.is_empty() {
        println!("\nmutate: all {} mistakes were found", wanted.len());
        return Ok(());
    }
    Err(format!("mutate: these mistakes were not found: {}", survivors.join("; ")))
}

/// The source with the mistake in it.
fn mutated(root: &Path, mutation: &Mutation) -> Result<String, String> {
    let path = root.join(SOURCES).join(mutation.file);
    let text = read(&path)?;
    match text.matches(mutation.from).count() {
        1 => Ok(text.replacen(mutation.from, mutation.to, 1)),
        count => Err(format!(
            "the mutation `{}` has to be updated: its text occurs {count} times in {}",
            mutation.what, mutation.file
        )),
    }
}

enum Verdict {
    /// The failure in words.
    Caught(String),
    Survived,
}

/// The copy of the tree.
struct Bench {
    tree: PathBuf,
    target: PathBuf,
}

impl Bench {
    fn new(root: &Path) -> Result<Bench, String> {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir))
            .join("mutate");
        let bench = Bench { tree: target.join("tree"), target: target.join("build") };
        fs::create_dir_all(&bench.tree)
            .map_err(|error| format!("make {}: {error}", bench.tree.display()))?;
        for part in ["Cargo.toml", "Cargo.lock", "README.md", "crates", "benches", "xtask", "docs"]
        {
            copy(&root.join(part), &bench.tree.join(part))?;
        }
        Ok(bench)
    }

    fn try_mutation(&self, root: &Path, mutation: &Mutation) -> Result<Verdict, String> {
        let path = self.tree.join(SOURCES).join(mutation.file);
        let whole = read(&path)?;
        write(&path, &mutated(root, mutation)?)?;
        let verdict = self.test(mutation.caught_by);
        write(&path, &whole)?;
        verdict.map_err(|fault| {
            format!("the mutation `{}` has to be updated, or {fault}", mutation.what)
        })
    }

    /// Builds the copy and runs a test of it.
    fn test(&self, test: Test) -> Result<Verdict, String> {
        let Test { program, filter } = test;
        let built =
            self.run(&["test", "-q", "-p", "conbrio", "--test", program, "--no-run"], BUILD)?;
        if !built.is_success() {
            return Err(format!("the copy does not build:\n{}", built.text));
        }
        let tested =
            ["test", "-q", "-p", "conbrio", "--test", program, filter, "--", "--nocapture"];
        let ran = self.run(&tested, LIMIT)?;
        if ran.is_success() {
            return Ok(Verdict::Survived);
        }
        let found = ran.text.lines().find_map(|line| line.strip_prefix("campaign: seed "));
        Ok(Verdict::Caught(match found {
            Some(found) => format!("seed {}", in_short(found)),
            None if ran.status.is_none() => {
                format!("{}: no end within {} s", in_words(test), LIMIT.as_secs())
            }
            None => format!("{}: {}", in_words(test), last_line(&ran.text)),
        }))
    }

    fn run(&self, arguments: &[&str], limit: Duration) -> Result<Ran, String> {
        let mut child = Command::new("cargo")
            .args(arguments)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CONBRIO_SLOW_TESTS", "1")
            .env("CONBRIO_CAMPAIGN", PROGRAMS.to_string())
            .env("CONBRIO_SHRINK", "0")
            .env("RUST_BACKTRACE", "0")
            .env_remove("CONBRIO_SEED")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own, so that its children end with it.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("start cargo: {error}"))?;
        let group = format!("-{}", child.id());
        let mut pipe = child.stderr.take().expect("it is piped");
        let (end, ended) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            // What came before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
            let _ = end.send(());
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let in_time = ended.recv_timeout(limit).is_ok();
        if !in_time {
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        }
        let status = child.wait().map_err(|error| format!("wait for cargo: {error}"))?;
        let text = reader.join().expect("reading a pipe does not panic");
        Ok(Ran { status: in_time.then_some(status), text })
    }
}

/// A finished process; without a status it was ended at the time limit.
struct Ran {
    status: Option<ExitStatus>,
    text: String,
}

impl Ran {
    fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

fn in_words(test: Test) -> String {
    match test {
        CAMPAIGN => "the campaign itself".to_owned(),
        Test { program, filter } => format!("`{program} {filter}`"),
    }
}

/// A failure without what exactly was found: `17: event 3: a rule: what` becomes `17: a rule`.
fn in_short(found: &str) -> String {
    let parts: Vec<&str> = found.split(": ").collect();
    match parts[..] {
        [seed, event, rule, ..] if event.starts_with("event ") => format!("{seed}: {rule}"),
        _ => found.to_owned(),
    }
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing")
}

/// Copies a file or a folder. What is the same already keeps its time stamp, so that it is not built anew.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("copy {}: {error}", from.display());
    if from.is_dir() {
        fs::create_dir_all(to).map_err(fault)?;
        for entry in fs::read_dir(from).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let bytes = fs::read(from).map_err(fault)?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(to, bytes).map_err(fault)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("write {}: {error}", path.display()))
}

const SOURCES: &str = "crates/conbrio/src";
/// How many programs a mistake may survive.
const PROGRAMS: u64 = 200_000;
const BUILD: Duration = Duration::from_secs(900);
const LIMIT: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_fits_the_source() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for mutation in MUTATIONS {
            let text = mutated(&root, mutation).unwrap();
            assert!(text.contains(mutation.to), "{}", mutation.what);
            assert_ne!(mutation.from, mutation.to, "{}", mutation.what);
        }
    }

    #[test]
    fn failures_are_told_in_short() {
        assert_eq!(in_short("17: event 3: a rule: t1 got: nothing"), "17: a rule");
        assert_eq!(in_short("17: the program does not end"), "17: the program does not end");
    }

    #[test]
    fn there_are_ten_at_least_and_no_two_alike() {
        let mut names: Vec<&str> = MUTATIONS.iter().map(|mutation| mutation.what).collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() >= 10 && names.len() == MUTATIONS.len());
    }
}
