//! Attack: a child looks at the `cx` of its parent from another worker.
//! Fails: `Cx` is not `Sync`.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                cx.shutdown_requested();
                Ok(())
            });
            Ok(())
        });
    });
}
