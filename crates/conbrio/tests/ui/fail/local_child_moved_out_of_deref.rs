//! Attack: the `Send` handle inside the handle of a local child is moved out of it.
//! Fails: it is lent by shared reference only.
// spec: S51, N12, N14

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let child = n.spawn_local(cx, |_| Ok(1));
            let mut inner: conbrio::Child<'_, i32> = *child;
            inner.join(cx)?;
            Ok(())
        });
    });
}
