//! Attack: a child on the same worker uses the `cx` that the nursery's body was given.
//! Fails: that `cx` does not live as long as the nursery.
// spec: S48, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let there: *const () = std::ptr::null();
            n.spawn_local(cx, move |_| {
                let _ = there;
                cx.checkpoint()
            });
            Ok(())
        });
    });
}
