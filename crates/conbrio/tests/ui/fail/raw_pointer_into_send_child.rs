//! Attack: a raw pointer goes to another worker.
//! Fails: it is not `Send`.
// spec: S51, S73, N14

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let pointer = std::ptr::null_mut::<u8>();
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(move |_| {
                let pointer = pointer;
                let _ = pointer.is_null();
                Ok(())
            });
            Ok(())
        });
    });
}
