//! Attack: the scope of a builder is taken for a shorter one, so that a child of it borrows a local of a child.
//! Fails: what spawns for a nursery is invariant in its scope, as the nursery is.
// spec: S1, S6, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                let local = String::from("short");
                n.task("named").spawn(|_| {
                    let _ = local.len();
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        });
    });
}
