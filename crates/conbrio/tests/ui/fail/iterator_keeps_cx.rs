//! Attack: an iterator that waits and the loop around it use `cx` at the same time.
//! Fails: the iterator has borrowed it.
// spec: S48, N12

use conbrio::prelude::*;

struct Ticks<'a>(&'a mut Cx);

impl Iterator for Ticks<'_> {
    type Item = ();

    fn next(&mut self) -> Option<()> {
        self.0.checkpoint().ok()
    }
}

fn attack(cx: &mut Cx) {
    for () in Ticks(cx) {
        let _ = cx.checkpoint();
    }
}

fn main() {
    conbrio::run(attack);
}
