//! Attack: code in a scope waits with the `cx` from outside, to escape the deadline.
//! Fails: the scope has borrowed it.
// spec: S48, N12

use conbrio::prelude::*;
use std::time::Duration;

fn main() {
    conbrio::run(|cx| {
        let _ = cx.move_on_after(Duration::from_secs(1), |_| -> Result<(), Cancelled> {
            cx.checkpoint()
        });
    });
}
