//! Attack: a scope is used when it has been left.
//! Fails: it lives as long as the call of its closure; a `CancelHandle` may live longer.
// spec: N12, test_run.cancel_scope_misnesting_3

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let mut kept = None;
        let _ = cx.cancel_scope(|_, scope| -> Result<(), Cancelled> {
            kept = Some(scope);
            Ok(())
        });
        kept.unwrap().cancel();
    });
}
