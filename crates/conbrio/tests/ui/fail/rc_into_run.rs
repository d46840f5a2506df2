//! Attack: an `Rc` of the calling thread goes into a runtime.
//! Fails: the closure of `run` is `Send`.
// spec: S73, N12

use std::rc::Rc;

fn main() {
    let shared = Rc::new(0);
    let theirs = Rc::clone(&shared);
    conbrio::run(move |_| drop(theirs));
}
