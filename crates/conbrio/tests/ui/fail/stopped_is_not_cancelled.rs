//! Attack: a nursery that was stopped from inside passes for a cancellation from outside.
//! Fails: an error of a nursery does not become a `Cancelled`.
// spec: S39

use conbrio::prelude::*;

fn attack(cx: &mut Cx) -> Result<(), Cancelled> {
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        n.cancel();
        cx.checkpoint()
    })?;
    Ok(())
}

fn main() {
    let _ = conbrio::run(attack);
}
