//! Attack: a thread for blocking calls and a task share a counter that is not atomic.
//! Fails: `blocking` asks for `Send`.
// spec: S51, S73

use std::rc::Rc;

fn main() {
    conbrio::run(|cx| {
        let shared = Rc::new(0);
        let theirs = Rc::clone(&shared);
        let _ = cx.blocking(move || drop(theirs));
    });
}
