//! Every public function that may wait says what cancellation does to it.
//!
//! A function may wait when it takes `&mut Cx`, and when it is a method of `Cx` on `&mut self`.

use super::{Finding, crate_files};
use crate::source::{Source, closing, words};

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    crate_files(sources)
        .filter(|source| source.path.starts_with("crates/conbrio/src/"))
        .flat_map(|source| {
            let undocumented = move |offset: &usize| !has_section(source, *offset);
            waiting_functions(source, Public::Itself).into_iter().filter(undocumented).map(move |offset| {
                let message = "takes `&mut Cx` and has no `# Cancellation` section; say whether it is always a \
                               checkpoint, and what has happened when it returns `Cancelled`";
                Finding::at(source, offset, message)
            })
        })
        .collect()
}

/// Which functions count as public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Public {
    /// What is declared so, and what a public trait declares.
    Itself,
    /// Also what implements a trait: whoever sees the trait can call it.
    OrOfTraits,
}

/// The offsets of the `fn` of each public function that may wait.
pub(super) fn waiting_functions(source: &Source, public: Public) -> Vec<usize> {
    let code = &source.code;
    let mut found = Vec::new();
    for (offset, _) in words(code).filter(|(_, word)| *word == "fn") {
        let header =
            source.blocks_around(offset).last().map_or("", |block| source.header_of(block));
        let counts =
            is_public(source, offset) || (public == Public::OrOfTraits && is_impl_of_trait(header));
        if source.is_test(offset) || !counts {
            continue;
        }
        let Some(parameters) = parameters(&code[offset..]) else {
            continue;
        };
        let of_cx = is_impl_of_cx(header);
        if split_at_commas(parameters)
            .any(|parameter| is_cx(parameter) || (of_cx && is_mut_self(parameter)))
        {
            found.push(offset);
        }
    }
    found
}

/// `pub fn` with its modifiers, or a function of a public trait. `pub(crate)` is not public.
fn is_public(source: &Source, offset: usize) -> bool {
    let mut before = source.code[..offset].trim_end();
    while let Some(shorter) =
        ["const", "unsafe", "async"].iter().find_map(|word| before.strip_suffix(word))
    {
        before = shorter.trim_end();
    }
    let ends_with_pub = before
        .strip_suffix("pub")
        .is_some_and(|rest| rest.is_empty() || rest.ends_with(char::is_whitespace));
    let in_public_trait = source.blocks_around(offset).last().is_some_and(|block| {
        let mut header = words(source.header_of(block)).map(|(_, word)| word);
        header.any(|word| word == "pub") && header.find(|word| *word != "unsafe") == Some("trait")
    });
    ends_with_pub || in_public_trait
}

/// What stands between the parentheses after `fn name<..>`.
fn parameters(from_fn: &str) -> Option<&str> {
    let name_end = words(from_fn).nth(1).map(|(start, word)| start + word.len())?;
    let mut at = name_end + leading_space(&from_fn[name_end..]);
    if from_fn[at..].starts_with('<') {
        at += generics_length(&from_fn[at..]);
        at += leading_space(&from_fn[at..]);
    }
    from_fn[at..].starts_with('(').then(|| &from_fn[at + 1..closing(from_fn, at)])
}

fn leading_space(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

pub(super) fn generics_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            // The arrow of `Fn() -> T` closes nothing.
            b'>' if offset > 0 && matches!(bytes[offset - 1], b'-' | b'=') => {}
            b'>' => {
                depth -= 1;
                if depth == 0 {
                    return offset + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// Splits a parameter list at the commas that stand in no bracket. Those between `<` and `>` split as
/// well, which harms nothing: the parts begin with no name and type.
fn split_at_commas(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    list.split(move |character| {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    })
}

/// `cx: &mut Cx`, with any name, lifetimes or path.
fn is_cx(parameter: &str) -> bool {
    let Some((_, kind)) = parameter.split_once(':') else {
        return false;
    };
    let Some(reference) = kind.trim_start().strip_prefix('&') else {
        return false;
    };
    let mut words = words(reference)
        .map(|(_, word)| word)
        .skip_while(|word| matches!(*word, "crate" | "super"));
    words.next() == Some("mut") && {
        let path = &reference[reference.find("mut").map_or(0, |start| start + 3)..];
        let kind = path.split('<').next().unwrap_or_default().trim();
        kind.rsplit("::").next() == Some("Cx")
    }
}

fn is_mut_self(parameter: &str) -> bool {
    parameter.contains('&') && words(parameter).map(|(_, word)| word).eq(["mut", "self"])
}

fn is_impl_of_cx(header: &str) -> bool {
    let names: Vec<&str> = words(header).map(|(_, word)| word).collect();
    names.first() == Some(&"impl") && names.last() == Some(&"Cx") && !names.contains(&"for")
}

fn is_impl_of_trait(header: &str) -> bool {
    let mut words = words(header).map(|(_, word)| word);
    words.any(|word| word == "impl") && header.contains(" for ")
}

fn has_section(source: &Source, offset: usize) -> bool {
    let line = source.line_of(offset);
    source
        .docs_above(line)
        .lines()
        .any(|line| line.trim_start_matches('/').trim() == "# Cancellation")
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    const SOURCE: &str = "crates/conbrio/src/sync/lock.rs";

    #[test]
    fn functions_that_may_wait_need_the_section() {
        for bad in [
            "/// Locks.\npub fn lock(&self, cx: &mut Cx) {}",
            "pub fn f<'a, F: FnOnce(&mut Cx) -> R, R>(\n    cx: &'a mut crate::cx::Cx,\n    f: F,\n) -> R {}",
            "pub const unsafe fn f(_: &mut Cx<'_>) {}",
            "pub trait Read { fn read(&mut self, cx: &mut Cx, buf: &mut [u8]); }",
            "impl Cx { pub fn sleep(&mut self, d: Duration) {} }",
        ] {
            assert_eq!(messages(check, SOURCE, bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn others_do_not() {
        for good in [
            "/// Locks.\n///\n/// # Cancellation\n///\n/// Always a checkpoint.\n#[track_caller]\npub fn lock(&self, cx: &mut Cx) {}",
            "pub fn spawn<F: FnOnce(&mut Cx)>(&self, f: F) {}",
            "pub fn spawn(&self, f: impl FnOnce(&mut Cx) -> u8) {}",
            "pub(crate) fn lock(cx: &mut Cx) {}\nfn unlock(cx: &mut Cx) {}",
            "trait Read { fn read(&mut self, cx: &mut Cx); }",
            "pub fn name(cx: &Cx) {}",
            "impl Cx { pub fn name(&self) {} }\nimpl Drop for Cx { fn drop(&mut self) {} }",
            "#[cfg(test)]\nmod tests { pub fn f(cx: &mut Cx) {} }",
        ] {
            assert_eq!(messages(check, SOURCE, good), Vec::<String>::new(), "{good}");
        }
        assert!(
            messages(check, "crates/conbrio/tests/it/a.rs", "pub fn f(cx: &mut Cx) {}").is_empty()
        );
    }
}
