//! Attack: a nursery is used when it has ended.
//! Fails: the reference lives as long as the nursery.
// spec: S6, N12, test_run.nursery_nested_child_misnest

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let mut kept = None;
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            kept = Some(n);
            Ok(())
        });
        kept.unwrap().spawn(|_| Ok(()));
    });
}
