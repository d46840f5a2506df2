//! Attack: the body returns the handle of a child.
//! Fails: the result cannot depend on the lifetime of the nursery.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let child = cx.nursery(|_, n| Ok::<_, Cancelled>(n.spawn(|_| Ok(1))));
        let _ = child.unwrap().join(cx);
    });
}
