//! Attack: a thread says that the child is ready.
//! Fails: `Started` is not `Send`.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let _ = n.start(cx, |_, started| {
                std::thread::scope(|s| {
                    s.spawn(move || started.ready(1));
                });
                Ok(())
            });
            Ok(())
        });
    });
}
