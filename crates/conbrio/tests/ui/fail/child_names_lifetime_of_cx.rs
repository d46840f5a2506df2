//! Attack: a child asks for a `cx` that lives as long as the nursery, and leaves it there.
//! Fails: a child must do with any lifetime of the `cx`.
// spec: S48, N12

use conbrio::prelude::*;

fn body<'scope>(n: &'scope Nursery<'scope, '_, Cancelled>) {
    n.spawn(|cx: &'scope mut Cx| cx.checkpoint());
}

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            body(n);
            Ok(())
        });
    });
}
