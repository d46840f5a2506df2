//! Attack: the type of a `cx` is erased, so that it travels where its name is not known.
//! Fails: only a `Sized` type becomes a trait object.
// spec: S48, N12

use conbrio::prelude::*;
use std::any::Any;

fn attack(cx: &mut Cx) -> &mut dyn Any {
    cx
}

fn main() {
    conbrio::run(|cx| {
        attack(cx);
    });
}
