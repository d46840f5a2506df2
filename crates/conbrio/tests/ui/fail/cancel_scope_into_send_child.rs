//! Attack: a child on another worker changes the scope of its parent in place.
//! Fails: `CancelScope` is not `Sync`; its `handle()` is.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
            let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
                n.spawn(|_| {
                    scope.cancel();
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        });
    });
}
