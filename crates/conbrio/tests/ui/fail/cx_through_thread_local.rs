//! Attack: a closure that holds a `cx` waits in a thread local until another task calls it.
//! Fails: a `cx` is not `'static`.
// spec: S48, N12

use conbrio::prelude::*;
use std::cell::RefCell;

thread_local! {
    static LATER: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

fn store(cx: &mut Cx) {
    LATER.set(Some(Box::new(move || drop(cx.checkpoint()))));
}

fn main() {
    conbrio::run(store);
}
