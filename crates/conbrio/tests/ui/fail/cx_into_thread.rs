//! Attack: a thread that is no task waits with the `cx` of a task.
//! Fails: `Cx` is not `Send`.
// spec: S48, N12

use conbrio::prelude::*;

fn attack(cx: &'static mut Cx) {
    std::thread::spawn(move || cx.checkpoint());
}

fn main() {
    let _: fn(&'static mut Cx) = attack;
}
