//! Attack: a capability is moved out of its reference.
//! Fails: `mem::take` needs `Sized` and `Default`.
// spec: S48, N12

use conbrio::prelude::*;

fn attack(cx: &mut Cx) {
    let _ = std::mem::take(cx);
}

fn main() {
    conbrio::run(attack);
}
