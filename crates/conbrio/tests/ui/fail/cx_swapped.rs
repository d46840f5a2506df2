//! Attack: two tasks exchange their capabilities.
//! Fails: `mem::swap` needs `Sized`.
// spec: S48, N12

use conbrio::prelude::*;

fn attack(one: &mut Cx, other: &mut Cx) {
    std::mem::swap(one, other);
}

fn main() {
    let _: fn(&mut Cx, &mut Cx) = attack;
}
