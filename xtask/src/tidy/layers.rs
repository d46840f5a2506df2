//! The modules of the crate `conbrio` import downward only.
//!
//! The table below is the whole rule: a module may name modules of lower layers, its own, and those of
//! its layer that `SIDEWAYS` lists. A module that is in no layer is an error, also where it is named,
//! so that an import through a re-export in the crate root does not hide an edge. Code that only tests
//! see is free: it does not shape what users get.

use super::{Finding, crate_files};
use crate::source::{Source, closing, words};

/// The lowest layer first. A file `src/x.rs` and everything in `src/x/` is the module `x`.
const LAYERS: &[&[&str]] = &[
    /* 1 */ &["util", "timer", "clock", "instrument"],
    /* 2 */ &["sched"],
    /* 3 */ &["cancel"],
    /* 4 */ &["task"],
    /* 5 */ &["scope", "nursery", "run", "lowlevel", "blocking", "locals"],
    /* 6 */ &["sync", "channel"],
    /* 7 */ &["io", "net", "fs", "process", "signal", "time", "tls"],
    /* 8 */ &["concurrent", "interop", "threads"],
    /* 9 */ &["testing", "console", "prelude", "lib"],
];

/// Edges inside one layer, the importing module first. They may not form a circle.
const SIDEWAYS: &[(&str, &str)] = &[
    ("timer", "util"),
    ("clock", "util"),
    ("instrument", "util"),
    ("nursery", "scope"),
    ("lowlevel", "scope"),
    ("blocking", "lowlevel"),
    ("channel", "sync"),
    ("net", "io"),
    ("signal", "io"),
    ("fs", "io"),
    ("process", "io"),
    ("process", "signal"),
    ("tls", "io"),
    ("tls", "net"),
    ("lib", "testing"),
    ("lib", "console"),
    ("lib", "prelude"),
];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    crate_files(sources)
        .filter_map(|source| Some((source, source.path.strip_prefix(ROOT)?)))
        .flat_map(|(source, path)| check_file(source, path))
        .collect()
}

const ROOT: &str = "crates/conbrio/src/";

fn check_file(source: &Source, path: &str) -> Vec<Finding> {
    let module = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let Some(layer) = layer_of(module) else {
        let message =
            format!("module `{module}` is in no layer; enter it in xtask/src/tidy/layers.rs");
        return vec![Finding::on_line(source, 1, message)];
    };
    // The crate root and the prelude only re-export; they may name anything.
    if module == "lib" || module == "prelude" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (offset, named) in named_modules(source, path) {
        if named == module || source.is_test(offset) {
            continue;
        }
        let message = match layer_of(&named) {
            None => format!(
                "`crate::{named}` is no module of a layer; name the item by the path of its own module"
            ),
            Some(other) if other < layer || SIDEWAYS.contains(&(module, named.as_str())) => {
                continue;
            }
            Some(other) => format!(
                "`{module}` (layer {}) names `{named}` (layer {}); move the shared part down, or hand it over from above",
                layer + 1,
                other + 1
            ),
        };
        findings.push(Finding::at(source, offset, message));
    }
    findings
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Every first segment after the crate root that a file names, by `crate::x`, by `crate::{x, y::z}` or
/// by as many `super` as lead up to the root.
fn named_modules(source: &Source, path: &str) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = Vec::new();
    let mut skip_until = 0;
    for (offset, word) in words(code) {
        if offset < skip_until {
            continue;
        }
        let mut end = offset + word.len();
        match word {
            // `pub(crate)` and `extern crate` are followed by no path and fall out below.
            "crate" => {}
            "super" => {
                let mut supers = 1;
                while let Some(next) =
                    path_rest(code, end).filter(|&next| starts_with_word(&code[next..], "super"))
                {
                    supers += 1;
                    end = next + "super".len();
                }
                skip_until = end;
                if supers != depth(source, path, offset) {
                    continue;
                }
            }
            _ => continue,
        }
        if let Some(next) = path_rest(code, end) {
            first_segments(code, next, &mut found);
        }
    }
    found
}

