//! Attack: the handle of a local child goes to another worker, and the value with it.
//! Fails: `LocalChild` is not `Send`.
// spec: S51, N12, N14

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.spawn_local(cx, |_| Ok(1));
            n.spawn(move |cx| child.join(cx).map(drop));
            Ok(())
        });
    });
}
