//! A claim on the specification names a line that exists.

use super::Finding;
use crate::source::Source;
use crate::spec;
use std::path::Path;

pub(super) fn check(root: &Path, sources: &[Source]) -> Vec<Finding> {
    match spec::read_lines(root) {
        Ok(lines) => spec::unknown_claims(&lines, sources),
        Err(message) => vec![Finding { path: spec::LIST.to_owned(), line: 1, message }],
    }
}
