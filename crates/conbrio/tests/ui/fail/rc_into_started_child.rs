//! Attack: an `Rc` goes into a child by way of `start`.
//! Fails: the closure of a child is `Send`.
// spec: S51, S73, N14

use conbrio::prelude::*;
use std::rc::Rc;

fn main() {
    conbrio::run(|cx| {
        let shared = Rc::new(0);
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let theirs = Rc::clone(&shared);
            let _ = n.start(cx, move |_, started| {
                started.ready(());
                drop(theirs);
                Ok(())
            });
            Ok(())
        });
    });
}
