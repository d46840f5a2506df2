//! Attack: the body waits with the `cx` from outside the nursery.
//! Fails: the nursery has borrowed it.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, _| -> Result<(), Cancelled> { cx.checkpoint() });
    });
}
