//! Attack: a `Cx` is moved out of its reference into a box.
//! Fails: `Cx` is not `Sized`.
// spec: S48, N12

use conbrio::prelude::*;

fn attack(cx: &mut Cx) -> Box<Cx> {
    Box::new(*cx)
}

fn main() {
    conbrio::run(|cx| drop(attack(cx)));
}
