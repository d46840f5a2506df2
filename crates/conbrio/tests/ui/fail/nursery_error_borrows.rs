//! Attack: an error that borrows from a child outlives it.
//! Fails: the errors of a nursery are `'static`.
// spec: S6, N12

use conbrio::prelude::*;

struct Failure<'a>(&'a str);

impl MaybeCancelled for Failure<'_> {
    fn cancelled(&self) -> Option<&Cancelled> {
        let _ = self.0;
        None
    }
}

fn attack(cx: &mut Cx, text: &str) {
    let _ = cx.nursery(|_, _| -> Result<(), Failure<'_>> { Err(Failure(text)) });
}

fn main() {
    conbrio::run(|cx| attack(cx, ""));
}
