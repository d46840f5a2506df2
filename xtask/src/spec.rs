//! `cargo xtask spec`: which lines of the specification are claimed by a test.
//!
//! The specification is `spec/ids.txt`. A test, an example, a bench or a page of the documentation
//! claims lines by a comment: `// spec: S6, N1, test_run.cancel_shielding`, in Markdown
//! `<!-- spec: S68 -->`. A claim is a promise of its author, not a proof; what it gives is a place to
//! look at, and a list of what nobody has promised yet.

use crate::source::{self, Source};
use crate::tidy::Finding;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Relative to the workspace root.
pub(crate) const LIST: &str = "spec/ids.txt";

/// One line of the specification.
#[derive(Debug)]
pub(crate) struct Line {
    id: String,
    mark: char,
    text: String,
    /// The heading above it.
    section: String,
}

/// One id named at one place.
#[derive(Debug)]
struct Claim<'a> {
    id: &'a str,
    source: &'a Source,
    line: usize,
}

pub(crate) fn main(root: &Path, options: &[&str]) -> Result<(), String> {
    let lines = read_lines(root)?;
    let sources = source::read_tree(root)?;
    let unknown = unknown_claims(&lines, &sources);
    if !unknown.is_empty() {
        let report: Vec<String> = unknown.iter().map(Finding::to_string).collect();
        return Err(report.join("\n"));
    }
    let claims = claims(&sources);
    match options {
        [] => print!("{}", overview(&lines, &claims)),
        ["--missing"] => print!("{}", missing(&lines, &claims)),
        ["--where", id] => print!("{}", places(&lines, &claims, id)?),
        _ => {
            return Err(format!(
                "unknown options {options:?}; use `spec`, `spec --missing` or `spec --where <id>`"
            ));
        }
    }
    Ok(())
}

pub(crate) fn read_lines(root: &Path) -> Result<Vec<Line>, String> {
    let text =
        fs::read_to_string(root.join(LIST)).map_err(|error| format!("read {LIST}: {error}"))?;
    parse_lines(&text)
}

/// What tidy reports: claims on lines that do not exist, and claims that name nothing.
pub(crate) fn unknown_claims(lines: &[Line], sources: &[Source]) -> Vec<Finding> {
    claims(sources)
        .into_iter()
        .filter(|claim| !lines.iter().any(|line| line.id == claim.id))
        .map(|claim| {
            let message = format!(
                "claims `{}`, which is no id of {LIST}; correct it, ids are parted by commas",
                claim.id
            );
            Finding::on_line(claim.source, claim.line, message)
        })
        .collect()
}

fn parse_lines(text: &str) -> Result<Vec<Line>, String> {
    let mut lines: Vec<Line> = Vec::new();
    let mut section = String::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("# ") {
            section = heading.to_owned();
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let fault = |what: &str| {
            Err(format!("{LIST}:{}: {what}; write id, mark and text parted by tabs", index + 1))
        };
        let [id, mark, text] = line.split('\t').collect::<Vec<_>>()[..] else {
            return fault("not three fields");
        };
        let Some(mark) =
            MARKS.iter().map(|(mark, _)| *mark).find(|known| mark == known.to_string())
        else {
            return fault("unknown mark");
        };
        if id.is_empty() || text.trim().is_empty() {
            return fault("empty field");
        }
        if lines.iter().any(|line| line.id == id) {
            return fault("id for the second time");
        }
        lines.push(Line {
            id: id.to_owned(),
            mark,
            text: text.to_owned(),
            section: section.clone(),
        });
    }
    Ok(lines)
}

/// The marks, in the order of the reports.
const MARKS: &[(char, &str)] = &[
    ('C', "carries over"),
    ('A', "analogue"),
    ('T', "by types"),
    ('O', "optional"),
    ('S', "skipped"),
];

fn claims(sources: &[Source]) -> Vec<Claim<'_>> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| may_claim(&source.path)) {
        for number in 1..=source.line_count() {
            let Some(list) = claimed_list(source.comment_line(number).trim()) else {
                continue;
            };
            found.extend(list.split(',').map(|id| Claim { id: id.trim(), source, line: number }));
        }
    }
    found
}

