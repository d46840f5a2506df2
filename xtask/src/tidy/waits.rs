//! N17 of the specification: every public function that waits is cancelled at each of its checkpoints.
//!
//! A test says which functions it does that with:
//! `// N17: Cx::sleep, io::copy, net::TcpStream::{read, peek}`, names parted by commas. They are made of the
//! top module, the type or trait of a method, and the function; the methods of `Cx` go without a module. A
//! function that may wait and is named by no test is a finding, unless `EXEMPT` says why; so is a name that
//! means nothing any more.

use super::cancellation_docs::{Public, generics_length, waiting_functions};
use super::{Finding, crate_files};
use crate::source::{Source, words};

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    check_against(sources, EXEMPT)
}

fn check_against(sources: &[Source], exempt: &[(&str, &str)]) -> Vec<Finding> {
    let functions: Vec<Function<'_>> = crate_files(sources)
        .filter(|source| source.path.starts_with(ROOT))
        .flat_map(functions_of)
        .collect();
    let claims: Vec<Claim<'_>> = sources
        .iter()
        .filter(|source| source.path.starts_with(TESTS) && source.path.ends_with(".rs"))
        .flat_map(claims_of)
        .collect();
    let exists = |name: &str| functions.iter().any(|function| function.name == name);
    let is_claimed = |name: &str| claims.iter().any(|claim| claim.name == name);
    let is_exempt = |name: &str| exempt.iter().any(|(exempted, _)| *exempted == name);
    let mut findings = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for function in &functions {
        let name = function.name.as_str();
        // The same method of a type and of a trait that it implements is one function to its users.
        if is_claimed(name) || is_exempt(name) || seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let message = format!(
            "`{name}` may wait, and no test cancels it at each of its checkpoints; write one with \
             `testing::cancel_at_every_checkpoint` and `// N17: {name}` above it (see \
             crates/conbrio/tests/kit/waits), or say in xtask/src/tidy/waits.rs why not"
        );
        findings.push(Finding::at(function.source, function.offset, message));
    }
    for claim in &claims {
        if !exists(&claim.name) {
            let message = format!(
                "`N17: {}` names no public function that may wait; correct it, names are parted by commas",
                claim.name
            );
            findings.push(Finding::on_line(claim.source, claim.line, message));
        }
    }
    for (name, _) in exempt {
        let fault = match (exists(name), is_claimed(name)) {
            (false, _) => "is no function any more",
            (true, true) => "is claimed by a test",
            (true, false) => continue,
        };
        findings.push(Finding {
            path: THIS_FILE.to_owned(),
            line: 1,
            message: format!("the exempt `{name}` {fault}; take it out of `EXEMPT`"),
        });
    }
    findings
}

/// A public function that may wait.
struct Function<'a> {
    /// `module::Type::function`, `module::function` or `Cx::function`.
    name: String,
    source: &'a Source,
    offset: usize,
}

fn functions_of(source: &Source) -> Vec<Function<'_>> {
    waiting_functions(source, Public::OrOfTraits)
        .into_iter()
        .filter_map(|offset| {
            let function = words(&source.code[offset..]).nth(1)?.1;
            let module = module_of(&source.path);
            let name = match source.blocks_around(offset).last() {
                None => format!("{module}::{function}"),
                Some(block) => match owner_of(source.header_of(block))?.as_str() {
                    "Cx" => format!("Cx::{function}"),
                    owner => format!("{module}::{owner}::{function}"),
                },
            };
            Some(Function { name, source, offset })
        })
        .collect()
}

/// The type or trait whose block this is. `None` for a block that only passes calls on, such as the `impl`
/// of a trait for `&mut R` and `Box<R>`.
fn owner_of(header: &str) -> Option<String> {
    let header = header.split(" where ").next()?.trim();
    let keyword =
        words(header).map(|(_, word)| word).find(|w| ["impl", "trait", "mod"].contains(w))?;
    let after = &header[header.find(keyword)? + keyword.len()..];
    let after = if after.starts_with('<') { &after[generics_length(after)..] } else { after };
    if keyword == "impl" {
        let kind = match after.split_once(" for ") {
            Some((_, kind)) => kind.trim(),
            None => after.trim(),
        };
        // Slices and tuples have no name by which a test could call them.
        if kind.starts_with(['&', '(', '[']) || kind.starts_with("Box<") {
            return None;
        }
        let path = kind.split('<').next()?;
        return path.rsplit("::").next().map(|name| name.trim().to_owned());
    }
    words(after).next().map(|(_, word)| word.to_owned())
}

/// The public module that a file belongs to: the first part of its path.
fn module_of(path: &str) -> &str {
    let inside = path.strip_prefix(ROOT).unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

/// A function named by a test.
struct Claim<'a> {
    name: String,
    source: &'a Source,
    line: usize,
}

fn claims_of(source: &Source) -> Vec<Claim<'_>> {
    let mut found = Vec::new();
    for line in 1..=source.line_count() {
        let comment = source.comment_line(line).trim();
        if let Some(list) = comment.strip_prefix("// N17:") {
            let mut names = names_in(list);
            if names.is_empty() {
                names.push(String::new());
            }
            found.extend(names.into_iter().map(|name| Claim { name, source, line }));
        }
    }
    found
}

