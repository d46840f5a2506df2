//! Attack: a plain function waits, without having been given the capability.
//! Fails: whatever waits takes `cx`.
// spec: S33, S48, test_run.out_of_context

use conbrio::prelude::*;
use std::time::Duration;

fn tick(cx: &mut Cx) -> Result<(), Cancelled> {
    cx.sleep(Duration::from_millis(1))
}

fn plain() {
    let _ = tick();
    let _ = Cx::sleep(Duration::from_millis(1));
}

fn main() {
    plain();
}
