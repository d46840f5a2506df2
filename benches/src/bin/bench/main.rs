//! What does conbrio cost beside its rivals, on this machine, in this run?
//!
//! Started by `cargo xtask bench`, which builds the programs that are compared and says where they lie. This
//! program asks them in turns, in fresh processes, so that a change of the machine's mood meets all of them. A
//! ratio is the median of the ratios of samples of the same round. What would change our minds about the
//! design: a goal that is missed in several runs on a quiet machine.

// spec: S64

#[cfg(feature = "tls")]
mod encrypted;
#[cfg(not(feature = "tls"))]
#[path = "not_encrypted.rs"]
mod encrypted;
mod generator;
mod growth;
mod memory;
mod micro;
mod questions;
mod report;
mod static_files;
mod storm;
mod svg;
mod systems;
mod table;
mod traffic;

use std::fs;
use std::io;
use std::path::PathBuf;

use conbrio_bench_kit::machine;

use report::Report;
use systems::Programs;

/// What to measure, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Only questions with this in their name.
    pub(crate) filter: String,
    /// Short samples: for a first look, not for a judgement.
    pub(crate) is_quick: bool,
    /// Where figures and charts are written.
    pub(crate) docs: PathBuf,
}

impl Plan {
    pub(crate) fn wants(&self, key: &str, text: &str) -> bool {
        key.contains(&self.filter) || text.contains(&self.filter)
    }

    /// Writes a file beside the report.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.docs.join(name);
        fs::write(&path, text)
            .map_err(|error| io::Error::other(format!("write {}: {error}", path.display())))
    }

    /// Whether every question of a group is asked as it should be: only that is worth keeping.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_quick && self.filter.is_empty()
    }
}

type Group = fn(&Plan, &Programs) -> io::Result<String>;

/// Each measures, and returns its tables as Markdown.
const GROUPS: &[(&str, &str, Group)] = &[
    ("micro", "Single operations", micro::run),
    ("many", "A million tasks", micro::many),
    ("mem", "Memory", memory::run),
    ("io", "TCP echo", traffic::echo),
    ("http", "HTTP plain text", traffic::http),
    ("tls", "TLS", traffic::tls),
    ("file", "Files", micro::files),
    ("process", "Processes", micro::processes),
    ("growth", "Growth", growth::run),
];

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [systems, docs, wanted @ ..] = &words[..] else {
        return Err(usage());
    };
    let is_quick = wanted.contains(&"--quick");
    let mut wanted = wanted.iter().copied().filter(|word| *word != "--quick");
    let group = wanted.next().unwrap_or("all");
    let filter = wanted.next().unwrap_or_default().to_owned();
    let groups: Vec<_> =
        GROUPS.iter().filter(|(key, ..)| group == "all" || group == *key).collect();
    if groups.is_empty() || wanted.next().is_some() || filter.starts_with('-') {
        return Err(usage());
    }

    let programs = Programs::read(&PathBuf::from(systems))?;
    let plan = Plan { filter, is_quick, docs: PathBuf::from(docs) };
    println!("{}\n{}\n", machine::line(), programs.versions());
    for missing in programs.missing() {
        println!("MISSING: {missing}");
    }
    let report = Report::new(plan.docs.clone(), &programs);
    for (key, title, run) in groups {
        if let Some(warning) = machine::warning() {
            println!("{warning}\n");
        }
        let before = machine::line();
        println!("## {title}\n");
        let tables = run(&plan, &programs)?;
        if tables.is_empty() {
            println!("nothing here has {:?} in its name\n", plan.filter);
            continue;
        }
        println!("{tables}");
        if plan.is_whole() {
            report.write(key, title, &before, &tables)?;
        } else {
            println!("docs/compare.md is left as it is: this is not a whole run of `{key}`.\n");
        }
    }
    Ok(())
}

fn usage() -> io::Error {
    io::Error::other(
        "usage: cargo xtask bench [micro|many|mem|io|http|tls|file|process|growth|all] [part of a question's name] [--quick]",
    )
}
