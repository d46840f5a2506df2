//! Attack: a `cx` is kept for ever behind a leaked box.
//! Fails: a reference into the box does not live longer than what is in it.
// spec: S48, N12

use conbrio::prelude::*;

fn attack(cx: &mut Cx) -> &'static mut &'static mut Cx {
    Box::leak(Box::new(cx))
}

fn main() {
    conbrio::run(|cx| drop(attack(cx).checkpoint()));
}
