//! Attack: a child that runs on another worker uses the `cx` of its parent.
//! Fails: `Cx` is not `Send`.
// spec: S48, S73, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|_| cx.checkpoint());
            Ok(())
        });
    });
}
