//! Attack: code in a cancel scope waits with the `cx` from outside.
//! Fails: the scope has borrowed it.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.cancel_scope(|_, scope| -> Result<(), Cancelled> {
            scope.cancel();
            cx.checkpoint()
        });
    });
}
