//! Unsafe code stands only where it is listed, and always with its argument.
//!
//! Clippy asks for the comments as well, but not in examples of every shape and not for private
//! functions; this check reads all of them the same way.

use super::unsafe_list::ALLOWED;
use super::{Finding, crate_files};
use crate::source::{Source, words};

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    crate_files(sources).flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<Finding> {
    let is_listed = ALLOWED.iter().any(|(path, _)| is_covered(&source.path, path));
    let mut findings = Vec::new();
    for (offset, _) in words(&source.code).filter(|(_, word)| *word == "unsafe") {
        if !is_listed {
            let message = "unsafe code outside the listed modules; build on `lowlevel`, or list the module in \
                           xtask/src/tidy/unsafe_list.rs and say why";
            findings.push(Finding::at(source, offset, message));
        }
        let message = match form(&source.code[offset + "unsafe".len()..]) {
            Form::Block | Form::Impl if !has_safety_comment(source, offset) => {
                "no `// SAFETY:` comment directly above; name the rule that holds and why it holds here"
            }
            Form::Declaration
                if !is_foreign_impl(source, offset) && !has_safety_section(source, offset) =>
            {
                "no `# Safety` section in the documentation; write what the caller owes"
            }
            _ => continue,
        };
        findings.push(Finding::at(source, offset, message));
    }
    findings
}

/// `allowed` covers itself; a folder covers what lies in it and the file of the same name.
fn is_covered(path: &str, allowed: &str) -> bool {
    match allowed.strip_suffix('/') {
        Some(folder) => path.starts_with(allowed) || path.strip_suffix(".rs") == Some(folder),
        None => path == allowed,
    }
}

enum Form {
    Block,
    Impl,
    /// A function or trait with a name.
    Declaration,
    /// The type of a function pointer, an attribute, an extern block.
    Other,
}

fn form(after: &str) -> Form {
    let after = after.trim_start();
    if after.starts_with('{') {
        return Form::Block;
    }
    let mut following = words(after).map(|(_, word)| word);
    match following.next() {
        Some("impl") => Form::Impl,
        Some("trait") => Form::Declaration,
        Some("extern") => match following.next() {
            // `unsafe extern "C" fn name(` declares, `unsafe extern "C" fn(` is a type.
            Some("fn") if is_named(after) => Form::Declaration,
            _ => Form::Other,
        },
        Some("fn") if after.starts_with("fn") && is_named(after) => Form::Declaration,
        _ => Form::Other,
    }
}

fn is_named(after: &str) -> bool {
    let Some((before, rest)) = after.split_once("fn") else {
        return false;
    };
    // The functions inside an extern block are foreign, and not its name.
    !before.contains('{')
        && rest.trim_start().starts_with(|first: char| first == '_' || first.is_alphabetic())
}

/// Looks above the statement that holds the offset. A blank line, the end of another statement and
/// another arm of a match end the search, so that one comment does not serve two places.
fn has_safety_comment(source: &Source, offset: usize) -> bool {
    let mut number = source.line_of(offset);
    if source.comment_line(number).contains("SAFETY:") {
        return true;
    }
    for _ in 0..STATEMENT_LINES_MAX {
        number = match number.checked_sub(1) {
            None | Some(0) => return false,
            Some(above) => above,
        };
        let code = source.code_line(number).trim();
        if code.is_empty() {
            return comment_block_ending_at(source, number).contains("SAFETY:");
        }
        let is_attribute = code.starts_with("#[") && code.ends_with(']');
        if !is_attribute && (code.ends_with([';', '{', '}']) || code.contains("=>")) {
            return false;
        }
    }
    false
}

/// How far above its block a statement may begin.
const STATEMENT_LINES_MAX: usize = 8;

fn comment_block_ending_at(source: &Source, last: usize) -> String {
    let lines = (1..=last).rev().take_while(|&number| {
        source.code_line(number).trim().is_empty() && !source.comment_line(number).trim().is_empty()
    });
    lines.map(|number| source.comment_line(number)).collect()
}

/// Inside `impl Trait for Type`, where the trait documents what its functions ask.
fn is_foreign_impl(source: &Source, offset: usize) -> bool {
    source.blocks_around(offset).last().is_some_and(|block| {
        let header = source.header_of(block);
        let mut in_impl = false;
        words(header).any(|(start, word)| {
            in_impl |= word == "impl";
            let binder = header[start + word.len()..].trim_start().starts_with('<');
            in_impl && word == "for" && !binder
        })
    })
}

fn has_safety_section(source: &Source, offset: usize) -> bool {
    source
        .docs_above(source.line_of(offset))
        .lines()
        .any(|line| line.trim_start_matches('/').trim() == "# Safety")
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    const LISTED: &str = "crates/conbrio-fiber/src/a.rs";

    #[test]
    fn the_place_must_be_listed() {
        let text = "// SAFETY: rule 1.\nunsafe { f() };";
        assert!(messages(check, LISTED, text).is_empty());
        assert!(messages(check, "crates/conbrio/src/task/cell.rs", text).is_empty());
        assert!(messages(check, "crates/conbrio/src/task.rs", text).is_empty());
        assert!(messages(check, "crates/conbrio/src/sync/lock.rs", text)[0].contains("outside"));
        assert!(messages(check, "crates/conbrio/src/tasks.rs", text)[0].contains("outside"));
        assert!(
            messages(check, "crates/conbrio/src/sync/lock.rs", "#![forbid(unsafe_code)] // unsafe")
                .is_empty()
        );
    }

    #[test]
    fn a_block_needs_its_argument() {
        for good in [
            "// SAFETY: rule 1\n// and rule 2.\nunsafe { f() };",
            "x();\n// SAFETY: rule 1.\nlet y = g(\n    1,\n    unsafe { f() },\n);",
            "match x {\n    // SAFETY: rule 1.\n    A => unsafe { f() },\n}",
            "// SAFETY: rule 1.\n#[allow(x)]\nunsafe impl Send for A {}",
            "#[unsafe(no_mangle)]\nfn f() {}",
            "type F = unsafe fn(u8);\ntype G = unsafe extern \"C\" fn(u8);",
        ] {
            assert_eq!(messages(check, LISTED, good), Vec::<String>::new(), "{good}");
        }
        for bad in [
            "unsafe { f() };",
            "// SAFETY: rule 1.\n\nunsafe { f() };",
            "// SAFETY: rule 1.\nf();\nunsafe { f() };",
            "// It is fine.\nunsafe impl Send for A {}",
            "match x {\n    // SAFETY: rule 1.\n    A => unsafe { f() },\n    B => unsafe { f() },\n}",
        ] {
            assert_eq!(messages(check, LISTED, bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_declaration_needs_its_section() {
        for good in [
            "/// F.\n///\n/// # Safety\n///\n/// The caller owes x.\n#[inline]\npub unsafe fn f() {}",
            "/// # Safety\n/// x\nunsafe trait T {}",
            "// SAFETY: rule 1.\nunsafe impl T for A {\n    unsafe fn f() {}\n}",
            "impl T for A {\n    unsafe fn f() {}\n}",
            "unsafe extern \"C\" {\n    fn f();\n}",
        ] {
            assert_eq!(messages(check, LISTED, good), Vec::<String>::new(), "{good}");
        }
        for bad in [
            "/// F.\nunsafe fn f() {}",
            "unsafe trait T {}",
            "impl<F: for<'a> Fn(&'a u8)> A<F> {\n    unsafe fn f() {}\n}",
            "unsafe extern \"C\" fn f() {}",
        ] {
            assert_eq!(messages(check, LISTED, bad).len(), 1, "{bad}");
        }
    }
}
