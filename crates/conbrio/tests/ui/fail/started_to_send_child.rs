//! Attack: a child of the child says that the child is ready, from another worker.
//! Fails: `Started` is not `Send`.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let _ = n.start(cx, |cx, started| {
                let _ = cx.nursery(|_, inner| -> Result<(), Cancelled> {
                    inner.spawn(move |_| {
                        started.ready(1);
                        Ok(())
                    });
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        });
    });
}
