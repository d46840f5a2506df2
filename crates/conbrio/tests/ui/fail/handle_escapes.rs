//! Attack: the handle of a child is used when the nursery has ended.
//! Fails: the handle does not live longer than the nursery.
// spec: N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let mut kept = None;
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            kept = Some(n.spawn(|_| Ok(1)));
            Ok(())
        });
        let _ = kept.unwrap().join(cx);
    });
}
