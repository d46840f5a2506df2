//! Attack: a `cx` is kept longer than the call that lent it.
//! Fails: a lifetime cannot be extended.
// spec: S48, N12

use conbrio::prelude::*;

fn attack<'short, 'long>(cx: &'short mut Cx) -> &'long mut Cx {
    cx
}

fn main() {
    conbrio::run(|cx| drop(attack(cx).checkpoint()));
}
