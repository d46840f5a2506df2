//! `cargo xtask tidy`: the rules of the tree that neither rustc nor clippy knows.
//!
//! Each check lives in a file of its own, takes the whole tree and returns what it found; nothing here
//! writes to the tree. Where a rule may be waived, the waiver is a comment above the line,
//! `// tidy: allow(<check>) <reason>`, and a waiver without a reason, or with nothing to waive, is
//! itself a finding.

mod banned;
mod cancellation_docs;
mod file_length;
mod header;
mod layers;
mod links;
mod manifest;
mod spec_claims;
mod unsafe_code;
mod unsafe_list;
mod waits;

use crate::source::{self, Source};
use std::fmt;
use std::path::Path;

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// What is wrong; how to mend it.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn at(source: &Source, offset: usize, message: impl Into<String>) -> Finding {
        Finding::on_line(source, source.line_of(offset), message)
    }

    pub(crate) fn on_line(source: &Source, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: source.path.clone(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

type Check = fn(&Path, &[Source]) -> Vec<Finding>;

/// The checks in the order in which they run.
const CHECKS: &[Check] = &[
    |_, sources| layers::check(sources),
    |_, sources| unsafe_code::check(sources),
    |_, sources| cancellation_docs::check(sources),
    |_, sources| banned::check(sources),
    |_, sources| file_length::check(sources),
    |_, sources| header::check(sources),
    |root, sources| links::check(root, sources),
    |_, sources| manifest::check(sources),
    |root, sources| spec_claims::check(root, sources),
    |_, sources| waits::check(sources),
];

pub(crate) fn main(root: &Path) -> Result<(), String> {
    let sources = source::read_tree(root)?;
    let mut findings: Vec<Finding> =
        CHECKS.iter().flat_map(|check| check(root, &sources)).collect();
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files read, nothing found", sources.len());
        return Ok(());
    }
    Err(format!("tidy: {} found in {} files", findings.len(), sources.len()))
}

/// The Rust files of the crates that are published.
fn crate_files(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources
        .iter()
        .filter(|source| source.path.starts_with("crates/") && source.path.ends_with(".rs"))
}

/// What the unit tests of the checks use: the messages a check has for one file.
#[cfg(test)]
fn messages(check: impl Fn(&[Source]) -> Vec<Finding>, path: &str, text: &str) -> Vec<String> {
    check(&[Source::new(path, text)])
        .into_iter()
        .map(|finding| format!("{}: {}", finding.line, finding.message))
        .collect()
}
