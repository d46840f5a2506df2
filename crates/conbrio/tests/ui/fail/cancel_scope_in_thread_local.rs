//! Attack: a scope is left in a thread local.
//! Fails: it is not `'static`.
// spec: N12

use conbrio::prelude::*;
use std::cell::Cell;

thread_local! {
    static KEPT: Cell<Option<&'static CancelScope<'static>>> = const { Cell::new(None) };
}

fn main() {
    conbrio::run(|cx| {
        let _ = cx.cancel_scope(|_, scope| -> Result<(), Cancelled> {
            KEPT.set(Some(scope));
            Ok(())
        });
    });
}
