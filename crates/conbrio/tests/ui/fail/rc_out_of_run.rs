//! Attack: an `Rc` comes out of a runtime.
//! Fails: the result of `run` is `Send`.
// spec: S73, N12

use std::rc::Rc;

fn main() {
    let _ = conbrio::run(|_| Rc::new(0));
}
