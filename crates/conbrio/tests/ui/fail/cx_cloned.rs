//! Attack: a second `Cx` for the same task, for a child to have.
//! Fails: `Cx` is neither `Clone` nor `ToOwned`, and cannot be moved out of its reference.
// spec: S48, N12

use conbrio::prelude::*;

fn clone<T: Clone + ?Sized>(_: &T) {}

fn main() {
    conbrio::run(|cx: &mut Cx| clone(cx));
}
