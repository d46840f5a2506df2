//! Attack: a thread that may run on for ever keeps the handle of a child.
//! Fails: the handle is not `'static`.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            let child = n.spawn(|_| Ok(1));
            std::thread::spawn(move || child.cancel());
            Ok(())
        });
    });
}