/// The tests of the task that reads the claims hold samples of claims, and pages explain how to write
/// them; so only these folders count.
fn may_claim(path: &str) -> bool {
    let is_code = path.starts_with("crates/") || path.starts_with("benches/");
    (is_code && path.ends_with(".rs")) || (path.starts_with("docs/") && path.ends_with(".md"))
}

/// What follows `spec:` in a comment of its own line.
fn claimed_list(comment: &str) -> Option<&str> {
    if let Some(rest) = comment.strip_prefix("<!--") {
        return rest.trim_end().strip_suffix("-->")?.trim().strip_prefix("spec:");
    }
    let rest = ["///", "//!", "//"].iter().find_map(|mark| comment.strip_prefix(mark))?;
    rest.trim().strip_prefix("spec:")
}

fn overview(lines: &[Line], claims: &[Claim<'_>]) -> String {
    let mut report = String::new();
    let mut totals = vec![(0, 0); MARKS.len()];
    for section in sections(lines) {
        let (wanted, optional): (Vec<&Line>, Vec<&Line>) =
            lines.iter().filter(|line| line.section == section).partition(|line| is_wanted(line));
        let covered = wanted.iter().filter(|line| is_claimed(line, claims)).count();
        let extra = optional.iter().filter(|line| is_claimed(line, claims)).count();
        let _ = writeln!(
            report,
            "{section}: {covered} of {} covered, {extra} of {} optional or skipped",
            wanted.len(),
            optional.len()
        );
        for (title, state) in [("covered", true), ("not covered", false)] {
            let ids: Vec<&str> = wanted
                .iter()
                .filter(|line| is_claimed(line, claims) == state)
                .map(|line| line.id.rsplit('.').next().unwrap_or(&line.id))
                .collect();
            if !ids.is_empty() {
                let _ = writeln!(report, "  {title}: {}", ids.join(" "));
            }
        }
    }
    for line in lines {
        let position = MARKS
            .iter()
            .position(|(mark, _)| *mark == line.mark)
            .expect("marks are checked on reading");
        totals[position].0 += usize::from(is_claimed(line, claims));
        totals[position].1 += 1;
    }
    report.push('\n');
    for ((mark, meaning), (covered, all)) in MARKS.iter().zip(&totals) {
        let _ = writeln!(report, "{mark} ({meaning}): {covered} of {all}");
    }
    let covered: usize =
        lines.iter().filter(|line| is_wanted(line) && is_claimed(line, claims)).count();
    let all = lines.iter().filter(|line| is_wanted(line)).count();
    let _ = writeln!(report, "C, A and T together: {covered} of {all}");
    report
}

fn missing(lines: &[Line], claims: &[Claim<'_>]) -> String {
    let mut report = String::new();
    for section in sections(lines) {
        let mut missing = lines
            .iter()
            .filter(|line| line.section == section && is_wanted(line) && !is_claimed(line, claims))
            .peekable();
        if missing.peek().is_some() {
            let _ = writeln!(report, "# {section}");
        }
        for line in missing {
            let _ = writeln!(report, "{}\t{}\t{}", line.id, line.mark, line.text);
        }
    }
    report
}

fn places(lines: &[Line], claims: &[Claim<'_>], id: &str) -> Result<String, String> {
    let Some(line) = lines.iter().find(|line| line.id == id) else {
        return Err(format!("`{id}` is no id of {LIST}; `cargo xtask spec` lists them"));
    };
    let mut report = format!("{}\t{}\t{}\n", line.id, line.mark, line.text);
    let places = claims
        .iter()
        .filter(|claim| claim.id == id)
        .map(|claim| format!("{}:{}\n", claim.source.path, claim.line));
    let places: String = places.collect();
    report.push_str(if places.is_empty() { "claimed nowhere\n" } else { &places });
    Ok(report)
}

fn sections(lines: &[Line]) -> Vec<&str> {
    let mut sections: Vec<&str> = lines.iter().map(|line| line.section.as_str()).collect();
    // A section is one run of lines, so neighbours suffice.
    sections.dedup();
    sections
}

fn is_wanted(line: &Line) -> bool {
    !matches!(line.mark, 'O' | 'S')
}

fn is_claimed(line: &Line, claims: &[Claim<'_>]) -> bool {
    claims.iter().any(|claim| claim.id == line.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "# Head.\n\n# seeds\nS1\tC\tone\nS2\tO\ttwo\n\n# test_run\ntest_run.basic\tC\tmain's value\ntest_run.x\tS\tskipped\n";

    fn sources() -> Vec<Source> {
        vec![
            Source::new("crates/a/tests/it/a.rs", "// spec: S1\n#[test]\nfn a() {}\n"),
            Source::new(
                "crates/a/src/a.rs",
                "/// x\n/// spec: S1, test_run.basic\nlet x = \"// spec: S9\";\n",
            ),
            Source::new("docs/a.md", "text\n<!-- spec: S2 -->\nNo `// spec: S9` here.\n"),
            Source::new("xtask/src/spec.rs", "// spec: S9\n"),
        ]
    }

    #[test]
    fn claims_are_counted_by_section() {
        let (lines, sources) = (parse_lines(SAMPLE).unwrap(), sources());
        assert!(unknown_claims(&lines, &sources).is_empty());
        let report = overview(&lines, &claims(&sources[..1]));
        assert!(report.contains("seeds: 1 of 1 covered, 0 of 1 optional"), "{report}");
        assert!(report.contains("not covered: basic"), "{report}");
        assert!(report.ends_with("C, A and T together: 1 of 2\n"), "{report}");
    }

    #[test]
    fn missing_lists_wanted_lines_only() {
        let (lines, sources) = (parse_lines(SAMPLE).unwrap(), sources());
        assert_eq!(
            missing(&lines, &claims(&sources[..1])),
            "# test_run\ntest_run.basic\tC\tmain's value\n"
        );
        assert_eq!(missing(&lines, &claims(&sources)), "");
    }

    #[test]
    fn places_are_named() {
        let (lines, sources) = (parse_lines(SAMPLE).unwrap(), sources());
        let claims = claims(&sources);
        let report = places(&lines, &claims, "S1").unwrap();
        assert_eq!(report, "S1\tC\tone\ncrates/a/tests/it/a.rs:1\ncrates/a/src/a.rs:2\n");
        assert!(places(&lines, &claims, "test_run.x").unwrap().contains("nowhere"));
        assert!(places(&lines, &claims, "S9").is_err());
    }

    #[test]
    fn unknown_ids_are_found() {
        let lines = parse_lines(SAMPLE).unwrap();
        let sources = [Source::new("crates/a/src/a.rs", "// spec: S1 S2, S9\n// spec:\n")];
        let found: Vec<String> =
            unknown_claims(&lines, &sources).iter().map(Finding::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].contains("`S1 S2`") && found[1].contains("`S9`") && found[2].contains("``"),
            "{found:?}"
        );
    }

    #[test]
    fn a_malformed_list_is_refused() {
        for (text, word) in [
            ("S1\tC\n", "three fields"),
            ("S1\tX\tone\n", "unknown mark"),
            ("S1\tC\t \n", "empty field"),
            ("S1\tC\tone\nS1\tC\tone\n", "second time"),
        ] {
            assert!(parse_lines(text).unwrap_err().contains(word), "{text}");
        }
    }

    #[test]
    fn the_list_of_this_tree_is_well_formed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let lines = read_lines(root).unwrap();
        assert!((1..=77).all(|number| lines.iter().any(|line| line.id == format!("S{number}"))));
        assert!((1..=20).all(|number| lines.iter().any(|line| line.id == format!("N{number}"))));
        let of_file = |file: &str| {
            lines
                .iter()
                .filter(|line| line.id.split_once('.').is_some_and(|(f, _)| f == file))
                .count()
        };
        // The counts of the test files themselves.
        for (file, count) in
            [("test_run", 113), ("test_channel", 32), ("test_threads", 39), ("test_ssl", 32)]
        {
            assert_eq!(of_file(file), count, "{file}");
        }
    }
}
