//! Relative links in Markdown point to files that exist.
//!
//! Links to other sites are not followed: a check must not fail because a host is down.

use super::Finding;
use crate::source::Source;
use std::path::Path;

pub(super) fn check(root: &Path, sources: &[Source]) -> Vec<Finding> {
    let exists = |path: &str| root.join(path).exists();
    sources
        .iter()
        .filter(|source| source.path.ends_with(".md"))
        .flat_map(|source| broken(source, &exists))
        .collect()
}

fn broken(source: &Source, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in source.text.lines().enumerate() {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        if fence.is_some() || mark.is_some() {
            continue;
        }
        for target in targets(&without_code(line)) {
            let Some(path) = relative_path(&target) else {
                continue;
            };
            if !exists(&resolve(&source.path, path)) {
                let message = format!(
                    "link to `{target}`, which does not exist; correct the path or drop the link"
                );
                findings.push(Finding::on_line(source, index + 1, message));
            }
        }
    }
    findings
}

/// The targets of `[text](target)`, `![text](target "title")` and `[name]: target` in one line.
fn targets(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let trimmed = line.trim_start();
    if let Some((label, target)) = trimmed.strip_prefix('[').and_then(|rest| rest.split_once("]: "))
        && !label.contains(']')
    {
        found.extend(first_word(target));
    }
    for (offset, _) in line.match_indices("](") {
        let rest = &line[offset + 2..];
        let mut depth = 1_usize;
        let end = rest.find(|character| {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        found.extend(end.and_then(|end| first_word(&rest[..end])));
    }
    found
}

fn first_word(target: &str) -> Option<String> {
    let target = target.trim();
    let word = match target.strip_prefix('<') {
        Some(rest) => rest.split('>').next(),
        None => target.split_whitespace().next(),
    };
    word.map(str::to_owned)
}

/// The file a target names; `None` for another site or a place on the same page.
fn relative_path(target: &str) -> Option<&str> {
    let has_scheme = target.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-'))
    });
    let path = target.split(['#', '?']).next().unwrap_or_default();
    (!has_scheme && !path.is_empty()).then_some(path)
}

/// A path relative to the workspace root for a link on a page.
fn resolve(page: &str, target: &str) -> String {
    let target = target.replace("%20", " ");
    if let Some(from_root) = target.strip_prefix('/') {
        return from_root.to_owned();
    }
    let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The line with its inline code blanked: `` `[a](b)` `` shows a link and is none.
fn without_code(line: &str) -> String {
    let mut inside = false;
    line.chars()
        .map(|character| {
            if character == '`' {
                inside = !inside;
                return ' ';
            }
            if inside { ' ' } else { character }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_in(path: &str, text: &str) -> Vec<usize> {
        let exists = |path: &str| matches!(path, "README.md" | "docs/a.md" | "docs/b c.md");
        broken(&Source::new(path, text), &exists).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn existing_files_and_other_sites_pass() {
        let text = "[a](a.md#part) [up](../README.md) [x](https://x.org/y) [m](mailto:a@b) [here](#part)\n\
                    ![p](./a.md \"title\") [s](<b c.md>) [e](b%20c.md) [root](/README.md)\n[ref]: a.md\n";
        assert_eq!(broken_in("docs/c.md", text), []);
    }

    #[test]
    fn missing_files_are_found() {
        assert_eq!(broken_in("docs/c.md", "x\n[a](gone.md)\n\n[ref]: ../gone.md\n"), [2, 4]);
        assert_eq!(broken_in("README.md", "[a](../README.md) [b](docs/a.md) [c](a.md)"), [1, 1]);
    }

    #[test]
    fn code_is_not_looked_at() {
        assert_eq!(
            broken_in(
                "README.md",
                "```\n[a](gone)\n```\n`[a](gone)` [b](gone)\n~~~\n```\n[a](gone)\n~~~\n"
            ),
            [4]
        );
    }
}
