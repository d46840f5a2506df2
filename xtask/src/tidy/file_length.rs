//! Files stay short enough to be read in one sitting.

use super::Finding;
use crate::source::Source;

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    sources
        .iter()
        .filter(|source| source.path.ends_with(".rs") && source.line_count() > LINES_MAX)
        .map(|source| {
            let message = format!(
                "{} lines, more than {LINES_MAX}; look for a seam and make two files of it",
                source.line_count()
            );
            Finding::on_line(source, LINES_MAX + 1, message)
        })
        .collect()
}

const LINES_MAX: usize = 600;

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    #[test]
    fn the_bound_is_inclusive() {
        assert!(messages(check, "crates/a/src/a.rs", &"x\n".repeat(600)).is_empty());
        assert_eq!(messages(check, "xtask/src/a.rs", &"x\n".repeat(601)).len(), 1);
        assert!(messages(check, "docs/a.md", &"x\n".repeat(601)).is_empty());
    }
}
