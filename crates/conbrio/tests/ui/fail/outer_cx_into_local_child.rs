//! Attack: a local child uses the `cx` with which the nursery was opened.
//! Fails: the nursery has borrowed it for as long as there are children.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|inner, n| -> Result<(), Cancelled> {
            n.spawn_local(inner, |_| cx.checkpoint());
            Ok(())
        });
    });
}