/// The names of a list, in which `a::{b, c}` stands for two.
fn names_in(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (name, after) = match rest.find([',', '{']) {
            Some(at) if rest[at..].starts_with('{') => {
                let end = rest[at..].find('}').map_or(rest.len(), |length| at + length);
                let prefix = rest[..at].trim();
                let inner = rest[at + 1..end].split(',');
                names.extend(inner.map(|name| format!("{prefix}{}", name.trim())));
                let after = rest.get(end + 1..).unwrap_or_default().trim_start();
                rest = after.strip_prefix(',').unwrap_or(after);
                continue;
            }
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, ""),
        };
        names.push(name.trim().to_owned());
        rest = after;
    }
    names
}

const ROOT: &str = "crates/conbrio/src/";
const TESTS: &str = "crates/conbrio/tests/";
const THIS_FILE: &str = "xtask/src/tidy/waits.rs";

/// Functions that take `cx` and need no such test, each with its reason.
const EXEMPT: &[(&str, &str)] = &[
    ("io::With::new", JOINS),
    ("fs::File::with", JOINS),
    ("net::TcpStream::with", JOINS),
    ("net::UnixStream::with", JOINS),
    ("net::ReadHalf::with", JOINS),
    ("net::WriteHalf::with", JOINS),
    ("net::OwnedReadHalf::with", JOINS),
    ("net::OwnedWriteHalf::with", JOINS),
    ("testing::Trial::run", RUNS),
    ("testing::assert_checkpoints", RUNS),
    ("testing::assert_no_checkpoints", RUNS),
    ("testing::assert_none_in", RUNS),
    ("testing::Host::enter", RUNS),
    ("testing::check_one_way_stream", RUNS),
    ("testing::check_two_way_stream", RUNS),
    ("testing::check_half_closeable_stream", RUNS),
    ("testing::check_clogged_stream", RUNS),
    ("testing::clog", "for tests; on cancel it promises nothing about what was written"),
];

const JOINS: &str =
    "joins a stream with `cx`; what is called on the result are the stream's own functions";
const RUNS: &str = "runs what it is given, and makes no promise of its own on cancel";

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: &str = "pub fn copy(cx: &mut Cx) {}\n\
        pub struct Pipe<T>(T);\n\
        impl<T: Into<Vec<u8>>> Pipe<T> { pub fn send(&self, cx: &mut Cx) {} fn own(cx: &mut Cx) {} }\n\
        impl<T> Read for Pipe<T> where T: Copy { fn read(&mut self, cx: &mut Cx) {} }\n\
        impl<R: Read> Read for &mut R { fn read(&mut self, cx: &mut Cx) {} }\n\
        pub trait Read { fn read(&mut self, cx: &mut Cx); }\n\
        impl Cx { pub fn nap(&mut self) {} pub fn name(&self) {} }\n";

    fn found(tests: &str, exempt: &[(&str, &str)]) -> Vec<String> {
        let sources = [
            Source::new("crates/conbrio/src/io/pipe.rs", WAITS),
            Source::new("crates/conbrio/tests/kit/a.rs", tests),
        ];
        check_against(&sources, exempt).into_iter().map(|finding| finding.message).collect()
    }

    const ALL: &str = "// N17: io::copy, io::Pipe::{send, read}, io::Read::read\n// N17: Cx::nap\n";

    #[test]
    fn what_no_test_names_is_found() {
        assert_eq!(found(ALL, &[]), Vec::<String>::new());
        let missing = found("fn a() {}\n/// N17: io::copy\n", &[]);
        let names: Vec<&str> = missing.iter().map(|m| m.split('`').nth(1).unwrap()).collect();
        assert_eq!(
            names,
            ["io::copy", "io::Pipe::send", "io::Pipe::read", "io::Read::read", "Cx::nap"]
        );
        assert!(missing[0].contains("cancel_at_every_checkpoint"), "{}", missing[0]);
        let exempt = &[("Cx::nap", "never waits")];
        assert_eq!(found(ALL.split('\n').next().unwrap(), exempt), Vec::<String>::new());
    }

    #[test]
    fn names_that_mean_nothing_are_found() {
        for (claim, exempt, word) in [
            ("// N17: io::paste", &[][..], "`N17: io::paste` names no"),
            ("// N17: Cx::name", &[][..], "`N17: Cx::name` names no"),
            ("// N17: io::Pipe::own", &[][..], "`N17: io::Pipe::own` names no"),
            ("// N17:", &[][..], "`N17: ` names no"),
            ("", &[("io::gone", "x")][..], "`io::gone` is no function"),
            ("", &[("io::copy", "x")][..], "`io::copy` is claimed"),
        ] {
            let messages = found(&format!("{ALL}{claim}\n"), exempt);
            assert!(messages.len() == 1 && messages[0].contains(word), "{claim}: {messages:?}");
        }
    }

    #[test]
    fn lists_may_group() {
        assert_eq!(names_in(" a::b, c::{d, e}, f"), ["a::b", "c::d", "c::e", "f"]);
        assert_eq!(names_in("a::{b"), ["a::b"]);
    }
}
