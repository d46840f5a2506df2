//! Attack: a timeout passes for a cancellation and travels on to a scope outside.
//! Fails: they are two types, and none becomes the other.
// spec: S39

use conbrio::prelude::*;
use std::time::Duration;

fn attack(cx: &mut Cx) -> Result<(), Cancelled> {
    cx.fail_after(Duration::from_millis(1), |cx| cx.sleep_forever())?;
    Ok(())
}

fn main() {
    let _ = conbrio::run(attack);
}
