//! Attack: a child ends a scope of its parent, and leaves other tasks in it.
//! Fails: a scope is lent to its closure, which ends it by returning.
// spec: N12, test_run.cancel_scope_misnesting_2, test_run.cancel_scope_misnesting_3

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
            let _ = cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn_local(cx, |_| {
                    drop(*scope);
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        });
    });
}
