//! Attack: a child opens a nursery and leaves it to its parent.
//! Fails: what a child returns cannot depend on the lifetime of a nursery inside it.
// spec: N12, test_run.nursery_misnest

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.spawn(|cx| {
                let inner = cx.nursery(|_, n| Ok::<_, Cancelled>(n));
                Ok(inner.unwrap())
            });
            child.join(cx)?.spawn(|_| Ok(()));
            Ok(())
        });
    });
}
