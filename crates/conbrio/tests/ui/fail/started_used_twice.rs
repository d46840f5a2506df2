//! Attack: a child says twice that it is ready.
//! Fails: `ready` consumes the `Started`.
// spec: N12, test_run.nursery_start

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let _ = n.start(cx, |_, started| {
                started.ready(1);
                started.ready(2);
                Ok(())
            });
            Ok(())
        });
    });
}
