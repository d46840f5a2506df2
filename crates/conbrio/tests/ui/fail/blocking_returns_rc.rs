//! Attack: a value that must stay on its thread comes out of a thread for blocking calls.
//! Fails: `blocking` asks for a result that is `Send`.
// spec: S51, S73

use std::rc::Rc;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.blocking(|| Rc::new(0));
    });
}
