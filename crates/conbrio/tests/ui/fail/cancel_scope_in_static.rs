//! Attack: a scope is left in a static.
//! Fails: it is neither `'static` nor `Send`.
// spec: N12

use conbrio::prelude::*;
use std::sync::Mutex;

static KEPT: Mutex<Option<&'static CancelScope<'static>>> = Mutex::new(None);

fn main() {
    conbrio::run(|cx| {
        let _ = cx.cancel_scope(|_, scope| -> Result<(), Cancelled> {
            *KEPT.lock().unwrap() = Some(scope);
            Ok(())
        });
    });
}
