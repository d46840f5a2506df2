//! Attack: a local child keeps a shared reference to the `cx` of its parent.
//! Fails: that `cx` does not live as long as the nursery.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let theirs: &Cx = cx;
            n.spawn_local(theirs, move |mine| {
                n.spawn_local(theirs, |_| Ok(()));
                mine.checkpoint()
            });
            Ok(())
        });
    });
}
