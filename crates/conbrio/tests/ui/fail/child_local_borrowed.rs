//! Attack: a child's sibling borrows a local of the child, which ends first.
//! Fails: a child borrows only what outlives the nursery.
// spec: S1, S6, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                let local = String::from("short");
                n.spawn(|_| {
                    let _ = local.len();
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        });
    });
}
