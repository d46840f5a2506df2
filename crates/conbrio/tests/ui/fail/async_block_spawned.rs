//! Attack: an async block as a child.
//! Fails: a child is a function of `&mut Cx`, and nothing else.
// spec: S48, S7, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(async { Ok(()) });
            Ok(())
        });
    });
}
