//! `docs/compare.md`: each group of questions has a section between two marks, and replaces only that.
//!
//! What stands outside of the marks is written by hand and kept: why a goal is missed, for one.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::systems::Programs;

pub(crate) struct Report<'a> {
    docs: PathBuf,
    programs: &'a Programs,
}

impl Report<'_> {
    pub(crate) fn new(docs: PathBuf, programs: &Programs) -> Report<'_> {
        Report { docs, programs }
    }

    /// Replaces the section `key`.
    pub(crate) fn write(
        &self,
        key: &str,
        title: &str,
        machine: &str,
        tables: &str,
    ) -> io::Result<()> {
        let path = self.docs.join("compare.md");
        let old = fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
        let (begin, end) = (format!("<!-- begin {key} -->"), format!("<!-- end {key} -->"));
        let missing: String =
            self.programs.missing().map(|missing| format!("MISSING: {missing}\n\n")).collect();
        let section = format!(
            "{begin}\n## {title}\n\n`cargo xtask bench {key}` on {machine}. {}.\n\n{missing}{}\n{end}",
            self.programs.versions(),
            tables.trim_end(),
        );
        let new = match (old.find(&begin), old.find(&end)) {
            (Some(from), Some(to)) => {
                format!("{}{section}{}", &old[..from], &old[to + end.len()..])
            }
            _ => format!("{}\n\n{section}\n", old.trim_end()),
        };
        fs::write(&path, new)
            .map_err(|error| io::Error::other(format!("write {}: {error}", path.display())))
    }
}

const HEAD: &str = "\
# Beside its rivals

What an operation costs in conbrio and in what one would use instead. Each section is written by the command
that stands under its title, on the machine that stands there, and says nothing about another one. How to read the
tables, and how they are measured: [benches](../benches/README.md). A cell is the median of five samples or more, in
parentheses the least and the greatest, and in bold the ratio of conbrio to that rival: less than 1 is better. `—`
says that a system has no such operation.
";
