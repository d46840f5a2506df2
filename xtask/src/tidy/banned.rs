//! Things that make tests flaky or leave work undone.
//!
//! Each may be waived for one line by `// tidy: allow(<check>) <reason>` in the comment directly above
//! it, or at its end.

use super::{Finding, crate_files};
use crate::source::{Source, words};

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    crate_files(sources).flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<Finding> {
    let mut hits = Vec::new();
    sleeps(source, &mut hits);
    macros(source, &mut hits);
    ignores(source, &mut hits);
    ports(source, &mut hits);
    // One line is reported once for one check.
    hits.sort();
    hits.dedup();
    apply_waivers(source, hits)
}

/// A line and the name of the check it breaks.
type Hit = (usize, &'static str);

const CHECKS: &[(&str, &str)] = &[
    ("sleep", "a sleeping thread; wait for the event itself, or use the virtual clock"),
    ("ports", "a fixed port; bind port 0 and ask for the local address"),
    ("ignore", "an ignored test; make it pass, or make it opt-in by an environment variable"),
    ("todo", "unfinished work; finish it, or return an error that says what is missing"),
    ("dbg", "a debugging aid; remove it"),
];

fn sleeps(source: &Source, hits: &mut Vec<Hit>) {
    let code = &source.code;
    for (offset, _) in words(code).filter(|(_, word)| *word == "sleep" || *word == "sleep_ms") {
        // `thread::sleep(..)`, and any `use` of std's function, also from `thread::{..}`.
        let before = code[..offset].trim_end();
        let statement = &code[code[..offset].rfind(';').map_or(0, |end| end + 1)..offset];
        let is_import = words(statement).any(|(_, word)| word == "use")
            && words(statement).any(|(_, word)| word == "thread");
        if before.ends_with("thread::") || (is_import && before.ends_with([':', ',', '{'])) {
            hits.push((source.line_of(offset), "sleep"));
        }
    }
}

fn macros(source: &Source, hits: &mut Vec<Hit>) {
    for (offset, word) in words(&source.code) {
        let check = match word {
            "todo" | "unimplemented" => "todo",
            "dbg" => "dbg",
            _ => continue,
        };
        if source.code[offset + word.len()..].trim_start().starts_with('!') {
            hits.push((source.line_of(offset), check));
        }
    }
}

fn ignores(source: &Source, hits: &mut Vec<Hit>) {
    for (offset, word) in words(&source.code) {
        let before = source.code[..offset].trim_end();
        if word == "ignore"
            && before.ends_with('[')
            && before[..before.len() - 1].trim_end().ends_with('#')
        {
            hits.push((source.line_of(offset), "ignore"));
        }
    }
    // A documentation example that is not compiled says nothing that is known to be true.
    for number in 1..=source.line_count() {
        let comment = source.comment_line(number).trim();
        let text =
            comment.strip_prefix("///").or_else(|| comment.strip_prefix("//!")).unwrap_or_default();
        if text
            .trim()
            .strip_prefix("```")
            .is_some_and(|rest| rest.split(',').any(|word| word.trim() == "ignore"))
        {
            hits.push((number, "ignore"));
        }
    }
}

fn ports(source: &Source, hits: &mut Vec<Hit>) {
    let is_example = source.path.contains("/examples/");
    let mut line_start = 0;
    for (index, line) in source.text.split_inclusive('\n').enumerate() {
        let comment = source.comment_line(index + 1);
        // Examples may have a port to serve on by default, and comments may speak of ports.
        let code_end = comment.find(|character: char| character != ' ').unwrap_or(line.len());
        let code = &line[..code_end.min(line.len())];
        let loopback = ["127.0.0.1:", "localhost:", "[::1]:"]
            .iter()
            .any(|host| is_followed(code, host, port_begins))
            || ["LOCALHOST, ", "127, 0, 0, 1], ", "127, 0, 0, 1), "]
                .iter()
                .any(|host| is_followed(code, host, port_begins));
        let well_known = source.is_test(line_start) && is_followed(code, ":80", two_digits);
        if !is_example && (loopback || well_known) {
            hits.push((index + 1, "ports"));
        }
        line_start += line.len();
    }
}

fn is_followed(code: &str, mark: &str, by: fn(&[u8]) -> bool) -> bool {
    code.match_indices(mark).any(|(offset, _)| by(&code.as_bytes()[offset + mark.len()..]))
}

fn port_begins(rest: &[u8]) -> bool {
    matches!(rest.first(), Some(b'1'..=b'9'))
}

fn two_digits(rest: &[u8]) -> bool {
    rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_digit)
}

