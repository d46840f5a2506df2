//! Every source file of a crate begins by saying what it owns.

use super::{Finding, crate_files};
use crate::source::Source;

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    crate_files(sources)
        .filter(|source| source.path.split('/').nth(2) == Some("src") && !has_header(source))
        .map(|source| {
            let message = "no header; begin the file with `//!` lines: what it owns, what it does not, the invariant";
            Finding::on_line(source, 1, message)
        })
        .collect()
}

fn has_header(source: &Source) -> bool {
    let first = source.text.lines().map(str::trim).find(|line| !line.is_empty());
    first.is_some_and(|line| {
        let words = line.strip_prefix("//!").is_some_and(|rest| !rest.trim().is_empty());
        words || line.starts_with("#![doc")
    })
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    #[test]
    fn a_header_is_asked_of_sources_only() {
        assert!(messages(check, "crates/a/src/x/b.rs", "\n//! Owns b.\n").is_empty());
        assert!(
            messages(check, "crates/a/src/lib.rs", "#![doc = include_str!(\"../README.md\")]")
                .is_empty()
        );
        assert!(messages(check, "crates/a/tests/it/main.rs", "fn main() {}").is_empty());
        assert_eq!(messages(check, "crates/a/src/b.rs", "use std::fmt;\n").len(), 1);
        assert_eq!(messages(check, "crates/a/src/b.rs", "//!\nuse std::fmt;\n").len(), 1);
        assert_eq!(messages(check, "crates/a/src/b.rs", "").len(), 1);
    }
}
