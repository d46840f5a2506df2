//! Attack: an `Rc` made on one worker is dropped on another.
//! Fails: the value of a child is `Send`, unless the child is local.
// spec: S1, S51, S73, N14

use conbrio::prelude::*;
use std::rc::Rc;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.spawn(|_| Ok(Rc::new(0)));
            drop(child.join(cx)?);
            Ok(())
        });
    });
}
