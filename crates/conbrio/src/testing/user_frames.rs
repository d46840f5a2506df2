//! The frames of a backtrace that belong to the user's code.
//!
//! The standard library prints a backtrace and does not let anybody look into it, so its text is read.
//! Where that looks different, or there are no symbols, fewer frames are found, and nothing else happens.

use std::backtrace::Backtrace;

/// The innermost function of this crate that was called from outside of it, and the frames around it,
/// innermost first, with their places in the source as far as they are known.
pub(super) fn user_frames(backtrace: &Backtrace) -> Vec<String> {
    frames_of(&backtrace.to_string())
}

fn frames_of(text: &str) -> Vec<String> {
    let mut frames: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(place) = line.strip_prefix("at ") {
            if let Some((_, known)) = frames.last_mut() {
                place.clone_into(known);
            }
        } else if let Some((number, symbol)) = line.split_once(": ")
            && number.parse::<u32>().is_ok()
        {
            frames.push((symbol.to_owned(), String::new()));
        }
    }
    let is_users = |(symbol, _): &&(String, String)| !is_of_runtime(symbol);
    let Some(first) = frames.iter().position(|frame| is_users(&frame)) else {
        return Vec::new();
    };
    let entrance = frames[..first].last().map(|(symbol, _)| tidied(symbol));
    // What the user has called inside the trial lies above the call of `Trial::run`.
    let users = frames[first..]
        .iter()
        .take_while(|(symbol, _)| !symbol.contains(TRIAL))
        .filter(is_users)
        .take(FRAMES_MAX)
        .map(|(symbol, place)| match place.as_str() {
            "" => tidied(symbol),
            place => format!("{} at {place}", tidied(symbol)),
        });
    entrance.into_iter().chain(users).collect()
}

/// Whether a frame is of this crate or of the standard library.
fn is_of_runtime(symbol: &str) -> bool {
    let path =
        symbol.trim_start_matches(['<', '&']).trim_start_matches("mut ").trim_start_matches("dyn ");
    ["conbrio", "std::", "core::", "alloc::", "corosensei", "rust_", "__"]
        .iter()
        .any(|start| path.starts_with(start))
}

/// Without the hash at the end that older symbols have.
fn tidied(symbol: &str) -> String {
    match symbol.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            path.to_owned()
        }
        _ => symbol.to_owned(),
    }
}

const TRIAL: &str = "cancel_points::Trial";
const FRAMES_MAX: usize = 6;

#[cfg(test)]
mod tests {
    use super::frames_of;

    const TEXT: &str = "   0: std::backtrace::Backtrace::create
             at /rustc/59/library/std/src/backtrace.rs:331:13
   1: conbrio::task::park::<impl conbrio::task::cx::Cx>::park
             at ./src/task/park.rs:31:20
   2: conbrio::time::<impl conbrio::task::cx::Cx>::sleep
   3: bank::transfer
             at ./tests/bank.rs:12:8
   4: core::ops::function::FnOnce::call_once
   5: bank::check::{{closure}}::h0123456789abcdef
   6: conbrio::testing::cancel_points::Trial::run
   7: bank::check
";

    #[test]
    fn frames_of_the_user_are_found() {
        assert_eq!(
            frames_of(TEXT),
            [
                "conbrio::time::<impl conbrio::task::cx::Cx>::sleep",
                "bank::transfer at ./tests/bank.rs:12:8",
                "bank::check::{{closure}}",
            ]
        );
    }

    #[test]
    fn text_that_is_none_of_ours_gives_none() {
        for text in ["", "disabled backtrace", "at x\n1: \n: \nat y", "0: <unknown>"] {
            assert!(frames_of(text).len() <= 1, "{text}");
        }
    }
}
