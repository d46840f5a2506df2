//! Attack: a capability is overwritten by that of another task.
//! Fails: assignment needs `Sized`.
// spec: S48, N12

use conbrio::prelude::*;

fn attack(one: &mut Cx, other: &mut Cx) {
    *one = *other;
}

fn main() {
    let _: fn(&mut Cx, &mut Cx) = attack;
}
