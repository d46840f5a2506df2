//! Attack: a nursery is left in a static.
//! Fails: it is not `'static`.
// spec: N12

use conbrio::prelude::*;
use std::sync::Mutex;

static KEPT: Mutex<Option<&'static Nursery<'static, 'static, Cancelled>>> = Mutex::new(None);

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            *KEPT.lock().unwrap() = Some(n);
            Ok(())
        });
    });
}
