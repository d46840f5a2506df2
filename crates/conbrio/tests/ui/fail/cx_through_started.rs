//! Attack: a child hands its `cx` to whoever started it, as the value of being ready.
//! Fails: that type cannot depend on the lifetime of the child's `cx`, and must be `Send`.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let theirs: &mut Cx = n
                .start(cx, |cx, started| {
                    started.ready(cx);
                    Ok(())
                })
                .unwrap();
            theirs.checkpoint()
        });
    });
}
