//! Attack: a nursery is left in a thread local.
//! Fails: it is not `'static`.
// spec: N12

use conbrio::prelude::*;
use std::cell::Cell;

thread_local! {
    static KEPT: Cell<Option<&'static Nursery<'static, 'static, Cancelled>>> = const { Cell::new(None) };
}

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            KEPT.set(Some(n));
            Ok(())
        });
    });
}
