//! Attack: a body that asks for a `cx` that lives as long as the nursery gives it to a local child.
//! Fails: a body must do with any lifetime of the `cx`.
// spec: S48, N12

use conbrio::prelude::*;

fn body<'scope>(
    cx: &'scope mut Cx,
    n: &'scope Nursery<'scope, '_, Cancelled>,
) -> Result<(), Cancelled> {
    let _ = (cx, n);
    Ok(())
}

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(body);
    });
}