/// How many `super` lead from a place to the crate root.
fn depth(source: &Source, path: &str, offset: usize) -> usize {
    let parts = path.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").count();
    let inline = source.blocks_around(offset).filter(|block| {
        let header = source.header_of(block);
        words(header).any(|(_, word)| word == "mod")
    });
    parts + inline.count()
}

/// The offset behind `::`, if a path goes on here.
fn path_rest(code: &str, at: usize) -> Option<usize> {
    let rest = code[at..].trim_start();
    let after = rest.strip_prefix("::")?.trim_start();
    // `after` is the tail of `code`.
    Some(code.len() - after.len())
}

fn starts_with_word(text: &str, word: &str) -> bool {
    words(text).next() == Some((0, word))
}

/// The first names of a path or of each path in a group.
fn first_segments(code: &str, at: usize, found: &mut Vec<(usize, String)>) {
    if !code[at..].starts_with('{') {
        found.extend(words(&code[at..]).next().map(|(_, word)| (at, word.to_owned())));
        return;
    }
    let end = closing(code, at);
    let mut nested = 0_usize;
    let mut expects_name = true;
    for (offset, byte) in code.bytes().enumerate().take(end).skip(at + 1) {
        match byte {
            b'{' => nested += 1,
            b'}' => nested -= 1,
            b',' if nested == 0 => expects_name = true,
            byte if expects_name && nested == 0 && !byte.is_ascii_whitespace() => {
                expects_name = false;
                found.extend(
                    words(&code[offset..]).next().map(|(_, word)| (offset, word.to_owned())),
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        messages(check, &format!("{ROOT}{path}"), text)
    }

    #[test]
    fn downward_and_listed_edges_pass() {
        for (path, text) in [
            (
                "task/cell.rs",
                "use crate::{util::list, sched::{Worker, run}};\nuse crate::task::state;",
            ),
            ("channel/mod.rs", "use crate::sync::Lock; pub(crate) fn f() {}"),
            ("task/cell.rs", "use super::state; use super::super::sched::x;"),
            ("timer.rs", "use super::util; mod a { use super::b; use super::super::util; }"),
            ("lib.rs", "pub use crate::net::TcpStream;"),
            ("prelude.rs", "pub use crate::Cx;"),
            ("util/a.rs", "// use crate::net;\n#[cfg(test)]\nmod tests { use crate::nursery; }"),
            ("util/tests.rs", "use crate::nursery;"),
        ] {
            assert_eq!(found(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn upward_and_unlisted_edges_are_found() {
        for (path, text, word) in [
            ("util/a.rs", "use crate::task::Task;", "`task`"),
            ("sync/lock.rs", "use crate::channel::x;", "`channel`"),
            ("task/cell.rs", "use crate::{util, net::{a, b}};", "`net`"),
            ("task/cell.rs", "use super::super::nursery::x;", "`nursery`"),
            ("task/cell.rs", "fn f() { crate::sync::Lock::new() }", "`sync`"),
            ("timer.rs", "use super::task;", "`task`"),
            ("timer.rs", "mod a { use super::super::task; }", "`task`"),
            ("net/tcp.rs", "use crate::Cx;", "own module"),
            ("stray.rs", "", "no layer"),
        ] {
            let messages = found(path, text);
            assert!(
                messages.len() == 1 && messages[0].contains(word),
                "{path}: {text}: {messages:?}"
            );
        }
    }

    #[test]
    fn the_table_is_sound() {
        let mut all: Vec<&str> = LAYERS.concat();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a module is in two layers");
        for (from, to) in SIDEWAYS {
            assert!(layer_of(from).is_some(), "{from} is in no layer");
            assert_eq!(
                layer_of(from),
                layer_of(to),
                "{from} -> {to} leaves its layer: the order decides it"
            );
        }
        // Taking away again and again what imports nothing that is left must leave nothing.
        let mut edges = SIDEWAYS.to_vec();
        while !edges.is_empty() {
            let importing: Vec<&str> = edges.iter().map(|(from, _)| *from).collect();
            let before = edges.len();
            edges.retain(|(_, to)| importing.contains(to));
            assert!(edges.len() < before, "a circle in {edges:?}");
        }
    }
}
