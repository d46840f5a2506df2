//! The closure of `run` borrows from the caller, and its result may borrow too.
// spec: S1, S6

use conbrio::prelude::*;

fn longest<'a>(words: &'a [String], count: &mut usize) -> &'a str {
    conbrio::run(|cx| -> Result<&'a str, Cancelled> {
        cx.checkpoint()?;
        *count += words.len();
        Ok(words.iter().max_by_key(|word| word.len()).unwrap())
    })
    .unwrap()
}

fn main() {
    let words = ["a", "long", "word"].map(String::from);
    let mut count = 0;
    assert_eq!(longest(&words, &mut count).len(), 4);
    assert_eq!(count, 3);
}
