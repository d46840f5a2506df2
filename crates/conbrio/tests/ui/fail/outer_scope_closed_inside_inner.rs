//! Attack: code in the inner scope ends the outer one.
//! Fails: a scope is lent to its closure, which ends it by returning.
// spec: N12, test_run.cancel_scope_misnesting_1

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.cancel_scope(|cx, outer| {
            cx.cancel_scope(|_, _| -> Result<(), Cancelled> {
                drop(*outer);
                Ok(())
            })
        });
    });
}
