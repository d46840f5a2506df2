//! Attack: the `cx` of a scope is used when the scope has been left.
//! Fails: it lives as long as the call of the closure.
// spec: S48, N12

use conbrio::prelude::*;
use std::time::Duration;

fn main() {
    conbrio::run(|cx| {
        let mut inner = None;
        let _ = cx.move_on_after(Duration::from_secs(1), |cx| -> Result<(), Cancelled> {
            inner = Some(cx);
            Ok(())
        });
        let _ = inner.unwrap().checkpoint();
    });
}
