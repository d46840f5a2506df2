//! Attack: a `Started` is used when `start` has returned.
//! Fails: it lives as long as the call of the child's closure.
// spec: N12

use conbrio::Started;
use conbrio::prelude::*;
use std::cell::Cell;

fn main() {
    conbrio::run(|cx| {
        let kept: Cell<Option<Started<'_, u32, Cancelled>>> = Cell::new(None);
        let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let _ = n.start(cx, |_, started| {
                kept.set(Some(started));
                Ok(())
            });
            Ok(())
        });
    });
}