/// Takes out the hits that are waived; what is left, and each waiver that is wrong, is a finding.
fn apply_waivers(source: &Source, hits: Vec<Hit>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut waivers = Vec::new();
    for number in 1..=source.line_count() {
        let comment = source.comment_line(number);
        let Some((_, rest)) = comment.split_once("// tidy: allow(") else {
            continue;
        };
        let (check, reason) = rest.split_once(')').unwrap_or((rest, ""));
        if !CHECKS.iter().any(|(name, _)| *name == check) {
            let names: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "waives the unknown check `{check}`; those that can be waived are {}",
                names.join(", ")
            );
            findings.push(Finding::on_line(source, number, message));
        } else if reason.trim().is_empty() {
            let message =
                format!("waives `{check}` without a reason; write it after the parenthesis");
            findings.push(Finding::on_line(source, number, message));
        } else {
            waivers.push((covered_line(source, number), check, number));
        }
    }
    for (line, check, number) in &waivers {
        if !hits.iter().any(|(hit, name)| hit == line && name == check) {
            let message =
                format!("waives `{check}` where there is nothing to waive; remove the comment");
            findings.push(Finding::on_line(source, *number, message));
        }
    }
    for (line, check) in hits {
        if waivers.iter().any(|(covered, name, _)| *covered == line && *name == check) {
            continue;
        }
        let (_, message) =
            CHECKS.iter().find(|(name, _)| *name == check).expect("every hit names a check");
        let message = format!(
            "{message} (or waive it: `// tidy: allow({check}) <reason>` on the line above)"
        );
        findings.push(Finding::on_line(source, line, message));
    }
    findings
}

/// The first line of code at or below a waiver.
fn covered_line(source: &Source, waiver: usize) -> usize {
    (waiver..=source.line_count())
        .find(|&number| !source.code_line(number).trim().is_empty())
        .unwrap_or(waiver)
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    const SOURCE: &str = "crates/a/src/b.rs";
    const TEST: &str = "crates/a/tests/it/b.rs";

    #[track_caller]
    fn found(path: &str, text: &str, words: &[&str]) {
        let messages = messages(check, path, text);
        assert_eq!(messages.len(), words.len(), "{messages:?}");
        for (message, word) in messages.iter().zip(words) {
            assert!(message.contains(word), "{message:?} lacks {word:?}");
        }
    }

    #[test]
    fn only_std_sleep_is_banned() {
        found(SOURCE, "fn f() { std::thread::sleep(d); }", &["sleeping"]);
        found(SOURCE, "use std::thread::sleep;", &["sleeping"]);
        found(SOURCE, "use std::{thread::{spawn, sleep}, time::Duration};", &["sleeping"]);
        found(SOURCE, "use std::thread;\nfn f() { cx.sleep(Duration::ZERO)?; }", &[]);
        found(SOURCE, "// thread::sleep(x)\nfn sleep(cx: &mut Cx) {}", &[]);
        found("benches/src/lib.rs", "fn f() { thread::sleep(d) }", &[]);
    }

    #[test]
    fn fixed_ports_are_banned() {
        found(TEST, "bind(\"127.0.0.1:4000\")", &["port"]);
        found(TEST, "bind((Ipv4Addr::LOCALHOST, 4000))", &["port"]);
        found(TEST, "bind(\"0.0.0.0:8080\")", &["port"]);
        found(SOURCE, "bind(\"localhost:4000\")", &["port"]);
        found(SOURCE, "#[cfg(test)]\nmod tests {\n a(\":8080\")\n}", &["3: "]);
        found(TEST, "bind(\"127.0.0.1:0\"); // not 127.0.0.1:80", &[]);
        found(SOURCE, "parse(\"10.0.0.1:8080\")", &[]);
        found("crates/a/examples/echo.rs", "bind(\"127.0.0.1:8080\")", &[]);
    }

    #[test]
    fn unfinished_work_is_banned() {
        found(
            SOURCE,
            "fn f() { todo!() }\nfn g() { unimplemented! () }",
            &["unfinished", "unfinished"],
        );
        found(SOURCE, "fn f() { dbg!(x) }", &["debugging"]);
        found(SOURCE, "let todo = 1; // todo!()", &[]);
        found(TEST, "#[test]\n#[ignore = \"slow\"]\nfn f() {}", &["2: an ignored"]);
        found(SOURCE, "/// ```ignore\n/// x\n/// ```\nfn f() { ignore(1) }", &["1: an ignored"]);
    }

    #[test]
    fn a_waiver_needs_a_reason_and_something_to_waive() {
        found(SOURCE, "// tidy: allow(sleep) the kernel is the clock here\nthread::sleep(d);", &[]);
        found(
            SOURCE,
            "// tidy: allow(sleep) the kernel\n// is the clock here.\nthread::sleep(d);",
            &[],
        );
        found(
            SOURCE,
            "thread::sleep(d); // tidy: allow(sleep) because\nthread::sleep(d);",
            &["2: a sleeping"],
        );
        found(
            SOURCE,
            "// tidy: allow(sleep)\nthread::sleep(d);",
            &["without a reason", "sleeping"],
        );
        found(
            SOURCE,
            "// tidy: allow(dbg) because\nthread::sleep(d);",
            &["nothing to waive", "sleeping"],
        );
        found(SOURCE, "// tidy: allow(all) because\nx();", &["unknown check"]);
    }
}
