//! Attack: a `cx` leaves its child as the payload of a panic.
//! Fails: a payload is `'static` and `Send`.
// spec: S48, N12

use conbrio::prelude::*;

fn attack(cx: &mut Cx) {
    std::panic::panic_any(cx);
}

fn main() {
    conbrio::run(attack);
}
