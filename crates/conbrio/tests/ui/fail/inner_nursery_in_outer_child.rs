//! Attack: a child of the outer nursery spawns into the inner one, which may have ended.
//! Fails: the inner nursery does not live as long as the outer one.
// spec: N12, test_run.asyncexitstack_nursery_misnest

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, outer| -> Result<(), Cancelled> {
            let _ = cx.nursery(|_, inner| -> Result<(), Cancelled> {
                outer.spawn(|_| {
                    inner.spawn(|_| Ok(()));
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        });
    });
}
