//! Attack: a task takes the capability of another and leaves its own.
//! Fails: `mem::replace` needs `Sized`.
// spec: S48, N12

use conbrio::prelude::*;

fn attack(one: &mut Cx, other: &mut Cx) {
    let _ = std::mem::replace(one, *other);
}

fn main() {
    let _: fn(&mut Cx, &mut Cx) = attack;
}
