//! Attack: a local child of an inner nursery uses the `cx` of the outer nursery's body.
//! Fails: the inner nursery has borrowed it.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|middle, _| -> Result<(), Cancelled> {
            let _ = middle.nursery(|inner, n| -> Result<(), Cancelled> {
                n.spawn_local(inner, |_| middle.checkpoint());
                Ok(())
            });
            Ok(())
        });
    });
}
