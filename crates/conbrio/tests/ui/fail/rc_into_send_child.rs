//! Attack: two workers count with one `Rc`.
//! Fails: the closure of a child is `Send`, unless the child is local.
// spec: S1, S51, S73, N14

use conbrio::prelude::*;
use std::rc::Rc;

fn main() {
    conbrio::run(|cx| {
        let shared = Rc::new(0);
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            let theirs = Rc::clone(&shared);
            n.spawn(move |_| {
                drop(theirs);
                Ok(())
            });
            Ok(())
        });
    });
}
